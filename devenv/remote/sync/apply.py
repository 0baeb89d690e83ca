"""What a pass decided, done: files sent, fetched, kept beside each other, removed. Each one whole or not at all, and
only where both sides still are as they were listed."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from devenv.doors import beneath
from devenv.doors.beneath import Entry
from devenv.doors.terminal.progress import Progress
from devenv.remote.sync.merge import Action, beside
from devenv.remote.talk import wire
from devenv.remote.talk.session import WINDOW, Session, check

TASK = "project"
Agreed = Iterator[tuple[str, Entry | None]]
"""Paths whose sides are now the same, with what stands there."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Done:
    """What a pass did. `conflicts`: in words, path first; `left`: path → why it is not the same on both sides."""

    sent: int = 0
    fetched: int = 0
    removed: int = 0
    conflicts: list[str] = dataclasses.field(default_factory=list)
    left: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return not (self.sent or self.fetched or self.removed or self.conflicts)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """`root`: the project here; `kept`: the folder for copies of files that the box deleted; `taken`: the paths of both
    sides."""

    root: Path
    target: str
    kept: Path
    session: Session
    done: Done
    progress: Progress
    taken: dict[str, Entry]

    def all(self, todo: Sequence[Action]) -> Agreed:
        """Do all, first what only adds: when the connection breaks, nothing lacks anywhere. Raises TargetError."""
        for one in todo:
            if one.conflict and one.kind != "both":
                self.done.conflicts.append(f"{one.path}: {one.conflict}")
        yield from self._send(one for one in todo if one.kind == "send")
        yield from self._fetch(one for one in todo if one.kind == "fetch")
        for one in todo:
            if one.kind == "both":
                yield from self._both(one)
        for one in todo:
            if one.kind == "remove here" and one.here and self._remove_here(one.path, one.here):
                yield one.path, None
        yield from self._remove_there(one for one in todo if one.kind == "remove there")

    def _send(self, actions: Iterable[Action]) -> Agreed:
        for window in _windows(actions):
            for one in window:
                assert one.here is not None
                header = {
                    "op": "put", "path": one.path, "kind": one.here.kind, "size": one.here.size,
                    "digest": one.here.digest, "expect": one.there and [one.there.kind, one.there.digest],
                }  # fmt: skip
                size = 0 if one.here.kind == "l" else one.here.size
                self.session.ask(header, self._chunks(one.path) if size else (), size)
            for one in window:
                if self._accepted(one.path):
                    self.done.sent += 1
                    yield one.path, one.here

    def _chunks(self, path: str) -> Iterator[bytes]:
        """A file's bytes; none of one that is no file any more."""
        *parts, name = path.split("/")
        with contextlib.suppress(OSError), beneath.folder(self.root, parts) as at, beneath.opened(name, at) as file:
            while chunk := file.read(beneath.CHUNK_BYTES):
                self.progress.advance(TASK, len(chunk))
                yield chunk

    def _accepted(self, path: str) -> bool:
        header, size = self.session.heard()
        wire.drain(self.session.pieces(size))
        if header.get("full") is True:
            check(header, self.target)
        if header.get("ok") is not True:
            self.done.left[path] = f"{self.target} refused: {header.get('why')}"
            return False
        return True

    def _fetch(self, actions: Iterable[Action]) -> Agreed:
        for window in _windows(actions):
            for one in window:
                self._ask(one)
            for one in window:
                if self._take(one, to=one.path, expect=one.here):
                    self.done.fetched += 1
                    yield one.path, one.there

    def _ask(self, one: Action) -> None:
        if one.there and one.there.kind != "l":
            self.session.ask({"op": "get", "path": one.path})

    def _take(self, one: Action, *, to: str, expect: Entry | None) -> bool:
        """Read the answer to one `get`, to its end whatever happens, and put the file at `to`."""
        assert one.there is not None
        rest: Iterator[bytes] = iter(())
        if one.there.kind != "l":
            header, size = self.session.heard()
            rest = self.session.pieces(size)
            if header.get("ok") is not True or size != one.there.size:
                wire.drain(rest)
                refused = f"{self.target} refused: {header.get('why')}"
                self.done.left[one.path] = refused if header.get("ok") is not True else "it changed meanwhile"
                return False
        try:
            beneath.replace(self.root, to, one.there, self._counted(rest), expect)
        except OSError as error:
            self.done.left[to] = (error.strerror or str(error)).lower()
            return False
        finally:
            wire.drain(rest)
        return True

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.progress.advance(TASK, len(chunk))
            yield chunk

    def _both(self, one: Action) -> Agreed:
        """Bring the other machine's file here beside ours, and to its new name there, then send ours."""
        assert one.there is not None
        name = beside(one.path, self.target, self.taken)
        self.taken[name] = one.there
        self._ask(one)
        if not self._take(one, to=name, expect=None):
            return
        self.done.conflicts.append(f"{one.path}: {one.conflict}; the one of {self.target} is now {name}")
        yield from self._send([Action(kind="send", path=name, here=one.there, there=None)])
        if one.here is None:
            yield from self._remove_there([one])
        else:
            yield from self._send([one])

    def _remove_here(self, path: str, expect: Entry) -> bool:
        try:
            beneath.remove(self.root, path, expect, keep=self.kept / time.strftime("%Y-%m-%d") / path)
        except OSError as error:
            self.done.left[path] = (error.strerror or str(error)).lower()
            return False
        self.done.removed += 1
        return True

    def _remove_there(self, actions: Iterable[Action]) -> Agreed:
        for window in _windows(actions):
            for one in window:
                assert one.there is not None
                expect = [one.there.kind, one.there.digest]
                self.session.ask({"op": "remove", "path": one.path, "expect": expect})
            for one in window:
                if self._accepted(one.path):
                    self.done.removed += 1
                    yield one.path, None


def _windows(actions: Iterable[Action]) -> Iterator[list[Action]]:
    every = list(actions)
    for at in range(0, len(every), WINDOW):
        yield every[at : at + WINDOW]
