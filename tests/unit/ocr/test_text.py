"""Error rate, guard, modes, prompts, lines, markdown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocr import guard, modes, prompts
from ocr.cer import distance, error_rate
from ocr.errors import UsageError
from ocr.grounding import Answer, Block
from ocr.lines import in_order, joined
from ocr.markdown import plain, with_boxes
from ocr.output import save_text


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)],
)
def test_distance(left: str, right: str, edits: int) -> None:
    assert distance(left, right) == distance(right, left) == edits


def test_error_rate_is_edits_for_each_wanted_character() -> None:
    assert error_rate("", "abcd") == 1.0
    assert error_rate("abxd", "abcd") == 0.25
    assert error_rate("发票号码:2025", "发票号码：20 25") == 0.0
    assert error_rate("abcdabcd", "abcd") == 1.0


def test_the_guard_forbids_what_would_repeat_within_the_window_only() -> None:
    three = guard.Guard(size=3, window=10)
    assert guard.forbidden([1, 2, 3, 1, 2], three) == {3}
    assert guard.forbidden([1, 2, 3, 1, 2, 4, 1, 2], three) == {3, 4}
    assert guard.forbidden([1, 2, 3, *[9] * 8, 1, 2], three) == set()
    assert guard.forbidden([1, 2], three) == set()
    assert guard.forbidden([1, 2, 3, 1, 2], guard.parse("off")) == set()


@given(
    tokens=st.lists(st.integers(0, 3), max_size=80),
    size=st.integers(0, 5),
    more=st.integers(0, 12),
    steps=st.lists(st.integers(1, 4), min_size=80, max_size=80),
    again=st.integers(0, 80),
)
def test_a_history_forbids_what_the_whole_answer_would(
    tokens: list[int], size: int, more: int, steps: list[int], again: int
) -> None:
    wanted = guard.Guard(size=size, window=size + more)
    history = guard.History(wanted)
    count = 0
    for step in steps:
        assert history.forbidden(tokens[:count]) == guard.forbidden(tokens[:count], wanted)
        count += step
    # An engine that has to free memory begins an answer again.
    shorter = tokens[: again % (len(tokens) + 1)]
    assert history.forbidden(shorter) == guard.forbidden(shorter, wanted)
    assert history.forbidden(tokens) == guard.forbidden(tokens, wanted)


@pytest.mark.parametrize("text", ["30", "1/90", "90/30", "a/b", "30/90/1", "-3/9", ""])
def test_a_guard_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no guard"):
        guard.parse(text)


def test_each_job_has_its_guard() -> None:
    sizes = {job: (one.size, one.window) for job, one in guard.BY_JOB.items()}
    assert sizes == {"image": (30, 90), "pdf": (20, 50), "batch": (40, 90)}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("The same line.\n" * 20, True),
        ("beginning " + "ab" * 60, True),
        (
            "A normal text. " + "It says nothing twice, and it is long enough to be looked at in all its parts. " * 2,
            False,
        ),
        ("| a | b |\n|---|---|\n" + "-" * 500, False),
        ("Total ...........................................................................................", False),
        ("ha ha ha", False),
        ("", False),
    ],
)
def test_looped(text: str, *, is_one: bool) -> None:
    assert guard.looped(text) is is_one


def test_modes_have_the_published_sizes() -> None:
    found = {one.name: (one.base, one.tile, one.crop) for one in modes.MODES.values()}
    assert found == {
        "tiny": (512, 512, False), "small": (640, 640, False), "base": (1024, 1024, False),
        "large": (1280, 1280, False), "gundam": (1024, 640, True),
    }  # fmt: skip
    assert modes.mode("Gundam") is modes.MODES["gundam"]
    with pytest.raises(UsageError, match="no mode 'huge'"):
        modes.mode("huge")


def test_prompts_by_name() -> None:
    assert prompts.prompt("markdown").text == "<|grounding|>Convert the document to markdown."
    assert prompts.prompt("locate", "Total due").text == "Locate <|ref|>Total due<|/ref|> in the image."
    assert [prompts.prompt(name, "x" if name == "locate" else None).name for name in prompts.NAMES] == list(
        prompts.NAMES
    )


@pytest.mark.parametrize(
    ("name", "wanted", "said"),
    [
        ("poem", None, "no prompt 'poem'"),
        ("locate", None, "what to look for"),
        ("locate", "  ", "what to look for"),
        ("locate", "a<|/ref|>b", "without the model's own marks"),
        ("markdown", "x", "locate only"),
    ],
)
def test_prompts_that_are_none(name: str, wanted: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        prompts.prompt(name, wanted)


def _line(text: str, left: int, top: int) -> Block:
    return Block(kind="text", text=text, boxes=((left, top, left + 50, top + 20),))


def test_lines_are_put_in_reading_order_rows_and_paragraphs() -> None:
    lines = in_order([_line("d", 0, 100), _line("b", 200, 3), _line("a", 0, 0), _line("c", 0, 25)])
    assert [line.text for line in lines] == ["a", "b", "c", "d"]
    assert joined(lines) == "a  b\nc\n\nd"
    assert joined(()) == ""


def test_markdown_plain_and_with_boxes() -> None:
    answer = Answer(
        lead="before",
        blocks=(
            Block(kind="title", text="# Notes", boxes=((1, 2, 3, 4),)),
            Block(kind="image", text="", boxes=((5, 6, 7, 8), (9, 9, 12, 12))),
            Block(kind="equation --> x", text="a \\coloneqq b", boxes=()),
        ),
    )
    figures = {1: ["n-figures/1.jpg", "my n-figures/2.jpg"]}
    pictures = "![](n-figures/1.jpg)\n\n![](<my n-figures/2.jpg>)"
    assert plain(answer, figures) == f"before\n\n# Notes\n\n{pictures}\n\na := b\n"
    assert with_boxes(answer, figures) == (
        f"before\n\n<!-- 1 title 1,2,3,4 -->\n# Notes\n\n<!-- 2 image 5,6,7,8 9,9,12,12 -->\n{pictures}\n\n"
        "<!-- 3 equation-x -->\na := b\n"
    )
    assert plain(Answer(lead="", blocks=()), {}) == ""


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    path = tmp_path / f"{'论' * 80}.boxes.md"
    assert save_text(path, "text").read_text() == "text"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
