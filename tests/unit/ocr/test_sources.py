"""Which files a job reads, and that no two results take each other's place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ocr import output
from ocr.engine import Reading
from ocr.output import FIGURES, Place
from ocr.sources import in_folder, page_place, places

from tests.unit.ocr.conftest import Done, FakeEngine, pdf, picture

Ocr = Callable[..., Done]


def _stems(*names: str) -> list[str]:
    found = places([Path("in", name) for name in names], Path("in"), Path("out"))
    return [(place.folder / place.stem).relative_to("out").as_posix() for place in found.values()]


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (("a.png", "b.pdf"), ["a", "b"]),
        (("a.png", "a.jpg", "b.png"), ["a.png", "a.jpg", "b"]),
        # The pages of report.pdf go to the folder report.
        (("report.pdf", "report/page-0001.png"), ["report.pdf", "report/page-0001"]),
        (("report.pdf", "report/a.png", "report.pdf/b.png"), ["report.pdf~", "report/a", "report.pdf/b"]),
        # The figures of a go to a-figures, and the folder is made anew.
        (("a.png", "a-figures/b.png"), ["a.png", "a-figures/b"]),
        (("a.png", "a-figures.pdf"), ["a.png", "a-figures.pdf"]),
        (("a.png", "a.boxes.png"), ["a.png", "a.boxes.png"]),
        (("a.pdf", "a.layouts.pdf"), ["a.pdf", "a.layouts.pdf"]),
        (("a.png", "a.jpg", "a.png.jpg"), ["a.png~", "a.jpg", "a.png.jpg"]),
        (("ocr-summary.png",), ["ocr-summary.png"]),
        (("ocr-summary.json.pdf", "ocr.log.pdf"), ["ocr-summary.json.pdf", "ocr.log.pdf"]),
        # The pages of README.md.pdf would go to a folder README.md, which is the text of README.pdf.
        (("README.pdf", "README.md.pdf"), ["README.pdf", "README.md.pdf"]),
        (("a.boxes.jpg",), ["a.boxes.jpg"]),
        (("sub/a.png", "a.png"), ["sub/a", "a"]),
    ],
)
def test_results_keep_out_of_each_others_way(names: tuple[str, ...], stems: list[str]) -> None:
    assert _stems(*names) == stems


_WORDS = [
    "a",
    "b",
    "a.boxes",
    "a.layouts",
    "a-figures",
    "a.png",
    "a.pdf",
    "a~",
    "a.md",
    "a.json",
    "a.boxes.md",
    "ocr.log",
]
_NAMES = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=3)
_ENDINGS = st.sampled_from([".png", ".pdf", ".jpg", ".tif"])


@given(st.lists(st.tuples(_NAMES, _ENDINGS), min_size=1, max_size=12), st.booleans())
def test_no_file_is_written_by_two_nor_takes_a_sources_place(made: list[tuple[list[str], str]], beside: bool) -> None:
    paths = sorted({Path("in", *parts[:-1], parts[-1] + ending) for parts, ending in made})
    folders = {parent for path in paths for parent in path.parents}
    assume(Path("in", "ocr.log") not in folders)  # there is no other place for the log
    paths = [path for path in paths if path not in folders]  # no disk has a file and a folder of one name
    output = Path("in" if beside else "out")
    taken: dict[Path, Path | None] = {output / "ocr.log": None, output / "ocr-summary.json": None}
    taken |= {path: path for path in paths} if beside else {}
    trees: dict[Path, Path] = {}
    for source, place in places(paths, Path("in"), output).items():
        page = page_place(place, 1, 1)
        paged = source.suffix in {".pdf", ".tif"}
        for one in (place, page) if paged else (place,):
            for ending in (".md", ".json", ".boxes.md", ".boxes.jpg", ".layouts.pdf"):
                assert one.file(ending) not in taken or taken[one.file(ending)] == source != one.file(ending)
                taken[one.file(ending)] = source
            trees[one.file(FIGURES)] = source  # emptied of figures whenever the page is written
    for tree, owner in trees.items():
        assert all(source == owner for file, source in taken.items() if tree in file.parents)
    assert not {parent for file in taken for parent in file.parents} & taken.keys(), "a folder where a file is"


@pytest.mark.parametrize("names", [("report.pdf", "report/z.png"), ("report.pdf", "report.png"), ("a.tif", "a.png")])
def test_results_beside_sources_that_keep_their_endings(ocr: Ocr, tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        picture(tmp_path / "in" / name)
        if name.endswith("pdf"):
            pdf(tmp_path / "in" / name)
    before = {name: (tmp_path / "in" / name).read_bytes() for name in names}
    for _ in range(2):
        done = ocr("batch", "in", "-o", "in", "--json")
        assert done.status == 0, done.err
        assert json.loads(done.out)["read"] == sum(2 if name.endswith("pdf") else 1 for name in names)
    assert before == {name: (tmp_path / "in" / name).read_bytes() for name in names}


def test_a_figures_folder_keeps_what_is_somebodys_own(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    picture(tmp_path / "in" / "a.png")
    notes = tmp_path / "in" / "a-figures" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    assert ocr("batch", "in", "-o", "in").status == 0
    assert (notes.parent / "1.jpg").is_file()
    engine.answers = [Reading(raw="no figure")]
    assert ocr("batch", "in", "-o", "in").status == 0
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]
    notes.unlink()
    assert ocr("batch", "in", "-o", "in").status == 0
    assert not notes.parent.exists()


def test_a_source_that_is_called_like_a_result_stays_one(ocr: Ocr, tmp_path: Path) -> None:
    picture(tmp_path / "a.boxes.jpg")
    for _ in range(2):
        assert json.loads(ocr("batch", ".", "-o", ".", "--json").out)["pages"] == 1


@pytest.mark.parametrize("stem", ["a" * 251, "票" * 83, "é" * 125 + "a"])
def test_a_name_that_is_as_long_as_names_can_be(ocr: Ocr, tmp_path: Path, stem: str) -> None:
    picture(tmp_path / "in" / f"{stem}.png")
    pdf(tmp_path / "in" / f"{stem}.pdf", 2)
    done = ocr("batch", "in", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["read"] == 3
    assert all(len(os.fsencode(path.name)) <= 255 for path in (tmp_path / "out").rglob("*"))


def test_two_long_names_do_not_become_one() -> None:
    first, second = _stems("a" * 230 + "1.png", "a" * 230 + "2.png")
    assert first != second


def test_results_go_above_the_sources(ocr: Ocr, tmp_path: Path) -> None:
    picture(tmp_path / "scans" / "a.png")
    picture(tmp_path / "scans" / "b.png")
    for _ in range(2):
        assert json.loads(ocr("batch", "scans", "-o", ".", "--json").out)["pages"] == 2
    assert (tmp_path / "a.md").is_file()


def test_pictures_beside_results_are_read(ocr: Ocr, tmp_path: Path) -> None:
    picture(tmp_path / "scans" / "sub" / "a.png")
    assert ocr("batch", "scans/sub", "-o", "scans/sub").status == 0
    picture(tmp_path / "scans" / "sub" / "b.png")
    picture(tmp_path / "scans" / "sub" / "a-figures" / "chart.png")
    done = ocr("batch", "scans", "--json")
    assert json.loads(done.out)["pages"] == 3, done.err
    assert "left out, a result of ocr: sub/a.boxes.jpg and 6 more" in done.err


def test_what_an_interrupted_page_left_is_no_source(ocr: Ocr, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    assert ocr("batch", ".", "-o", ".").status == 0
    (tmp_path / "a.json").unlink()
    assert in_folder(tmp_path, tmp_path) == (tmp_path / "a.png",)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_page_that_was_killed_on_its_way_left_no_source(
    ocr: Ocr, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, count = output.save, [0]

    def save(path: Path, write: Callable[[Path], None]) -> Path:
        count[0] += 1
        if count[0] > after:
            raise OSError(28, "No space left on device")
        return saved(path, write)

    picture(tmp_path / "a.png")
    monkeypatch.setattr(output, "save", save)
    assert ocr("batch", ".", "-o", ".").status == 6
    assert len([path for path in tmp_path.rglob("*") if path.is_file() and path.name != "ocr.log"]) == 1 + after
    assert in_folder(tmp_path, tmp_path) == (tmp_path / "a.png",)


def test_a_link_to_results_is_followed(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "out" / "old.png")
    (tmp_path / "link").symlink_to(tmp_path / "in" / "out")
    assert in_folder(tmp_path / "in", tmp_path / "link") == (tmp_path / "in" / "a.png",)


def test_a_place_names_its_files() -> None:
    assert page_place(Place(folder=Path("out"), stem="a"), 12, 99_999).file(".md") == Path("out/a/page-00012.md")


def test_some_pages_do_not_take_the_place_of_the_whole(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    pdf(tmp_path / "a.pdf", 6)
    assert ocr("pdf", "a.pdf").status == 0
    whole = (tmp_path / "out" / "a.md").read_text()
    assert ocr("pdf", "a.pdf", "--pages", "2,4-6").status == 0
    assert (tmp_path / "out" / "a.md").read_text() == whole
    some = (tmp_path / "out" / "a.pages-2,4-6.md").read_text()
    assert [f"<!-- page {number} -->" in some for number in range(1, 7)] == [False, True, False, True, True, True]
    assert (tmp_path / "out" / "a.pages-2,4-6.layouts.pdf").is_file()
    assert ocr("pdf", "a.pdf", "--pages", ",".join(map(str, range(1, 60, 2)))).status == 3
    assert (tmp_path / "out" / "a.pages-1-59-30.md").is_file()
