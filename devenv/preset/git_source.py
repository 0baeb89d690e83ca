"""Packages that Poetry and uv take from a git repository, as requirements that a preset can have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packaging.requirements import InvalidRequirement

from devenv.preset.repository import repository
from devenv.preset.requirement import parsed


def from_git(text: str, details: Mapping[str, Any]) -> str | None:
    """The requirement `text` (name, extras and condition count) taken from the repository of `details`; None where a
    lock cannot have it."""
    try:
        asked = parsed(text)
    except InvalidRequirement:
        return None
    revision = next((details[key] for key in ("rev", "tag", "branch") if key in details), "")
    folder = details.get("subdirectory", "")
    extras = f"[{','.join(sorted(asked.extras))}]" if asked.extras else ""
    address = (
        f"git+{details.get('git')}"
        + (f"@{revision}" if revision else "")
        + (f"#subdirectory={folder}" if folder else "")
    )
    found = f"{asked.name}{extras} @ {address}" + (f" ; {asked.marker}" if asked.marker else "")
    try:
        return found if repository(found) else None
    except InvalidRequirement:
        return None
