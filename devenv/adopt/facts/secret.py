"""Whether a text of the project may hold a secret, which then gets neither into a preset nor into a message."""

from __future__ import annotations

import re

from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import Scanner

NAME = re.compile(
    r"(?i)token|secret|passw|passphrase|credential|api_?key|access_?key|private_?key|(^|_)pat($|_)|(^|_)auth($|_)"
)
"""Names of variables that hold one."""
_ASSIGNED = re.compile(
    r"(?i)(token|secret|passw(or)?d|passphrase|credentials?|(api|access|private)[_-]?key|authorization|bearer|basic)"
    r"[\"']?\s*([=:]|\s)\s*[\"']?[^\s\"'$<>{}]"
)


def is_assigned(line: str) -> bool:
    """Whether a line gives a value to something called like a secret: it is not shown in excerpts."""
    return bool(_ASSIGNED.search(line))


def may_hold(text: str) -> bool:
    """Whether words of a command or a value look like a secret."""
    return is_assigned(text) or any(Scanner(KnownValues()).text("text", f"{text}\n"))
