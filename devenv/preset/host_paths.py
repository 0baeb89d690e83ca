"""Values that name files on this machine: found beside the file that names them, and nowhere else."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Callable
from pathlib import Path

from devenv.doors import files
from devenv.preset import own_project, own_wheel, pip_files
from devenv.preset.yaml.nodes import Mark, Node
from devenv.preset.yaml.problems import Problems, quote

_Resolve = Callable[[Node], Node]
_SAID = "said"
"""Replaces a wheel with a problem: a valid requirement, so that no second mistake is reported."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a path is looked for: relative to `folder`, inside one of `roots`; `kinds`: file, folder or both."""

    folder: Path
    roots: tuple[Path, ...]
    kinds: str

    def has(self, path: Path) -> bool:
        """Whether the path lies inside."""
        return any(path.is_relative_to(root.resolve()) for root in self.roots)


def anchor(top: Node, folder: Path, shipped: Path, problems: Problems) -> Node:
    """The file's tree with its path values made absolute. `folder` is where the file lies; paths may not leave it.

    Absolute paths in `folder` or `shipped` (devenv's own presets) are taken as they are, so that a dumped preset
    loads again.
    """

    def resolve(kinds: str) -> _Resolve:
        def one(node: Node) -> Node:
            if not isinstance(node.value, str) or not node.value:
                return node
            place = _Place(folder=folder, roots=(folder, shipped), kinds=kinds)
            found = _locate(node.value, place, node.mark, problems)
            return dataclasses.replace(node, value=str(found)) if found else node

        return one

    either, file, tree = resolve("file or folder"), resolve("file"), resolve("folder")
    top = _change(top, "files", lambda files: _each_value(files, either))
    top = _change(top, "workspace", tree)
    top = _change(top, "pip", lambda every: pip_files.expanded(every, folder, problems))
    top = _change(top, "pip", lambda every: _each_item(every, lambda one: _wheel(one, file, problems)))
    top = own_project.expanded(top, folder, problems)
    top = _change(top, "code_server", lambda editor: _archive(editor, file))
    return _change(top, "extensions", lambda every: _each_item(every, lambda one: _archive(one, file)))


def locate(text: str, folder: Path, root: Path, mark: Mark, problems: Problems) -> Path | None:
    """The file that a relative path in a file of `folder` names; None after adding a problem. It may not leave
    `root`."""
    return _locate(text, _Place(folder=folder, roots=(root,), kinds="file"), mark, problems)


def _wheel(node: Node, file: _Resolve, problems: Problems) -> Node:
    """An entry of `pip`: one that names a wheel's path as a reference to that file."""
    path = own_wheel.named(node.value) if isinstance(node.value, str) else None
    if path is None:
        return node
    before = len(problems)
    found = file(dataclasses.replace(node, value=path)).value
    try:
        if len(problems) == before:
            return dataclasses.replace(node, value=own_wheel.reference(Path(str(found))))
    except ValueError as error:
        problems.add(f"{quote(path)} cannot be used: {error}", node.mark)
    except OSError as error:
        problems.add(f"{quote(path)} cannot be read: {files.reason(error)}", node.mark, hint=files.hint(error))
    return dataclasses.replace(node, value=_SAID)


def _archive(node: Node, file: _Resolve) -> Node:
    return _change(node, "archive", lambda archive: _change(archive, "path", file))


def _change(node: Node, key: str, change: _Resolve) -> Node:
    if key not in node.entries:
        return node
    return dataclasses.replace(node, value={**node.entries, key: change(node.entries[key])})


def _each_value(node: Node, change: _Resolve) -> Node:
    if not isinstance(node.value, dict):
        return node
    return dataclasses.replace(node, value={key: change(value) for key, value in node.value.items()})


def _each_item(node: Node, change: _Resolve) -> Node:
    if not isinstance(node.value, tuple):
        return node
    return dataclasses.replace(node, value=tuple(change(item) for item in node.value))


def _locate(text: str, place: _Place, mark: Mark, problems: Problems) -> Path | None:
    said = quote(text)
    if text.startswith("~"):
        problems.add(f"{said}: '~' is not expanded in a preset", mark, hint="write a path relative to this file")
        return None
    try:
        found = (place.folder / text).resolve(strict=True)
        inside = place.has(found)
        mode = found.stat().st_mode
    except FileNotFoundError:
        if place.has(Path(os.path.realpath(place.folder / text))):
            problems.add(f"{said} does not exist", mark, hint=_missing_hint(text))
        else:
            _outside(said, mark, problems)
    except (OSError, RuntimeError, ValueError) as error:
        # RuntimeError: a loop of symbolic links, on Pythons before 3.13. ValueError: a NUL byte.
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "not a usable path"
        if isinstance(error, RuntimeError):
            reason = "a loop of symbolic links"
        problems.add(f"{said} cannot be used: {reason}", mark)
    else:
        if not inside:
            _outside(said, mark, problems)
        elif not ((stat.S_ISREG(mode) and "file" in place.kinds) or (stat.S_ISDIR(mode) and "folder" in place.kinds)):
            problems.add(f"{said} is not a {place.kinds}", mark)
        else:
            return found
    return None


def _outside(said: str, mark: Mark, problems: Problems) -> None:
    hint = "presets use only what lies beside them: copy it there"
    problems.add(f"{said} lies outside the preset's folder", mark, hint=hint)


def _missing_hint(text: str) -> str | None:
    return None if text.startswith("/") else "paths are relative to the folder of the file that names them"
