from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.drift import entries
from devenv.drift.entries import Spool, chain, cover, read, same
from tests.unit.drift.made import TarEngine, file, member

_NAMES = st.sampled_from(["a", "b", "c", "d", "e\udcff", "f\ufffd"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=5).map(lambda names: "/" + "/".join(names))


def _below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")


@given(st.sets(_PATHS, max_size=30), st.sets(_PATHS, max_size=10), st.sets(_PATHS, max_size=5), st.integers(0, 4))
def test_requests_cover_what_is_wanted_and_read_nothing_barred(
    shallow: set[str], deep: set[str], barred: set[str], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "_MOST_FILES", most)
        patch.setattr(entries, "_MOST_CALLS", most * 3)
        requests = cover(shallow, deep, barred)
    tops = {path for path, is_deep in requests.items() if is_deep}
    assert not any(_below(one, top) for one in barred for top in tops), "what is barred is not read with a folder"
    assert all(map(entries.is_plain, requests)), "the engine cannot be asked for these"
    for path in {one for one in (*shallow, *deep) if entries.is_plain(one)}:
        assert path in requests or any(_below(path, top) for top in tops)
    for path in (one for one in deep if entries.is_plain(one) and not any(_below(bar, one) for bar in barred)):
        assert any(_below(path, top) for top in tops), "with all that lies below"
    for path in requests:
        assert not any(_below(path, top) and path != top for top in tops), "nothing is asked for twice"
        assert any(_below(path, one) or _below(one, path) for one in (*shallow, *deep)), "nothing else is asked for"


def test_many_files_of_one_folder_are_one_request() -> None:
    few = {f"/usr/bin/{number}" for number in range(15)}
    assert cover(few, (), ()) == dict.fromkeys(few, False)
    assert cover({*few, "/usr/bin/more"}, (), ()) == {"/usr/bin": True}
    assert "/usr" not in cover({f"/usr/{number}" for number in range(100)}, (), ()), "not a folder at the top"
    spread = {f"/usr/lib/{number}/{file}" for number in range(300) for file in "abcd"}
    assert cover(spread, (), ()) == {"/usr/lib": True}


def test_a_name_that_is_no_utf8_is_read_with_its_folder() -> None:
    assert cover((), ["/srv/data/x\udcff/y"], ()) == {"/srv/data": True}
    assert cover(["/srv/data/x\ufffd"], (), ()) == {"/srv/data": True}
    assert cover(["/home/x\udcff"], (), ()) == {}, "not all of /home"
    assert cover(["/srv/data/x\udcff"], (), ["/srv/data/volume"]) == {}, "nor a volume"


def test_chain() -> None:
    assert list(chain("/a/b/c")) == ["/a", "/a/b", "/a/b/c"]
    assert list(chain("/")) == []


def _read(engine: TarEngine, requests: dict[str, bool], **options: Any) -> Any:
    return read("c", requests, engine, **{"only": lambda _: True, **options})  # type: ignore[arg-type]


def test_what_was_not_asked_for_is_not_returned() -> None:
    engine = TarEngine(c={"/a": member(tarfile.DIRTYPE), "/a/b": b"1", "/a/c": b"2"})
    found, _ = _read(engine, {"/a": False})
    assert list(found) == ["/a"]
    found, contents = _read(engine, {"/a": True}, only=lambda path: path == "/a/c", kept=lambda _: True)
    assert list(found) == ["/a/c"]
    assert contents == {"/a/c": b"2"}
    assert _read(engine, {"/none": True}) == ({}, {})


def test_all_that_a_tar_tells() -> None:
    engine = TarEngine(c={
        "/d/dev": member(tarfile.CHRTYPE), "/d/fifo": member(tarfile.FIFOTYPE),
        "/d/link": member(tarfile.SYMTYPE, linkname="../x"), "/d/set": member(tarfile.REGTYPE, mode=0o104755, uid=7),
        "/d/able": member(tarfile.REGTYPE, pax_headers={"SCHILY.xattr.security.capability": "raw"}),
        "/d/new\nline \udcff": b"odd",
    })  # fmt: skip
    found, _ = _read(engine, {"/d": True})
    assert [found[f"/d/{name}"].kind for name in ("dev", "fifo", "link", "set")] == ["char", "fifo", "symlink", "file"]
    assert (found["/d/link"].target, found["/d/set"].mode, found["/d/set"].uid) == ("../x", 0o4755, 7)
    assert found["/d/able"].capability == "raw"
    assert found["/d/new\nline \udcff"].sha256 == file("", b"odd").sha256


def test_a_further_name_of_a_file_has_its_content() -> None:
    engine = TarEngine(c={"/bin/a": b"program", "/bin/b": member(tarfile.LNKTYPE, linkname="bin/a", mode=0o644)})
    found, contents = _read(engine, {"/bin": True}, kept=lambda _: True)
    assert found["/bin/b"].kind == "hardlink"
    assert same(found["/bin/b"], file("/bin/b", b"program"))
    assert contents["/bin/b"] == b"program"
    assert not same(found["/bin/b"], file("/bin/b", b"another"))
    assert same(None, None)
    assert not same(None, found["/bin/b"])


def test_a_further_name_of_a_file_that_nobody_asked_for_is_read_by_itself() -> None:
    class Alone(TarEngine):
        def _member(self, name: str, value: bytes | tarfile.TarInfo) -> Any:
            alone = name == "b" and self.asked[-1] == "/bin/b"  # the first name in a tar is the file
            return super()._member(name, b"program" if alone else value)

    engine = Alone(c={"/bin/a": b"program", "/bin/b": member(tarfile.LNKTYPE, linkname="bin/a")})
    found, _ = _read(engine, {"/bin": True}, only=lambda path: path == "/bin/b")
    assert engine.asked == ["/bin", "/bin/b"]
    assert (found["/bin/b"].kind, found["/bin/b"].sha256) == ("file", file("", b"program").sha256)


def test_bytecode_is_compared_without_its_header() -> None:
    code = b"code" * 10
    one, other = (
        _read(TarEngine(c={"/x/a.pyc": head * 16 + code}), {"/x": True})[0]["/x/a.pyc"] for head in (b"1", b"2")
    )
    assert one.md5 == other.md5 == file("", code).md5
    assert one.sha256 != other.sha256


def test_a_spool_gives_every_file_back() -> None:
    spool = Spool(io.BytesIO())
    big = bytes(range(256)) * 10_000
    _read(TarEngine(c={"/x/a": b"1", "/x/b": big, "/x/c": b""}), {"/x": True}, spool=spool)
    assert {name: b"".join(spool.chunks(f"/x/{name}")) for name in "abc"} == {"a": b"1", "b": big, "c": b""}
    assert "/x" not in spool


def test_large_files_are_not_kept() -> None:
    engine = TarEngine(c={"/x": bytes((16 << 20) + 1), "/y": b"small"})
    assert list(_read(engine, {"/x": True, "/y": True}, kept=lambda _: True)[1]) == ["/y"]


def test_files_that_are_kept_have_a_limit_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty file of any size costs a container nothing, and this program its memory."""
    monkeypatch.setattr(entries, "_MOST_IN_ALL_BYTES", 10)
    engine = TarEngine(c={"/x": bytes(8), "/y": bytes(8), "/z": bytes(2)})
    found, contents = _read(engine, {"/x": True, "/y": True, "/z": True}, kept=lambda _: True)
    assert list(contents) == ["/x", "/z"]
    assert found["/y"].size == 8
