"""A choice as the text of a devenv.yaml, each value with the place that it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from devenv.adopt.accelerator import Setting
from devenv.adopt.choice import Choice
from devenv.adopt.facts.facts import Loss
from devenv.adopt.packages import Change, Entry
from devenv.adopt.places import PROJECT
from devenv.preset.yaml.nodes import display

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./+=~<>!\[\]-]*(,[A-Za-z0-9_.<>=!~-]+)*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off"})
_FLAGS = frozenset({"true", "false"})
_WIDTH = 118
_MOST_NAMED = 20
"""Losses of one reason: an exported environment of conda has hundreds of libraries."""


def yaml_text(choice: Choice, name: str, schema: str, read: Sequence[Path]) -> str:
    """The file's text; it ends with a line break."""
    return "\n".join(_lines(choice, name, schema, read)) + "\n"


def _lines(choice: Choice, name: str, schema: str, read: Sequence[Path]) -> Iterator[str]:
    yield f"# yaml-language-server: $schema={schema}"
    yield "#"
    yield from _wrapped(f"Made by 'devenv init --from' of: {', '.join(map(display, read))}.")
    yield "# What is written here is laid over the preset that it extends."
    yield "#   devenv validate   checks this file        devenv show   what it all adds up to"
    yield "#   devenv up         makes it and starts it"
    yield ""
    yield _commented(f"extends: {choice.extends}", choice.why)
    yield f"name: {scalar(name)}"
    for key, setting in choice.settings.items():
        yield from _setting(key, setting)
    for entry in choice.lists.get("project", ()):
        yield ""
        yield _commented(f"{entry.name}: {entry.value}", entry.comment)
    for key in ("pip", "apt"):
        yield from _list(key, choice.lists.get(key, ()))
    for key in ("env", "ports", "volumes"):
        yield from _mapping(key, choice.lists.get(key, ()))
    yield from _setup(choice.lists.get("setup", ()))
    yield from _changes(choice.changes)
    yield from _left(choice.left)


def _setting(key: str, setting: Setting) -> Iterator[str]:
    value = setting.value
    if value is None:
        yield _commented(f"{key}: null", setting.comment)
    elif isinstance(value, str):
        yield _commented(f"{key}: {scalar(value)}", setting.comment)
    elif not value:
        yield _commented(f"{key}: {{}}", setting.comment)
    else:
        yield _commented(f"{key}:", setting.comment)
        for name, inner in value.items():
            yield f"  {name}: {inner if inner in _FLAGS else scalar(inner)}"


def _list(key: str, entries: Sequence[Entry]) -> Iterator[str]:
    if entries:
        yield ""
        yield f"{key}:"
        for entry in entries:
            key = f"{entry.name}: " if entry.name else ""
            yield _commented(f"  - {key}{scalar(entry.value)}", entry.comment)


def _mapping(key: str, entries: Sequence[Entry]) -> Iterator[str]:
    if not entries:
        return
    yield ""
    yield f"{key}:"
    for entry in entries:
        value = (
            entry.value
            if key == "ports"
            else json.dumps(entry.value, ensure_ascii=False)
            if key == "env"
            else scalar(entry.value)
        )
        yield _commented(f"  {scalar(entry.name)}: {value}", entry.comment)


def _setup(entries: Sequence[Entry]) -> Iterator[str]:
    if not entries:
        return
    yield ""
    yield "setup: # commands after the first start, in /workspace"
    for entry in entries:
        yield _commented(f"  {entry.name}:", entry.comment)
        if entry.name == PROJECT:
            yield f"    run: [{entry.value}]"
            yield "    once: container"
        else:
            yield f"    run: [bash, -c, {json.dumps(entry.value, ensure_ascii=False)}]"


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    if changes:
        yield ""
        yield "# Changed:"
    for change in changes:
        what = f"{change.asked} → {change.written}" if change.written else f"without {change.asked}"
        yield from _wrapped(f"- {what}: {change.why} ({change.mark.where})", indent="#   ")


def _left(left: Sequence[Loss]) -> Iterator[str]:
    if left:
        yield ""
        yield "# Left out:"
    for words in losses(left):
        yield from _wrapped(f"- {words}", indent="#   ")


def losses(left: Sequence[Loss]) -> Iterator[str]:
    """Losses in words, those of one reason and one remedy together."""
    groups: dict[tuple[str, str], list[Loss]] = {}
    for loss in left:
        groups.setdefault((loss.why, loss.remedy), []).append(loss)
    for (why, remedy), group in groups.items():
        what = ", ".join(f"{loss.what} ({loss.mark.where})" for loss in group[:_MOST_NAMED])
        what += f" and {len(group) - _MOST_NAMED} more" if len(group) > _MOST_NAMED else ""
        yield f"{what}: {why}; {remedy}"


def _wrapped(text: str, indent: str = "# ") -> Iterator[str]:
    """Comment lines of a width that can be read."""
    import textwrap

    clean = "".join(character if character.isprintable() else " " for character in text)
    for number, line in enumerate(
        textwrap.wrap(clean, _WIDTH - len(indent) - 2, break_long_words=False, break_on_hyphens=False)
    ):
        yield f"{indent}{'  ' if number and indent != '# ' else ''}{line}"


def _commented(text: str, comment: str) -> str:
    clean = "".join(character if character.isprintable() else " " for character in comment)
    return f"{text} # {clean}" if clean else text


def scalar(value: str) -> str:
    """A YAML scalar that loads as this text."""
    safe = (
        _PLAIN.fullmatch(value) and value.lower() not in _WORDS and not value.endswith((":", "]")) and "[" not in value
    )
    return value if safe else json.dumps(value, ensure_ascii=False)


def counted(lists: Mapping[str, Sequence[Entry]]) -> str:
    """What was taken, in words: `12 Python packages, 1 port`."""
    nouns = {
        "project": "Python package", "pip": "Python package", "apt": "Debian package", "env": "variable",
        "ports": "port", "volumes": "volume", "setup": "setup step",
    }  # fmt: skip
    counts: dict[str, int] = {}
    for key, entries in lists.items():
        counts[nouns[key]] = counts.get(nouns[key], 0) + sum(entry.count for entry in entries)
    return ", ".join(f"{count} {noun}{'s' if count > 1 else ''}" for noun, count in counts.items() if count)
