"""Messages, hints and help texts keep to the plain words of docs/glossary.md and to one way of saying things."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pytest

from tests.unit.source_trees import PACKAGE, nodes, trees

WORST = (
    (r"\bthere is no \S+ (called|mode)\b|\bthere is no (preset|environment|file|image)\b", "unknown X; X does not exist"),
    (r"\bonce more\b|\banew\b|\bafresh\b", "again"),
    (r"\bwhat came\b|\bwhat (it|he) is told\b", "the downloaded data"),
    (r"\bwhoever\b|\btheirs\b|\bdid someone\b|\bwho writes\b|\bwhose (is|are)\b", "name the user or the process"),
    (r"\bcould not be (found out|kept|restarted)\b", "cannot determine …, cannot keep …"),
    (r"\b[Ll]eave the \S+ alone\b", "do not use …"),
    (r"\b[Aa]s of '", "same as for '…'"),
    (r"\b(leaves?|left) (the|its|a) \S+ open\b|\bis left open\b", "not pinned yet"),
    (r"\b(no|a) hub was asked\b|\basks no hub\b|\bno mirror (is|was) asked\b", "contacted"),
    (r"\bwhat answers\b|\bdoes not tell\b|\btells no\b|\bhas not (the|that|said)\b|\bis not there\b", "a subject, and its verb"),
    (r"\bof theirs\b|\bless what\b|\bran out of time\b|\bup for a look\b", "timed out; keeps running"),
)  # fmt: skip
"""What a message must not have, and what it has instead."""

_SINKS = {"echo", "error", "event", "fail", "message", "note", "stop", "warn", "warning", "blocker", "ok", "refuse"}
_KEYWORDS = {"help", "hint", "message", "remedy", "short_help"}


def _literals(node: ast.AST) -> Iterator[str]:
    """Every text that an expression can have, values in it left out."""
    if isinstance(node, ast.JoinedStr):
        yield "…".join(part.value for part in node.values if isinstance(part, ast.Constant))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for inner in ast.iter_child_nodes(node):
            yield from _literals(inner)


@functools.cache
def _modules() -> Mapping[str, Sequence[ast.AST]]:
    return {str(path.relative_to(PACKAGE.parent)): nodes(path) for path in trees()}


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def messages(module: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Line and text of what a module shows to users: arguments of errors, notes and findings, hints, help texts, and
    the docstrings of commands."""
    for node in module:
        if isinstance(node, ast.Call):
            name = _name(node)
            shown = node.args if name in _SINKS or name.endswith("Error") else []
            shown = [*shown, *(one.value for one in node.keywords if one.arg in _KEYWORDS)]
            yield from ((node.lineno, text) for argument in shown for text in _literals(argument))
        elif isinstance(node, ast.FunctionDef) and any("command" in ast.unparse(one) for one in node.decorator_list):
            yield node.lineno, ast.get_docstring(node) or ""


def faults(text: str) -> list[str]:
    """What is wrong with a message's words."""
    return [f"{found[0]!r}: write {better}" for worst, better in WORST if (found := re.search(worst, text))]


def test_messages_have_none_of_the_old_patterns() -> None:
    found = [
        f"{name}:{line}: {fault} in {text!r}"
        for name, module in _modules().items()
        for line, text in messages(module)
        for fault in faults(text)
    ]
    assert found == []


def test_hints_are_no_questions() -> None:
    found = [
        f"{name}:{call.lineno}: {text!r}"
        for name, module in _modules().items()
        for call in module
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg in {"hint", "remedy"}
        for text in _literals(keyword.value)
        if re.search(r"\?( |$)", text) and not text.startswith("did you mean ")  # as git and pip have it
    ]
    assert found == []


@pytest.mark.parametrize(
    "call",
    [
        'raise UsageError(f"there is no preset {name}")',
        'raise UsageError("no", hint="look at it, and once more")',
        'note(f"{name} could not be kept")',
        'click.option("--offline", help="Leave the network alone.")',
        'yield warning("disk", f"{a} left", "what came is kept")',
        '@click.command()\ndef run():\n    """Locked anew."""',
    ],
)
def test_an_old_pattern_is_found(call: str) -> None:
    found = [fault for _, text in messages(ast.walk(ast.parse(call))) for fault in faults(text)]
    assert len(found) == 1
