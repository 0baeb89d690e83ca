from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import zstandard

from devenv.build import first_stage
from devenv.build.first_stage import base_root
from devenv.errors import BuildError
from devenv.fetch import deb_file

Entry = tuple[str, bytes | str | None]  # path → content, or a link's target, or None for a folder


def _tar(entries: list[Entry], *, hard: bool = False) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            member.mtime, member.uname, member.gname = 1_600_000_000, "root", "root"
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
            elif isinstance(content, str):
                member.type, member.linkname = (tarfile.LNKTYPE if hard else tarfile.SYMTYPE), content
                tar.addfile(member)
            else:
                member.size, member.mode = len(content), 0o755
                tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _ar(members: list[tuple[str, bytes]]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def _deb(path: Path, entries: list[Entry], *, suffix: str = "xz", hard: bool = False) -> Path:
    pack: dict[str, Callable[[bytes], bytes]] = {
        "xz": partial(lzma.compress, preset=0), "gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress,
    }  # fmt: skip
    data = _tar(entries, hard=hard)
    name, packed = (f"data.tar.{suffix}", pack[suffix](data)) if suffix else ("data.tar", data)
    path.write_bytes(_ar([("debian-binary", b"2.0\n"), ("control.tar", b"odd"), (name, packed)]))
    return path


def _members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar}


def _content(path: Path, name: str) -> bytes:
    with tarfile.open(path) as tar:
        last = [member for member in tar if member.name == name][-1]
        stream = tar.extractfile(last)
        assert stream is not None
        return stream.read()


@pytest.mark.parametrize("suffix", ["xz", "gz", "zst", ""])
def test_every_compression_of_packages_is_read(tmp_path: Path, suffix: str) -> None:
    deb = _deb(tmp_path / "a.deb", [("./usr/bin/tool", b"#!tool")], suffix=suffix)
    base_root([deb], tmp_path / "root.tar")
    assert _content(tmp_path / "root.tar", "usr/bin/tool") == b"#!tool"


def test_usr_is_merged_whatever_the_packages_say(tmp_path: Path) -> None:
    deb = _deb(
        tmp_path / "a.deb",
        [
            ("./", None),
            ("./bin", None),
            ("./bin/sh", b"shell"),
            ("./lib64/ld.so", "../lib/ld-2.so"),
            ("./lib", "usr/lib"),
        ],
    )
    base_root([deb], tmp_path / "root.tar")
    found = _members(tmp_path / "root.tar")
    assert {name: found[name].linkname for name in ("bin", "sbin", "lib", "lib64")} == {
        "bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64",
    }  # fmt: skip
    assert all(found[name].issym() for name in ("bin", "lib"))
    assert found["usr/bin"].isdir()
    assert found["usr/lib64/ld.so"].linkname == "../lib/ld-2.so"
    assert "bin/sh" not in found
    assert "usr/bin/sh" in found


def test_hard_links_follow_their_target(tmp_path: Path) -> None:
    deb = _deb(tmp_path / "a.deb", [("./bin/perl5", "./bin/perl")], hard=True)
    base_root([deb], tmp_path / "root.tar")
    assert _members(tmp_path / "root.tar")["usr/bin/perl5"].linkname == "usr/bin/perl"


def test_later_packages_win(tmp_path: Path) -> None:
    first = _deb(tmp_path / "a.deb", [("./etc/motd", b"old")])
    second = _deb(tmp_path / "b.deb", [("./etc/motd", b"new")])
    base_root([first, second], tmp_path / "root.tar")
    assert _content(tmp_path / "root.tar", "etc/motd") == b"new"


def test_the_same_packages_give_the_same_bytes(tmp_path: Path) -> None:
    debs = [
        _deb(tmp_path / "a.deb", [("./usr", None), ("./usr/share", None), ("./usr/share/ä", b"x" * 4000)]),
        _deb(tmp_path / "b.deb", [("./usr", None), ("./usr/share", None), ("./usr/share/" + "n" * 150, b"y")]),
    ]
    digests = set()
    for number in range(2):
        base_root(debs, tmp_path / f"{number}.tar")
        digests.add(hashlib.sha256((tmp_path / f"{number}.tar").read_bytes()).hexdigest())
    assert len(digests) == 1
    member = _members(tmp_path / "0.tar")["usr/share/ä"]
    assert (member.mtime, member.uname, member.uid) == (1_600_000_000, "", 0)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[:40], "damaged|cut short|no data"),
        (lambda data: data[:-20], "cut short"),
        (lambda data: b"<html>" + data, "not a .deb"),
        (lambda data: data.replace(b"data.tar.xz", b"data.tar.qq"), "unknown compression"),
        (lambda data: data[:8], "no data archive"),
    ],
)
def test_a_damaged_package_is_named(tmp_path: Path, damage: Callable[[bytes], bytes], says: str) -> None:
    deb = _deb(tmp_path / "broken_1_amd64.deb", [("./etc/motd", b"hello")])
    deb.write_bytes(damage(deb.read_bytes()))
    with pytest.raises(BuildError, match=f"broken_1_amd64.deb.*({says})"):
        base_root([deb], tmp_path / "root.tar")
    assert not list(tmp_path.glob("*.tar*")), "nothing half-made is left"


