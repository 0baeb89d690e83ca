"""The docker client's buildx plugin, which builds images: whether it is there."""

from __future__ import annotations

import re

from devenv import run
from devenv.errors import EngineError

MIN_BUILDX = (0, 11)


def check_buildx() -> str:
    """The version of buildx. Raises EngineError when the docker client or the plugin is missing or too old."""
    hint = (
        "install your distribution's docker-buildx package (docker-buildx-plugin from Docker's own), or 'make engine'"
    )
    try:
        text = run.run(["docker", "buildx", "version"], timeout_s=30).out
    except FileNotFoundError:
        raise EngineError(
            "the 'docker' client program is not installed", hint="install docker-cli, or 'make engine'"
        ) from None
    except (run.ProcessError, run.TimeoutExpired):
        raise EngineError("docker has no buildx plugin, which builds images", hint=hint) from None
    found = re.search(r"\bv?(\d+)\.(\d+)", text)
    if found and (int(found[1]), int(found[2])) < MIN_BUILDX:
        raise EngineError(f"buildx is {found[0]}; devenv needs {MIN_BUILDX[0]}.{MIN_BUILDX[1]} or newer", hint=hint)
    return found[0] if found else text.strip()
