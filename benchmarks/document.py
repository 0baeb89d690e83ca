"""docs/benchmarks.md: text by people, and between markers what the last runs found."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path


def replace(text: str, sections: Mapping[str, str]) -> str:
    """`text` with the sections between `<!-- NAME -->` and `<!-- /NAME -->` replaced.

    Raises ValueError for a section that the text has no markers for: nothing is lost silently.
    """
    for name, body in sections.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"the document must have the markers {begin} and {end} once")
        before, after = pattern.split(text)
        text = f"{before}{begin}\n{body.strip()}\n{end}{after}"
    return text


def write(path: Path, sections: Mapping[str, str]) -> None:
    """Replace the sections of the file at `path`, whole or not at all."""
    text = replace(path.read_text(encoding="utf-8"), sections)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
