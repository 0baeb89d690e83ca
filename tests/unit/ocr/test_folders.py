"""A folder with files of all kinds: what is read, and that all the rest is counted and listed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ocr.kinds import of
from ocr.sources import in_folder
from PIL import Image

from tests.unit.ocr.conftest import Done, FakeEngine, pdf, picture

Ocr = Callable[..., Done]
KINDS = {
    ".avif": "AVIF", ".bmp": "BMP", ".gif": "GIF", ".j2k": "JPEG2000", ".jfif": "JPEG", ".jp2": "JPEG2000",
    ".jpe": "JPEG", ".jpeg": "JPEG", ".jpf": "JPEG2000", ".jpg": "JPEG", ".jpx": "JPEG2000", ".pbm": "PPM",
    ".pgm": "PPM", ".png": "PNG", ".pnm": "PPM", ".ppm": "PPM", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
}  # fmt: skip


def _saved(path: Path, kind: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Image.new("RGB", (40, 20), "white").save(file, kind)
    return path


def _left_out(done: Done) -> dict[str, str]:
    return {one["source"]: one["reason"] for one in json.loads(done.out)["left_out"]}


def _walked(folder: Path, output: Path) -> tuple[list[str], dict[str, str]]:
    left: dict[str, str] = {}
    found = in_folder(folder, output, lambda path, why: left.update({path.relative_to(folder).as_posix(): why}))
    return [path.relative_to(folder).as_posix() for path in found], left


@pytest.mark.parametrize("named", [False, True])
def test_every_kind_is_read_whatever_its_name(ocr: Ocr, tmp_path: Path, *, named: bool) -> None:
    for ending, kind in KINDS.items():
        _saved(tmp_path / "in" / (f"a{ending}" if named else f"scan{ending[1:]}"), kind)
    pdf(tmp_path / "in" / "a.pdf").rename(tmp_path / "in" / ("report.PDF" if named else "report"))
    _saved(tmp_path / "in" / "photo.old", "JPEG")
    done = ocr("batch", "in", "--json")
    summary = json.loads(done.out)
    assert (done.status, summary["read"], summary["left_out"]) == (0, len(KINDS) + 3, []), summary["failed"]


def test_all_that_is_not_read_is_counted_and_listed_with_the_reason(ocr: Ocr, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    picture(folder / "sub" / "a.png")
    for name in ("notes.txt", "table.csv"):
        (folder / name).write_text("name,amount\n")
    (folder / "empty").touch()
    (folder / ".hidden.png").touch()
    picture(folder / ".git" / "b.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "lost").symlink_to("nowhere")
    done = ocr("batch", "in", "-o", "in/out", "--json")
    expected = {
        ".git": "hidden",
        ".hidden.png": "hidden",
        "empty": "empty",
        "lost": "a link to nothing",
        "notes.txt": "no picture and no PDF",
        "pipe.png": "no file: a pipe, a socket or a device",
        "table.csv": "no picture and no PDF",
    }
    assert (done.status, _left_out(done)) == (0, expected)
    assert "1 page read" in done.err
    assert "7 left out" in done.err
    assert "  left out, no picture and no PDF: notes.txt and 1 more\n" in done.err
    assert "  left out, empty: empty\n" in done.err
    assert json.loads((folder / "out" / "ocr-summary.json").read_text())["left_out"] == json.loads(done.out)["left_out"]
    # The folder of the results is one more, and nothing in it.
    assert _left_out(ocr("batch", "in", "-o", "in/out", "--json")) == expected | {"out": "the folder of the results"}


def test_results_beside_their_sources_are_left_out_as_such(ocr: Ocr, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    pdf(tmp_path / "b.pdf")
    (tmp_path / "mine.md").write_text("mine")
    (tmp_path / "mine.json").write_text("{}")
    assert _left_out(ocr("batch", ".", "-o", ".", "--json")).keys() == {"mine.md", "mine.json"}
    left = _left_out(ocr("batch", ".", "-o", ".", "--json"))
    assert {left.pop(name) for name in ("mine.md", "mine.json")} == {"no picture and no PDF"}
    assert set(left.values()) == {"a result of ocr"}
    assert {"a.md", "a.json", "a.boxes.md", "a.boxes.jpg", "b.md", "b.layouts.pdf", "ocr.log"} <= left.keys()


def test_linked_folders_are_followed_and_loops_end(ocr: Ocr, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    picture(folder / "sub" / "a.png")
    picture(tmp_path / "elsewhere" / "deep" / "b.png")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    (tmp_path / "elsewhere" / "self").symlink_to(".")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    (folder / "a-loop").symlink_to(folder)
    (folder / "a-sub").symlink_to("sub")
    done = ocr("batch", "in", "--json")
    assert json.loads(done.out)["read"] == 2
    again = "a link to a folder that is read already"
    assert _left_out(done) == dict.fromkeys(["a-loop", "a-sub", "again/back", "again/self", "link"], again)
    # A folder is read under its own name rather than that of a link to it.
    assert _walked(folder, tmp_path / "out")[0] == ["again/deep/b.png", "sub/a.png"]


def test_a_link_that_leads_above_the_folder_ends_there(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "b.png")
    picture(tmp_path / "out" / "c.png")
    (tmp_path / "in" / "up").symlink_to("..")
    assert _walked(tmp_path / "in", tmp_path / "out") == (
        ["a.png", "up/b.png"],
        {"up/in": "a link to a folder that is read already", "up/out": "the folder of the results"},
    )


def test_a_folder_that_is_itself_a_link(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to("in")
    assert _walked(tmp_path / "link", tmp_path / "out") == (["a.png"], {})


def test_a_link_to_a_result_is_none_of_the_sources(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "out" / "old.png")
    (tmp_path / "in" / "link.png").symlink_to("out/old.png")
    assert _walked(tmp_path / "in", tmp_path / "in" / "out") == (
        ["a.png"], {"link.png": "a result of ocr", "out": "the folder of the results"},
    )  # fmt: skip


def test_what_cannot_be_looked_at_has_failed(ocr: Ocr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, whom no permission stops."""
    folder = tmp_path / "in"
    picture(folder / "a.png")
    picture(folder / "locked" / "b.png")
    (folder / "secret").write_bytes(b"what it is nobody knows")
    (folder / "gone.png").symlink_to("nowhere")
    scandir, opened = os.scandir, Path.open

    def list_it(path: Any = ".") -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    def open_it(path: Path, *given: Any, **options: Any) -> Any:
        if path.name == "secret":
            raise PermissionError(13, "Permission denied")
        return opened(path, *given, **options)

    monkeypatch.setattr(os, "scandir", list_it)
    monkeypatch.setattr(os, "listdir", list_it)
    monkeypatch.setattr(Path, "open", open_it)
    done = ocr("batch", "in", "--json")
    summary = json.loads(done.out)
    assert (done.status, summary["read"], summary["left_out"]) == (3, 1, [])
    assert [(one["source"], one["error"]) for one in summary["failed"]] == [
        ("gone.png", "there is no file in/gone.png"),
        ("locked", "cannot read in/locked: permission denied"),
        ("secret", "cannot read in/secret: permission denied"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ("a.jxl", b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        ("a.djvu", b"AT&TFORM", "DjVu"),
    ],
)
def test_pictures_that_cannot_be_read_have_failed(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, name: str, data: bytes, kind: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(data + bytes(40))
    done = ocr("batch", "in", "--json")
    (failed,) = json.loads(done.out)["failed"]
    assert (done.status, failed["error"]) == (3, f"in/{name} is {kind}, which cannot be read")
    assert failed["hint"] == "save it as PNG, JPEG or PDF"


def test_where_nothing_can_be_read_it_is_said_what_was_left_out(ocr: Ocr, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("text")
    done = ocr("batch", "in")
    assert done.status == 3
    assert "left out, no picture and no PDF: notes.txt\n" in done.err
    assert "there is nothing to read in in" in done.err


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"\xef\xbb\xbf\r\n%PDF-1.4", "PDF"),
        (b"a text about %PDF-1.4", None),
        (b"BM is how this text begins", None),
        (b"P5 is a road", None),
        (b"P5\n# by a scanner\n2 2\n255\n", "PNM"),
        (b"\0\0\0\x1cftypisom\0\0\x02\0isomiso2mp41", None),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"", None),
    ],
)
def test_how_a_file_begins_says_what_it_is(head: bytes, kind: str | None) -> None:
    assert of(head) == kind


