"""devenv's own settings: config.yaml in the user's configuration folder, and the variables that override it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from devenv.doors import files
from devenv.doors.settings import clusters, signature_rules, targets, tool_configs
from devenv.doors.settings.clusters import USUAL, ClusterSettings
from devenv.doors.settings.signature_rules import SignatureRule
from devenv.doors.untrusted import from_yaml
from devenv.errors import UsageError

HUBS = ("huggingface", "modelscope")
REGISTRY = "registry"
"""As a place of weights: the registry that an environment comes from."""
EXTENSION_REGISTRY = "DEVENV_EXTENSION_REGISTRY"
_HTTP = re.compile(r"https?://[!-~]+")
_TRUE = ("1", "ON", "YES", "TRUE")
"""As `huggingface_hub` reads it."""
_DISTRIBUTIONS = ("debian", "ubuntu")
_ADDRESSES = {
    # section of config.yaml: (names in it, their environment variables' prefix)
    "mirrors": (
        frozenset({*_DISTRIBUTIONS, *(f"{distribution}-security" for distribution in _DISTRIBUTIONS)}),
        "DEVENV_APT_MIRROR_",
    ),
    "snapshots": (frozenset(_DISTRIBUTIONS), "DEVENV_APT_SNAPSHOT_"),
}
_OTHERS = (
    "region",
    "weights",
    "registries",
    "extension_registry",
    "require_signature",
    "targets",
    "target",
    "kubernetes",
)
_KNOWN = "; ".join(
    [
        f"{section}: {{{', '.join(f'{name}: URL' for name in sorted(names))}}}"
        for section, (names, _) in _ADDRESSES.items()
    ]
    + [
        "extension_registry: URL",
        "region: cn",
        f"weights: {{dir: FOLDER, sources: [{', '.join((*HUBS, REGISTRY))}]}}",
        "registries: {HOST: {ca: FILE, insecure: true}}",
        signature_rules.KNOWN,
        targets.KNOWN,
        clusters.KNOWN,
    ]
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """The hubs and the store of model weights. Tokens are not here: the hubs' own clients find them."""

    dir: Path
    """The store of weights."""
    dir_from: str = "the default"
    """The setting that named it, for messages."""
    order: tuple[str, ...] = ()
    """Places to ask first; empty for the preset's own order, and the registry last."""
    offline: tuple[str, ...] = ()
    """HF_HUB_OFFLINE: hubs that are not asked where another place has the model."""
    huggingface: str | None = None
    """HF_ENDPOINT: another address of that hub."""
    modelscope: str | None = None
    """MODELSCOPE_ENDPOINT or MODELSCOPE_DOMAIN: another address of that hub."""
    ca_bundle: Path | None = None
    """A CA bundle the user named for all programs: each hub's client reads another variable."""
    caches: tuple[tuple[str, Path], ...] = ()
    """The hubs' own caches on this machine: hub and folder."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """What the user says about one registry. `host`: with its port, where it has one."""

    host: str
    ca: Path | None = None
    """A CA bundle for this registry alone."""
    insecure: bool = False
    """Plain HTTP may be used where it does not speak TLS. A certificate is always checked."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OwnSettings:
    """The user's settings for devenv itself: addresses by name, registries, required signatures, and the hubs and store
    of weights."""

    mirrors: tuple[tuple[str, str], ...]
    snapshots: tuple[tuple[str, str], ...]
    hubs: HubSettings
    registries: tuple[RegistrySettings, ...]
    signature_rules: tuple[SignatureRule, ...]
    extension_registry: str | None = None
    """Of editor extensions: an address, without a trailing slash."""
    clusters: ClusterSettings = USUAL


