"""The keeper of one link: it holds the ports here, keeps the project the same on both sides, and makes a lost
connection again until the link's file is gone."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from devenv.doors import process
from devenv.doors.machine.ports import port_answers
from devenv.doors.ssh import Ssh, is_refusal
from devenv.errors import DevenvError, TargetError
from devenv.remote import links
from devenv.remote.links import Link
from devenv.remote.sync.both import Sync
from devenv.remote.talk.session import LackingError, Session, session

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
_ALIVE_EVERY_S = 5.0
_SYNC_EVERY_S, _SYNC_SLOWEST_S = 1.0, 5.0


@dataclasses.dataclass(slots=True, kw_only=True)
class Keeper:
    """`path`: the link's file; `sync`: of the project, if one is kept the same; `told`: gets what happened to it, in
    words."""

    path: Path
    link: Link
    ssh: Ssh
    sync: Sync | None
    told: Callable[[str], None]
    _own: str = dataclasses.field(default_factory=process.this_process)

    def run(self) -> None:
        """Keep it until its file is gone, or says that another process keeps it."""
        self._write(links.STARTING)
        wait_s = FIRST_WAIT_S
        while self._is_mine():
            began = time.monotonic()
            try:
                self._connected()
                return
            except LackingError as error:
                self._write(error.message)
                return
            except TargetError as error:
                refused = is_refusal(error.detail or "")
                self._write(error.message)
            if time.monotonic() - began > LONGEST_WAIT_S:
                wait_s = FIRST_WAIT_S
            self._wait(wait_s)
            # Another attempt without a person would only fill the log of the box.
            while refused and self._is_mine() and not self.ssh.socket.exists():
                time.sleep(FIRST_WAIT_S)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def _connected(self) -> None:
        """Hold one connection as long as it lasts; returns when the link has to end."""
        here = {own: there for there, own in self.link.ports}
        try:
            with session(self.ssh, self.link.key, forwards=here) as open_:
                open_.alive()
                first = next(iter(here), None)
                if first is not None and not port_answers(first):
                    self.told(f"{self.ssh.name} does not forward ports, or nothing answers there (AllowTcpForwarding)")
                self._write(links.UP)
                if self.sync:
                    self.sync.reconnected()
                self._hold(open_)
        finally:
            self.ssh.cancel(here)

    def _hold(self, open_: Session) -> None:
        every_s = _SYNC_EVERY_S
        while self._is_mine():
            if self.sync is None:
                open_.alive()
                self._wait(_ALIVE_EVERY_S)
                continue
            began = time.monotonic()
            try:
                done = self.sync.run(open_, waiting=lambda: None)
            except TargetError:
                raise
            except (DevenvError, OSError) as error:
                self.told(f"{self.link.project}: {error}")
                every_s = _SYNC_SLOWEST_S
            else:
                for text in done.conflicts:
                    self.told(text)
                every_s = min(every_s * 1.2, _SYNC_SLOWEST_S) if done.is_empty else _SYNC_EVERY_S
            self._wait(max(every_s, 10 * (time.monotonic() - began)))

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._is_mine() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))

    def _is_mine(self) -> bool:
        now = links.read(self.path)
        return now is not None and now.process in ("", self._own)

    def _write(self, state: str) -> None:
        if self._is_mine():
            links.keep(self.path, dataclasses.replace(self.link, process=self._own, state=state))
