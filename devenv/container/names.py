"""The names that an environment can have."""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def is_name(name: str) -> bool:
    """Whether an environment can have this name."""
    return _NAME.fullmatch(name) is not None
