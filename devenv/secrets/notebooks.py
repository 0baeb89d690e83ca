"""Notebooks (nbformat 3 and 4): the text of their cells and outputs, by cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devenv.doors.untrusted import from_json

MOST_BYTES = 32 << 20
"""A larger notebook is read as plain text, without the numbers of cells."""
_PICTURES = ("image/", "video/", "audio/")


def parts(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """(`cell 3`, `cell 3, output` or `metadata`; its text), cells counted from 1. Raises ValueError for no notebook."""
    book = from_json(data)
    if not isinstance(book, dict):
        raise ValueError("no notebook")
    sheets = book.get("worksheets")
    holders = sheets if isinstance(sheets, list) else [book]
    cells = [cell for holder in holders if isinstance(holder, dict) for cell in _list(holder.get("cells"))]
    found = [("metadata", _text(book.get("metadata")))]
    for number, cell in enumerate(cells, 1):
        if isinstance(cell, dict):
            rest = {key: value for key, value in cell.items() if key != "outputs"}
            found.append((f"cell {number}", _text(rest)))
            found.append((f"cell {number}, output", _text(cell.get("outputs"))))
    return tuple((where, text) for where, text in found if text)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> bytes:
    return "\n".join(_strings(value)).encode()


def _strings(value: Any) -> Iterator[str]:
    """Every text in a value; lines of one text stay together, keys stand before their values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if all(isinstance(one, str) for one in value):
            yield "".join(value)
        else:
            for one in value:
                yield from _strings(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key.startswith(_PICTURES):
                continue
            if isinstance(one, str) and "\n" not in one:
                yield f'"{key}": "{one}"'
            else:
                yield from _strings(one)
