"""Versions compared as numbers, and specifiers that hold them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet


@functools.cache
def _set(text: str) -> SpecifierSet:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(text)


def allows(specifier: str, version: str) -> bool:
    """Whether a specifier holds a version (pre-releases and local parts such as `+cu128` too)."""
    return _set(specifier).contains(version.partition("+")[0], prereleases=True)


def numbers(version: str) -> tuple[int, ...]:
    """A version of numbers (driver, capability, CUDA) to compare: `525.60.13` → (525, 60, 13)."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
