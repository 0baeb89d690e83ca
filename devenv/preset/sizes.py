"""Sizes as presets have them: `512m`, `16g`, in powers of 1024."""

from __future__ import annotations

_UNITS = {"m": 1024**2, "g": 1024**3}


def bytes_of(size: str) -> int:
    """The number of bytes of a size that the preset model has accepted."""
    return int(size[:-1]) * _UNITS[size[-1]]
