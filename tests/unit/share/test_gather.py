"""An export in parts: together or one by one, in any order; altered, truncated and missing ones are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devenv.doors.terminal.progress import Silent
from devenv.errors import ShareError, UsageError
from devenv.share.gather import Gathered, gathered
from devenv.up.session import Session
from tests.unit.share import exported

SIZE = 1 << 20
NAMES = [f"shop.tar.{number:03d}" for number in range(1, 5)]


@pytest.fixture
def mine(tmp_path: Path) -> Session:
    return exported.session(tmp_path / "mine")


@pytest.fixture
def disc(tmp_path: Path, mine: Session) -> Path:
    """A folder with the parts of an export."""
    (tmp_path / "disc").mkdir()
    exported.write(tmp_path / "disc/shop.tar", mine, part_bytes=SIZE)
    return tmp_path / "disc"


def _import(mine: Session, *paths: Path) -> Gathered:
    """Gather, and read all of a whole one."""
    with gathered(paths, mine) as found:
        if found.place:
            with found.place.opened(mine) as layout:
                top = layout.manifest()
                assert top.data == exported.top().data
                layout.bring(top.layers, mine.dirs.blobs, Silent())
    return found


def test_parts_are_the_tar(disc: Path, tmp_path: Path, mine: Session) -> None:
    assert sorted(one.name for one in disc.iterdir()) == [*NAMES, "shop.tar.parts.json"]
    whole = exported.write(tmp_path / "shop.tar", mine).path.read_bytes()
    assert b"".join((disc / name).read_bytes() for name in NAMES) == whole
    assert [(disc / name).stat().st_size for name in NAMES[:-1]] == [SIZE] * 3


@pytest.mark.parametrize("words", [NAMES, NAMES[::-1], ["shop.tar.parts.json"]])
def test_all_at_once_in_any_order_or_by_the_index(words: list[str], disc: Path, mine: Session) -> None:
    assert _import(mine, *(disc / name for name in words)).place
    assert not [*(mine.dirs.cache / "imports").rglob("*")]


def test_one_by_one_from_discs_that_come_and_go(disc: Path, tmp_path: Path, mine: Session) -> None:
    first = _import(mine, disc / NAMES[2])
    assert (first.place, first.missing) == (None, (NAMES[0], NAMES[1], NAMES[3]))
    (disc / NAMES[2]).unlink()
    other = tmp_path / "other"  # a disc without the index
    other.mkdir()
    for name in (NAMES[0], NAMES[3], NAMES[1]):
        (disc / name).rename(other / name)
        assert (_import(mine, other / name).place is not None) == (name == NAMES[1])
        (other / name).unlink()
    assert not [*(mine.dirs.cache / "imports").rglob("*")]


@pytest.mark.parametrize(("cut", "said"), [(1000, "it is truncated: 1,047,576 of 1,048,576"), (0, "was altered")])
def test_an_altered_or_truncated_part_is_named_and_not_kept(cut: int, said: str, disc: Path, mine: Session) -> None:
    data = (disc / NAMES[1]).read_bytes()
    (disc / NAMES[1]).write_bytes(data[:-cut] if cut else data[:5000] + b"!" + data[5001:])
    for paths in ([disc / NAMES[1]], [disc / name for name in NAMES]):
        with pytest.raises(ShareError, match=said) as caught:
            _import(mine, *paths)
        assert str(disc / NAMES[1]) in caught.value.message
    assert not [*(mine.dirs.cache / "imports").glob("*/shop*")]
    _import(mine, disc / NAMES[0])  # the others go on
    (disc / NAMES[1]).write_bytes(data)
    assert _import(mine, *(disc / name for name in NAMES[1:])).place


def test_a_missing_part_is_named(disc: Path, mine: Session) -> None:
    (disc / NAMES[1]).unlink()
    assert _import(mine, disc / "shop.tar.parts.json").missing == (NAMES[1],)


def test_what_a_killed_import_left_is_not_used(disc: Path, mine: Session) -> None:
    _import(mine, disc / NAMES[0])
    (folder,) = (mine.dirs.cache / "imports").iterdir()
    (folder / ".unfinished").write_bytes(b"half of a part")
    assert _import(mine, disc / NAMES[1]).missing == (NAMES[2], NAMES[3])
    assert sorted(one.name for one in folder.glob("shop*")) == NAMES[:2]


def test_without_its_index_a_part_is_not_used(disc: Path, mine: Session) -> None:
    (disc / "shop.tar.parts.json").unlink()
    with pytest.raises(ShareError, match=r"shop\.tar\.parts\.json is missing"):
        _import(mine, disc / NAMES[0])


def test_parts_of_two_exports_do_not_mix(disc: Path, mine: Session) -> None:
    with pytest.raises(UsageError, match="not the parts of one export"):
        _import(mine, disc / NAMES[0], disc / "other.tar.001")
    with pytest.raises(ShareError, match="is not a part of"):
        _import(mine, disc / "shop.tar.009")
    # A new export with fewer parts leaves none of the old ones.
    exported.write(disc / "shop.tar", mine, part_bytes=2 * SIZE)
    assert sorted(one.name for one in disc.iterdir()) == [*NAMES[:2], "shop.tar.parts.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "a newer devenv made it"),
        ({"parts": [{"name": "../x.001", "size": 1, "sha256": "0" * 64}]}, "part 1 has another name"),
        ({"name": "a/b", "parts": [{"name": "a/b.001", "size": 1, "sha256": "0" * 64}]}, "part 1 has another name"),
        ({"parts": [{"name": "shop.tar.001", "size": 1, "sha256": "0"}]}, "has no sha256"),
        ({"parts": []}, "it names no parts"),
        ({"parts": 5}, "the index of parts cannot be used"),
    ],
)  # fmt: skip
def test_a_hostile_index_is_refused(change: dict[str, object], said: str, disc: Path, mine: Session) -> None:
    index = disc / "shop.tar.parts.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | change))
    with pytest.raises(ShareError, match=said):
        _import(mine, disc / NAMES[0])


def test_one_file_is_one_layout_and_must_exist(tmp_path: Path, mine: Session) -> None:
    place = exported.write(tmp_path / "shop.tar", mine)
    assert _import(mine, place.path).place == place
    with pytest.raises(UsageError, match="does not exist"):
        _import(mine, tmp_path / "nothing.tar")
