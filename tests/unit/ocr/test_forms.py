"""What is filled in or stamped on a PDF is in the picture of its page: dark where it stands, and only there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pypdf
import pypdfium2
import pytest
from ocr.page import pages
from PIL import Image
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    NumberObject,
    StreamObject,
    TextStringObject,
)

WIDTH, HEIGHT = 300, 200
TEXT = (50, 150, 200, 170)
AMOUNT = (50, 110, 200, 130)
BOX = (50, 60, 70, 80)
RADIO, COMBO = 1 << 15, 1 << 17


def _dict(**values: Any) -> DictionaryObject:
    return DictionaryObject({NameObject(f"/{key}"): value for key, value in values.items()})


def _numbers(values: Iterable[float]) -> ArrayObject:
    return ArrayObject([FloatObject(value) for value in values])


def _stream(writer: pypdf.PdfWriter, code: bytes, rect: tuple[int, ...]) -> Any:
    stream = StreamObject()
    stream.set_data(code)
    box = _numbers((0, 0, rect[2] - rect[0], rect[3] - rect[1]))
    stream.update(_dict(Type=NameObject("/XObject"), Subtype=NameObject("/Form"), BBox=box))
    return writer._add_object(stream)


def _form(
    path: Path,
    *annotations: DictionaryObject,
    drawn: bool = False,
    needs: bool | None = None,
    form: bool = True,
    rotation: int = 0,
) -> Path:
    """A page with annotations. `drawn`: each has an appearance, a black bar; `form`: the document says it has fields."""
    writer = pypdf.PdfWriter()
    page = writer.add_blank_page(WIDTH, HEIGHT).rotate(rotation)
    for annotation in annotations:
        if drawn:
            rect = tuple(int(side) for side in annotation["/Rect"])
            bar = _stream(writer, b"0 g 4 4 12 12 re f", rect)
            states = _dict(Yes=bar, Off=_stream(writer, b"", rect))
            annotation[NameObject("/AP")] = _dict(N=states if annotation.get("/FT") == "/Btn" else bar)
    added = [writer._add_object(annotation) for annotation in annotations]
    page[NameObject("/Annots")] = ArrayObject(added)
    if form:
        font = _dict(Type=NameObject("/Font"), Subtype=NameObject("/Type1"), BaseFont=NameObject("/Helvetica"))
        fields = [one for one, own in zip(added, annotations, strict=True) if own["/Subtype"] == "/Widget"]
        acroform = _dict(Fields=ArrayObject(fields), DR=_dict(Font=_dict(Helv=writer._add_object(font))))
        if needs is not None:
            acroform[NameObject("/NeedAppearances")] = BooleanObject(needs)
        writer._root_object[NameObject("/AcroForm")] = acroform
    writer.write(path)
    return path


def _annotation(subtype: str, rect: tuple[int, ...], **values: Any) -> DictionaryObject:
    look = TextStringObject("/Helv 12 Tf 0 g")
    own = _dict(Type=NameObject("/Annot"), Subtype=NameObject(f"/{subtype}"), Rect=_numbers(rect), DA=look)
    own.update(_dict(F=NumberObject(4)) | _dict(**values))
    return own


def _field(name: str, kind: str, rect: tuple[int, ...], **values: Any) -> DictionaryObject:
    return _annotation("Widget", rect, T=TextStringObject(name), FT=NameObject(f"/{kind}"), **values)


def _text(value: str = "Ada Lovelace", **values: Any) -> DictionaryObject:
    return _field("name", "Tx", TEXT, V=TextStringObject(value), **values)


def _box(**states: str) -> DictionaryObject:
    return _field("agreed", "Btn", BOX, **{key: NameObject(f"/{state}") for key, state in states.items()})


def _page(path: Path) -> Image.Image:
    (page,) = pages(path)
    assert page.image is not None, page.problem
    return page.image.convert("L")


def _ink(image: Image.Image, rect: tuple[int, ...]) -> int:
    """Dark pixels in a place on the page, without its frame."""
    left, bottom, right, top = rect
    place = (2 * left + 4, 2 * (HEIGHT - top) + 4, 2 * right - 4, 2 * (HEIGHT - bottom) - 4)
    return sum(image.crop(place).histogram()[:128])


@pytest.mark.parametrize("needs", [None, False, True])
@pytest.mark.parametrize("drawn", [False, True])
def test_a_filled_form_is_in_the_picture_with_and_without_appearances(
    tmp_path: Path, *, drawn: bool, needs: bool | None
) -> None:
    amount = _field("amount", "Tx", AMOUNT, V=TextStringObject("338.40"))
    path = _form(tmp_path / "a.pdf", _text(), amount, _box(V="Yes", AS="Yes"), drawn=drawn, needs=needs)
    image = _page(path)
    assert all(_ink(image, rect) > 50 for rect in (TEXT, AMOUNT, BOX))
    empty = _page(_form(tmp_path / "b.pdf", _text(""), _box(V="Off", AS="Off"), needs=needs))
    assert [_ink(empty, rect) for rect in (TEXT, AMOUNT, BOX)] == [0, 0, 0]


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize(
    "states", [{"V": "Yes"}, {"AS": "Yes"}, {"V": "On", "AS": "On"}, {"V": "Yes", "AS": "Off"}, {"V": "1", "AS": "1"}]
)
@pytest.mark.parametrize("flags", [0, RADIO])
def test_a_box_that_says_in_any_way_that_it_is_ticked(
    tmp_path: Path, states: dict[str, str], flags: int, *, drawn: bool
) -> None:
    box = _box(**states)
    box[NameObject("/Ff")] = NumberObject(flags)
    assert _ink(_page(_form(tmp_path / "a.pdf", box, drawn=drawn)), BOX) > 50


def test_a_tick_is_where_its_box_is_on_a_page_that_is_turned(tmp_path: Path) -> None:
    image = _page(_form(tmp_path / "a.pdf", _box(V="On", AS="On"), rotation=90))
    assert image.size == (2 * HEIGHT, 2 * WIDTH)
    assert _ink(image.transpose(Image.Transpose.ROTATE_90), BOX) > 50


def test_only_the_button_that_was_chosen_is_on(tmp_path: Path) -> None:
    other = (100, 60, 120, 80)
    group = _dict(FT=NameObject("/Btn"), Ff=NumberObject(RADIO), T=TextStringObject("pay"), V=NameObject("/Cash"))
    first = _annotation("Widget", BOX, Parent=group, AS=NameObject("/Cash"))
    second = _annotation("Widget", other, Parent=group, AS=NameObject("/Off"))
    image = _page(_form(tmp_path / "a.pdf", first, second))
    assert _ink(image, BOX) > 50
    assert _ink(image, other) == 0


@pytest.mark.parametrize("drawn", [False, True])
def test_a_choice_is_in_the_picture(tmp_path: Path, *, drawn: bool) -> None:
    options = ArrayObject([TextStringObject("Berlin"), TextStringObject("Rome")])
    choice = _field("town", "Ch", TEXT, Ff=NumberObject(COMBO), V=TextStringObject("Berlin"), Opt=options)
    name = (TEXT[0], TEXT[1], TEXT[0] + 60, TEXT[3])
    assert _ink(_page(_form(tmp_path / "a.pdf", choice, drawn=drawn)), name) > 50


@pytest.mark.parametrize("drawn", [False, True])
def test_fields_that_lost_their_form_when_files_were_joined(tmp_path: Path, *, drawn: bool) -> None:
    image = _page(_form(tmp_path / "a.pdf", _text(), _box(V="Yes", AS="Yes"), drawn=drawn, form=False))
    assert _ink(image, TEXT) > 50
    assert _ink(image, BOX) > 50


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize(
    ("subtype", "values"),
    [
        ("Stamp", {"Name": NameObject("/NotApproved")}),
        ("Stamp", {}),
        ("FreeText", {"Contents": TextStringObject("paid on Monday")}),
    ],
)
def test_stamps_and_notes_are_in_the_picture(
    tmp_path: Path, subtype: str, values: dict[str, Any], *, drawn: bool, form: bool
) -> None:
    path = _form(tmp_path / "a.pdf", _annotation(subtype, TEXT, **values), drawn=drawn, form=form)
    assert _ink(_page(path), TEXT) > 50


@pytest.mark.parametrize("flag", [2, 32])
def test_what_is_hidden_stays_so(tmp_path: Path, flag: int) -> None:
    hidden = [_text(), _box(V="On", AS="On"), _annotation("Stamp", AMOUNT)]
    for one in hidden:
        one[NameObject("/F")] = NumberObject(flag)
    image = _page(_form(tmp_path / "a.pdf", *hidden))
    assert [_ink(image, rect) for rect in (TEXT, AMOUNT, BOX)] == [0, 0, 0]


def test_a_stamp_that_is_no_larger_than_a_point(tmp_path: Path) -> None:
    assert _page(_form(tmp_path / "a.pdf", _annotation("Stamp", (50, 60, 50, 60)))).size == (2 * WIDTH, 2 * HEIGHT)


def test_a_form_that_cannot_be_opened_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ocr import forms
    from ocr.errors import InputError

    monkeypatch.setattr(forms.pdfium, "FPDFDOC_InitFormFillEnvironment", lambda *_: None)
    with pytest.raises(InputError, match="its form cannot be opened"):
        list(pages(_form(tmp_path / "a.pdf", _text())))


def test_pdfium_is_told_of_fields_before_it_counts_pages(tmp_path: Path) -> None:
    """The picture is that of a document whose form was opened by hand."""
    path = _form(tmp_path / "a.pdf", _text())
    with pypdfium2.PdfDocument(path) as document:
        document.init_forms()
        page = document[0]
        expected = page.render(scale=2).to_pil().convert("L")
        page.close()
    assert _page(path).tobytes() == expected.tobytes()
