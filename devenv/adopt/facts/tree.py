"""YAML, and JSON with comments, to nodes with their places: lenient, because other programs decide what is valid."""

from __future__ import annotations

import re

import yaml

from devenv.adopt.facts.document import Document
from devenv.preset.yaml.nodes import Mark, Node
from devenv.preset.yaml.problems import Problems

MOST_DEPTH = 48
MOST_NODES = 200_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = frozenset({"", "null", "Null", "NULL", "~"})
_JSON = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?(?:\*/|\Z)|\t|\\/', re.DOTALL)


def yaml_tree(document: Document, problems: Problems) -> Node | None:
    """The document's value; None for an empty one, or after adding a problem."""
    return _tree(document, document.text, problems, "YAML")


def jsonc_tree(document: Document, problems: Problems) -> Node | None:
    """The value of JSON with comments and trailing commas; None for an empty one, or after adding a problem."""
    return _tree(document, _JSON.sub(_blanked, document.text), problems, "JSON")


def _blanked(found: re.Match[str]) -> str:
    """A comment as blanks, so that all places stay; a text as it is."""
    text = found[0]
    if text.startswith('"'):
        return re.sub(r"[\t]", " ", text)
    return re.sub(r"[^\n]", " ", text)


def _tree(document: Document, text: str, problems: Problems, language: str) -> Node | None:
    try:
        reading = _LOADER(text)
        try:
            top = reading.get_single_node()
        finally:
            reading.dispose()
        return _Copy(document).node(top, 0) if top is not None else None
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = document.at(at.line + 1, at.column + 1) if at else document.at(1)
        problems.add(f"not valid {language}: {error.problem or error.context}", mark, hint="correct the file")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        why = (
            "nested too deep" if isinstance(error, RecursionError) else (str(error).splitlines() or ["not readable"])[0]
        )
        problems.add(f"not valid {language}: {why}", document.at(1), hint="correct the file")
    return None


class _Copy:
    """PyYAML's nodes to ours. Every scalar but null is text; aliases count as often as they are used."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0

    def node(self, source: yaml.Node, depth: int) -> Node:
        self._count += 1
        if depth > MOST_DEPTH or self._count > MOST_NODES:
            raise ValueError("nested too deep" if depth > MOST_DEPTH else f"more than {MOST_NODES:,} values")
        mark = self._mark(source)
        if isinstance(source, yaml.MappingNode):
            entries: dict[str, Node] = {}
            for key, value in source.value:
                if isinstance(key, yaml.ScalarNode):
                    entries[key.value] = self.node(value, depth + 1)
            return Node(value=entries, mark=mark)
        if isinstance(source, yaml.SequenceNode):
            return Node(value=tuple(self.node(item, depth + 1) for item in source.value), mark=mark)
        text = str(source.value)
        return Node(value=None if text in _NULL and not getattr(source, "style", None) else text, mark=mark)

    def _mark(self, source: yaml.Node) -> Mark:
        start = source.start_mark
        return self._document.at(start.line + 1, start.column + 1)


def text(node: Node | None) -> str:
    """A scalar's text; empty for anything else."""
    return node.value if node is not None and isinstance(node.value, str) else ""


def items(node: Node | None) -> tuple[Node, ...]:
    """A list's items; empty where there is none."""
    return node.items if node is not None else ()


def at(node: Node | None, *keys: str) -> Node | None:
    """The node below some keys; None where there is none."""
    for key in keys:
        node = node.entries.get(key) if node is not None else None
    return node
