"""Poetry's own table of dependencies: its version ranges and sources in the form of PEP 440 and PEP 508."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from devenv.preset.git_source import from_git
from devenv.preset.yaml.problems import quote


def requirement(name: str, wish: Any) -> tuple[str, str]:
    """One entry as a requirement, and the kind of its source (`path`, `url`, …) where that is no index and no
    repository that a lock can have. Raises ValueError for a version range that is none of Poetry's."""
    details = wish if isinstance(wish, dict) else {"version": wish}
    kind = next((key for key in ("git", "path", "url", "file") if key in details), "")
    extras = details.get("extras")
    listed = ",".join(extra for extra in extras if isinstance(extra, str)) if isinstance(extras, list) else ""
    named = f"{name}[{listed}]" if listed else name
    if kind == "git" and (taken := from_git(f"{named}{_condition(details)}", details)):
        return taken, ""
    version = details.get("version", "*")
    specifier = "" if kind else pep440(version) if isinstance(version, str) else None
    if specifier is None:
        raise ValueError(f"{quote(str(version))} is not a version range of Poetry")
    return f"{named}{specifier}{_condition(details)}", kind


def _condition(details: Mapping[str, Any]) -> str:
    parts = []
    if isinstance(markers := details.get("markers"), str):
        parts.append(f"({markers})")
    if isinstance(python := details.get("python"), str) and (specifier := pep440(python)):
        parts += [f"python_version {one.operator} '{one.version}'" for one in SpecifierSet(specifier)]
    if isinstance(platform := details.get("platform"), str):
        parts.append(f"sys_platform == '{platform}'")
    return " ; " + " and ".join(parts) if parts else ""


def pep440(text: str) -> str | None:
    """`^1.2`, `~1.2`, `1.2.*`, `1.2`, `*`, `>=1,<2` of Poetry as a specifier; None for another form. Of alternatives
    (`^3.8 || ^3.10`) the last counts."""
    parts = [part.strip() for part in re.split(r"\|\|?", text)[-1].split(",")]
    found = []
    for part in parts:
        if part in {"", "*"}:
            continue
        for word in re.findall(r"[^\s]+(?:\s+(?=[0-9])[^\s]+)?", part) if " " in part else [part]:
            one = _clause(re.sub(r"\s+", "", word))
            if one is None:
                return None
            found.append(one)
    return ",".join(found)


def _clause(part: str) -> str | None:
    sign, version = re.fullmatch(r"(\^|~(?!=)|~=|===?|!=|<=?|>=?|=)?(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]
    numbers = re.match(r"v?([0-9]+(?:\.[0-9]+)*)", version)
    if not numbers or len(version) > 100:
        return None
    release = [int(number[:9]) for number in numbers[1].split(".")]
    if sign == "^":
        at = next((place for place, number in enumerate(release) if number), len(release) - 1)
        upper = [*release[:at], release[at] + 1]
        found = f">={version},<{'.'.join(map(str, upper))}"
    elif sign == "~":
        upper = [release[0] + 1] if len(release) == 1 else [release[0], release[1] + 1]
        found = f">={version},<{'.'.join(map(str, upper))}"
    else:
        found = f"{'==' if sign in (None, '=') else sign}{version}"
    try:
        SpecifierSet(found)
    except InvalidSpecifier:
        return None
    return found
