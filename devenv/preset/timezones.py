"""Time zones by name: those in every distribution's `tzdata` package, and the successors of older names."""

from __future__ import annotations

from collections.abc import Iterator

_OTHERS = ("UTC", "Etc/UTC", *(f"Etc/GMT{hours:+d}" for hours in range(-14, 13) if hours))


def names() -> frozenset[str]:
    """Every zone of the IANA database that belongs to a place, UTC and the fixed offsets. Older names (`US/Pacific`)
    are in a package of their own in newer releases, so they are not among them."""
    rows = (line.split("\t") for line in _lines("zone.tab") if not line.startswith("#"))
    return frozenset((*(row[2] for row in rows if row[2:]), *_OTHERS))


def successor(name: str) -> str | None:
    """The name that an older one stands for; None for an unknown one."""
    links = (line.split() for line in _lines("tzdata.zi") if line.startswith("L "))
    target = next((row[1] for row in links if row[2:] == [name]), None)
    return target if target in names() else None


def _lines(name: str) -> Iterator[str]:
    from importlib.resources import files

    # From the package on PyPI: a host's own database may be missing, and a preset must be valid everywhere or nowhere.
    yield from (files("tzdata") / "zoneinfo" / name).read_text(encoding="utf-8").splitlines()
