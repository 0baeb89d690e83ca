"""Where this user's Docker Engine is, found the way the docker client finds it."""

from __future__ import annotations

import hashlib
import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devenv import files
from devenv.errors import EngineError
from devenv.foreign import from_json

_DEFAULT = Path("/var/run/docker.sock")


def engine_address(variables: Mapping[str, str], home: Path) -> str:
    """DOCKER_HOST, else the current docker context's endpoint, else the usual sockets (system, then rootless).

    Contexts lie in `$DOCKER_CONFIG/contexts/meta/<sha256 of the name>/meta.json`. Raises EngineError for a context
    that is named but not there.
    """
    if host := variables.get("DOCKER_HOST"):
        return host
    config = Path(variables.get("DOCKER_CONFIG") or home / ".docker")
    name = variables.get("DOCKER_CONTEXT") or _current(config)
    if name and name != "default":
        meta = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        try:
            return str(from_json(files.read_text(meta))["Endpoints"]["docker"]["Host"])
        except (OSError, ValueError, KeyError, TypeError):
            raise EngineError(
                f"the docker context {name!r} is not there",
                hint="docker context ls; docker context use default",
            ) from None
    rootless = Path(variables.get("XDG_RUNTIME_DIR") or "/nonexistent") / "docker.sock"
    if not _DEFAULT.exists() and rootless.exists():
        return f"unix://{rootless}"
    return f"unix://{_DEFAULT}"


def _current(config: Path) -> str | None:
    try:
        value = from_json(files.read_text(config / "config.json")).get("currentContext")
    except (OSError, ValueError, AttributeError):
        return None
    return str(value) if value else None


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
