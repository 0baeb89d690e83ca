"""The engine's facts, from its own answers."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from devenv.doors.docker import address as dockerhost
from devenv.doors.docker.buildx import check_buildx
from devenv.doors.machine.engine_facts import EngineFacts
from devenv.doors.thread import in_thread
from devenv.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from devenv.doors.docker.address import Endpoint
    from devenv.doors.docker.engine import Engine


def ask(where: Callable[[], Endpoint], connect: Callable[[], Engine]) -> EngineFacts:
    """Ask the engine, and buildx at the same time; their problems are facts too.

    `where` gives the endpoint; `connect` is called when the plain request fails, because its error explains why.
    """
    try:
        endpoint = where()
    except EngineError as error:
        return EngineFacts(problem=error.message, remedy=error.hint or "")
    asking = in_thread("buildx", buildx)
    try:
        info, version = dockerhost.ask(endpoint, "/info"), dockerhost.ask(endpoint, "/version")
        if not (isinstance(info, dict) and isinstance(version, dict)):
            raise ValueError("not an engine's answer")
    except (OSError, ValueError, EngineError):
        try:
            engine = connect()
            info, version = engine.info(), engine.release()
        except EngineError as error:
            return EngineFacts(address=endpoint.address, problem=error.message, remedy=error.hint or "")
    found, problem = asking.result()
    return facts(info, version, address=endpoint.address, buildx=found, buildx_problem=problem)


class Answers:
    """An engine's answers to questions about itself; each is asked once. Any thread may call it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._info: Mapping[str, Any] | None = None
        self._version: Mapping[str, Any] | None = None

    def facts(self, engine: Engine, *, with_version: bool = True, with_buildx: bool = False) -> EngineFacts:
        """The facts about `engine`. Only its version tells podman from Docker. Raises EngineError."""
        with self._guard:
            if self._info is None:
                self._info = engine.info()
            if self._version is None and with_version:
                self._version = engine.release()
        found, problem = buildx() if with_buildx else ("", "")
        return facts(
            self._info, self._version or {}, address=engine.address, buildx=found, buildx_problem=problem
        )  # fmt: skip


def buildx() -> tuple[str, str]:
    """buildx: (version, problem)."""
    try:
        return check_buildx(), ""
    except EngineError as error:
        return "", f"{error.message}; {error.hint}"


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