def test_a_pdf_without_an_ending_and_its_results_side_by_side(ocr: Ocr, tmp_path: Path) -> None:
    pdf(tmp_path / "a.pdf").rename(tmp_path / "report")
    _saved(tmp_path / "scan", "PNG")
    before = [(tmp_path / name).read_bytes() for name in ("report", "scan")]
    for _ in range(2):
        done = ocr("batch", ".", "-o", ".", "--json")
        assert (done.status, json.loads(done.out)["read"]) == (0, 3), done.err
    assert [(tmp_path / name).read_bytes() for name in ("report", "scan")] == before
    assert (tmp_path / "scan.md").is_file()


def test_only_what_its_name_does_not_tell_is_opened_before_the_first_page(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(20):
        picture(tmp_path / "in" / f"{at:02}.png")
        _saved(tmp_path / "in" / f"x{at:02}", "PNG")
    first: list[set[str]] = []
    touched: set[str] = set()
    opened, read = Path.open, engine.read

    def open_it(path: Path, *given: Any, **options: Any) -> Any:
        if path.parent.name == "in":
            touched.add(path.name)
        return opened(path, *given, **options)

    def watched(*given: Any) -> Any:
        first.append(set(touched))
        return read(*given)

    monkeypatch.setattr(Path, "open", open_it)
    monkeypatch.setattr(engine, "read", watched)
    found = in_folder(tmp_path / "in", tmp_path / "out")
    assert (len(found), {name[0] for name in touched}) == (40, {"x"})
    touched.clear()
    assert ocr("batch", "in").status == 0
    assert len({name for name in first[0] if name.endswith(".png")}) < 20