def test_data_member_skips_what_comes_before_it() -> None:
    package = io.BytesIO(_ar([("debian-binary", b"2.0"), ("data.tar", b"bytes")]))
    assert deb_file.member(package, "data.tar") == ("data.tar", 5)
    assert package.read(5) == b"bytes"


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deb = _deb(tmp_path / "bomb_1_amd64.deb", [("./usr/share/zeros", bytes(8 << 20))])
    assert deb.stat().st_size < 10_000
    monkeypatch.setattr(first_stage, "_MOST_BYTES", 4 << 20)
    with pytest.raises(BuildError, match=r"bomb_1_amd64.deb: it unpacks to more than"):
        base_root([deb], tmp_path / "root.tar")
    assert [one.name for one in tmp_path.iterdir()] == [deb.name], "nothing half-made is left"


@pytest.mark.parametrize("suffix", ["xz", "gz", "zst", ""])
def test_a_large_package_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(first_stage, "_IN_MEMORY_BYTES", 1 << 20)
    content_bytes = 10 << 20
    deb = _deb(tmp_path / "a.deb", [("./usr/share/zeros", bytes(content_bytes))], suffix=suffix)
    tracemalloc.start()
    try:
        base_root([deb, deb, deb], tmp_path / "root.tar")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < content_bytes
    assert (tmp_path / "root.tar").stat().st_size > 3 * content_bytes


def test_the_dictionary_of_xz_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deb = _deb(tmp_path / "a.deb", [("./etc/motd", b"hello")])
    monkeypatch.setattr(deb_file, "_DICTIONARY_BYTES", 1 << 16)
    with pytest.raises(BuildError, match=r"a.deb.*Memory usage limit"):
        base_root([deb], tmp_path / "root.tar")


def test_xz_in_several_streams_is_read_whole(tmp_path: Path) -> None:
    data = _tar([("./etc/motd", b"hello")])
    packed = lzma.compress(data[:700]) + bytes(8) + lzma.compress(data[700:])
    deb = tmp_path / "a.deb"
    deb.write_bytes(_ar([("data.tar.xz", packed)]))
    base_root([deb], tmp_path / "root.tar")
    assert _content(tmp_path / "root.tar", "etc/motd") == b"hello"


_SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x"}


def _header(kind: bytes, size: int, **pax: str) -> bytes:
    member = tarfile.TarInfo("./etc/x")
    member.type, member.size, member.pax_headers = kind, size, pax
    return member.tobuf(tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (_header(tarfile.GNUTYPE_LONGNAME, 2 << 20) + b"x" * (2 << 20) + _tar([("./etc/x", b"")]), "header is damaged"),
        (_header(tarfile.XHDTYPE, 2 << 20) + b"x" * (2 << 20) + _tar([("./etc/x", b"")]), "header is damaged"),
        (_header(tarfile.REGTYPE, 1 << 40), "more than a package"),
        (_header(tarfile.REGTYPE, 1024, **_SPARSE) + b"99999999\n1\n".ljust(1024, b"1"), "a sparse file"),
        (b"\0" * 300, ""),
        (b"no tar at all" * 100, ""),
    ],
)
def test_a_data_archive_that_is_no_packages(tmp_path: Path, data: bytes, says: str) -> None:
    deb = tmp_path / "odd_1_amd64.deb"
    deb.write_bytes(_ar([("data.tar.gz", gzip.compress(data))]))
    with pytest.raises(BuildError, match=f"odd_1_amd64.deb: .*{says}"):
        base_root([deb], tmp_path / "root.tar")


def test_more_members_than_a_package_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deb = _deb(tmp_path / "a.deb", [(f"./etc/{number}", b"") for number in range(30)])
    monkeypatch.setattr(first_stage, "_MOST_MEMBERS", 20)
    with pytest.raises(BuildError, match="more than a package"):
        base_root([deb], tmp_path / "root.tar")
