"""Where this user's Docker Engine is, and what else docker's config.json says, found the way the docker client does."""

from __future__ import annotations

import hashlib
import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devenv import configs, files
from devenv.errors import EngineError
from devenv.foreign import from_json

_DEFAULT = Path("/var/run/docker.sock")
_PROXIES = {
    "httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY", "ftpProxy": "FTP_PROXY", "noProxy": "NO_PROXY",
    "allProxy": "ALL_PROXY",
}  # fmt: skip


def engine_address(variables: Mapping[str, str], home: Path) -> str:
    """DOCKER_HOST, else the current docker context's endpoint, else the usual sockets (system, then rootless).

    Contexts lie in `$DOCKER_CONFIG/contexts/meta/<sha256 of the name>/meta.json`. Raises EngineError for a context
    that is named but not there.
    """
    if host := variables.get("DOCKER_HOST"):
        return host
    name = variables.get("DOCKER_CONTEXT") or str(_config(variables, home).get("currentContext") or "")
    if name and name != "default":
        meta = _folder(variables, home) / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        try:
            text = "" if configs.passes_over(meta) else files.read_text(meta)
            return str(from_json(text)["Endpoints"]["docker"]["Host"])
        except (OSError, ValueError, KeyError, TypeError):
            raise EngineError(
                f"the docker context {name!r} is not there",
                hint="docker context ls; docker context use default",
            ) from None
    rootless = Path(variables.get("XDG_RUNTIME_DIR") or "/nonexistent") / "docker.sock"
    if not _DEFAULT.exists() and rootless.exists():
        return f"unix://{rootless}"
    return f"unix://{_DEFAULT}"


def proxies(variables: Mapping[str, str], home: Path) -> dict[str, str]:
    """The proxies that docker's config.json names for programs inside containers, as the variables that the docker
    client would set: `HTTP_PROXY`, `http_proxy`, …

    It has them for each engine by its address, and for every other under `default`.
    """
    named = _config(variables, home).get("proxies")
    if not isinstance(named, dict):
        return {}
    try:
        address = engine_address(variables, home)
    except EngineError:
        address = ""  # whoever needs the engine is told
    own = named.get(address, named.get("default"))
    found = {} if not isinstance(own, dict) else {_PROXIES[key]: own[key] for key in _PROXIES if own.get(key)}
    return {each: str(value) for name, value in found.items() for each in (name, name.lower())}


def _config(variables: Mapping[str, str], home: Path) -> Mapping[str, Any]:
    """The docker client's config.json; empty when it cannot be read."""
    path = _folder(variables, home) / "config.json"
    if configs.passes_over(path):
        return {}
    try:
        value = from_json(files.read_text(path))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _folder(variables: Mapping[str, str], home: Path) -> Path:
    return Path(variables.get("DOCKER_CONFIG") or home / ".docker")


def ask(address: str, path: str, *, timeout_s: float = 10) -> Any:
    """One GET of the engine at a `unix://` address: its JSON, or None for what it does not have.

    For those who only look: the SDK, which all other work goes through, takes longer to import than its answers take.
    Raises OSError, ValueError.
    """
    if not address.startswith("unix://"):
        raise ValueError("not a socket of this machine")
    link = _UnixConnection(address.removeprefix("unix://"), timeout_s)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from None
    finally:
        link.close()
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise OSError(f"HTTP {answer.status}")
    return from_json(body)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
