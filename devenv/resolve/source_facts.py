"""What the source archive of a Python package says about its own build and its metadata, without running any of it."""

from __future__ import annotations

import ast
import dataclasses
import re
import warnings
from collections.abc import Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from devenv.doors.untrusted import from_toml
from devenv.errors import LockError
from devenv.fetch import source_file

_WANTED = ("PKG-INFO", "pyproject.toml", "setup.py", "setup.cfg")
_LEGACY = ("setuptools>=40.8.0", "wheel")
_LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
_COMPILED = re.compile(r".*\.(c|cc|cpp|cxx|cu|f|f90|f95|pyx|rs|s|S|m|mm)")
_COMPILERS = re.compile(
    r"(?i)(cffi|cython|mypy|mypyc|nanobind|numpy|pybind11|pythran|maturin|setuptools[-_.]rust|scikit[-_.]build"
    r"|scikit[-_.]build[-_.]core|meson[-_.]python|cmake|ninja)(?![-_.\w])"
)
"""Build requirements of packages that are compiled although their archive may hold no source of that kind."""
_ASIDE = re.compile(r"(?i)(tests?|docs?|doc|examples?|benchmarks?|samples?|demos?)/.*")
_PLAIN_BACKENDS = frozenset({"flit_core.buildapi", "flit.buildapi", "poetry.core.masonry.api", "hatchling.build"})
"""Backends that need nothing more than the archive lists, unless a hook of its own says so."""
_MOST_SCRIPT = 256 << 10
"""Characters of a setup.py that is parsed: its tree needs a thousand times the memory."""
_BACKEND = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(:[A-Za-z_][A-Za-z0-9_.]*)?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """`requires`: the build requirements that the archive lists; `metadata`: the core metadata where they are certain
    without a build (PEP 643), else None."""

    requires: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...]
    is_native: bool
    metadata: str | None


def facts(path: Path, file: str) -> SourceFacts:
    """The facts of the archive at `path`, called `file`. Raises LockError for one that cannot be read."""
    try:
        found = source_file.read(path, _WANTED)
        project = from_toml(found.texts.get("pyproject.toml", ""))
        requires, backend, backend_path = _build_system(project)
    except source_file.faults() as error:
        raise LockError(
            f"{file} cannot be read as the source of a Python package",
            detail=f"{type(error).__name__}: {error}", hint="take another version",
        ) from None  # fmt: skip
    compiled = any(_COMPILED.fullmatch(name) and not _ASIDE.fullmatch(name) for name in found.names)
    return SourceFacts(
        requires=requires,
        backend=backend,
        backend_path=backend_path,
        is_native=compiled or any(_COMPILERS.match(line) for line in requires),
        metadata=_certain(found, project, backend, backend_path),
    )


def _build_system(project: dict[str, Any]) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """(requirements, backend, its folders), as PEP 517 and 518 have them. Raises ValueError."""
    system = project.get("build-system")
    if system is None:
        return _LEGACY, _LEGACY_BACKEND, ()
    if not isinstance(system, dict):
        raise ValueError("pyproject.toml: build-system is not a table")
    requires, backend = system.get("requires", []), system.get("build-backend", _LEGACY_BACKEND)
    folders = system.get("backend-path", [])
    if not _texts(requires) or not _texts(folders) or not isinstance(backend, str) or not _BACKEND.fullmatch(backend):
        raise ValueError("pyproject.toml: build-system has values of other types")
    if backend.startswith("setuptools."):  # older releases make wheels with the help of `wheel`
        requires = [*requires, *(line for line in _LEGACY if not _names(requires, line))]
    return tuple(requires), backend, tuple(folders)


def _names(requires: Sequence[str], line: str) -> bool:
    name = re.split(r"[^\w.-]", line)[0]
    return any(re.split(r"[^\w.-]", each)[0].lower() == name for each in requires)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _certain(
    found: source_file.SourceFile, project: dict[str, Any], backend: str, backend_path: tuple[str, ...]
) -> str | None:
    """The metadata of PKG-INFO where neither they nor the build requirements can be others after a build."""
    text = found.texts.get("PKG-INFO", "")
    headers = HeaderParser().parsestr(text)
    version = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})", headers.get("Metadata-Version", ""))
    dynamic = {value.strip().lower() for value in headers.get_all("Dynamic", [])}
    if version is None or (int(version[1]), int(version[2])) < (2, 2):
        return None
    if dynamic & {"requires-dist", "requires-python", "provides-extra", "version", "name"} or backend_path:
        return None
    if backend in _PLAIN_BACKENDS:
        has_hooks = backend == "hatchling.build" and "hooks" in str(project.get("tool"))
        return None if has_hooks else text
    if backend.startswith("setuptools.build_meta"):
        return None if _asks_for_more(found) else text
    return None


def _asks_for_more(found: source_file.SourceFile) -> bool:
    """Whether setuptools may ask for further requirements: those that setup.py or setup.cfg name."""
    if "setup_requires" in found.texts.get("setup.cfg", ""):
        return True
    script = found.texts.get("setup.py")
    if script is None:
        return False
    if len(script) > _MOST_SCRIPT:
        return True
    try:
        with warnings.catch_warnings(action="ignore"):  # they are about a stranger's code
            tree = ast.parse(script)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    keywords = {keyword.arg for call in calls for keyword in call.keywords}
    # `setup(**arguments)` may hold anything.
    return "setup_requires" in keywords or None in keywords or "setup_requires" in script
