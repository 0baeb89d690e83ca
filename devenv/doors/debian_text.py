"""Texts of Debian's tools and of os-release(5): split into stanzas and fields."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_BLANK = re.compile(r"\n[ \t]*\n")
_BLANK_BYTES = re.compile(rb"\n[ \t]*\n[ \t\n]*")
_PACKAGE = b"Package: "


def stanzas(text: str) -> Iterator[str]:
    """The stanzas of a deb822 text, such as a Packages index or a sources file; none is empty."""
    for stanza in _BLANK.split(text):
        if found := stanza.strip("\n"):
            yield found


def packages(index: bytes) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of each stanza of a Packages index that begins with its `Package`. An index has tens of
    megabytes, of which little is read: as texts of their own the stanzas would take several times as much memory."""
    start = len(index) - len(index.lstrip())
    for blank in itertools.chain(_BLANK_BYTES.finditer(index), (None,)):
        end = blank.start() if blank else len(index)
        if index.startswith(_PACKAGE, start):
            name = index[start + len(_PACKAGE) : index.find(b"\n", start)]
            yield name.decode(), start, end
        start = blank.end() if blank else end


def field(stanza: str, name: str) -> str:
    """The first line of one field, whose name is spelt as in `name`; empty when there is none. For large texts of which
    little is read."""
    found = re.search(rf"^{name}:[ \t]*(.*)$", stanza, re.MULTILINE)
    return found[1].strip() if found else ""


def fields(stanza: str) -> dict[str, str]:
    """All fields by name in lower case. The further lines of a value follow its first, without their indentation."""
    found: dict[str, str] = {}
    key = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in " \t" and key:
            found[key] += "\n" + line.strip()
        elif ":" in line:
            key, _, value = line.partition(":")
            key = key.strip().lower()
            found[key] = value.strip()
    return found


def os_release(text: str) -> dict[str, str]:
    """The variables of an os-release file."""
    return dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', text, re.MULTILINE))
