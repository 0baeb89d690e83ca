from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from devenv.build import delta
from devenv.doors.docker.changes import Change, Listed
from devenv.doors.docker.own_files import OwnFiles
from devenv.drift.begin import Begun, begin
from devenv.drift.observe import ImageFiles, Observed, host_numbers, observed
from devenv.errors import EngineError
from tests.unit.drift.made import TarEngine, member
from tests.unit.drift.test_container import running

Tree = Mapping[str, "bytes | tarfile.TarInfo"]


class Engine(TarEngine):
    """One container `c` of the image `i`, and what they hold."""

    def __init__(self, container: Tree, image: Tree, changes: list[Change], **facts: Any) -> None:
        super().__init__(c=container, i=image)
        self._changes, self._facts = changes, facts
        self.labels: dict[str, str] = {}
        self.own: Any = None

    def inspection(self, _: str) -> Any:
        return {"Config": {"Env": ["DEVENV_UID=501", "DEVENV_GID=20"]}, "HostConfig": {}, "Mounts": [], **self._facts}

    def image_labels(self, _: str) -> Any:
        return self.labels

    def image_id(self, _: str) -> str | None:
        return None

    @contextlib.contextmanager
    def laid_open(self, image: str) -> Iterator[str]:
        yield image

    def read_file(self, name: str, path: str) -> str:
        content = self.trees[name].get(path, b"")
        return content.decode() if isinstance(content, bytes) else ""

    def changes(self, _: str) -> Listed:
        return Listed(tuple(self._changes), self.own)


def look(engine: Engine) -> Observed:
    with observed(running(), engine) as found:  # type: ignore[arg-type]
        return found


def changes_of(found: Observed) -> dict[str, str]:
    return {path: one.change for path, one in found.differences.items()}


def made(kind: str, *paths: str) -> list[Change]:
    return [Change(path, kind) for path in paths]


def test_bytes_tell_and_not_the_list_of_changes() -> None:
    engine = Engine(
        {"/a": b"1", "/b": b"2", "/d": b"new"}, {"/a": b"1", "/b": b"1", "/c": b"1"},
        [*made("changed", "/a", "/b"), *made("removed", "/c"), *made("added", "/d", "/gone")],
    )  # fmt: skip
    assert changes_of(look(engine)) == {"/b": "changed", "/c": "removed", "/d": "added"}


def test_what_an_added_folder_shows_of_the_image_is_no_addition() -> None:
    tree = {"/d": member(tarfile.DIRTYPE), "/d/new": b"1", "/d/volume": b"2"}
    engine = Engine(tree, {}, made("added", "/d", "/d/new"), Mounts=[{"Destination": "/d/volume"}])
    assert changes_of(look(engine)) == {"/d": "added", "/d/new": "added"}
    assert "/d/volume" not in engine.asked


def test_the_image_is_read_while_the_engine_looks_for_the_changes() -> None:
    engine = Engine({"/a": b"2"}, {"/a": b"1", "/lock": b"of the image"}, [])
    listed: Future[Listed] = Future()
    texts = []

    def meanwhile(image: ImageFiles) -> None:
        texts.append(image.text("/lock"))
        listed.set_result(Listed.of(made("changed", "/a")))  # had the answer been waited for, this would never run

    begun = Begun(facts=engine.inspection("c"), listed=listed)
    with observed(running(), engine, begun=begun, meanwhile=meanwhile) as found:  # type: ignore[arg-type]
        assert (changes_of(found), texts) == ({"/a": "changed"}, ["of the image"])


def test_the_container_is_asked_about_before_its_changes_keep_the_engine_busy() -> None:
    asked = []

    class Busy(Engine):
        def inspection(self, name: str) -> Any:
            asked.append("inspection")
            return super().inspection(name)

        def changes(self, name: str) -> Listed:
            asked.append("changes")
            return super().changes(name)

    begun = begin(running(), Busy({}, {}, made("added", "/a")))  # type: ignore[arg-type]
    assert begun.listed.result() == Listed.of(made("added", "/a"))
    assert asked == ["inspection", "changes"]


