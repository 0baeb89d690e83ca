"""The user's settings for clusters: where images are pushed, and what a cluster wants pods to have. They come from the
user's own config.yaml, never from a project, because a project of others must not choose what is asked of a cluster."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

KNOWN = (
    "kubernetes: {registry: HOST/PATH, pull_secret: NAME, storage_class: NAME, access_mode: MODE, "
    "workspace_size: 10Gi, data_size: 10Gi, cpu: 500m, memory: 2Gi, memory_limit: 8Gi, gpu: nvidia.com/gpu, gpus: 1, "
    "runtime_class: NAME, node_selector: {LABEL: VALUE}, tolerations: [{key: NAME, operator: Exists, "
    "effect: NoSchedule}], uid: 1000}"
)
CLUSTER = "cluster"
"""As `uid`: the cluster gives each namespace a uid of its own, as OpenShift does."""
MODES = ("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany")
_QUANTITY = re.compile(r"[0-9]{1,12}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_RESOURCE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_REGISTRY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,255}(/[a-z0-9][a-z0-9._/-]{0,200})?")
_TOLERATION = {"key": _LABEL, "operator": re.compile("Exists|Equal"), "value": _VALUE,
               "effect": re.compile("NoSchedule|PreferNoSchedule|NoExecute")}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """What pods get. Empty words are left to the cluster. `uid`: that of all processes, None where the cluster chooses;
    `gpus`: for a preset with a GPU."""

    registry: str = ""
    pull_secret: str = dataclasses.field(default="", repr=False)
    storage_class: str = ""
    access_mode: str = "ReadWriteOnce"
    workspace_size: str = "10Gi"
    data_size: str = "10Gi"
    cpu: str = "250m"
    memory: str = "1Gi"
    memory_limit: str = ""
    gpu: str = "nvidia.com/gpu"
    gpus: int = 1
    runtime_class: str = ""
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[tuple[tuple[str, str], ...], ...] = ()
    uid: int | None = 1000


USUAL = ClusterSettings()

_WORDS: Mapping[str, re.Pattern[str]] = {
    "registry": _REGISTRY, "pull_secret": _NAME, "storage_class": _NAME, "access_mode": re.compile("|".join(MODES)),
    "workspace_size": _QUANTITY, "data_size": _QUANTITY, "cpu": _QUANTITY, "memory": _QUANTITY,
    "memory_limit": _QUANTITY, "gpu": _RESOURCE, "runtime_class": _NAME,
}  # fmt: skip


def parsed(section: Any) -> ClusterSettings:
    """The settings in a section `kubernetes`. Raises ValueError, which names the mistake."""
    if not isinstance(section, dict):
        raise ValueError("settings by name")
    if unknown := set(map(str, section)) - {one.name for one in dataclasses.fields(ClusterSettings)}:
        raise ValueError(f"unknown setting {sorted(unknown)[0]!r}")
    others: dict[str, Callable[[Any], Any]] = {
        "gpus": _gpus, "uid": _uid, "node_selector": _selector, "tolerations": _tolerations,
    }  # fmt: skip
    found: dict[str, Any] = {name: _word(name, section[name]) for name in _WORDS if name in section}
    return ClusterSettings(**found, **{name: read(section[name]) for name, read in others.items() if name in section})


def _word(name: str, value: Any) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _WORDS[name].fullmatch(text):
        raise ValueError(f"{name}: {value!r} cannot be used" + (f"; write one of {', '.join(MODES)}"
                         if name == "access_mode" else ""))  # fmt: skip
    return text


def _gpus(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 64:
        raise ValueError("gpus: a number from 0 to 64")
    return value


def _uid(value: Any) -> int | None:
    if value == CLUSTER:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 31:
        raise ValueError(f"uid: a number above 0, or '{CLUSTER}'")
    return value


def _selector(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise ValueError("node_selector: a value for each label")
    pairs = tuple((str(key), str(each)) for key, each in value.items())
    if not all(_LABEL.fullmatch(key) and _VALUE.fullmatch(each) for key, each in pairs):
        raise ValueError("node_selector: not a label and its value")
    return pairs


def _tolerations(value: Any) -> tuple[tuple[tuple[str, str], ...], ...]:
    found = []
    for one in value if isinstance(value, list) else [None]:
        if not isinstance(one, dict) or not one or set(one) - set(_TOLERATION):
            raise ValueError(f"tolerations: a list of {{{', '.join(_TOLERATION)}}}")
        pairs = tuple((name, str(one[name])) for name in _TOLERATION if name in one)
        if not all(_TOLERATION[name].fullmatch(each) for name, each in pairs):
            raise ValueError("tolerations: not as a pod has them")
        found.append(pairs)
    return tuple(found)
