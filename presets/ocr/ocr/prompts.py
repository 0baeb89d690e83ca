"""What the model is asked, by name."""

from __future__ import annotations

import dataclasses
from typing import Literal

from ocr.errors import UsageError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """`text` follows the picture. `refs`: what stands between the answer's `ref` tags: a block's `kind`, or its `text`.
    `reads`: whether the answer is the picture's own text, which every engine can give."""

    name: str
    text: str
    refs: Literal["kind", "text"] = "kind"
    reads: bool = True
    wanted: str | None = None


_PROMPTS = (
    Prompt(name="markdown", text="<|grounding|>Convert the document to markdown."),
    Prompt(name="ocr", text="<|grounding|>OCR this image.", refs="text"),
    Prompt(name="free", text="Free OCR."),
    Prompt(name="figure", text="Parse the figure.", reads=False),
    Prompt(name="describe", text="Describe this image in detail.", reads=False),
)
_LOCATE = "locate"
NAMES = (*(one.name for one in _PROMPTS), _LOCATE)
DEFAULT = "markdown"
_SPECIAL = ("<|", "|>", "<image>", "<｜", "｜>")


def prompt(name: str, wanted: str | None = None) -> Prompt:
    """The prompt of that name; `wanted` is what `locate` looks for. Raises UsageError."""
    if name == _LOCATE:
        if not wanted or not wanted.strip():
            raise UsageError("'locate' needs what to look for", hint='for example: --prompt locate --find "Total"')
        if any(mark in wanted for mark in _SPECIAL):
            raise UsageError("what to locate is plain text, without the model's own marks", hint="leave out <| and |>")
        text = f"Locate <|ref|>{wanted}<|/ref|> in the image."
        return Prompt(name=name, text=text, refs="text", wanted=wanted)
    if wanted is not None:
        raise UsageError("--find goes with --prompt locate only", hint=f"add: --prompt {_LOCATE}")
    for one in _PROMPTS:
        if one.name == name:
            return one
    raise UsageError(f"there is no prompt {name!r}", hint=f"prompts: {', '.join(NAMES)}")
