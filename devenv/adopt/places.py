"""Debian packages, variables, ports, volumes and commands: facts to entries of a preset."""

from __future__ import annotations

import re
from collections.abc import Mapping

from devenv.adopt.accelerator import Setting
from devenv.adopt.bases import Chosen
from devenv.adopt.facts.facts import Facts, Kind, Loss
from devenv.adopt.packages import Entry
from devenv.preset.checks import BUILT_IN_PORTS, RESERVED_MOUNTS
from devenv.preset.model import Preset

PROJECT = "project"
"""The setup step that installs the project's own package."""
_OF_PYTHON = frozenset({
    "python3", "python3-pip", "python3-venv", "python3-dev", "python-dev", "python", "python-pip",
    "python3-distutils", "pip", "python3-setuptools", "python3-wheel", "python-is-python3",
    "software-properties-common", "apt-transport-https", "apt-utils", "libpython3-dev", "python3-virtualenv",
    "gnupg2", "sudo",
})  # fmt: skip
"""Debian packages whose work the preset does, or that only help to install others."""
_SEARCH_PATHS = frozenset({"CPATH", "CUDA_HOME", "CUDA_PATH", "LIBRARY_PATH", "PYTHONPATH"})
_RENAMED = {
    "libgl1-mesa-glx": "libgl1", "libglib2.0-0t64": "libglib2.0-0", "awscli": "awscli",
    "libopenblas-base": "libopenblas0", "netcat": "netcat-openbsd", "libtinfo5": "libtinfo6",
    "libncurses5": "libncurses6", "gcc-7": "gcc", "g++-7": "g++", "openjdk-8-jdk": "default-jdk",
    "openjdk-8-jre": "default-jre", "openjdk-11-jdk": "default-jdk", "openjdk-11-jre": "default-jre",
    "openjdk-8-jdk-headless": "default-jdk-headless", "openjdk-11-jre-headless": "default-jre-headless",
    "libssl1.1": "libssl3",
}  # fmt: skip
"""Debian packages that have another name in the release of the base."""


def apt(facts: Facts) -> tuple[Entry, ...]:
    """Debian packages, under the names of the base's release."""
    named = {fact.value: fact for fact in reversed(facts.of(Kind.APT)) if fact.value not in _OF_PYTHON}
    return tuple(
        Entry(value=_RENAMED.get(name, name), comment=fact.mark.where) for name, fact in reversed(named.items())
    )


def variables(facts: Facts, parent: Preset, left: list[Loss]) -> tuple[Entry, ...]:
    """Environment variables; of two values the last one counts. What the preset sets, and search paths in another
    image, are left out."""
    last = {fact.name: fact for fact in facts.of(Kind.ENV)}
    found = []
    for name, fact in last.items():
        why = ""
        if name in parent.env or name in parent.caches:
            why = "the preset sets it for its own programs"
        elif name in _SEARCH_PATHS and "/" in fact.value:
            why = "its paths are those of another image"
        if why:
            remedy = "write it under 'env' in devenv.yaml, with paths below /workspace"
            left.append(Loss(what=f"variable {name}", why=why, remedy=remedy, mark=fact.mark))
        else:
            found.append(Entry(name=name, value=fact.value, comment=fact.mark.where))
    return tuple(found)


def ports(facts: Facts, parent: Preset, settings: Mapping[str, Setting], left: list[Loss]) -> tuple[Entry, ...]:
    """Ports to publish; one that a service of devenv has is left out."""
    taken = {service.port for service in parent.services.values()}
    taken |= {port for key, (_, port) in BUILT_IN_PORTS.items() if getattr(parent, key) and key not in settings}
    taken |= {port for key, (_, port) in BUILT_IN_PORTS.items() if key in settings and settings[key].value}
    found: dict[int, Entry] = {}
    for fact in facts.of(Kind.PORT):
        number = int(fact.value)
        if number in taken:
            remedy = "nothing to do: devenv serves its own pages there"
            left.append(Loss(what=f"port {number}", why="devenv's own service has it", mark=fact.mark, remedy=remedy))
        else:
            found.setdefault(number, Entry(name=f"port-{number}", value=fact.value, comment=fact.mark.where))
    return tuple(found.values())


def volumes(facts: Facts, left: list[Loss]) -> tuple[Entry, ...]:
    """Volumes by their mount points, as far as they are free."""
    found: dict[str, Entry] = {}
    for fact in facts.of(Kind.VOLUME):
        path = fact.value.rstrip("/")
        others = (*RESERVED_MOUNTS, *(entry.value for entry in found.values()))
        if any(path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in others):
            remedy = "choose a folder of its own, such as /data, under 'volumes'"
            left.append(Loss(what=f"volume at {path}", why="devenv needs that place", mark=fact.mark, remedy=remedy))
        elif re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fact.name):
            found.setdefault(fact.name, Entry(name=fact.name, value=path, comment=fact.mark.where))
    return tuple(found.values())


def setup(facts: Facts, chosen: Chosen, left: list[Loss], *, follows: bool) -> tuple[Entry, ...]:
    """Commands after the first start: the project's own package, editable, then those of the files in their order.
    `follows`: the preset's key `project` installs the package."""
    found = []
    for fact in facts.of(Kind.PROJECT)[:1]:
        if chosen.refused:
            remedy = "install it in a setup step: pip install --no-deps -e ."
            left.append(
                Loss(what="the project's own package", why="it may refuse this Python", mark=fact.mark, remedy=remedy)
            )
        if chosen.refused or follows:
            continue
        command = "pip, install, --no-deps, --no-build-isolation, -e, ."
        found.append(
            Entry(name=PROJECT, value=command, comment=f"the project's own package, editable ({fact.mark.where})")
        )
    found += [
        Entry(name=f"step-{number}", value=fact.value, comment=fact.mark.where)
        for number, fact in enumerate(facts.of(Kind.SETUP), 1)
    ]
    return tuple(found)
