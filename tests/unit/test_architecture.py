from __future__ import annotations

import ast
from pathlib import Path

import devenv

PACKAGE = Path(devenv.__file__).parent


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found


def _modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if "_share" not in path.parts
    }


# The data-flow line of docs/architecture.md. A room may import rooms that stand before it, and the doors.
LINE = (
    ("preset",), ("compat",), ("lock",), ("sources", "artifacts", "fetch"), ("rootfs",), ("sbom",), ("services",), ("content",), ("parts",), ("plan",), ("render",),
    ("context",), ("online",), ("build",), ("canonical",), ("identity",), ("weights",), ("gpu",), ("doctor",), ("alternatives",), ("worktree",), ("user",), ("network",), ("boot",), ("condition",), ("owner",), ("first",), ("decided",),
    ("probe",), ("setup", "smoke", "proof"), ("passed",), ("up",), ("verify",), ("cli",),
)  # fmt: skip
DOORS = {
    "errors", "paths", "progress", "run", "http", "engine", "engineclient", "dockerhost", "console", "stages", "environment", "host",
    "configs", "mirrors", "container", "brought", "machine", "hubs", "ownconfig", "buildx", "unpacked",
    "lifeline", "guard", "held", "files", "foreign", "streams", "localtag", "ownimages", "enginefaults", "pipsettings", "debfile", "inforce",
}  # fmt: skip
SDK = {"devenv.doors.docker.engine", "devenv.doors.docker.client"}
# The resolvers need bytes that are hashed at lock time (npm's tarballs), so they use the store and its fetcher.
ALLOWED = {("lock", "artifacts"), ("lock", "fetch"), ("lock", "sources")}


def _room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def test_a_room_imports_only_upstream_rooms_and_doors() -> None:
    rank = {room: at for at, rooms in enumerate(LINE) for room in rooms}
    wrong = []
    for module, path in _modules().items():
        own = _room(module)
        if own not in rank:
            continue
        for imported in _imports(path):
            other = _room(imported) if imported.startswith("devenv.") else ""
            if other in rank and other != own and rank[other] > rank[own] and (own, other) not in ALLOWED:
                wrong.append(f"{module} imports {imported}")
    assert wrong == []


def test_every_module_is_a_known_room_or_door() -> None:
    known = {room for rooms in LINE for room in rooms} | DOORS | {"", "__init__", "__main__"}
    assert {_room(module) for module in _modules()} - known == set()


def test_one_door_per_side_effect() -> None:
    wrong = []
    for module, path in _modules().items():
        imports = _imports(path)
        if "subprocess" in imports and module != "devenv.doors.process":
            wrong.append(f"{module} starts processes itself")
        if any(one.split(".")[0] == "docker" for one in imports) and module not in SDK:
            wrong.append(f"{module} talks to Docker itself")
        if "rich" in {one.split(".")[0] for one in imports} and module not in {
            "devenv.doors.terminal.console",
            "devenv.doors.terminal.stages",
        }:
            wrong.append(f"{module} prints by itself")
        tree = ast.parse(path.read_text())
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        if "print" in calls:
            wrong.append(f"{module} prints")
        reads = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if "environ" in reads and not module.startswith(
            ("devenv.cli", "devenv.doors.settings.settings", "devenv.doors.process")
        ):
            wrong.append(f"{module} reads the environment")
    assert wrong == []


def test_modules_stay_small() -> None:
    long = {module: count for module, path in _modules().items() if (count := len(path.read_text().splitlines())) > 400}
    assert long == {}