def read(environ: Mapping[str, str], home: Path, path: Path) -> OwnSettings:
    """The settings in the file at `path`, if it exists, and the variables that override them. Raises UsageError."""
    data = _checked(path)
    found = {section: dict(data.get(section, {})) for section in _ADDRESSES}
    for section, (names, prefix) in _ADDRESSES.items():
        for name in names:
            if value := environ.get(prefix + name.upper().replace("-", "_")):
                found[section][name] = value
    addresses = {
        section: tuple(sorted((name, url.rstrip("/")) for name, url in urls.items())) for section, urls in found.items()
    }
    registries = tuple(
        RegistrySettings(
            host=host, ca=_below(home, one["ca"]) if "ca" in one else None, insecure=one.get("insecure", False)
        )
        for host, one in data.get("registries", {}).items()
    )
    return OwnSettings(
        hubs=_hubs(environ, home, path, data), registries=registries, **addresses,
        signature_rules=_signature_rules(data, lambda name: _below(home, name)),
        extension_registry=_extension_registry(environ, data),
        clusters=clusters.parsed(data.get("kubernetes", {})),
    )  # fmt: skip


def _extension_registry(environ: Mapping[str, str], data: Mapping[str, Any]) -> str | None:
    if value := environ.get(EXTENSION_REGISTRY):
        return extension_registry(value, EXTENSION_REGISTRY)
    return str(data["extension_registry"]).rstrip("/") if "extension_registry" in data else None


def extension_registry(text: str, named: str) -> str:
    """The address of a registry of extensions as the user wrote it; `named` is the place. Raises UsageError."""
    if not _HTTP.fullmatch(text):
        raise UsageError(
            "a registry of extensions is an address, http or https", where=named, hint="such as https://host/path"
        )
    return text.rstrip("/")


def _below(home: Path, path: str) -> Path:
    return home / path.removeprefix("~/") if path.startswith("~/") else Path(path)


def _hubs(environ: Mapping[str, str], home: Path, path: Path, config: Mapping[str, Any]) -> HubSettings:
    weights = config.get("weights", {})
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share") / "devenv" / "weights"
    folder, named = str(data), "the default"
    if weights.get("dir"):
        folder, named = weights["dir"], str(path)
    if environ.get("DEVENV_WEIGHTS_DIR"):
        folder, named = environ["DEVENV_WEIGHTS_DIR"], "DEVENV_WEIGHTS_DIR"
    order = weights.get("sources") or (("modelscope",) if config.get("region") == "cn" else ())
    domain = environ.get("MODELSCOPE_ENDPOINT") or environ.get("MODELSCOPE_DOMAIN")
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    hf_home = Path(environ.get("HF_HOME") or cache / "huggingface")
    hf_cache = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE") or hf_home / "hub"
    ms_cache = environ.get("MODELSCOPE_CACHE") or home / ".cache/modelscope"
    bundle = environ.get("SSL_CERT_FILE") or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    return HubSettings(
        dir=weights_dir(folder, home, named),
        dir_from=named,
        order=tuple(order),
        offline=HUBS[:1] if environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE else (),
        ca_bundle=Path(bundle) if bundle and Path(bundle).is_file() else None,
        huggingface=(environ.get("HF_ENDPOINT") or "").rstrip("/") or None,
        modelscope=(domain if "://" in domain else f"https://{domain}").rstrip("/") if domain else None,
        caches=(("huggingface", Path(hf_cache).expanduser()), ("modelscope", Path(ms_cache).expanduser())),
    )


def weights_dir(text: str, home: Path, named: str) -> Path:
    """The store's folder as the user wrote it. Raises UsageError for an export that is not mounted."""
    if text.startswith("nfs://"):
        server, _, export = text.removeprefix("nfs://").partition("/")
        raise UsageError(
            f"{text} is an export, and mounting one needs root",
            where=named,
            hint=f"mount it, then name the folder: sudo mkdir -p /mnt/weights && "
            f"sudo mount -t nfs {server}:/{export} /mnt/weights, and --weights-dir /mnt/weights",
        )
    if "://" in text:
        raise UsageError(f"{text} is not a folder of this machine", where=named, hint="mount it and name the folder")
    path = Path(text)
    if text.startswith("~") and text[1:2] not in ("", "/"):
        raise UsageError(f"{text!r} is another user's home", where=named, hint="write the folder from /")
    if text.startswith("~"):
        path = home / text.lstrip("~").lstrip("/")
    if not path.is_absolute():
        if named != "--weights-dir":
            raise UsageError(f"{text!r} is not an absolute path", where=named, hint="write it from / or ~")
        path = path.absolute()
    return path


