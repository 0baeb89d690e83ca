"""A pass between two folders, with the real other side behind pipes; and with another side that lies."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devenv.doors.process import Outcome
from devenv.doors.ssh import Ssh
from devenv.doors.streams import Talk
from devenv.errors import TargetError
from devenv.fetch.store import Store
from devenv.remote.agent import Agent
from devenv.remote.sync.apply import Done
from devenv.remote.sync.both import Sync
from devenv.remote.talk import wire
from devenv.remote.talk.places import There
from devenv.remote.talk.session import FullError, Session
from devenv.weights.store import Weights

SSH = Ssh(name="box", destination="me@box", folder=Path("/nowhere"))
THERE = There(id="0123456789abcdef", name="project")


class _Pipes:
    """What `Talk` is, without a process."""

    def __init__(self, tell: IO[bytes], heard: IO[bytes]) -> None:
        self.tell, self.heard = tell, heard

    def outcome(self, *, timeout_s: float = 0) -> Outcome:
        return Outcome(command=(), code=255, out="", err="Connection closed by the test")


@contextlib.contextmanager
def talk_with(serve: Callable[[IO[bytes], IO[bytes]], None]) -> Iterator[Session]:
    """A conversation with `serve(heard, tell)` in a thread."""
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    heard, tell = os.fdopen(their_in, "rb"), os.fdopen(their_out, "wb")

    def run() -> None:
        with heard, contextlib.suppress(OSError), tell:
            serve(heard, tell)

    thread = threading.Thread(target=run)
    thread.start()
    ours = os.fdopen(our_in, "rb")
    out = os.fdopen(our_out, "wb")
    try:
        with ours:
            if not wire.begin(ours):
                raise TargetError("no beginning")
            yield Session(ssh=SSH, talk=cast("Talk", _Pipes(out, ours)))
    finally:
        with contextlib.suppress(OSError):
            out.close()
        thread.join()


class Pair:
    """A project on two machines."""

    def __init__(self, folder: Path) -> None:
        self.here, self.top = folder / "here", folder / "top"
        self.here.mkdir(exist_ok=True)
        self.state = folder / "state"
        self.store = Store(folder / "store")

    @property
    def there(self) -> Path:
        return THERE.path(self.top)

    def sync(self) -> Sync:
        return Sync(root=self.here, there=THERE, target="box", file=self.state / "p.state", kept=self.state / "kept")

    def run(self) -> Done:
        with talk_with(self.serve) as session:
            return self.sync().run(session, waiting=lambda: None)

    def serve(self, heard: IO[bytes], tell: IO[bytes]) -> None:
        weights = Weights(self.top.parent / "weights there")
        Agent(top=self.top, store=lambda: self.store, weights=lambda: weights, heard=heard, tell=tell).serve()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_both_ways(pair: Pair) -> None:
    (pair.here / "sub").mkdir()
    (pair.here / "sub" / "a").write_text("a")
    (pair.here / "run").write_text("r")
    (pair.here / "run").chmod(0o755)
    (pair.here / "link").symlink_to("sub/a")
    assert pair.run().sent == 3
    assert files(pair.here) == files(pair.there)
    assert (pair.there / "run").stat().st_mode & 0o100
    (pair.there / "made").write_text("there")
    (pair.there / "run").write_text("changed there")
    (pair.here / "sub" / "a").write_text("changed here")
    done = pair.run()
    assert (done.sent, done.fetched, done.conflicts, done.left) == (1, 2, [], {})
    assert files(pair.here) == files(pair.there)
    assert pair.run().is_empty


def test_a_conflict_keeps_both_and_names_it(pair: Pair) -> None:
    (pair.here / "a").write_text("base")
    pair.run()
    (pair.here / "a").write_text("mine")
    (pair.there / "a").write_text("theirs")
    assert pair.run().conflicts == ["a: changed on both sides; the one of box is now a.from-box"]
    assert files(pair.here) == files(pair.there) == {"a": "mine", "a.from-box": "theirs"}
    assert pair.run().is_empty


def test_a_deletion_meets_a_change(pair: Pair) -> None:
    for name in ("a", "b", "c", "d"):
        (pair.here / name).write_text("base")
    pair.run()
    (pair.here / "a").unlink()
    (pair.there / "a").write_text("new there")
    (pair.here / "b").write_text("new here")
    (pair.there / "b").unlink()
    (pair.here / "c").unlink()
    (pair.there / "d").unlink()
    done = pair.run()
    assert done.conflicts == ["a: deleted here, changed there: kept", "b: changed here, deleted there: kept"]
    assert files(pair.here) == files(pair.there) == {"a": "new there", "b": "new here"}
    kept = [path.read_text() for path in (pair.state / "kept").rglob("d")]
    assert kept == ["base"], "what the other machine deleted can be brought back"


def test_another_disk_there_deletes_nothing_here(pair: Pair) -> None:
    (pair.here / "a").write_text("a")
    pair.run()
    for path in sorted(pair.top.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    pair.run()
    assert files(pair.here) == files(pair.there) == {"a": "a"}
    (pair.there / "a").unlink()  # all files, but not the folder's marker
    pair.run()
    assert files(pair.here) == {"a": "a"}


def test_an_empty_folder_here_deletes_nothing_there(pair: Pair) -> None:
    (pair.here / "a").write_text("a")
    pair.run()
    (pair.here / "a").unlink()
    pair.run()
    assert files(pair.here) == files(pair.there) == {"a": "a"}


def test_rules_of_this_machine_cannot_be_changed_from_there(pair: Pair) -> None:
    (pair.here / ".gitignore").write_text(".env\n")
    (pair.here / ".env").write_text("secret")
    (pair.here / "sub").mkdir()
    (pair.here / "sub" / ".env").write_text("secret")
    pair.run()
    (pair.there / ".gitignore").write_text("")
    (pair.there / "sub").mkdir()
    (pair.there / "sub" / ".gitignore").write_text("!.env\n")
    for _ in range(3):
        pair.run()
    assert not [path for path in files(pair.there) if path.endswith(".env")]
    assert (pair.here / ".gitignore").read_text() == ".env\n"
    assert not (pair.here / "sub" / ".gitignore").exists()
    assert set(files(pair.there)) == {".gitignore", ".gitignore.from-box", "sub/.gitignore.from-box"}


def test_what_is_ignored_later_is_not_deleted(pair: Pair) -> None:
    (pair.here / "a").write_text("a")
    (pair.here / "data").write_text("d")
    pair.run()
    (pair.here / ".gitignore").write_text("data\n")
    pair.run()
    (pair.there / "data").unlink()
    pair.run()
    (pair.here / ".gitignore").write_text("")
    pair.run()
    assert files(pair.here)["data"] == files(pair.there)["data"] == "d"


def test_a_file_that_cannot_be_read_there_is_not_deleted_here(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    (pair.here / "a").write_text("a")
    (pair.here / "b").write_text("b")
    pair.run()
    (pair.there / "a").unlink()
    os.mkfifo(pair.there / "a")
    done = pair.run()
    assert "on box" in done.left["a"]
    assert files(pair.here) == {"a": "a", "b": "b"}


def test_links_are_never_written_through(pair: Pair, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_text("outside")
    (pair.here / "sub").mkdir()
    (pair.here / "sub" / "a").write_text("mine")
    pair.run()
    (pair.there / "sub" / "a").write_text("theirs")
    (pair.here / "sub" / "a").unlink()
    (pair.here / "sub").rmdir()
    (pair.here / "sub").symlink_to(outside)
    pair.run()
    assert files(outside) == {"a": "outside"}


class Liar:
    """Another side that answers as the test says: op → header and bytes."""

    def __init__(self, listed: bytes, answers: dict[str, tuple[dict[str, Any], bytes]]) -> None:
        self.answers = {
            "project": ({"ok": True, "marker": "m", "path": "/x"}, b""),
            "list": ({"ok": True, "same": False, "digest": "d", "left_out": {}, "whole": True}, listed),
            **answers,
        }
        self.heard_: list[dict[str, Any]] = []

    def serve(self, heard: IO[bytes], tell: IO[bytes]) -> None:
        tell.write(b"Welcome to the box!\n" + wire.MAGIC)
        tell.flush()
        while message := wire.receive(heard):
            header, size = message
            wire.drain(wire.pieces(heard, size))
            self.heard_.append(header)
            answer, data = self.answers.get(header["op"], ({"ok": True}, b""))
            wire.send(tell, answer, (data,), len(data))


DIGEST = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # of foo


def test_other_bytes_than_listed_are_not_taken(pair: Pair) -> None:
    liar = Liar(f"f\t3\t{DIGEST}\ta\n".encode(), {"get": ({"ok": True}, b"bar")})
    with talk_with(liar.serve) as session:
        done = pair.sync().run(session, waiting=lambda: None)
    assert files(pair.here) == {}
    assert list(done.left) == ["a"]
    assert not list(pair.here.iterdir()), "nothing half written stays"


@pytest.mark.parametrize("answer", [b"foofoo", b""])
def test_another_size_than_listed_is_not_taken(pair: Pair, answer: bytes) -> None:
    liar = Liar(f"f\t3\t{DIGEST}\ta\n".encode(), {"get": ({"ok": True}, answer)})
    with talk_with(liar.serve) as session:
        pair.sync().run(session, waiting=lambda: None)
    assert files(pair.here) == {}


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", ".git/hooks/post-checkout", "a/../../evil", "a\\x00b\x1b"])
def test_paths_out_of_the_project_end_the_pass(pair: Pair, path: str) -> None:
    liar = Liar(f"f\t3\t{DIGEST}\t{path}\n".encode(), {"get": ({"ok": True}, b"foo")})
    with pytest.raises(TargetError, match="no list of a project"), talk_with(liar.serve) as session:
        pair.sync().run(session, waiting=lambda: None)
    assert files(pair.here.parent) == {"state/p.lock": ""} or "evil" not in str(files(pair.here.parent))


def test_only_what_is_listed_here_is_ever_sent(pair: Pair) -> None:
    """Whatever the other side says: it gets no file that this side's rules leave out, and none that it asks for."""
    (pair.here / ".gitignore").write_text("secret\n")
    (pair.here / "secret").write_text("s")
    (pair.here / "a").write_text("a")
    liar = Liar(f"f\t3\t{DIGEST}\tsecret\n".encode(), {"get": ({"ok": True}, b"foo")})
    with talk_with(liar.serve) as session:
        pair.sync().run(session, waiting=lambda: None)
    assert {one["path"] for one in liar.heard_ if one["op"] == "put"} == {".gitignore", "a"}
    assert (pair.here / "secret").read_text() == "s"


