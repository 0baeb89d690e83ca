"""Requirements of Python packages (PEP 508) that others wrote."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_HUGE = re.compile(r"[0-9]{1000}")
"""Python makes no number of more than 4,300 digits, and packaging makes numbers of a version's parts late."""


def parsed(text: str) -> Requirement:
    """A requirement. Raises InvalidRequirement, also for parentheses that are nested too deep for packaging, and for
    numbers that are too long for it."""
    if _HUGE.search(text):
        raise InvalidRequirement("a number in it has more than 999 digits")
    try:
        return Requirement(text)
    except InvalidRequirement:
        if text.startswith("git+"):
            raise InvalidRequirement("it has no name; write NAME @ git+https://HOST/PATH@REVISION") from None
        raise
    except RecursionError as error:
        raise InvalidRequirement(str(error)) from None


def name_of(text: str) -> str:
    """The normalised name of a requirement's package; empty for what is no requirement."""
    try:
        return canonicalize_name(parsed(text).name)
    except InvalidRequirement:
        return ""
