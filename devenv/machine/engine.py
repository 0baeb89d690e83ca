"""The engine's facts, from its own answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from devenv.engine import MIN_BUILDX, check_buildx
from devenv.errors import EngineError
from devenv.machine.model import EngineFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from devenv.engine import Engine


def ask(connect: Callable[[], Engine]) -> EngineFacts:
    """Ask the engine, and buildx; what is wrong with them is a fact too."""
    try:
        engine = connect()
        info, version = engine.about()
    except EngineError as error:
        return EngineFacts(problem=error.message, remedy=error.hint or "")
    try:
        buildx, problem = check_buildx(), ""
    except EngineError as error:
        buildx, problem = "", f"{error.message}; {error.hint}"
    return facts(info, version, address=engine.address, buildx=buildx, buildx_problem=problem)


def facts(
    info: Mapping[str, Any], version: Mapping[str, Any], *, address: str, buildx: str = "", buildx_problem: str = ""
) -> EngineFacts:
    """From `GET /info` and `GET /version`, whose keys differ between Docker's and podman's."""
    security = tuple(str(one) for one in info.get("SecurityOptions") or ())
    names = {str(one.get("Name", "")) for one in version.get("Components") or ()}
    status = {str(one[0]): str(one[1]) for one in info.get("DriverStatus") or () if len(one) > 1}
    return EngineFacts(
        address=address,
        version=str(info.get("ServerVersion") or version.get("Version") or ""),
        kind="podman" if any("podman" in one.lower() for one in names) else "docker",
        remote=is_remote(address),
        rootless=any("name=rootless" in one for one in security) or bool(info.get("Rootless")),
        user_remapped=any("name=userns" in one for one in security),
        storage=str(info.get("Driver") or ""),
        backing=status.get("Backing Filesystem", ""),
        root=str(info.get("DockerRootDir") or ""),
        cgroup_version=str(info.get("CgroupVersion") or ""),
        memory_limit=bool(info.get("MemoryLimit", True)),
        buildx=buildx,
        buildx_problem=buildx_problem,
        runtimes=tuple(sorted(info.get("Runtimes") or ())),
        cdi_folders=tuple(info.get("CDISpecDirs") or ()),
        security=tuple(one.partition(",")[0].removeprefix("name=") for one in security),
        architecture=str(info.get("Architecture") or ""),
        memory_bytes=int(info.get("MemTotal") or 0),
    )


def is_remote(address: str) -> bool:
    """Whether an engine's address is another machine's."""
    if address.startswith(("unix:", "npipe:", "http+unix:")):
        return False
    host = address.partition("://")[2].partition("/")[0].rpartition("@")[2].rpartition(":")[0]
    return host not in {"localhost", "127.0.0.1", "[::1]", "::1"}


OLDEST_BUILDX = ".".join(map(str, MIN_BUILDX))
