"""A patch written: into a preset's file, with copies of the container's files beside it."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path
from typing import Any

from devenv.container.labels import Running
from devenv.doors import files
from devenv.doors.docker.engine import Engine
from devenv.doors.untrusted import from_yaml
from devenv.drift import entries
from devenv.drift.diff import Drift
from devenv.drift.patch import Left, Patch, patch
from devenv.errors import PresetError, UsageError
from devenv.preset.load import shipped
from devenv.preset.project_root import PROJECT_FILE
from devenv.preset.yaml.text import MAX_BYTES
from devenv.secrets.both import FileScanner
from devenv.secrets.search import search


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was done: `change` is a unified diff of the preset's file, empty when only copies beside it changed, or
    nothing did."""

    file: Path
    change: str
    patch: Patch
    left: tuple[Left, ...]


def write_patch(drift: Drift, running: Running, file: Path | None, engine: Engine, scanner: FileScanner) -> Written:
    """Write what makes the drift reproducible into a preset's file: `file`, else the project's devenv.yaml, which is
    made where it is missing. Files that may hold secrets are not copied. Raises PresetError, UsageError."""
    path = file or Path(running.project or Path.cwd()) / PROJECT_FILE
    before = _text(path, running)
    found = patch(drift.items, drift.preset, _own(before, path))
    contents = _contents(found, running, engine)
    secrets = _secrets(contents, scanner)
    contents = {path: content for path, content in contents.items() if path not in {one.name for one in secrets}}
    copied = {target for path in contents for target in entries.chain(path)}
    hidden = {one.name for one in secrets}
    odd = [
        Left(kind="file", name=path, why="it is no regular file", remedy="make it in 'setup:'")
        for path in found.copies if path not in copied and path not in hidden
    ]  # fmt: skip
    found = dataclasses.replace(
        found, files={key: name for key, name in found.files.items() if key in copied},
        refresh={key: name for key, name in found.refresh.items() if key in copied},
    )  # fmt: skip
    after = found.apply(before)
    if not found.is_empty:
        _write(path, after, {_name(target, found): content for target, content in contents.items()})
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), str(path), str(path), n=2
    )
    return Written(file=path, change="".join(lines), patch=found, left=(*found.left, *odd, *secrets))


def _text(path: Path, running: Running) -> str:
    """The preset's text; of a file that does not exist yet, one that extends the environment's preset."""
    try:
        return files.read_text(path, most_bytes=MAX_BYTES, inside=path.parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise PresetError(f"cannot read {path}: {files.reason(error)}", hint=files.hint(error)) from None
    if running.preset not in shipped():
        raise UsageError(
            f"there is no {path}, and {running.preset} is no shipped preset that a new file could extend",
            hint=f"name the file of the preset: devenv diff {running.name} --patch FILE",
        )
    return f"extends: {running.preset}\nname: {running.name}\n"


def _own(text: str, path: Path) -> dict[str, Any]:
    try:
        value = from_yaml(text)
    except ValueError as error:
        raise PresetError(f"{path} cannot be read: {error}", hint="devenv validate shows each mistake") from None
    if not isinstance(value, dict):
        raise PresetError(f"{path} is no preset", hint="begin with 'extends: NAME'")
    return value


def _name(path: str, found: Patch) -> str:
    """The name beside the preset of a file in the container."""
    target = next(one for one in entries.chain(path) if one in found.copies)
    return found.copies[target] + path[len(target) :]


def _contents(found: Patch, running: Running, engine: Engine) -> dict[str, tuple[bytes, int]]:
    """Path in the container → (content, mode) of the regular files to copy."""
    read, contents = entries.read(
        running.facts.id, dict.fromkeys(found.copies, True), engine, only=lambda _: True, kept=lambda _: True
    )
    return {path: (contents[path], read[path].mode) for path in sorted(contents)}


def _secrets(contents: dict[str, tuple[bytes, int]], scanner: FileScanner) -> list[Left]:
    found = [
        (path, findings) for path, (content, _) in contents.items() if (findings := search(scanner, path, [content]))
    ]
    remedy = "give it to the container on each machine"
    return [
        Left(kind="secret", name=path, why=f"it may hold a secret: {findings[0].reason}", remedy=remedy)
        for path, findings in found
    ]


def _write(path: Path, text: str, copies: dict[str, tuple[bytes, int]]) -> None:
    try:
        for name, (content, mode) in copies.items():
            files.write_below(path.parent, name, content, is_program=bool(mode & 0o100))
        files.write_below(path.parent, path.name, text.encode())
    except OSError as error:
        raise PresetError(
            f"cannot write beside {path}: {files.reason(error)}", hint=files.place_hint(error, "name another FILE")
        ) from None
