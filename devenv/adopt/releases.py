"""Pinned releases against the tables of wheels: what has none for a Python, and what needs another package besides."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.specifiers import SpecifierSet

from devenv.adopt.packages import Wish
from devenv.compat import wheels
from devenv.compat.versions import allows
from devenv.preset.yaml.problems import Problems


def misfit(wish: Wish, python: str) -> tuple[str, str] | None:
    """A pinned release that has no wheel for a Python: the mistake, and the nearest releases that have one."""
    if wish.version is None or wish.other:
        return None
    found = wheels.wheels_of(wish.name, wish.version)
    if found is None or allows(found.python, f"{python}.0"):
        return None
    minors = [f"3.{minor}" for minor in range(4, 20) if allows(found.python, f"3.{minor}.0")]
    there = wheels.nearest(wish.name, wish.version, python)
    hint = f"nearest that works: {wish.name} {there.words()}" if there else "choose another version"
    return f"{wish.name} {wish.version} has wheels for Python {minors[0]} to {minors[-1]}, not {python}", hint


def needs(pinned: Mapping[str, str], wishes: Mapping[str, Wish], problems: Problems) -> dict[str, str]:
    """What releases need besides (`numpy<2`), each with the reason: to be added where the wishes leave it free; a
    mistake where another version is pinned. `pinned`: versions by name."""
    added: dict[str, str] = {}
    for package, version in pinned.items():
        need = wheels.needs(package, version)
        if need is None:
            continue
        name, _, limit = need.partition("<")
        asked = wishes.get(name)
        reason = f"{package} {version} was compiled for it"
        if asked is None:
            added.setdefault(need, reason)
        elif asked.version and not SpecifierSet(f"<{limit}").contains(asked.version, prereleases=True):
            place = f" ({wishes[package].mark.where})" if package in wishes else ""
            problems.add(
                f"{package} {version}{place} was compiled for {need}, not for {asked.text}", asked.mark,
                hint=f"nearest that works: {need}, or a newer {package}",
            )  # fmt: skip
        elif not asked.version and not any(one.operator in {"<", "<=", "~="} for one in asked.specifier):
            added.setdefault(f"{asked.text},<{limit}" if asked.specifier else need, reason)
    return added
