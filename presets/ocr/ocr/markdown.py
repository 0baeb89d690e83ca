"""Markdown from blocks, plain and with boxes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ocr.grounding import Answer, Block

_NO_KIND = re.compile(r"[^\w.]+")
# LaTeX that markdown's renderers do not know, and a name that they do.
_SYNONYMS = {"\\coloneqq": ":=", "\\eqqcolon": "=:"}


def plain(answer: Answer, figures: Mapping[int, Sequence[str]]) -> str:
    """The page's text. `figures`: the files cut out for a block, by its place."""
    return _together([answer.lead, *(_block(block, figures.get(at, ())) for at, block in enumerate(answer.blocks))])


def with_boxes(answer: Answer, figures: Mapping[int, Sequence[str]]) -> str:
    """The same, each block under a comment that says its number, its kind and where it is: left,top,right,bottom in
    pixels."""
    parts = [answer.lead]
    for at, block in enumerate(answer.blocks):
        said = (str(at + 1), _NO_KIND.sub("-", block.kind), *(",".join(map(str, box)) for box in block.boxes))
        parts.append(f"<!-- {' '.join(said)} -->\n{_block(block, figures.get(at, ()))}".strip())
    return _together(parts)


def _block(block: Block, files: Sequence[str]) -> str:
    links = [f"![]({'<' + name + '>' if ' ' in name else name})" for name in files]
    text = block.text
    for theirs, ours in _SYNONYMS.items():
        text = text.replace(theirs, ours)
    return "\n\n".join([*links, *([text] if text else [])])


def _together(parts: Sequence[str]) -> str:
    text = "\n\n".join(part for part in parts if part)
    return text + "\n" if text else ""
