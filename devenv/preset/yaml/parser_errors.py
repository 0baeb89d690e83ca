"""The YAML parser's complaints in plain words."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from devenv.preset.yaml.nodes import Mark
from devenv.preset.yaml.text import Source

MAX_DEPTH = 32
TOO_DEEP = f"nested more than {MAX_DEPTH} deep"
_QUOTE = "put text that begins with a sign, or holds ': ' or ' #', in quotes"
_UNCLOSED = "the quote that opens here is never closed"
_BACKSLASH = "write '\\\\' for a backslash, or use single quotes"
_INDENT = "check the indentation of this line and the one above"

# (part of the parser's context, part of its problem) → message, hint; True: point at where the construct begins.
_WORDS: tuple[tuple[str, str, str, str, bool], ...] = (
    ("quoted scalar", "unexpected end of stream", _UNCLOSED, "close it on the same line", True),
    ("quoted scalar", "document indicator", _UNCLOSED, "close it on the same line", True),
    ("quoted scalar", "escape", "an escape in double quotes that YAML does not know", _BACKSLASH, False),
    ("quoted scalar", "hexdecimal", "an escape in double quotes that YAML does not know", _BACKSLASH, False),
    ("", "mapping values are not allowed", "a ':' that cannot be here",
     "put text that holds ': ' in quotes, or " + _INDENT, False),
    ("simple key", "could not find expected ':'", "neither 'key: value' nor a part of the line above",
     "write a ':' and a space after the key", True),
    ("block mapping", "did not find expected key", "this does not fit the mapping above", _INDENT, False),
    ("block mapping", "expected <block end>", "this does not fit the mapping above", _INDENT, False),
    ("block collection", "", "this does not fit the list above",
     "entries begin with '- ', all in the same column", False),
    ("block sequence", "", "a list cannot begin here", _INDENT, False),
    ("", "block sequence entries are not allowed", "a list cannot begin here",
     "put it on the line below its key", False),
    ("block scalar", "", "this block of text is indented or headed wrongly",
     "write '|' and indent the text below", False),
    ("", "while scanning an alias", "'*' begins an alias", _QUOTE, False),
    ("alias", "", "'*' begins an alias, which needs a name", _QUOTE, False),
    ("anchor", "", "'&' begins an anchor, which needs a name", _QUOTE, False),
    ("tag", "", "'!' begins a tag, and tags are not supported", _QUOTE, False),
    ("directive", "", "'%' begins a YAML directive, and this one is not valid", _QUOTE, False),
    ("", "undefined tag handle", "'!' begins a tag, and tags are not supported", _QUOTE, False),
    ("", "directive", "a YAML directive that cannot be here", "remove the line that begins with '%'", False),
    ("", "sequence entries are not allowed", "a list cannot begin here", "put it on the line below its key", False),
    ("", "node content", "a value is missing, or begins with a sign that cannot begin one", _QUOTE, False),
    ("", "document separator", _UNCLOSED, "close it on the same line", True),
    ("", "maximum nesting depth", TOO_DEEP, "no preset needs that", False),  # libyaml's own limit, reached before ours
    ("", "<document start>", "text after the end of the document", _INDENT, False),
)  # fmt: skip


def explain(error: yaml.YAMLError, source: Source, opened: Sequence[Mark]) -> tuple[str, Mark | None, str | None]:
    """The mistake, its place, and the remedy. `opened`: the brackets that were open there."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return "not valid YAML", None, "check the file with an editor that knows YAML"
    problem, context = error.problem or "", error.context or ""
    at = error.problem_mark or error.context_mark
    begin = error.context_mark or at
    if at is None or begin is None:
        return "not valid YAML", None, "check the file with an editor that knows YAML"
    here = source.mark(at.line, at.column)
    if "cannot start any token" in problem:
        character = here.text[here.column - 1 : here.column]
        if character == "\t":
            return "a tab cannot indent a line", here, "indent with spaces"
        return f"text cannot begin with '{character}'", here, "put it in quotes"
    if "\t" in here.text[: len(here.text) - len(here.text.lstrip())]:
        return "a tab cannot indent a line", source.mark(at.line, here.text.index("\t")), "indent with spaces"
    if opened and "flow" in context:
        mark = opened[-1]
        sign = mark.text[mark.column - 1 : mark.column]
        close = "}" if sign == "{" else "]"
        return (
            f"the '{sign}' that opens here is not closed properly",
            mark,
            f"separate entries with ', ' and close with '{close}'",
        )
    for part, text, message, hint, from_begin in _WORDS:
        if part in context and text in problem:
            return message, source.mark(begin.line, begin.column) if from_begin else here, hint
    return f"not valid YAML: {problem}", here, _INDENT
