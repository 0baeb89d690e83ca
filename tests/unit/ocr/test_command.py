"""The command, from files to files, with an engine that a test speaks for."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from ocr.engine import Reading
from ocr.errors import BackendError, MemoryFullError
from PIL import Image

from tests.unit.ocr.conftest import PAGE, Done, FakeEngine, pdf, picture

Ocr = Callable[..., Done]


def test_a_picture_becomes_markdown_boxes_figures_and_json(ocr: Ocr, tmp_path: Path) -> None:
    picture(tmp_path / "a b.png")
    done = ocr("image", "a b.png", "-o", "res")
    assert done.status == 0
    figure = "![](<a b-figures/1.jpg>)"
    assert done.out == f"# Field notes\n\nPaper is made of fibres.\n\n{figure}\n"
    assert (tmp_path / "res" / "a b.md").read_text() == done.out
    assert "<!-- 1 title 20,10,101,21 -->\n# Field notes" in (tmp_path / "res" / "a b.boxes.md").read_text()
    with Image.open(tmp_path / "res" / "a b.boxes.jpg") as boxes:
        assert boxes.size == (200, 100)
        assert min(boxes.convert("L").crop((20, 10, 101, 21)).tobytes()) < 128
    with Image.open(tmp_path / "res" / "a b-figures" / "1.jpg") as cut:
        assert cut.size == (100, 50)
    record = json.loads((tmp_path / "res" / "a b.json").read_text())
    assert (record["status"], record["width"], record["raw"]) == ("ok", 200, PAGE)
    assert record["blocks"][2] == {
        "kind": "image", "text": "", "boxes": [[0, 50, 100, 100]], "figures": ["a b-figures/1.jpg"],
    }  # fmt: skip
    assert "1 page read" in (tmp_path / "res" / "ocr.log").read_text()


@pytest.mark.parametrize(("command", "has_many"), [("image", False), ("pdf", True), ("batch", True)])
def test_the_engine_is_told_whether_many_pages_come(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, command: str, *, has_many: bool
) -> None:
    picture(tmp_path / "scans/a.png")
    ocr(command, "scans" if command == "batch" else "scans/a.png")
    assert engine.made_with.has_many is has_many


def test_a_pdf_becomes_one_markdown_and_one_pdf_of_layouts(ocr: Ocr, tmp_path: Path) -> None:
    pdf(tmp_path / "a.pdf", 3)
    done = ocr("pdf", "a.pdf", "-o", "res")
    assert (done.status, done.out) == (0, "")
    text = (tmp_path / "res" / "a.md").read_text()
    assert text.index("<!-- page 1 -->") < text.index("<!-- page 2 -->") < text.index("<!-- page 3 -->")
    assert "![](a/page-0002-figures/1.jpg)" in text
    assert (tmp_path / "res" / "a" / "page-0002-figures" / "1.jpg").is_file()
    document = pypdfium2.PdfDocument(tmp_path / "res" / "a.layouts.pdf")
    assert (len(document), document[0].get_size()) == (3, (100, 50))
    document.close()


@pytest.mark.parametrize(
    "raw",
    [
        "<|ref|>a\nb\x00c<|/ref|><|det|>[[1,2,30,40]]<|/det|>\x00 text",
        "<|ref|>--> <script><|/ref|><|det|>[[0,0,1,1],[998,998,999,999]]<|/det|>-->",
        "<|ref|>image<|/ref|><|det|>[[0,0,1,1],[5,5,900,900]]<|/det|>",
        "<|ref|>\ud800<|/ref|><|det|>[[1,2,30,40]]<|/det|>half a pair: \ud800",
        "<|ref|>发票 🧾 ﷽<|/ref|><|det|>[[1,2,30,40]]<|/det|>" + "\u202e" * 50,
        "<|/ref|><|det|><|ref|><|/det|>" * 2,
    ],
)
def test_no_answer_is_too_strange_to_be_written(ocr: Ocr, tmp_path: Path, engine: FakeEngine, raw: str) -> None:
    picture(tmp_path / "a.png")
    engine.answers = [Reading(raw=raw)]
    assert ocr("image", "a.png", "--json").status == 0
    assert json.loads((tmp_path / "out" / "a.json").read_text())["status"] == "ok"


def test_a_terminal_does_not_obey_a_picture(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    picture(tmp_path / "a.png")
    engine.answers = [Reading(raw="\x1b[2J\x1b]0;title\x07 tab\tkept \x9b31m")]
    assert ocr("image", "a.png").out == "\ufffd[2J\ufffd]0;title\ufffd tab\tkept \ufffd31m\n"


def test_pages_can_be_chosen(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    pdf(tmp_path / "a.pdf", 4)
    assert ocr("pdf", "a.pdf", "--pages", "1,3-4").status == 0
    assert sorted(path.name for path in (tmp_path / "out" / "a").glob("*.md") if "boxes" not in path.name) == [
        "page-0001.md", "page-0003.md", "page-0004.md",
    ]  # fmt: skip
    assert ocr("pdf", "a.pdf", "--pages", "4-9").status == 3


@pytest.mark.parametrize("pages", ["0", "3-2", "x", "1,,2", "-1", ""])
def test_pages_that_are_none(ocr: Ocr, tmp_path: Path, engine: FakeEngine, pages: str) -> None:
    pdf(tmp_path / "a.pdf")
    assert ocr("pdf", "a.pdf", "--pages", pages).status == 2
    assert engine.loaded == 0


def test_a_folder_goes_on_past_bad_files_and_says_what_failed(ocr: Ocr, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "sub" / "a.png")
    picture(tmp_path / "in" / "sub" / "a.jpg")
    (tmp_path / "in" / "text.png").write_text("hello")
    (tmp_path / "in" / "empty.pdf").touch()
    (tmp_path / "in" / "notes.txt").write_text("not looked at")
    pdf(tmp_path / "in" / "z.pdf")
    done = ocr("batch", "in", "-o", "in/out", "--json")
    summary = json.loads(done.out)
    assert done.status == summary["exit_status"] == 3
    assert (summary["pages"], summary["read"], summary["tokens"]) == (6, 4, 160)
    assert [one["source"] for one in summary["failed"]] == ["empty.pdf", "text.png"]
    assert all(one["error"] and one["hint"] for one in summary["failed"])
    # Two sources that differ in their endings only keep them.
    assert (tmp_path / "in" / "out" / "sub" / "a.png.md").is_file()
    assert (tmp_path / "in" / "out" / "sub" / "a.jpg.md").is_file()
    assert json.loads((tmp_path / "in" / "out" / "ocr-summary.json").read_text()) == summary
    # Its own results are no sources.
    assert json.loads(ocr("batch", "in", "-o", "in/out", "--json").out)["pages"] == 6


def test_earlier_results_are_no_sources(ocr: Ocr, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    pdf(tmp_path / "b.pdf")
    for output in ("first", "second", "."):
        assert json.loads(ocr("batch", ".", "-o", output, "--json").out)["pages"] == 3, output
    # Results beside their sources are known by their names and by what lies beside them; others' files are not.
    picture(tmp_path / "my-figures" / "c.png")
    assert json.loads(ocr("batch", ".", "-o", "third", "--json").out)["pages"] == 4
    (tmp_path / "my-figures" / "c.png").unlink()
    assert json.loads(ocr("batch", ".", "-o", "third", "--json").out)["pages"] == 3


def test_resume_leaves_out_what_is_done_with_the_same_settings(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / "in" / f"{name}.png", (200, 100 + ord(name)))
    assert ocr("batch", "in").status == 0
    # One half-written page (no JSON), one that is broken, one whose source has changed.
    (tmp_path / "out" / "a.json").unlink()
    record = (tmp_path / "out" / "b.json").read_text()
    (tmp_path / "out" / "b.json").write_text(record[: len(record) // 2])
    again = json.loads(ocr("batch", "in", "--resume", "--json").out)
    assert (again["read"], again["skipped"]) == (2, 1)
    picture(tmp_path / "in" / "c.png", (300, 100))
    assert json.loads(ocr("batch", "in", "--resume", "--json").out)["read"] == 1
    before = engine.loaded
    idle = json.loads(ocr("batch", "in", "--resume", "--json").out)
    # No model is loaded to read nothing.
    assert (idle["read"], idle["device"], engine.loaded) == (0, None, before)
    # Other settings give other results.
    assert json.loads(ocr("batch", "in", "--resume", "--json", "--mode", "tiny").out)["read"] == 3
    # Without --resume everything is read.
    assert json.loads(ocr("batch", "in", "--json").out)["read"] == 3


def test_a_page_that_is_being_made_anew_is_not_done(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr import draw

    picture(tmp_path / "a.png")
    assert ocr("image", "a.png").status == 0

    def killed(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(draw, "boxed", killed)
    done = ocr("image", "a.png")
    assert done.status == 6
    assert "no space left on device" in done.err
    assert not (tmp_path / "out" / "a.json").exists()
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_a_document_resumes_page_by_page(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    pdf(tmp_path / "a.pdf", 3)
    engine.answers = [Reading(raw="one"), BackendError("no"), Reading(raw="three")]
    assert ocr("pdf", "a.pdf").status == 3
    whole = (tmp_path / "out" / "a.md").read_text()
    assert "one" in whole
    assert "<!-- page 2: could not be read -->" in whole
    engine.answers = [Reading(raw="two")]
    summary = json.loads(ocr("pdf", "a.pdf", "--resume", "--json").out)
    assert (summary["read"], summary["skipped"]) == (1, 2)
    assert [part.split("\n")[2] for part in (tmp_path / "out" / "a.md").read_text().split("\n\n---\n\n")] == [
        "one", "two", "three",
    ]  # fmt: skip


def test_a_page_that_was_cut_off_or_went_in_circles_is_marked_and_listed(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine
) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / "in" / f"{name}.png")
    engine.answers = [
        Reading(raw="the beginning of", tokens=9, finish="length"),
        Reading(raw="The same line.\n" * 30, tokens=99),
        Reading(raw="all of it", tokens=3),
    ]
    done = ocr("batch", "in", "--json")
    assert done.status == 4
    assert json.loads(done.out)["incomplete"] == [
        {"source": "a.png", "page": None, "why": "cut_off"}, {"source": "b.png", "page": None, "why": "looped"},
    ]  # fmt: skip
    assert (tmp_path / "out" / "a.md").read_text().startswith("<!-- this page is not complete")
    assert json.loads((tmp_path / "out" / "b.json").read_text())["status"] == "looped"
    assert "a.png: cut off" in done.err
    # They are done, and still listed when they are left out.
    again = ocr("batch", "in", "--resume", "--json")
    assert (again.status, len(json.loads(again.out)["incomplete"])) == (4, 2)


def test_when_the_memory_is_full_pages_are_read_one_at_a_time(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / "in" / f"{name}.png")
    full = MemoryFullError("not enough memory: 2 GiB", hint="a smaller --mode")
    engine.answers = [full, Reading(raw="a"), full, Reading(raw="c")]
    done = ocr("batch", "in", "--concurrency", "3", "--json")
    summary = json.loads(done.out)
    assert [count for count, _ in engine.asked] == [3, 1, 1, 1]
    assert (done.status, summary["read"]) == (3, 2)
    assert summary["failed"] == [
        {"source": "b.png", "page": None, "error": "not enough memory: 2 GiB", "hint": "a smaller --mode"}
    ]


def test_what_an_engine_raises_about_one_page_does_not_end_the_others(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine
) -> None:
    for name in ("a", "b"):
        picture(tmp_path / "in" / f"{name}.png")
    engine.answers = [ZeroDivisionError("surprise"), Reading(raw="b")]
    done = ocr("batch", "in", "--json")
    assert (done.status, json.loads(done.out)["failed"][0]["error"]) == (3, "the engine failed: surprise")


def test_pages_go_to_the_engine_together(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    pdf(tmp_path / "a.pdf", 5)
    assert ocr("pdf", "a.pdf", "--concurrency", "2").status == 0
    assert [count for count, _ in engine.asked] == [2, 2, 1]


def test_the_request_is_what_the_options_say(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    picture(tmp_path / "a.png")
    pdf(tmp_path / "a.pdf", 1)
    ocr("image", "a.png", "--mode", "tiny", "--prompt", "locate", "--find", "Total", "--max-tokens", "77")
    ocr("pdf", "a.pdf", "--guard", "off")
    ocr("batch", ".")
    (_, first), (_, second), (_, third) = engine.asked[:3]
    assert (first.mode.name, first.prompt.wanted, first.max_tokens) == ("tiny", "Total", 77)
    assert [(one.guard.size, one.guard.window) for one in (first, second, third)] == [(30, 90), (0, 0), (40, 90)]


def test_an_output_folder_that_cannot_be_written_is_said_before_a_model_is_loaded(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine
) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "taken").write_text("a file")
    done = ocr("image", "a.png", "-o", "taken/out")
    assert (done.status, engine.loaded) == (6, 0)
    assert "error: cannot write to taken/out" in done.err
    assert "hint: name another folder" in done.err
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        assert ocr("image", "a.png", "-o", "locked").status == 6


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("image", "none.png"), 3, "there is no file none.png"),
        (("image", "a.png", "--mode", "huge"), 2, "there is no mode 'huge'"),
        (("image", "a.png", "--prompt", "locate"), 2, "'locate' needs what to look for"),
        (("image", "a.png", "--mode", "small"), 2, "not small"),
        (("smoke", "--mode", "small"), 2, "not small"),
        (("image", "a.png", "--guard", "5"), 2, "'5' is no guard"),
        (("image", "a.png", "--backend", "tesseract"), 2, "there is no backend 'tesseract'"),
        (("image",), 2, "Missing argument 'FILE'"),
        (("batch", "empty"), 3, "there is nothing to read in empty"),
        (("batch", "a.png"), 3, "a.png is not a folder"),
        (("nothing",), 2, "No such command"),
    ],
)
def test_mistakes_have_a_status_and_a_word(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, arguments: tuple[str, ...], status: int, said: str
) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    done = ocr(*arguments)
    assert done.status == status
    assert said in done.err
    assert engine.loaded == 0


def test_a_model_that_cannot_be_loaded_ends_the_run(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_say: object) -> None:
        raise BackendError("there is no GPU", hint="devenv doctor")

    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "b.png")
    monkeypatch.setattr(engine, "load", fail)
    done = ocr("batch", "in")
    assert done.status == 5
    assert done.err.count("there is no GPU") == 1


@pytest.mark.parametrize(
    ("where", "answer", "status"),
    [
        ("read", Reading(raw="text"), 0),
        ("read", BackendError("no"), 3),
        ("read", KeyboardInterrupt(), 130),
        ("load", BackendError("no"), 5),
    ],
)
def test_the_engine_is_given_up_however_a_run_ends(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, where: str, answer: Any, status: int
) -> None:
    """vLLM's processes otherwise outlive the last page, and whoever waits for the command waits for ever."""
    closed: list[int] = []

    def step(*_: object) -> list[Reading]:
        closed.append(engine.closed)
        if isinstance(answer, BaseException):
            raise answer
        return [answer]

    picture(tmp_path / "a.png")
    monkeypatch.setattr(engine, where, step)
    assert ocr("image", "a.png").status == status
    assert closed == [0]
    assert engine.closed == 1


