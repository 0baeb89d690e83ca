"""uv's messages for devenv's users, because uv's hints name options that devenv does not have."""

from __future__ import annotations

import re

_LINES = 25
_OPTION = re.compile(r"`--([a-z][a-z-]*)")
_ASIDE = re.compile(r"\s*\([^()]*`--[^()]*\)")
_REMEDIES = {
    "prerelease": "name the pre-release itself in 'pip:', such as NAME==1.0b1",
    "no-build": "no index of yours has a wheel or a source that fits: name another version, or build a wheel and put "
    "it into a folder that pip's 'find-links' names",
    "index-strategy": "set UV_INDEX_STRATEGY=unsafe-best-match to use the versions of all indexes alike",
    "find-links": "name an index or a folder of wheels in pip's settings ('index-url', 'find-links')",
    "python-version": "change 'python:' in the preset",
}
"""By uv's option: what does the same here."""


def explained(text: str) -> tuple[str, tuple[str, ...]]:
    """(the end of uv's output, without options; the remedy instead of setting them)."""
    parts = re.split(r"^(?=hint: )", text.strip(), flags=re.MULTILINE)
    kept = []
    remedies: dict[str, None] = {}
    for part in parts:
        options = _OPTION.findall(part) if part.startswith("hint: ") else []
        remedies |= {_REMEDIES[option]: None for option in options if option in _REMEDIES}
        rest = _ASIDE.sub("", part) if options else part
        if not options or not _OPTION.search(rest):
            kept.append(rest)
    return "\n".join("".join(kept).strip().splitlines()[-_LINES:]), tuple(remedies)
