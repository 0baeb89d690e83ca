"""setup.py and setup.cfg: what is written there as plain lists. The script is parsed, never run."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Mapping

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.readers import project_build, requirements

_WHY = "only its execution tells what the project needs, and nothing of it is executed"
_REMEDY = "add the packages to 'pip' in devenv.yaml"


def read(document: Document, reading: Reading) -> None:
    """The lists `install_requires` and `python_requires` of a call of `setup`."""
    try:
        tree = ast.parse(document.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        reading.leave(document.path.name, "it is no Python that devenv can parse", document.at(1), remedy=_REMEDY)
        return
    names = _assigned(tree)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) == "setup"]
    found = False
    for keyword in (each for call in calls for each in call.keywords):
        value = _resolved(keyword.value, names)
        if keyword.arg == "install_requires" and isinstance(value, ast.List | ast.Tuple):
            found = True
            for item in value.elts:
                if isinstance(item, ast.Constant) and isinstance(item.value, str):
                    mark = document.at(item.lineno, item.col_offset + 1)
                    requirements.lines(item.value, mark, reading)
        elif keyword.arg == "python_requires" and isinstance(value, ast.Constant) and isinstance(value.value, str):
            reading.take(Kind.PYTHON, value.value, document.at(value.lineno, value.col_offset + 1))
    if not found:
        reading.leave(document.path.name, _WHY, document.at(1), remedy=_REMEDY)
        return
    why = "its build script decides what it does"
    reading.leave("the project's own package", why, document.at(1), remedy=project_build.REMEDY)


def read_cfg(document: Document, reading: Reading) -> None:
    """`install_requires` and `python_requires` of `[options]`."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    try:
        parser.read_string(document.text)
    except configparser.Error:
        reading.leave(document.path.name, "it is no setup.cfg that devenv can parse", document.at(1), remedy=_REMEDY)
        return
    options = parser["options"] if parser.has_section("options") else {}
    for key, kind in (("install_requires", None), ("python_requires", Kind.PYTHON)):
        for line in (options.get(key) or "").splitlines():
            if not line.strip() or line.strip().startswith(("#", "file:")):
                continue
            mark = document.mark(max(0, document.text.find(line.strip())))
            if kind is None:
                requirements.one(line.strip(), mark, reading)
            else:
                reading.take(kind, line.strip(), mark)


def lists(document: Document) -> bool:
    """Whether a setup.cfg lists dependencies."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    try:
        parser.read_string(document.text)
    except configparser.Error:
        return False
    return bool((parser.get("options", "install_requires", fallback="") or "").strip())


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """The names of a module's top that are assigned once, to anything."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    return found


def _resolved(value: ast.expr, names: Mapping[str, ast.expr]) -> ast.expr:
    return names.get(value.id, value) if isinstance(value, ast.Name) else value


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
