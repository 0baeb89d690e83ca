"""TOML with places: tomllib gives the values, and the text gives where they stand."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from devenv.adopt.facts.document import Document
from devenv.doors.untrusted import from_toml
from devenv.preset.yaml.nodes import Mark
from devenv.preset.yaml.problems import Problems

Table = Mapping[str, Any]


def table(document: Document, problems: Problems) -> Table:
    """The document's values; empty after adding a problem."""
    try:
        return from_toml(document.text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        mark = document.at(int(found[1]), int(found[2])) if found else document.at(len(document.lines))
        words = str(error).partition(" (at ")[0]
        problems.add(f"not valid TOML: {words[:1].lower()}{words[1:]}", mark, hint="correct the file")
    except ValueError:
        problems.add("not valid TOML: a value is nested too deep or too large", document.at(1), hint="correct the file")
    return {}


def mapping(value: Any, *keys: str) -> Table:
    """The table below some keys; empty where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> tuple[Any, ...]:
    """A list's items; empty for anything else."""
    return tuple(value) if isinstance(value, list) else ()


class Places:
    """Where values stand: a search that goes on from a table's header."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def of(self, header: str, value: str) -> Mark:
        """The place of a text below `[header]` (as well as it can be found), else of the header, else the top."""
        found = re.search(rf"^[ \t]*\[+[ \t]*{re.escape(header)}[ \t]*\]+", self._document.text, re.MULTILINE)
        start = found.start() if found else 0
        for quoted in (f'"{value}"', f"'{value}'", value):
            at = self._document.text.find(quoted, start)
            if at >= 0:
                return self._document.mark(at)
        return self._document.mark(start)
