"""What became of a project's files: for people, and as a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devenv.adopt.adopt import Adopted
from devenv.adopt.text import counted, losses
from devenv.preset.yaml.nodes import Mark, display


def lines(adopted: Adopted) -> Iterator[str]:
    """What was read, taken, changed and left out, one statement a line."""
    choice = adopted.choice
    yield f"read {', '.join(map(display, adopted.read))}"
    for path in adopted.passed_over:
        chosen = display(adopted.read[0])
        yield f"did not read {display(path)}: {chosen} has the packages; to use it: devenv init --from FILE"
    yield f"extends {choice.extends}{f': {choice.why}' if choice.why else ''}"
    if taken := counted(choice.lists):
        yield f"taken: {taken}"
    for entry in choice.lists.get("project", ()):
        yield f"follows pyproject.toml: {entry.name}: {entry.value}"
    for change in choice.changes:
        what = f"{change.asked} → {change.written}" if change.written else f"without {change.asked}"
        yield f"changed: {what}: {change.why} ({change.mark.where})"
    for words in losses(choice.left):
        yield f"left out: {words}"


def document(adopted: Adopted) -> dict[str, Any]:
    """The keys that `init --json` adds."""
    choice = adopted.choice
    return {
        "extends": choice.extends,
        "read": [str(path) for path in adopted.read],
        "passed_over": [str(path) for path in adopted.passed_over],
        "taken": {
            key: [{"name": entry.name, "value": entry.value, "from": entry.comment} for entry in entries]
            for key, entries in choice.lists.items()
        },
        "changed": [
            {"asked": change.asked, "written": change.written, "why": change.why, "where": _place(change.mark)}
            for change in choice.changes
        ],
        "left_out": [
            {"what": loss.what, "why": loss.why, "remedy": loss.remedy, "where": _place(loss.mark)}
            for loss in choice.left
        ],
    }  # fmt: skip


def _place(mark: Mark) -> dict[str, Any]:
    return {"file": str(mark.path), "line": mark.line, "column": mark.column}
