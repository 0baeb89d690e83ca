"""A YAML file changed in place: entries of one of its top-level keys are added, replaced or removed, and everything
else, comments and order included, stays as a person wrote it.

The result is read again and compared with what it should say, so a file in a style that is not understood is refused
and never spoiled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from devenv.doors.untrusted import from_yaml

_COMMA = re.compile(r"[ \t]*,[ \t]?")


class CannotEditError(Exception):
    """The file is written in a way that cannot be changed line by line."""


def add(text: str, key: str, values: Sequence[str] | Mapping[str, str]) -> str:
    """Add entries to the list or mapping at a top-level key, which is made at the end when it is not there. Raises
    CannotEditError."""
    if not values:
        return text
    node = _value(text, key)
    if node is None:
        before = text if not text or text.endswith("\n") else f"{text}\n"
        new = f"{before}\n{key}:\n" + "".join(f"  {line}\n" for line in _lines(values))
    elif isinstance(node, yaml.ScalarNode) and not node.value.strip("~").removeprefix("null"):
        end = _end_of_line(text, node.end_mark.index)
        head = text[: node.start_mark.index].rstrip(" ")
        new = head + text[node.end_mark.index : end] + "".join(f"\n  {line}" for line in _lines(values)) + text[end:]
    elif isinstance(node, yaml.SequenceNode | yaml.MappingNode):
        new = _into_flow(text, node, values) if node.flow_style else _into_block(text, node, values)
    else:
        raise CannotEditError(f"{key!r} is neither a list nor a mapping")
    return _checked(text, new, key, _sum(_data(text).get(key), values))


def replace(text: str, key: str, old: str, new: str) -> str:
    """Put `new` in the place of the list entry `old`. Raises CannotEditError."""
    node = _entry(text, key, old)
    changed = text[: node.start_mark.index] + _scalar(new, in_flow=True) + text[node.end_mark.index :]
    return _checked(text, changed, key, [new if one == old else one for one in _data(text)[key]])


def remove(text: str, key: str, old: str) -> str:
    """Take the list entry `old` out, in a block with the line that it stands on. Raises CannotEditError."""
    node = _entry(text, key, old)
    left = [one for one in _data(text)[key] if one != old]
    if (whole := _value(text, key)) is not None and getattr(whole, "flow_style", None):
        return _checked(text, _out_of_flow(text, whole.value, node), key, left)
    start, end = text.rfind("\n", 0, node.start_mark.index) + 1, _end_of_line(text, node.end_mark.index)
    if text[start : node.start_mark.index].strip() != "-":
        raise CannotEditError(f"{old!r} does not stand on a line of its own")
    changed = text[:start] + text[min(end + 1, len(text)) :]
    return _checked(text, changed, key, left or None)


def _value(text: str, key: str) -> yaml.Node | None:
    try:
        top = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CannotEditError((str(error).splitlines() or ["not YAML"])[0]) from None
    if top is None:
        return None
    if not isinstance(top, yaml.MappingNode) or top.flow_style:
        raise CannotEditError("its top is not a list of 'key: value' lines")
    return next((value for name, value in top.value if name.value == key), None)


def _entry(text: str, key: str, value: str) -> yaml.ScalarNode:
    node = _value(text, key)
    for one in node.value if isinstance(node, yaml.SequenceNode) else ():
        if isinstance(one, yaml.ScalarNode) and one.value == value:
            return one
    raise CannotEditError(f"{key!r} has no entry {value!r}")


def _into_block(text: str, node: Any, values: Sequence[str] | Mapping[str, str]) -> str:
    last = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    end = _end_of_line(text, _end_of(last))
    indent = " " * node.start_mark.column
    return text[:end] + "".join(f"\n{indent}{line}" for line in _lines(values)) + text[end:]


def _end_of(node: yaml.Node) -> int:
    """Where a node's own text ends; the end of a block collection is the start of what follows it."""
    if isinstance(node, yaml.ScalarNode) or getattr(node, "flow_style", None) or not node.value:
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            raise CannotEditError("its last entry is a text of several lines")
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end_of(last[1] if isinstance(last, tuple) else last)


def _into_flow(text: str, node: Any, values: Sequence[str] | Mapping[str, str]) -> str:
    entries = [
        f"{_scalar(name, in_flow=True)}: {_scalar(value, in_flow=True)}" for name, value in values.items()
    ] if isinstance(values, Mapping) else [_scalar(one, in_flow=True) for one in values]  # fmt: skip
    if node.value:
        last = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
        place = int(last.end_mark.index)
        return f"{text[:place]}, {', '.join(entries)}{text[place:]}"
    place = int(node.start_mark.index) + 1
    return f"{text[:place]}{', '.join(entries)}{text[place:]}"


def _out_of_flow(text: str, entries: Sequence[yaml.Node], node: yaml.Node) -> str:
    """Without the entry, and without the comma behind it or, of the last one, before it."""
    start, end = int(node.start_mark.index), int(node.end_mark.index)
    if comma := _COMMA.match(text, end):
        return text[:start] + text[comma.end() :]
    before = [one.end_mark.index for one in entries if one.end_mark.index < start]
    if before and (comma := _COMMA.match(text, before[-1])):
        return text[: before[-1]] + text[comma.end() : start] + text[end:]
    return text[:start] + text[end:]


def _lines(values: Sequence[str] | Mapping[str, str]) -> list[str]:
    if isinstance(values, Mapping):
        return [f"{_scalar(name)}: {_scalar(value)}" for name, value in values.items()]
    return [f"- {_scalar(one)}" for one in values]


def _scalar(value: str, *, in_flow: bool = False) -> str:
    """The text as a YAML scalar, quoted where it must be."""
    text = yaml.safe_dump([value] if in_flow else value, default_flow_style=True, width=10_000, allow_unicode=True)
    text = text.removesuffix("\n").removesuffix("\n...")
    return text[1:-1] if in_flow else text


def _end_of_line(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _data(text: str) -> dict[str, Any]:
    try:
        value = from_yaml(text)
    except ValueError as error:
        raise CannotEditError(str(error)) from None
    return value if isinstance(value, dict) else {}


def _sum(old: Any, values: Sequence[str] | Mapping[str, str]) -> Any:
    if isinstance(values, Mapping):
        return {**(old or {}), **values}
    return [*(old or []), *values]


def _checked(before: str, text: str, key: str, wanted: Any) -> str:
    """The changed text, if it says what it should, and of all other keys what it said before."""
    if _data(text) != {**_data(before), key: wanted}:
        raise CannotEditError(f"{key!r} is written in a way that cannot be changed line by line")
    return text
