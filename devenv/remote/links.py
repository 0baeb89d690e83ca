"""The links of this machine: which ports of a box's environments stand on this machine's loopback, and which process
keeps them. One file for each environment; no token is in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from devenv.container.names import is_name
from devenv.doors import files, process, secret_file, streams
from devenv.doors.file_lock import hold
from devenv.doors.machine.ports import any_free_port, port_is_free
from devenv.doors.untrusted import from_json, value_of
from devenv.errors import TargetError

UP, STARTING = "up", "starting"
_MOST_PORTS = 64
_WAIT_S = 30.0
_LOOK_EVERY_S = 0.02
_HERE = re.compile(r"(?<![\w.])(?:127\.0\.0\.1|localhost):(\d{1,5})(?![\d.])")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """`ports`: of the box to those here; `project`: the folder here that is kept the same; `process`: the name of the
    keeper; `state`: `up`, `starting`, or why there is no connection."""

    target: str
    destination: str
    name: str
    key: str
    ports: tuple[tuple[int, int], ...]
    project: str = ""
    process: str = ""
    state: str = STARTING


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """How links are kept: the `command` for a link's file with its `variables`; `release` frees the ports of a link
    (here to there) that the open connection still has, because its keeper was killed."""

    command: tuple[str, ...]
    variables: Mapping[str, str]
    release: Callable[[Mapping[int, int]], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """All links of one target, in its folder."""

    folder: Path
    target: str
    destination: str

    @classmethod
    def of(cls, state: Path, target: str, destination: str) -> Links:
        """Below devenv's folder of state. Two names of one destination share their links."""
        return cls(
            folder=state / "targets" / hashlib.sha256(destination.encode()).hexdigest()[:16], target=target,
            destination=destination,
        )  # fmt: skip

    def path(self, name: str) -> Path:
        """The file of an environment's link."""
        if not is_name(name):
            raise TargetError(f"{self.target} sent what is no name of an environment: {name!r}"[:200])
        return self.folder / f"{name}.json"

    def get(self, name: str) -> Link | None:
        """The link of an environment; None without one."""
        return read(self.path(name))

    def every(self) -> Iterator[Link]:
        """All links."""
        for path in sorted(self.folder.glob("*.json")):
            if link := read(path):
                yield link

    def have(self, wanted: Link, keeper: Keeper) -> Link:
        """Keep these ports here from now on; the link when it is up. Raises TargetError with the reason why it is
        not."""
        with hold(self.folder / "links.lock", lambda: None):
            return self._settled(self._started(wanted, keeper))

    def _started(self, wanted: Link, keeper: Keeper) -> Link:
        old = self.get(wanted.name)
        ports = tuple(sorted(dict(wanted.ports)))
        if old and not is_gone(old) and _is_same(old, wanted, ports):
            return old
        if old:
            self.end(wanted.name, wait=True)
            keeper.release({here: there for there, here in old.ports})
        kept = old or read(self._ports(wanted.name))
        wanted = dataclasses.replace(wanted, ports=_chosen(ports, dict(kept.ports) if kept else {}))
        path = self.path(wanted.name)
        keep(path, wanted)
        streams.background([*keeper.command, str(path)], variables=keeper.variables, said=path.with_suffix(".log"))
        return wanted

    def _settled(self, link: Link) -> Link:
        end = time.monotonic() + _WAIT_S
        while time.monotonic() < end:
            now = self.get(link.name)
            if now is None:
                break
            if now.state != STARTING:
                return now
            time.sleep(_LOOK_EVERY_S)
        raise TargetError(
            f"the ports of {link.name} on {self.target} do not come here",
            hint=f"see {self.path(link.name)}"[:-5] + ".log",
        )

    def _ports(self, name: str) -> Path:
        """What keeps the ports of an environment without a link, so that its addresses stay."""
        return self.path(name).with_suffix(".ports")

    def end(self, name: str, *, forget: bool = False, wait: bool = False) -> None:
        """End an environment's link; `forget`: its ports, too; `wait` until they are free."""
        path = self.path(name)
        link = read(path)
        if link and not forget:
            keep(self._ports(name), link)
        if forget:
            self._ports(name).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        path.with_suffix(".log").unlink(missing_ok=True)
        if link and link.process and not process.is_gone(link.process):
            streams.end(_pid(link.process), signal.SIGTERM)
            limit = time.monotonic() + 10
            while wait and not process.is_gone(link.process) and time.monotonic() < limit:
                time.sleep(_LOOK_EVERY_S)
            if wait:
                path.unlink(missing_ok=True)  # it may just have written that it is up


def read(path: Path) -> Link | None:
    """The link in a file; None without one."""
    try:
        values: Any = from_json(files.read(path, most_bytes=files.STATE_BYTES))
        return value_of(Link, values)
    except (OSError, ValueError):
        return None


def keep(path: Path, link: Link) -> None:
    """Write a link, for this user alone."""
    secret_file.write(path, json.dumps(dataclasses.asdict(link), indent=1) + "\n")


def is_gone(link: Link) -> bool:
    """Whether nobody keeps it any more."""
    return not link.process or process.is_gone(link.process)


def _pid(name: str) -> int:
    return int(name.split(":")[1])


def _is_same(old: Link, wanted: Link, ports: Sequence[int]) -> bool:
    return (old.key, old.destination, old.project) == (wanted.key, wanted.destination, wanted.project) and set(
        ports
    ) == set(dict(old.ports))


def _chosen(ports: Sequence[int], kept: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """A port here for each there: the one of last time, the same number or one of the next hundred, or any that is
    free."""
    chosen: dict[int, int] = {}
    for there in list(ports)[:_MOST_PORTS]:
        for here in (kept.get(there), *range(there, min(there + 100, 65536))):
            if here and here >= 1024 and here not in chosen.values() and port_is_free(here):
                chosen[there] = here
                break
        else:
            chosen[there] = any_free_port()
    return tuple(sorted(chosen.items()))


def ports_of(urls: Mapping[str, Any]) -> tuple[int, ...]:
    """The ports of addresses that a box printed."""
    found = (_HERE.search(str(url)) for url in urls.values())
    return tuple(sorted({int(one[1]) for one in found if one and 0 < int(one[1]) < 65536}))[:_MOST_PORTS]


def rewritten(text: str, ports: Mapping[int, int]) -> str:
    """A text with the ports of the box replaced by those here."""
    return _HERE.sub(
        lambda found: found[0].replace(found[1], str(ports[int(found[1])])) if int(found[1]) in ports else found[0],
        text,
    )
