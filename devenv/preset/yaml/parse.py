"""YAML to nodes: a strict subset, with positions.

Built on PyYAML's events (the C parser where it is there), not on its loaders, which accept duplicate keys and read
3.10 as 3.1. Here only null, true, false and decimal integers are not text; every key is text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import yaml

from devenv.preset.yaml import parser_errors
from devenv.preset.yaml.nodes import Mark, Node
from devenv.preset.yaml.problems import Problems, quote
from devenv.preset.yaml.text import Source

MAX_NODES = 20_000
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = frozenset({"null", "Null", "NULL", "~"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
# Escapes in double quotes can add characters that the file itself may not hold; a terminal would act on some.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def parse(source: Source, problems: Problems) -> Node:
    """The file's one mapping. Adds mistakes to `problems`; stops when the rest cannot be read."""
    return _Builder(source, problems).document()


class _Builder:
    def __init__(self, source: Source, problems: Problems) -> None:
        self._source = source
        self._problems = problems
        self._events: Iterator[yaml.Event] = yaml.parse(source.text, Loader=_PARSER)
        self._anchors: dict[str, Node | None] = {}  # None while the anchored value is still open
        self._nodes = 0
        self._open: list[Mark] = []  # where each '[' and '{' that is not closed yet stands

    def document(self) -> Node:
        event = self._next()
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = self._next()
        if isinstance(event, yaml.StreamEndEvent) or _empty(event):
            self._problems.stop(
                "the file is empty", None, hint="begin with 'extends: NAME' ('devenv presets' lists them)"
            )
        top = self._node(event, 0)
        if not isinstance(top.value, dict):
            self._problems.stop(
                "a preset is a mapping of keys to values at its top",
                top.mark,
                hint="write 'key: value' lines",
            )
        while not isinstance(event := self._next(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                self._problems.stop(
                    "a second document begins here, but a preset is one document",
                    self._mark(event),
                    hint="remove the line '---', or put the rest into a file of its own",
                )
        return top

    def _next(self) -> yaml.Event:
        try:
            return next(self._events)
        except yaml.YAMLError as error:
            message, mark, hint = parser_errors.explain(error, self._source, self._open)
            self._problems.stop(message, mark, hint=hint)

    def _mark(self, event: yaml.Event) -> Mark:
        start = event.start_mark
        assert start is not None
        return self._source.mark(start.line, start.column)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        mark = self._mark(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, mark)
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        self._count(1, mark)
        if depth > parser_errors.MAX_DEPTH:
            self._problems.stop(parser_errors.TOO_DEEP, mark, hint="no preset needs that")
        if event.tag is not None:
            self._problems.add(
                f"tags such as {quote(event.tag)} are not supported",
                mark,
                hint="write the plain value, without '!'",
            )
        anchor: str | None = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        flow = isinstance(event, yaml.CollectionStartEvent) and bool(event.flow_style)
        if flow:
            self._open.append(mark)
        if isinstance(event, yaml.MappingStartEvent):
            node = self._mapping(mark, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(mark, depth)
        else:
            assert isinstance(event, yaml.ScalarEvent)
            node = Node(value=self._scalar(event, mark), mark=mark)
        if flow:
            self._open.pop()
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent, mark: Mark) -> Node:
        anchor = str(event.anchor)
        name = quote("*" + anchor)
        if anchor not in self._anchors:
            hint = f"define it above with {quote('&' + anchor)}, or put the text in quotes"
            self._problems.stop(f"the alias {name} is not defined", mark, hint=hint)
        node = self._anchors[anchor]
        if node is None:
            self._problems.stop(f"the alias {name} stands for a value that contains it", mark)
        self._count(node.size, mark)
        return node

    def _count(self, nodes: int, mark: Mark) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._problems.stop(
                f"more than {MAX_NODES:,} values, aliases expanded", mark, hint="no preset needs that many"
            )

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> bool | int | str | None:
        text: str = event.value
        if bad := _CONTROL.search(text):
            self._problems.add(f"the character U+{ord(bad[0]):04X} cannot be in a value", mark, hint="remove it")
        if not event.implicit[0] or event.tag is not None:
            return text
        if text == "" or text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        return int(text) if _INT.fullmatch(text) else text

    def _sequence(self, mark: Mark, depth: int) -> Node:
        items: list[Node] = []
        number = 0
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            number += 1
            item = dataclasses.replace(self._node(event, depth + 1), number=number)
            if _empty(event):
                self._problems.add("this list entry is empty", item.mark, hint="give it a value or remove the line")
            else:
                items.append(item)
        return Node(value=tuple(items), mark=mark, size=1 + sum(item.size for item in items))

    def _mapping(self, mark: Mark, depth: int) -> Node:
        entries: dict[str, Node] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key_mark = self._mark(event)
            key = self._key(event, key_mark, depth)
            event = self._next()
            node = dataclasses.replace(self._node(event, depth + 1), key=key_mark)
            if key is None:
                continue
            if key in entries:
                self._problems.add(
                    f"{quote(key)} is given twice", key_mark,
                    hint=f"line {entries[key].place.line} gives it first; keep one",
                )  # fmt: skip
                continue
            if _empty(event):
                self._problems.add(
                    f"{quote(key)} has no value", key_mark,
                    hint="write 'null' to drop what is inherited, or remove the line",
                )  # fmt: skip
            entries[key] = node
        return Node(value=entries, mark=mark, size=1 + sum(node.size for node in entries.values()))

    def _key(self, event: yaml.Event, mark: Mark, depth: int) -> str | None:
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
            self._problems.add("merge keys ('<<') are not supported", mark, hint="use 'extends', or write the keys out")
            return None
        node = self._node(event, depth + 1)
        if isinstance(node.value, dict | tuple):
            self._problems.add(f"a key is plain text, not {'a mapping' if node.entries else 'a list'}", mark)
            return None
        return event.value if isinstance(event, yaml.ScalarEvent) else str(node.value)


def _empty(event: yaml.Event) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == "" and bool(event.implicit[0])
