"""A container whose processes stand still for a moment, and continue whatever becomes of this program.

python -m devenv.doors.docker.pause     resume a container unless told `done`; see `process.standby`
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from devenv.doors import process
from devenv.doors.docker.address import Endpoint, Tls
from devenv.doors.docker.engine import Engine, connect
from devenv.doors.file_lock import hold
from devenv.errors import EngineError

_TRIES = 5
_LOOKS, _LOOK_EVERY_S = 10, 0.2


@contextlib.contextmanager
def paused(container: str, engine: Engine, lock: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Pause a running container; one in another state stays as it is. `lock` is for one at a time, and the program that
    resumes for a killed one holds it on: without it, that program would resume what the next one paused. Raises
    EngineError, also when somebody else resumed the container meanwhile."""
    with hold(lock, waiting, leave_nothing=True) as held:
        facts = engine.container(container)
        if facts is None or facts.state != "running":
            yield
            return
        command = [sys.executable, "-P", "-m", "devenv.doors.docker.pause"]
        with process.standby(command, _told(engine.endpoint, facts.id), keeps=(held,)):
            _pause(facts.id, engine)
            try:
                yield
            finally:
                found = engine.container(facts.id)
                if found is not None and found.state == "paused":
                    engine.unpause(facts.id)
        if found is not None and found.state == "running":  # its files may have changed while they were read
            raise EngineError(
                "the container was resumed while devenv read its files", hint="run the same command again"
            )


def _pause(container: str, engine: Engine) -> None:
    """Pause it; again where the kernel could not stop all its programs in time, as on a busy machine. Raises
    EngineError."""
    for left in range(_TRIES - 1, -1, -1):
        try:
            engine.pause(container)
        except EngineError:
            facts = engine.container(container)
            if not left or facts is None or facts.state != "running":
                raise
            time.sleep(_LOOK_EVERY_S)
        else:
            return


def _told(endpoint: Endpoint, container: str) -> str:
    tls = endpoint.tls and {"folder": str(endpoint.tls.folder), "verify": endpoint.tls.verify}
    return json.dumps({"address": endpoint.address, "tls": tls, "container": container})


def main() -> None:
    """Wait for the end of the input, and resume the container unless its last line is `done`."""
    first, *rest = sys.stdin.read().splitlines() or [""]
    if rest[-1:] == ["done"] or not first:
        return
    told = json.loads(first)
    tls = told["tls"] and Tls(folder=Path(told["tls"]["folder"]), verify=told["tls"]["verify"])
    with contextlib.suppress(EngineError):
        _resume(told["container"], connect(Endpoint(address=told["address"], tls=tls)))


def _resume(container: str, engine: Engine) -> None:
    """Resume the container; look several times, because the engine may still be about to pause it. Raises
    EngineError."""
    for _ in range(_LOOKS):
        facts = engine.container(container)
        if facts is None:
            return
        if facts.state == "paused":
            engine.unpause(container)
        time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    main()
