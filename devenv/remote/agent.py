"""The box's side of a conversation: a project's files, and locked files for the store. It decides nothing; it does what
the laptop asks, if the files are as the laptop believes."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from devenv.doors import beneath
from devenv.doors.beneath import Entry
from devenv.errors import DevenvError
from devenv.remote.sync import tree
from devenv.remote.sync.tree import Scanner
from devenv.remote.talk import wire
from devenv.remote.talk.places import There

if TYPE_CHECKING:
    from devenv.fetch.store import Store
    from devenv.lock.model import LockedModel
    from devenv.weights.store import Weights

_MOST_NAMES = 100


@dataclasses.dataclass(slots=True, kw_only=True)
class Agent:
    """One conversation. `top`: the folder of all that devenv has on this box; `store` opens its locked files,
    `weights` its models."""

    top: Path
    store: Callable[[], Store]
    weights: Callable[[], Weights]
    heard: IO[bytes]
    tell: IO[bytes]
    _scanner: Scanner | None = None
    _weights: tuple[LockedModel, Weights] | None = None
    _rest: Iterator[bytes] = dataclasses.field(default_factory=lambda: iter(()))

    def serve(self) -> None:
        """Answer until the laptop has no more questions, or the connection ends."""
        answers: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "ping": lambda _: self._answer(), "project": self._project, "list": self._list, "put": self._put,
            "get": self._get, "remove": self._remove, "missing": self._missing, "store": self._store,
            "model": self._model, "weight": self._weight,
        }  # fmt: skip
        with contextlib.suppress(BrokenPipeError, wire.WireError):
            self.tell.write(wire.MAGIC)
            self.tell.flush()
            while message := wire.receive(self.heard):
                header, size = message
                self._rest = wire.pieces(self.heard, size)
                try:
                    answers[str(header.get("op"))](header)
                except OSError as error:
                    if isinstance(error, BrokenPipeError):
                        raise
                    self._refuse(error.strerror or str(error), full=error.errno in (errno.ENOSPC, errno.EDQUOT))
                except (DevenvError, KeyError, StopIteration, TypeError, ValueError) as error:
                    self._refuse(str(error))

    def _answer(self, chunks: Iterator[bytes] = iter(()), size: int = 0, **values: Any) -> None:  # noqa: B008 - empty
        wire.drain(self._rest)
        wire.send(self.tell, {"ok": True, **values}, chunks, size)

    def _refuse(self, why: str, *, full: bool = False) -> None:
        wire.drain(self._rest)
        wire.send(self.tell, {"ok": False, "why": why[:2000], "full": full})

    def _project(self, header: dict[str, Any]) -> None:
        """Open a project's folder, made where it is missing. Its marker tells the laptop whether it is the one that it
        knows: nothing may count as deleted because a disk is new."""
        there = There.parse(header["project"])
        folder = there.path(self.top)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        marker = folder.parent / "marker"
        if not marker.exists() or not marker.stat().st_size or not any(folder.iterdir()):
            marker.write_text(secrets.token_hex(16))
        self._scanner = Scanner(root=folder)
        self._answer(path=str(folder), marker=marker.read_text(), free=shutil.disk_usage(folder).free)

    @property
    def _root(self) -> Scanner:
        if self._scanner is None:
            raise ValueError("no project was opened")
        return self._scanner

    def _list(self, header: dict[str, Any]) -> None:
        lines = tree.to_bytes(self._root.scan())
        digest = tree.digest(lines)
        left_out = dict(list(self._root.left_out.items())[:_MOST_NAMES])
        whole = self._root.is_whole and len(left_out) == len(self._root.left_out)
        if digest == header.get("known"):
            self._answer(same=True, digest=digest, left_out=left_out, whole=whole)
        else:
            self._answer(iter((lines,)), len(lines), same=False, digest=digest, left_out=left_out, whole=whole)

    def _put(self, header: dict[str, Any]) -> None:
        path = _path(header["path"])
        wanted = Entry(kind=header["kind"], size=int(header["size"]), digest=header["digest"])
        beneath.replace(self._root.root, path, wanted, self._rest, _expected(header["expect"]))
        self._answer()

    def _get(self, header: dict[str, Any]) -> None:
        *parts, name = _path(header["path"]).split("/")
        with beneath.folder(self._root.root, parts) as at, beneath.opened(name, at) as file:
            size = file.seek(0, 2)
            file.seek(0)
            self._answer(iter(lambda: file.read(beneath.CHUNK_BYTES), b""), size)

    def _remove(self, header: dict[str, Any]) -> None:
        expect = _expected(header["expect"])
        if expect is None:
            raise ValueError("nothing to remove")
        beneath.remove(self._root.root, _path(header["path"]), expect)
        self._answer()

    def _missing(self, header: dict[str, Any]) -> None:
        wanted = [line.split() for line in wire.whole(self.heard, header["bytes"], most=1 << 24).decode().splitlines()]
        store = self.store()
        lines = "".join(f"{sha}\n" for sha, size in wanted if not store.holds(sha, int(size))).encode()
        self._rest = iter(())
        self._answer(iter((lines,)), len(lines))

    def _store(self, header: dict[str, Any]) -> None:
        from devenv.lock.artifact import Artifact

        self.store().receive(
            self._rest,
            Artifact(
                name="file",
                version="0",
                file=str(header["file"]),
                sha256=str(header["sha256"]),
                size=int(header["size"]),
            ),
        )
        self._answer()

    def _model(self, header: dict[str, Any]) -> None:
        """Begin a model; what lacks of it."""
        from devenv.lock.model import LockedModel

        model = LockedModel.model_validate_json(wire.whole(self.heard, header["bytes"], most=1 << 26))
        self._rest = iter(())
        store = self.weights()
        with store.only(model.key, lambda: None):
            store.begin(model)
        self._weights = model, store
        lines = "".join(f"{file.path}\n" for file in store.missing(model)).encode()
        self._answer(iter((lines,)), len(lines))

    def _weight(self, header: dict[str, Any]) -> None:
        """Take one file of the model, if it is the locked one."""
        if self._weights is None:
            raise ValueError("no model was begun")
        model, store = self._weights
        file = next(one for one in model.files if one.path == header["path"])
        digest = hashlib.sha256()
        fresh = store.parts(model.key) / f"{file.sha256}.sent"
        with store.only(model.key, lambda: None):
            try:
                with fresh.open("wb") as copy:
                    for piece in self._rest:
                        digest.update(piece)
                        copy.write(piece)
                if digest.hexdigest() != file.sha256:
                    raise ValueError(f"{file.path} is not the locked file")
                store.put(model, file, fresh)
            finally:
                fresh.unlink(missing_ok=True)
        self._answer()


def _path(text: Any) -> str:
    if not isinstance(text, str) or not tree.is_safe(text):
        raise ValueError("not a path of a project")
    return text


def _expected(values: Any) -> Entry | None:
    return None if values is None else Entry(kind=values[0], size=0, digest=values[1])