def _checked(path: Path) -> dict[str, Any]:
    if tool_configs.passes_over(path) or not files.is_there(path):
        return {}

    def refuse(text: str) -> UsageError:
        return UsageError(text, where=str(path), hint=f"known settings: {_KNOWN}")

    unknown = "unknown settings in devenv's configuration"
    try:
        data = from_yaml(files.read(path, most_bytes=files.STATE_BYTES).decode(errors="replace")) or {}
    except OSError as error:
        raise refuse(f"cannot be read: {files.reason(error)}") from None
    except ValueError as error:
        raise refuse(f"not YAML: {error}") from None
    if not isinstance(data, dict) or set(data) - {*_ADDRESSES, *_OTHERS}:
        raise refuse(unknown)
    for section, (names, _) in _ADDRESSES.items():
        urls = data.get(section, {})
        if not isinstance(urls, dict) or set(urls) - names:
            raise refuse(unknown)
        if not all(isinstance(url, str) and "://" in url for url in urls.values()):
            raise refuse(f"a {section.removesuffix('s')} must be an address (scheme://host/path)")
    weights = data.get("weights", {})
    if not isinstance(weights, dict) or set(weights) - {"dir", "sources"}:
        raise refuse(unknown)
    sources = weights.get("sources", [])
    listed = isinstance(sources, list) and all(source in (*HUBS, REGISTRY) for source in sources)
    if not isinstance(weights.get("dir", ""), str) or not listed:
        raise refuse("weights: a folder (dir), and a list of hubs and 'registry' (sources)")
    if (why := _wrong_registries(data) or targets.wrong(data)) is not None:
        raise refuse(why)
    if (why := _wrong_values(data)) is not None:
        raise refuse(why)
    if data.get("region", "cn") != "cn":
        raise refuse("the only region that changes anything is 'cn'")
    return data


def _wrong_values(data: Mapping[str, Any]) -> str | None:
    """Why a section that has a parser of its own cannot be used; None when each can."""
    section = "require_signature"
    try:
        _signature_rules(data, _absolute)
        section = "kubernetes"
        clusters.parsed(data.get("kubernetes", {}))
    except ValueError as error:
        return f"{section}: {error}"
    return None


def _signature_rules(data: Mapping[str, Any], path_of: Callable[[str], Path]) -> tuple[SignatureRule, ...]:
    section = "require_signature"
    return signature_rules.rules(data[section], path_of) if section in data else ()


def _absolute(path: str) -> Path:
    """Raises ValueError."""
    if not path.startswith(("/", "~/")):
        raise ValueError(f"{path!r} is not a file, written from / or ~")
    return Path(path)


def _wrong_registries(data: Mapping[str, Any]) -> str | None:
    """Why the registries cannot be used; None when they can."""
    extensions = data.get("extension_registry", "http://host")
    if not isinstance(extensions, str) or not _HTTP.fullmatch(extensions):
        return "extension_registry must be an address, http or https"
    why = _wrong_hosts(data.get("registries", {}))
    return f"registries: {why}" if why else None


def _wrong_hosts(registries: Any) -> str | None:
    if not isinstance(registries, dict):
        return "a host for each registry"
    for host, one in registries.items():
        if not isinstance(host, str) or not host or "/" in host:
            return f"{host!r} is not a host, as in references: HOST or HOST:PORT"
        if not isinstance(one, dict) or set(one) - {"ca", "insecure"}:
            return f"unknown settings of {host}"
        if not isinstance(one.get("insecure", False), bool):
            return f"{host}: insecure is true or false"
        ca = one.get("ca", "/")
        if not isinstance(ca, str) or not ca.startswith(("/", "~/")):
            return f"{host}: ca is a file, written from / or ~"
    return None