def test_a_command_that_is_told_to_end_gives_its_engine_up(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    picture(tmp_path / "a.png")
    monkeypatch.setattr(engine, "read", read)
    before = signal.getsignal(signal.SIGTERM)
    assert ocr("image", "a.png").status == 130
    assert engine.closed == 1
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_was_read_is_summed_up_before_the_engine_ends(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take seconds, in which people lose their patience."""

    def close() -> None:
        raise KeyboardInterrupt

    picture(tmp_path / "a.png")
    monkeypatch.setattr(engine, "close", close)
    assert ocr("image", "a.png").status == 130
    assert json.loads((tmp_path / "out" / "ocr-summary.json").read_text())["read"] == 1


def test_a_bug_is_no_status_of_its_own_making(ocr: Ocr, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ocr import sources

    def broken(*_: object) -> None:
        raise RuntimeError("unforeseen")

    picture(tmp_path / "a.png")
    monkeypatch.setattr(sources, "places", broken)
    done = ocr("image", "a.png")
    assert done.status == 70
    assert "RuntimeError: unforeseen" in done.err


def test_help_names_every_exit_status(ocr: Ocr) -> None:
    done = ocr("--help")
    assert done.status == 0
    assert all(f" {status} " in done.out.replace("\n", " ") for status in (0, 2, 3, 4, 5, 6, 10, 70, 130))


def test_a_single_picture_streams_to_a_terminal(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    picture(tmp_path / "a.png")
    engine.streams = True
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert ocr("image", "a.png").out == PAGE + "\n"


@pytest.mark.parametrize("arguments", [("image", "none.png"), ("image", "a.png", "-o", "taken/out"), ("batch", "no")])
def test_whoever_asks_for_json_gets_it_when_nothing_works(ocr: Ocr, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "taken").write_text("a file")
    done = ocr(*arguments, "--json")
    answer = json.loads(done.out)
    assert answer["exit_status"] == done.status != 0
    assert answer["error"] in done.err
    assert answer["hint"]


@pytest.mark.parametrize(
    ("raised", "option", "status", "said"),
    [
        (None, "--dpy", 2, "No such option"),
        (KeyboardInterrupt(), "--resume", 130, "interrupted"),
        (ZeroDivisionError("unforeseen"), "--resume", 70, "a bug: ZeroDivisionError: unforeseen"),
    ],
)
def test_whoever_asks_for_json_gets_it_for_interrupts_bugs_and_wrong_options(
    ocr: Ocr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException | None, option: str, status: int,
    said: str,
) -> None:  # fmt: skip
    from ocr import sources

    def places(*_: object) -> None:
        assert raised is not None
        raise raised

    picture(tmp_path / "a.png")
    monkeypatch.setattr(sources, "places", places)
    done = ocr("image", "a.png", option, "--json")
    answer = json.loads(done.out)
    assert (answer["exit_status"], done.status) == (status, status)
    assert said in answer["error"]
    assert answer["hint"]
    assert ocr("image", "a.png", option).out == ""


def test_json_that_is_for_another_command_is_none_of_ours(ocr: Ocr) -> None:
    """What follows `serve` goes to vLLM."""
    assert ocr("serve", "--port", "none", "--json").out == ""


def test_a_reader_reads_and_gives_its_engine_up(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr.api import Reader

    given_back: list[int] = []
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(empty_cache=lambda: given_back.append(engine.closed))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    with Reader() as reader:
        page = reader.read(picture(tmp_path / "a.png"))
        assert (page.status, page.image.size, len(page.boxed().getpixel((0, 0)))) == ("ok", (200, 100), 3)  # type: ignore[arg-type]
        assert page.text.startswith("# Field notes")
        assert [one.size for one in page.figures()] == [(100, 50)]
        assert (engine.closed, given_back) == (0, [])
    assert (engine.closed, given_back) == (1, [1])


@pytest.mark.parametrize("error", [RuntimeError("surprise"), MemoryError(), RecursionError("deep")])
def test_what_a_decoder_raises_about_one_file_does_not_end_the_others(
    ocr: Ocr, tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr import job

    drawn = job.pages

    def pages(source: Path, **options: Any) -> Any:
        if source.name == "a.png":
            raise error
        return drawn(source, **options)

    monkeypatch.setattr(job, "pages", pages)
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "b.png")
    summary = json.loads(ocr("batch", "in", "--json").out)
    assert (summary["exit_status"], summary["read"]) == (3, 1)
    assert summary["failed"][0]["source"] == "a.png"
    assert summary["failed"][0]["error"].startswith("it cannot be read: ")
    # Where a bug is stands in the log; want of memory is none.
    log = (tmp_path / "out" / "ocr.log").read_text()
    assert ("Traceback" in log) is not isinstance(error, MemoryError)


def test_what_cannot_be_drawn_into_results_is_one_failed_page(
    ocr: Ocr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr import draw

    drawn = draw.boxed

    def boxed(image: Any, blocks: Any) -> Any:
        if image.size[0] == 201:
            raise ValueError("no such colour")
        return drawn(image, blocks)

    monkeypatch.setattr(draw, "boxed", boxed)
    picture(tmp_path / "in" / "a.png", (201, 100))
    picture(tmp_path / "in" / "b.png")
    summary = json.loads(ocr("batch", "in", "--json").out)
    assert (summary["read"], summary["failed"][0]["error"]) == (
        1, "its results cannot be made: ValueError: no such colour",
    )  # fmt: skip


def test_a_pdf_of_layouts_that_cannot_be_made_is_said_and_the_text_is_there(
    ocr: Ocr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def new() -> None:
        raise pypdfium2.PdfiumError("no")

    monkeypatch.setattr(pypdfium2.PdfDocument, "new", new)
    pdf(tmp_path / "a.pdf", 2)
    done = ocr("pdf", "a.pdf")
    assert done.status == 0
    assert "a.pdf: a.layouts.pdf could not be made: no" in done.err
    assert "Field notes" in (tmp_path / "out" / "a.md").read_text()


@pytest.mark.parametrize("lost", ["a-figures/1.jpg", "a.boxes.jpg", "a.md"])
def test_a_page_that_lost_a_file_is_read_again(ocr: Ocr, tmp_path: Path, lost: str) -> None:
    picture(tmp_path / "in" / "a.png")
    assert ocr("batch", "in").status == 0
    assert json.loads(ocr("batch", "in", "--resume", "--json").out)["read"] == 0
    (tmp_path / "out" / lost).unlink()
    assert json.loads(ocr("batch", "in", "--resume", "--json").out)["read"] == 1
    (tmp_path / "out" / lost).write_bytes(b"")
    assert json.loads(ocr("batch", "in", "--resume", "--json").out)["read"] == 1


def test_text_that_was_corrected_by_hand_stays(ocr: Ocr, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    assert ocr("batch", "in").status == 0
    (tmp_path / "out" / "a.md").write_text("corrected")
    assert json.loads(ocr("batch", "in", "--resume", "--json").out)["read"] == 0
    assert (tmp_path / "out" / "a.md").read_text() == "corrected"


def test_a_terminal_does_not_obey_a_name(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    name = "a\x1b[2J\u202egnp.\udcff.png"
    picture(tmp_path / "in" / name)
    engine.answers = [BackendError("so\x1b]0;title\x07")]
    done = ocr("batch", "in")
    assert "a\ufffd[2J\ufffdgnp.\ufffd.png: failed: so\ufffd]0;title\ufffd" in done.err
    done = ocr("batch", "in", "--json")
    assert json.loads(done.out)["failed"][0]["source"] == name
    assert done.out.isascii()


def test_pages_in_memory_are_bounded_by_their_size(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr import job

    monkeypatch.setattr(job, "_ROOM", 150_000)  # two pages of 200 × 100 pixels
    pdf(tmp_path / "a.pdf", 9)
    assert ocr("pdf", "a.pdf", "--concurrency", "64").status == 0
    assert [count for count, _ in engine.asked] == [3, 3, 3]
    text = (tmp_path / "out" / "a.md").read_text()
    assert [text.count(f"<!-- page {number} -->") for number in range(1, 10)] == [1] * 9


def test_what_is_no_fault_of_pdfium_is_not_taken_for_one(
    ocr: Ocr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr import document

    def broken(*_: object) -> str:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(document, "_part", broken)
    pdf(tmp_path / "a.pdf", 2)
    done = ocr("pdf", "a.pdf")
    assert done.status == 70
    assert "ZeroDivisionError: a bug" in done.err


def test_a_whole_text_marks_pages_that_are_not_complete(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    pdf(tmp_path / "a.pdf", 2)
    engine.answers = [Reading(raw="one", finish="length"), Reading(raw="two")]
    assert ocr("pdf", "a.pdf").status == 4
    fresh = (tmp_path / "out" / "a.md").read_text()
    assert fresh.count("<!-- this page is not complete") == 1
    assert ocr("pdf", "a.pdf", "--resume").status == 4
    assert (tmp_path / "out" / "a.md").read_text() == fresh


def test_pages_that_are_done_are_reported_while_another_is_read(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    pdf(tmp_path / "a.pdf", 9)
    assert ocr("pdf", "a.pdf").status == 0
    (tmp_path / "out" / "a" / "page-0009.json").unlink()
    said: list[str] = []
    read = engine.read

    def watched(*given: Any) -> Any:
        said.append((tmp_path / "out" / "ocr.log").read_text())
        return read(*given)

    engine.read = watched  # type: ignore[method-assign]
    assert json.loads(ocr("pdf", "a.pdf", "--resume", "--json").out)["skipped"] == 8
    assert said[0].count("done before") == 8