def test_a_full_disk_there_is_one_error_and_the_next_pass_goes_on(pair: Pair) -> None:
    (pair.here / "a").write_text("a")
    liar = Liar(b"", {"put": ({"ok": False, "why": "No space left on device", "full": True}, b"")})
    with pytest.raises(FullError, match="a disk of box is full"), talk_with(liar.serve) as session:
        pair.sync().run(session, waiting=lambda: None)
    pair.run()
    assert files(pair.there) == {"a": "a"}


@pytest.mark.parametrize(
    "answer", [b"", b"\x00\x00\x00\x05hello", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{}", b"\x00\x00"]
)
def test_nonsense_is_a_lost_connection(pair: Pair, answer: bytes) -> None:
    def serve(heard: IO[bytes], tell: IO[bytes]) -> None:
        tell.write(wire.MAGIC + answer)
        tell.flush()

    with pytest.raises(TargetError), talk_with(serve) as session:
        pair.sync().run(session, waiting=lambda: None)


def test_a_cut_anywhere_loses_nothing(pair: Pair) -> None:
    """The connection ends after so many bytes, for every number of them that matters; then a whole pass."""
    for number in range(8):
        (pair.here / f"h{number}").write_text(f"here {number}" * number)
    pair.run()
    for cut in range(1, 1200, 23):
        (pair.here / "h1").write_text(f"here {cut}")
        (pair.there / "h2").write_text(f"there {cut}")
        (pair.here / f"n{cut}").write_text("new here")
        (pair.there / f"m{cut}").write_text("new there")
        with contextlib.suppress(TargetError), talk_with(_cut(pair.serve, cut)) as session:
            pair.sync().run(session, waiting=lambda: None)
        done = pair.run()
        assert done.conflicts == []
        now = files(pair.here)
        assert now == files(pair.there)
        assert (now["h1"], now["h2"]) == (f"here {cut}", f"there {cut}")
        assert {f"n{cut}", f"m{cut}"} <= set(now)


def _cut(serve: Callable[[IO[bytes], IO[bytes]], None], after: int) -> Callable[[IO[bytes], IO[bytes]], None]:
    class Cutting:
        def __init__(self, stream: IO[bytes]) -> None:
            self.stream, self.left = stream, after + len(wire.MAGIC)

        def write(self, data: bytes) -> None:
            self.stream.write(data[: self.left])
            self.left -= len(data)
            if self.left <= 0:
                self.stream.flush()
                raise BrokenPipeError

        def flush(self) -> None:
            self.stream.flush()

    return lambda heard, tell: serve(heard, cast("IO[bytes]", Cutting(tell)))


_names = st.sampled_from(["a", "b", "d/e", "d/f"])
_changes = st.lists(
    st.tuples(st.booleans(), _names, st.one_of(st.none(), st.sampled_from(["1", "2", "3"]))), max_size=12
)


@settings(max_examples=25)
@given(_changes, _changes)
def test_both_sides_become_equal_whatever_was_done(
    tmp_path_factory: pytest.TempPathFactory, first: Any, second: Any
) -> None:
    pair = Pair(tmp_path_factory.mktemp("pair"))
    pair.run()
    for changes in (first, second):
        for is_here, name, text in changes:
            path = (pair.here if is_here else pair.there) / name
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
        pair.run()
        assert files(pair.here) == files(pair.there)
        assert pair.run().is_empty
