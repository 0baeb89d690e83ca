"""Where this user's Docker Engine is, found the way the docker client finds it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from devenv.errors import EngineError

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
            return str(json.loads(meta.read_text())["Endpoints"]["docker"]["Host"])
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
        value = json.loads((config / "config.json").read_text()).get("currentContext")
    except (OSError, ValueError, AttributeError):
        return None
    return str(value) if value else None
