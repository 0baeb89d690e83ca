"""TOML with places: tomllib gives the values, and the text gives where they stand."""

from __future__ import annotations

import re
import tomllib

from devenv.adopt.facts.document import Document
from devenv.doors.untrusted import from_toml
from devenv.preset.toml import Places, Table
from devenv.preset.yaml.problems import Problems


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


def places_of(document: Document) -> Places:
    """Where the document's values stand."""
    return Places(document.text, document.mark)
