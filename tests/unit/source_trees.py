"""The package's modules as syntax trees, parsed once for all tests that read them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import devenv

PACKAGE = Path(devenv.__file__).parent


@cache
def trees() -> Mapping[Path, ast.Module]:
    """File → its tree, sorted."""
    return MappingProxyType({
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py")) if "_share" not in path.parts
    })  # fmt: skip


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a module's tree."""
    return tuple(ast.walk(trees()[path]))
