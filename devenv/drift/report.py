"""A drift for people and for programs."""

from __future__ import annotations

import dataclasses
from typing import Any

from devenv.doors.terminal.console import bytes_text
from devenv.drift.diff import Drift
from devenv.drift.items import Item
from devenv.drift.write_patch import Written

_SIGNS = {"added": "+", "removed": "-", "changed": "~", "edited": "~", "editable": "+"}


def row(item: Item) -> tuple[str, str, str, str]:
    """(sign, name, versions or values, remarks) of a table."""
    versions = f"{item.was} → {item.now}" if item.was and item.now else item.now or item.was
    remarks = [
        *([_edited(item)] if item.change == "edited" else []),
        *(["editable"] if item.change == "editable" else []),
        *([item.origin] if item.origin else []),
        *([item.note] if item.note else []),
        *([bytes_text(item.bytes)] if item.bytes and item.kind in ("file", "settings") else []),
        *(["dependency"] if item.kind in ("python", "apt") and not item.asked_for and item.change == "added" else []),
    ]
    return _SIGNS[item.change], item.name, versions, ", ".join(remarks)


def _edited(item: Item) -> str:
    """`core.py and 3 more inside it are changed`."""
    more = f" and {len(item.paths) - 1} more" if len(item.paths) > 1 else ""
    return f"{item.paths[0]}{more} inside it {'are' if more else 'is'} changed"


def as_json(drift: Drift) -> dict[str, Any]:
    """The document of `devenv diff --json` (docs/reference/json.md)."""
    return {
        "environment": drift.environment,
        "image": drift.image,
        "lock_digest": drift.lock.digest,
        "equal": not drift.items,
        "items": [{**dataclasses.asdict(one), "paths": list(one.paths)} for one in drift.items],
        "noise": drift.noise,
        "volumes": [dataclasses.asdict(one) for one in drift.volumes],
    }


def patch_json(written: Written) -> dict[str, Any]:
    """The document of `devenv diff --patch --json`."""
    found = written.patch
    return {
        "file": str(written.file),
        "change": written.change,
        "add": {key: list(entries) for key, entries in found.add.items()},
        "replace": {key: dict(pairs) for key, pairs in found.replace.items()},
        "remove": {key: list(entries) for key, entries in found.remove.items()},
        "files": dict(found.files),
        "refresh": dict(found.refresh),
        "left": [dataclasses.asdict(one) for one in written.left],
    }
