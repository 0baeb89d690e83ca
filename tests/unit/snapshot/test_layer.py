"""The layer: its bytes depend on the differences alone, and every tar program reads it."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from collections.abc import Mapping, Sequence

from devenv.drift.observe import Difference
from devenv.snapshot import layer
from tests.unit.snapshot.made import added, changed, removed, spooled

ODD = "/opt/" + b"\xff\xfe".decode(errors="surrogateescape")
LONG = "/opt/" + "/".join("ä" * 60 for _ in range(12))


def _written(differences: Sequence[Difference], contents: Mapping[str, bytes] | None = None) -> tuple[bytes, list[str]]:
    spool = spooled(contents or {})
    held, left = layer.writable(differences, spool)
    file = io.BytesIO()
    digest = layer.write(held, spool, file)
    assert digest == hashlib.sha256(file.getvalue()).hexdigest()
    return file.getvalue(), left


def _members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: one for one in archive}


def _content(data: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        file = archive.extractfile(name)
        assert file
        return file.read()


def test_equal_differences_give_equal_bytes_in_any_order() -> None:
    contents = {f"/home/dev/{number}": bytes([number]) * 700 for number in range(20)}
    differences = [added(path, content=content) for path, content in contents.items()]
    differences += [removed("/etc/motd"), added("/home/dev/x", "folder"), added("/home/dev/x/y", "fifo")]
    first, _ = _written(differences, contents)
    for seed in range(5):
        mixed = list(differences)
        random.Random(seed).shuffle(mixed)
        assert _written(mixed, dict(reversed(contents.items())))[0] == first
    assert [*_members(first)] == sorted(_members(first), key=lambda name: name.split("/"))


def test_modes_owners_times_links_and_capabilities() -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000080").decode(errors="surrogateescape")
    differences = [
        added("/a", content=b"program", mode=0o4755, uid=0, gid=5, mtime=7, capability=capability),
        added("/b", "symlink", target="/a"), added("/c", "fifo", mode=0o600), changed("/d", "folder", mode=0o1777),
    ]  # fmt: skip
    data, left = _written(differences, {"/a": b"program"})
    found = _members(data)
    a = found["a"]
    assert (a.mode, a.uid, a.gid, a.mtime, a.size, left) == (0o4755, 0, 5, 7, 7, [])
    assert a.pax_headers["SCHILY.xattr.security.capability"] == capability
    assert (found["b"].issym(), found["b"].linkname) == (True, "/a")
    assert found["c"].isfifo()
    assert (found["d"].isdir(), found["d"].mode) == (True, 0o1777)
    assert _content(data, "a") == b"program"


def test_long_and_non_utf_8_names() -> None:
    data, _ = _written([added(ODD, content=b"1"), added(LONG, content=b"2")], {ODD: b"1", LONG: b"2"})
    assert [*_members(data)] == [LONG[1:], ODD[1:]]
    assert (_content(data, ODD[1:]), _content(data, LONG[1:])) == (b"1", b"2")


def test_a_removed_folder_is_one_mark() -> None:
    differences = [removed("/a", "folder"), removed("/a/b", "folder"), removed("/a/b/c"), removed("/a-b")]
    assert [*_members(_written(differences)[0])] == [".wh.a", ".wh.a-b"]


def test_files_removed_from_a_folder_that_stays_have_marks() -> None:
    differences = [changed("/a", "folder", was="folder"), removed("/a/b")]
    assert [*_members(_written(differences)[0])] == ["a", "a/.wh.b"]


def test_what_lay_in_a_folder_is_gone_with_what_takes_its_place() -> None:
    """A mark below a link would remove what the link leads to."""
    for kind in ("symlink", "fifo"):
        differences = [changed("/a", kind, was="folder", target="/usr"), removed("/a/bin"), removed("/a/bin/sh")]
        assert [*_members(_written(differences)[0])] == ["a"]


def test_a_further_name_of_a_file_becomes_a_file() -> None:
    differences = [added("/a", content=b"text"), added("/b", "hardlink", target="/a")]
    data, left = _written(differences, {"/a": b"text"})
    assert _members(data)["b"].isreg()
    assert (_content(data, "b"), left) == (b"text", [])


def test_a_further_name_of_an_unchanged_file() -> None:
    data, left = _written([added("/b", "hardlink", target="/usr/bin/perl")], {"/usr/bin/perl": b"perl"})
    assert (_content(data, "b"), left) == (b"perl", [])


def test_a_further_name_of_what_is_no_file() -> None:
    differences = [
        added("/a", "symlink", target="/etc"), added("/b", "hardlink", target="/a"),
        added("/c", "fifo"), added("/d", "hardlink", target="/c"),
    ]  # fmt: skip
    found = _members(_written(differences)[0])
    assert (found["b"].issym(), found["b"].linkname, found["d"].isfifo()) == (True, "/etc", True)


def test_what_a_layer_cannot_hold_is_named() -> None:
    differences = [
        added("/dev-null", "char"), added("/x/.wh.y", content=b"1"), removed("/x/y"),
        added("/z", "hardlink", target="/unread"),
    ]  # fmt: skip
    data, left = _written(differences, {"/x/.wh.y": b"1"})
    assert [*_members(data)] == ["x/.wh.y"]
    assert [one.partition(",")[0] for one in left] == ["/dev-null", "/x/.wh.y", "/z"]
