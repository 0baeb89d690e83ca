"""One pass of a project between this machine and a box: list both sides, compare with the last common state, bring
them together, remember. A pass that is cut anywhere leaves whole files, and the next one goes on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from devenv.doors import atomic, files
from devenv.doors.beneath import Entry
from devenv.doors.file_lock import hold
from devenv.doors.terminal.progress import Progress, Silent
from devenv.errors import TargetError
from devenv.remote.sync import tree
from devenv.remote.sync.apply import TASK, Applying, Done
from devenv.remote.sync.merge import merge
from devenv.remote.sync.tree import Scanner
from devenv.remote.talk.places import There
from devenv.remote.talk.session import Session

_MOST_STATE = 256 << 20


@dataclasses.dataclass(slots=True, kw_only=True)
class Sync:
    """A project of this machine and its folder on a box. `file` keeps the last common state; `target`: the box's name;
    `kept`: the folder for copies of files that the box deleted."""

    root: Path
    there: There
    target: str
    file: Path
    kept: Path
    _scanner: Scanner = dataclasses.field(init=False)
    _known: str = ""
    _listed: dict[str, Entry] = dataclasses.field(default_factory=dict)
    _opened: str = ""
    far: str = ""

    def __post_init__(self) -> None:
        self._scanner = Scanner(root=self.root)

    def run(self, session: Session, *, waiting: Callable[[], None], progress: Progress | None = None) -> Done:
        """One pass. Raises TargetError when the connection ends or a disk is full, NotReadyError."""
        with hold(self.file.with_suffix(".lock"), waiting):
            return self._pass(session, progress or Silent())

    def is_as_kept(self) -> bool:
        """Whether this side is as both were after the last pass."""
        marker, base, _ = self._read()
        return bool(marker) and self._scanner.scan() == tree.without_ignored(base, self._scanner.rules_of)

    def reconnected(self) -> None:
        """A new conversation began: nothing is known of the other side."""
        self._opened, self._known, self._listed = "", "", {}

    def _pass(self, session: Session, progress: Progress) -> Done:
        marker, base, before = self._read()
        now = self._open(session)
        here = self._scanner.scan()
        if marker != now or not here:
            base = {}  # another disk than last time, or none: what lacks on it was not deleted
        there, left, is_whole = self._list(session)
        done = Done(left={**self._scanner.left_out, **{path: f"on {self.target}: {why}" for path, why in left.items()}})
        # What is ignored by now was not deleted either.
        base = tree.without_ignored(base, self._scanner.rules_of)
        unknown = {*self._scanner.left_out, *left}
        actions = [
            one
            for one in merge(base, here, there)
            if not _is_below(one.path, unknown)
            and (is_whole or one.kind != "remove here")
            and (self._scanner.is_whole or one.kind != "remove there")
        ]
        new = {one.path: one.here for one in actions if one.kind == "agree" and one.here}
        todo = [one for one in actions if one.kind != "agree"]
        moved = (one.here if one.kind == "send" else one.there for one in todo if not one.kind.startswith("remove"))
        total = sum(one.size for one in moved if one)
        kept = {**base}
        try:
            if todo:
                progress.start(TASK, total)
            applying = Applying(
                root=self.root, target=self.target, kept=self.kept, session=session, done=done, progress=progress,
                taken={**here, **there},
            )  # fmt: skip
            for agreed in applying.all(todo):
                if agreed[1] is None:
                    kept.pop(agreed[0], None)
                else:
                    kept[agreed[0]] = agreed[1]
        finally:
            progress.finish(TASK)
            gone = {one.path for one in actions if one.kind == "agree" and one.here is None}
            state = {path: one for path, one in {**kept, **new}.items() if path not in gone}
            if todo:
                self._known = ""
            self._write(now, state, before)
        return done

    def _open(self, session: Session) -> str:
        if not self._opened:
            session.ask({"op": "project", "project": self.there.text})
            header, _ = session.answer()
            self._opened, self.far = str(header.get("marker")), str(header.get("path"))
        return self._opened

    def _list(self, session: Session) -> tuple[dict[str, Entry], dict[str, str], bool]:
        """The box's files, what it left out, and whether it named all of that."""
        session.ask({"op": "list", "known": self._known})
        header, data = session.answer()
        if header.get("same") is not True or not self._known:
            try:
                self._listed = tree.from_bytes(data)
            except ValueError as error:
                raise TargetError(f"{self.target} sent what is no list of a project: {error}") from None
            self._known = str(header.get("digest"))
        left = header.get("left_out")
        shown = left.items() if isinstance(left, dict) else ()
        named = {str(one): str(why) for one, why in shown}
        return tree.without_ignored(self._listed, self._scanner.rules_of), named, header.get("whole") is True

    def _read(self) -> tuple[str, dict[str, Entry], bytes]:
        """The marker of the folder there, the last common state, and the file as it is."""
        try:
            data = files.read(self.file, most_bytes=_MOST_STATE)
            head, _, lines = data.partition(b"\n")
            values: Any = json.loads(head)
            if not self._scanner.known():
                self._scanner.learn(values["known"])
            return str(values["marker"]), tree.from_bytes(lines), data
        except (OSError, ValueError, KeyError, TypeError):
            return "", {}, b""

    def _write(self, marker: str, base: dict[str, Entry], before: bytes) -> None:
        head = {"marker": marker, "project": str(self.root), "target": self.target, "known": self._scanner.known()}
        data = json.dumps(head).encode() + b"\n" + tree.to_bytes(base)
        if data != before:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic.write(self.file, data.decode(), mode=0o600)


def _is_below(path: str, unknown: set[str]) -> bool:
    """Whether a path, or a folder on the way to it, is one of these."""
    return bool(unknown) and any(part in unknown for part in _upwards(path))


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]
