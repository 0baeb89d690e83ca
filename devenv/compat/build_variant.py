"""The build variant of a wheel, from the local part of its version: `2.13.0+cpu`, `2.10.0+cu128`."""

from __future__ import annotations

import re

ANY = "any"
"""As the wanted CUDA: any version, but not a CPU build."""


def local(version: str) -> str:
    """The local part; empty without one."""
    return version.partition("+")[2]


def built_for(version: str) -> str:
    """A CUDA as MAJOR.MINOR, else another variant's name (`cpu`); empty where the version has none."""
    word = local(version).partition(".")[0]
    if word in {"cpu", "xpu"} or word.startswith("rocm"):
        return word
    digits = re.fullmatch(r"cu(\d{2,})(\d)", word)
    return f"{digits[1]}.{digits[2]}" if digits else ""


def suits(version: str, cuda: str) -> bool:
    """Whether a version is allowed where CUDA `cuda` (MAJOR.MINOR, ANY, or empty for no wish) is wanted."""
    variant = built_for(version)
    if not cuda or not variant:
        return True
    return variant[0].isdigit() and (cuda == ANY or variant == ".".join(cuda.split(".")[:2]))
