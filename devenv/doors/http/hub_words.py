"""Words that a model hub sends, before the rest of devenv reads them: names that look like another, short texts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

LOOKED_AT = 100
"""Names of a hub among which a near one is looked for."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
_LONGEST = 200


def nearest(id_: str, names: Iterable[str]) -> tuple[str, ...]:
    """Up to three of a hub's names that look like this one."""
    by_lower = {name.lower(): name for name in names if re.fullmatch(_NAME, name)}
    found = difflib.get_close_matches(id_.lower(), by_lower, 3, 0.7)
    return tuple(by_lower[name] for name in found)


def short_text(value: Any) -> str:
    """A hub's text, or nothing where it is none, too long, or cannot be shown."""
    return value if isinstance(value, str) and len(value) <= _LONGEST and value.isprintable() else ""
