"""What pyproject.toml declares is what the package imports: no more, no less."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.source_trees import PACKAGE, nodes, trees

NOT_IMPORTED = {"tzdata": "zoneinfo reads its files where the system has none"}
EXTRAS = {
    "cryptography": ("sign", "cryptography"),
    "kingfisher_sdk": ("scan", "kingfisher-secret-scanner"),
}
"""Modules that only an extra installs: the extra, and its requirement."""
BROUGHT_ALONG = {"pydantic-core": "pydantic takes one version of it and no other"}


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    return project


def _requirements() -> tuple[Requirement, ...]:
    return tuple(map(Requirement, _project()["dependencies"]))


def _declared() -> set[str]:
    return {canonicalize_name(one.name) for one in _requirements()}


def _imported() -> set[str]:
    """The top-level modules that any module imports, anywhere in it."""
    found = set()
    for path in trees():
        for node in nodes(path):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"devenv"}


def test_declared_is_imported_and_imported_is_declared() -> None:
    providers = packages_distributions()
    used = {canonicalize_name(name) for module in _imported() - EXTRAS.keys() for name in providers[module]}
    assert used - _declared() == BROUGHT_ALONG.keys(), "declare it"
    assert _declared() - used == NOT_IMPORTED.keys(), "nothing imports it: take it out"


def test_extras_are_imported_and_declared() -> None:
    extras = _project()["optional-dependencies"]
    declared = {
        (extra, canonicalize_name(Requirement(one).name))
        for extra, requirements in extras.items()
        if extra != "dev"
        for one in requirements
    }
    assert declared == set(EXTRAS.values())
    assert EXTRAS.keys() <= _imported()


def test_a_library_whose_private_names_are_used_has_an_upper_bound() -> None:
    (bounds,) = (one.specifier for one in _requirements() if one.name == "modelscope-hub")
    assert "<" in {one.operator for one in bounds}
