"""The house: folders in the order of the data-flow line, side effects in their doors, nothing in a circle, nothing long."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.unit.source_trees import PACKAGE, nodes, trees

# The data-flow line of docs/architecture.md. A folder imports only what stands before it.
LINE = (
    "errors", "doors", "preset", "compat", "lock", "fetch", "resolve", "plan", "render", "build", "secrets", "adopt", "container",
    "checks", "weights", "doctor", "checkpoint", "up", "verify", "drift", "snapshot", "share", "remote",
    "cluster", "cli", "__main__",
)  # fmt: skip
# What may be imported where, and nowhere else: top-level names of modules to folders or modules of ours.
DOORS = {
    "subprocess": ("doors.process", "doors.streams"),
    "docker": ("doors.docker",),
    "rich": ("doors.terminal",),
    "urllib3": ("doors.http", "doors.docker"),
    "requests": ("doors.docker",),
    "huggingface_hub": ("doors.http",),
    "modelscope_hub": ("doors.http",),
    "pynvml": ("doors.machine",),
    "kingfisher_sdk": ("doors.kingfisher",),
}
ENVIRONMENT = ("doors.process", "doors.settings", "cli")
MOST_LINES = 400
MOST_PARAMETERS = 5


def _modules() -> dict[str, Path]:
    """Name (below `devenv`) to file; a package goes by its folder's name."""
    found = {}
    for path in trees():
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _nodes(module: str) -> tuple[ast.AST, ...]:
    return nodes(MODULES[module])


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Every imported name in full, inside functions and under TYPE_CHECKING too."""
    return tuple(_imported(_nodes(module)))


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _ours(module: str) -> Iterator[str]:
    """The modules of ours that a module imports."""
    for name in _imports(module):
        if name.startswith("devenv."):
            inner = name.removeprefix("devenv.")
            yield inner if inner in MODULES else inner.rpartition(".")[0]


def _is_in(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def _folder(module: str) -> str:
    """The folder that holds a module; its own name for a package, and for a module at the top."""
    if MODULES[module].name == "__init__.py":
        return module
    return module.rpartition(".")[0] or module


def _reads_environment(nodes: Iterable[ast.AST]) -> bool:
    """By any of its names: `os.environ`, `os.getenv`, `from os import environ`, their bytes."""
    names = {"environ", "environb", "getenv", "getenvb"}
    return any(
        (isinstance(node, ast.Attribute) and node.attr in names)
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and names & {one.name for one in node.names})
        for node in nodes
    )


def test_a_folder_imports_only_what_stands_before_it_on_the_line() -> None:
    wrong = [
        f"{module} imports {other}"
        for module in MODULES
        for other in _ours(module)
        if module and other and LINE.index(other.split(".")[0]) > LINE.index(module.split(".")[0])
    ]
    assert wrong == []


def test_no_folders_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        for other in _ours(module):
            if module and other and _folder(module) != _folder(other):
                graph.setdefault(_folder(module), set()).add(_folder(other))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {error.args[1]}")


@pytest.mark.parametrize("library", DOORS)
def test_a_side_effect_has_one_door(library: str) -> None:
    users = {module for module in MODULES if any(one.split(".")[0] == library for one in _imports(module))}
    assert users, f"nothing uses {library}: take it out of the table"
    assert {module for module in users if not _is_in(module, DOORS[library])} == set()


def test_only_settings_processes_and_the_command_line_read_the_environment() -> None:
    readers = {module for module in MODULES if _reads_environment(_nodes(module))}
    assert {module for module in readers if not _is_in(module, ENVIRONMENT)} == set()


@pytest.mark.parametrize(
    "line",
    ["import os; os.environ['A']", "import os; os.getenv('A')", "from os import environ", "from os import getenv as x"],
)
def test_every_way_to_read_the_environment_is_seen(line: str) -> None:
    assert _reads_environment(ast.walk(ast.parse(line)))


def test_nothing_prints_by_itself() -> None:
    printing = {
        module
        for module in MODULES
        for node in _nodes(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing == set()


def test_modules_stay_small() -> None:
    lines = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: count for module, count in lines.items() if count > MOST_LINES} == {}


def test_no_function_takes_a_row_of_values_by_position() -> None:
    """What travels together is one value. A command's parameters are its options, which click gives by name."""
    long = [
        f"{module}.{node.name}"
        for module in MODULES
        for node in _nodes(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and len([one for one in (*node.args.posonlyargs, *node.args.args) if one.arg not in ("self", "cls")])
        > MOST_PARAMETERS
        and not (module.startswith("cli.") and "pass_app" in map(ast.unparse, node.decorator_list))
    ]
    assert long == []


def test_no_process_takes_modules_from_the_folder_where_it_starts() -> None:
    """It may be a stranger's project, with a package called devenv."""
    without = []
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.List | ast.Tuple):
                words = [one.value if isinstance(one, ast.Constant) else "" for one in node.elts]
                runs = any(a == "-m" and str(b).startswith("devenv") for a, b in itertools.pairwise(words))
                if runs and "-P" not in words:
                    without.append(f"{module}:{node.lineno}")
    assert without == []


def test_unit_tests_lie_where_their_modules_lie() -> None:
    """Folder for folder. Tests of other parts of the repository have folders of their own."""
    top = Path(__file__).parent
    folders = {path.parent.relative_to(top).as_posix() for path in top.rglob("test_*.py")} - {"."}
    packages = {module.replace(".", "/") for module, path in MODULES.items() if path.name == "__init__.py"}
    assert folders - packages == {"assets", "completions", "docs", "ocr"}


def test_no_folder_of_tests_is_left_out(pytestconfig: pytest.Config) -> None:
    """pytest leaves folders called `build` and `dist` out unless it is told otherwise."""
    left_out = pytestconfig.getini("norecursedirs")
    folders = {path.parent for path in Path(__file__).parents[1].rglob("test_*.py")}
    names = {part for folder in folders for part in folder.relative_to(Path(__file__).parents[2]).parts}
    assert {name for name in names if any(fnmatch(name, pattern) for pattern in left_out)} == set()