def test_what_the_own_layer_has_is_read_there_and_the_rest_through_the_engine(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("d/a", "d/b"):
        (tmp_path / name).write_bytes(b"own")
    os.link(tmp_path / "d/b", tmp_path / "d/c")
    engine = Engine({"/d": member(tarfile.DIRTYPE), "/further": b"2"}, {"/further": b"1", "/d/a": b"1"},
        [*made("changed", "/d/a", "/further"), *made("added", "/d/b", "/d/c", "/d/gone")])  # fmt: skip
    engine.own = OwnFiles(str(tmp_path))
    found = look(engine)
    assert changes_of(found) == {"/d/a": "changed", "/d/b": "added", "/d/c": "added", "/further": "changed"}
    now = found.differences["/d/c"].after
    assert now
    assert (now.kind, now.target, now.size) == ("hardlink", "/d/b", 3)
    assert now.sha256 == hashlib.sha256(b"own").hexdigest()
    assert engine.asked.count("/d/a") == 1, "in the image alone"


def test_a_file_in_a_folders_place_took_all_in_it_away() -> None:
    image = {"/d": member(tarfile.DIRTYPE), "/d/a": b"1", "/d/e/b": b"2", "/d/e": member(tarfile.DIRTYPE)}
    link = {"/d": member(tarfile.SYMTYPE, linkname="/")}
    found = look(Engine(link, image, made("changed", "/d")))
    assert changes_of(found) == {"/d": "changed", "/d/a": "removed", "/d/e": "removed", "/d/e/b": "removed"}
    found = look(Engine({"/d": b"file"}, image, [*made("removed", "/d"), *made("added", "/d")]))
    assert changes_of(found) == {"/d": "changed", "/d/a": "removed", "/d/e": "removed", "/d/e/b": "removed"}


def test_a_folder_made_again_is_compared_file_by_file() -> None:
    image = {"/d": member(tarfile.DIRTYPE), "/d/same": b"1", "/d/gone": b"2"}
    now = {"/d": member(tarfile.DIRTYPE), "/d/same": b"1", "/d/new": b"2"}
    engine = Engine(now, image, [*made("removed", "/d"), *made("added", "/d", "/d/same", "/d/new")])
    assert changes_of(look(engine)) == {"/d/gone": "removed", "/d/new": "added"}


def test_mounts_memory_and_the_engines_own_files_are_left_out() -> None:
    paths = ("/workspace/x", "/dev/shm/x", "/proc/x", "/sys/x", "/etc/hosts", "/.dockerenv", "/tmpfs/x")
    engine = Engine(
        dict.fromkeys(paths, b"1"), {}, made("added", *paths), Mounts=[{"Destination": "/workspace"}],
        HostConfig={"Tmpfs": {"/tmpfs": ""}},
    )  # fmt: skip
    found = look(engine)
    assert (dict(found.differences), found.unread) == ({}, ())
    engine = Engine({"/workspaces": b"1"}, {}, made("added", "/workspaces"), Mounts=[{"Destination": "/workspace"}])
    assert changes_of(look(engine)) == {"/workspaces": "added"}


def test_caches_are_counted_and_not_read() -> None:
    paths = ("/home/dev/.cache/big", "/run/x", "/tmp/y")
    engine = Engine(dict.fromkeys(paths, b"1"), {}, made("added", *paths))
    found = look(engine)
    assert (found.unread, engine.asked) == (paths, [])


def test_the_users_own_number_is_no_difference() -> None:
    def owned(uid: int, gid: int) -> tarfile.TarInfo:
        return member(tarfile.DIRTYPE, uid=uid, gid=gid)

    image = {"/h": owned(1000, 1000), "/i": owned(1000, 1000), "/j": owned(0, 0)}
    now = {"/h": owned(501, 20), "/i": owned(502, 20), "/j": owned(501, 0)}
    assert changes_of(look(Engine(now, image, made("changed", "/h", "/i", "/j")))) == {"/i": "changed", "/j": "changed"}


def test_what_the_first_start_gives_to_the_user_is_no_difference() -> None:
    image = {"/home/dev/x": member(tarfile.DIRTYPE), "/srv/x": member(tarfile.DIRTYPE)}
    now = {path: member(tarfile.DIRTYPE, uid=501, gid=20) for path in image}
    assert changes_of(look(Engine(now, image, made("changed", *image)))) == {"/srv/x": "changed"}


def test_the_users_own_account_is_no_difference() -> None:
    image = {"/etc/passwd": b"root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/bash\n"}
    now = {"/etc/passwd": image["/etc/passwd"].replace(b"1000:1000", b"501:20")}
    assert changes_of(look(Engine(now, image, made("changed", "/etc/passwd")))) == {}
    groups = b"root:x:0:\ndev:x:1000:\ndevenv:x:990:dev\n"
    moved = groups.replace(b"dev:x:1000", b"dev:x:20")
    engine = Engine({"/etc/group": moved}, {"/etc/group": groups}, made("changed", "/etc/group"))
    assert changes_of(look(engine)) == {}, "its number is the group's"
    engine = Engine(
        {"/etc/group": groups.replace(b"dev:x:1000", b"dev:x:501")},
        {"/etc/group": groups},
        made("changed", "/etc/group"),
    )
    assert changes_of(look(engine)) == {"/etc/group": "changed"}
    for more in (
        b"evil:x:0:0::/:/bin/sh\n",
        b"dev:x:0:0::/:/bin/sh\n",
        b"\xff\n",
        b"dev:x:\xc2\xb2:\xc2\xb2\n",
        b"dev:x:" + b"1" * 5000 + b"\n",
    ):
        worse = {"/etc/passwd": now["/etc/passwd"] + more}
        assert changes_of(look(Engine(worse, image, made("changed", "/etc/passwd")))) == {"/etc/passwd": "changed"}


@pytest.mark.parametrize("env", [None, [], ["DEVENV_UID"], ["DEVENV_UID=x"], ["DEVENV_UID=-1"], ["DEVENV_UID=²"]])
def test_odd_numbers_of_the_user(env: Any) -> None:
    assert host_numbers({"Config": {"Env": env}}) == ({}, {})


@pytest.mark.parametrize("byte", [chr(0xDCFF), chr(0xFFFD)])
def test_names_that_are_no_utf8_are_compared(byte: str) -> None:
    """The layer's folder has them as they are; the engine puts U+FFFD in the place of each byte."""
    told = f"/srv/d/x{byte}"
    engine = Engine({"/srv/d/x\udcff": b"1", "/srv/d/y": b"2"}, {}, made("added", told))
    assert changes_of(look(engine)) == {"/srv/d/x\udcff": "added"}
    engine = Engine({"/srv/d/x\udcff": b"1"}, {"/srv/d/x\udcff": b"2"}, made("changed", told))
    assert changes_of(look(engine)) == {"/srv/d/x\udcff": "changed"}
    engine = Engine({}, {"/srv/d/x\udcff": b"2", "/srv/d/y": b"2"}, made("removed", told))
    assert changes_of(look(engine)) == {"/srv/d/x\udcff": "removed"}
    engine = Engine({"/home/x\udcff": b"1"}, {}, made("added", told.replace("/srv/d", "/home")))
    (one,) = look(engine).differences.values()
    assert one.after is not None
    assert one.after.kind == "unread", "named in any case"
    assert engine.asked == []
    assert changes_of(look(Engine({}, {}, made("removed", "/home/x\udcff")))) == {"/home/x\udcff": "removed"}


def test_a_file_whose_names_are_sent_in_another_order_is_the_same() -> None:
    image = {"/bin/x/a": b"1", "/bin/x/b": member(tarfile.LNKTYPE, linkname="x/a", mode=0o644)}
    now = {"/bin/x/a": b"1", "/bin/x/b": b"1"}
    engine = Engine(now, image, [*made("removed", "/bin/x"), *made("added", "/bin/x/a", "/bin/x/b")])
    assert changes_of(look(engine)) == {}


def test_a_snapshot_is_compared_with_the_image_below_it() -> None:
    class Below(Engine):
        def image_id(self, _: str) -> str | None:
            return "below"

    engine = Below({"/new": b"1", "/now": b"2"}, {}, made("added", "/now"))
    engine.labels = {delta.BELOW_LABEL: "ref"}
    engine.trees |= {"below": {}, "i": {delta.LIST_FILE: b'added "/new"\n'}}
    assert changes_of(look(engine)) == {"/new": "added", "/now": "added"}
    for text in (b"", b"{", b"3", b"added 1", b'odd "/x"', b'added "x"'):
        engine.trees["i"] = {delta.LIST_FILE: text}
        with pytest.raises(EngineError, match="cannot be read"):
            look(engine)
    engine.image_id = lambda _: None  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="is gone from this engine"):
        look(engine)
