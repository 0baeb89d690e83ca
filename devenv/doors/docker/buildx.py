"""The docker client's buildx plugin, which builds images: its version, and how the user's settings are kept out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from devenv.doors import process
from devenv.doors.docker.address import Endpoint
from devenv.errors import EngineError

MIN_BUILDX = (0, 11)
OWN_BUILDER = ("--builder", "default")
"""The builder inside the engine that DOCKER_HOST names. buildx refuses to make another one of that name."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
NO_PROXIES = tuple(part for name in _PROXIES for one in (name, name.lower()) for part in ("--build-arg", f"{one}="))
"""buildx hands the proxies of docker's config.json, with their passwords, to every step; an empty one stays out."""

_FOREIGN = (
    "BUILDX_BUILDER", "DOCKER_API_VERSION",  # they name another builder or API than this engine's
    "DOCKER_DEFAULT_PLATFORM",
    "BUILDKIT_SYNTAX", "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY",  # they change the frontend or the inputs
    "SOURCE_DATE_EPOCH", "BUILDX_GIT_LABELS",  # they change times and labels
)  # fmt: skip


def csv(*values: str) -> str:
    """Several values for one buildx option, as the line of CSV that buildx reads."""
    quoted = ('"' + value.replace('"', '""') + '"' if re.search('[,"\n]', value) else value for value in values)
    return ",".join(quoted)


def own_variables(where: Endpoint) -> Mapping[str, str | None]:
    """The environment variables of a build on an engine; None removes the user's own."""
    # buildx would run git in its context.
    return {**where.variables(), "BUILDX_GIT_INFO": "false", **dict.fromkeys(_FOREIGN)}


def check_buildx() -> str:
    """The version of buildx. Raises EngineError when the docker client or the plugin is missing or too old."""
    hint = (
        "install your distribution's docker-buildx package (docker-buildx-plugin from Docker's own), or 'make engine'"
    )
    try:
        text = process.run(["docker", "buildx", "version"], timeout_s=30).out
    except FileNotFoundError:
        raise EngineError(
            "the 'docker' client program is not installed", hint="install docker-cli, or 'make engine'"
        ) from None
    except (process.ProcessError, process.TimeoutExpired):
        raise EngineError("docker has no buildx plugin, which builds images", hint=hint) from None
    found = re.search(r"\bv?(\d+)\.(\d+)", text)
    if found and (int(found[1]), int(found[2])) < MIN_BUILDX:
        raise EngineError(f"buildx is {found[0]}; devenv needs {MIN_BUILDX[0]}.{MIN_BUILDX[1]} or newer", hint=hint)
    return found[0] if found else text.strip()
