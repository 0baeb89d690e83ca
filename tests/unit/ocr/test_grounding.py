from __future__ import annotations

import os
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocr.grounding import parse

from tests.unit.ocr.conftest import PAGE

SIZE = (1000, 500)


def _det(text: str) -> str:
    return f"<|ref|>text<|/ref|><|det|>{text}<|/det|>\nwords"


def test_blocks_come_with_kind_text_and_pixels() -> None:
    answer = parse(PAGE, SIZE)
    assert [block.kind for block in answer.blocks] == ["title", "text", "image"]
    assert answer.blocks[0].text == "# Field notes"
    assert answer.blocks[0].boxes == ((100, 50, 501, 101),)
    assert answer.blocks[2].is_figure
    assert (answer.lead, answer.dropped) == ("", 0)


@pytest.mark.parametrize(("refs", "kind", "text"), [("kind", "Total", ""), ("text", "text", "Total")])
def test_what_stands_between_ref_tags_depends_on_the_prompt(
    refs: Literal["kind", "text"], kind: str, text: str
) -> None:
    block = parse("<|ref|>Total<|/ref|><|det|>[[1,2,30,40],[5,6,70,80]]<|/det|>", SIZE, refs).blocks[0]
    assert (block.kind, block.text, len(block.boxes)) == (kind, text, 2)


def test_text_without_boxes_is_all_lead() -> None:
    answer = parse("just text<｜end▁of▁sentence｜>", SIZE)
    assert (answer.lead, answer.blocks) == ("just text", ())


def test_one_box_that_nobody_wrapped_is_one_box() -> None:
    assert parse(_det("[0, 0, 999, 999]"), SIZE).blocks[0].boxes == ((0, 0, 1000, 500),)


@pytest.mark.parametrize(
    "hostile",
    [
        '__import__("os").environ.__setitem__("OCR_PWNED", "1")',
        '[[1, 2, 3, __import__("os").environ.__setitem__("OCR_PWNED", "1")]]',
        "[[1, 2, 3", "", "null", "7", '"text"', "{}", "[[]]", "[[1,2,3]]", "[[1,2,3,4,5]]", '[["1","2","3","4"]]',
        "[[true,true,true,true]]", "[[1e999,0,1e999,9]]", "[[NaN,0,9,9]]", "[[Infinity,0,9,9]]", f"[[0,0,{10**400},9]]",
        "[[500,500,500,500]]", "[[900,900,100,100]]", "[[2000,2000,3000,3000]]", "[" * 100_000, "[[9" + "9" * 50_000 + "]]",
    ],
)  # fmt: skip
def test_a_box_that_makes_no_sense_is_dropped_and_counted_and_nothing_is_run(hostile: str) -> None:
    answer = parse(_det(hostile), SIZE)
    assert answer.blocks[0].boxes == ()
    assert answer.blocks[0].text == "words"
    assert answer.dropped == 1
    assert "OCR_PWNED" not in os.environ


def test_boxes_are_clipped_to_the_picture_and_limited_in_number() -> None:
    assert parse(_det("[[-50, -50, 5000, 5000]]"), SIZE).blocks[0].boxes == ((0, 0, 1000, 500),)
    answer = parse(_det("[" + ",".join(["[1,1,9,9]"] * 1500) + "]"), SIZE)
    assert (len(answer.blocks[0].boxes), answer.dropped) == (1000, 500)


@given(st.text(alphabet="<|>/refdt[]0123456789, \n", max_size=200))
def test_any_answer_parses_and_boxes_lie_inside(raw: str) -> None:
    for block in parse(raw, SIZE).blocks:
        for left, top, right, bottom in block.boxes:
            assert 0 <= left < right <= 1000
            assert 0 <= top < bottom <= 500


def test_a_kind_is_one_short_line() -> None:
    (block,) = parse(f"<|ref|>sub\n\ttitle {'x' * 100}<|/ref|><|det|>[[1,2,3,4]]<|/det|>", SIZE).blocks
    assert block.kind == "sub title " + "x" * 30


@pytest.mark.parametrize(
    ("raw", "boxes"),
    [
        ("<|ref|>title<|/ref|>\n# Lost words\n<|ref|>text<|/ref|><|det|>[[1, 1, 9, 9]]<|/det|>\nkept words", 1),
        (
            "<|ref|>text<|/ref|><|det|>[[1, 1, 9\nLost words\n<|ref|>text<|/ref|><|det|>[[1, 1, 9, 9]]<|/det|>\nkept words",
            1,
        ),
        ("<|ref|>text\nLost words <|ref|>text<|/ref|><|det|>[[1, 1, 9, 9]]<|/det|>\nkept words", 1),
        ("<|ref|>text<|/ref|><|det|>[[1, 1, 9, 9]]\nLost words\nkept words", 0),
    ],
)
def test_a_tag_that_is_missing_costs_its_box_and_no_word(raw: str, boxes: int) -> None:
    answer = parse(raw, SIZE)
    said = "\n".join([answer.lead, *(block.text for block in answer.blocks)])
    assert "Lost words" in said
    assert "kept words" in said
    assert sum(len(block.boxes) for block in answer.blocks) == boxes
