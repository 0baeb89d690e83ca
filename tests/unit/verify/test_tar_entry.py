"""The quick header is tarfile's own, and a reader gets every fact back."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.verify.tar_entry import EPOCH_S, Entry, _any, _plain, header

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=1, max_size=120).map(
    lambda name: name.strip("/") or "x"
)
ENTRIES = st.builds(
    Entry,
    path=NAMES,
    kind=st.sampled_from(["file", "folder", "symlink", "hardlink", "fifo", "char", "block"]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 8**7 + 10) | st.just(2**31),
    gid=st.integers(0, 8**7 + 10),
    size_bytes=st.integers(0, 8**11 + 10),
    target=st.just("") | NAMES,
    device=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    xattrs=st.just(()) | st.just((("security.capability", "0100000200"),)),
)


@given(ENTRIES)
def test_it_is_the_one_that_tarfile_writes(entry: Entry) -> None:
    assert header(entry) == _any(entry)


@pytest.mark.parametrize("kind", ["file", "folder", "symlink", "hardlink", "fifo"])
@pytest.mark.parametrize("length", [1, 99, 100, 101])
def test_usual_members_take_the_quick_way(kind: str, length: int) -> None:
    entry = Entry(path="n" * length, kind=kind, mode=0o644, uid=1000, gid=8**7 - 1, size_bytes=0, target="t")
    assert (_plain(entry) is None) == (length + (kind == "folder") > 100)
    assert header(entry) == _any(entry)


def test_a_reader_gets_the_facts_back() -> None:
    entry = Entry(path="usr/bin/x", kind="file", mode=0o4755, uid=1, gid=2, size_bytes=0)
    with tarfile.open(fileobj=io.BytesIO(header(entry) + bytes(1024))) as archive:
        (member,) = archive.getmembers()
    assert (member.name, member.mode, member.uid, member.gid, member.mtime) == ("usr/bin/x", 0o4755, 1, 2, EPOCH_S)
