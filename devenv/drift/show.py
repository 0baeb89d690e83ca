"""One text file of a container against the same file of the image that its lock gives."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterator

from devenv.container.labels import Running
from devenv.doors.docker.engine import Engine
from devenv.drift import entries
from devenv.drift.observe import image_of_lock
from devenv.errors import ShareError, UsageError
from devenv.secrets.both import FileScanner
from devenv.secrets.search import search

MOST_BYTES = 1 << 20


def changed_text(running: Running, path: str, engine: Engine, scanner: FileScanner) -> str:
    """A unified diff, empty where both are equal. Raises UsageError for what is no text file of at most 1 MiB,
    ShareError for a file that may hold a secret."""
    if not path.startswith("/"):
        raise UsageError(f"--show {path}: not a path in the container", hint="write it from the root on: /etc/pip.conf")
    if not entries.is_plain(path):
        raise UsageError(f"--show {path}: its name is no UTF-8", hint="compare it inside the container")
    path = posixpath.normpath(path)
    image, _ = image_of_lock(running, engine)
    with engine.laid_open(image) as made:
        before = _read(made, path, engine)
    after = _read(running.facts.id, path, engine)
    if before is None and after is None:
        raise UsageError(f"neither {running.name} nor its image has {path}", hint=f"devenv diff {running.name}")
    for content in (before, after):
        if content is not None and (found := search(scanner, path, [content])):
            raise ShareError(
                f"{path} may hold a secret, so its content is not shown: {found[0].kind}: {found[0].reason}",
                hint=f"look at it inside: devenv exec {running.name} -- cat {path}",
            )
    return "".join(_lines(_text(before, path), _text(after, path), path))


def _read(container: str, path: str, engine: Engine) -> bytes | None:
    """The content; None where nothing has that name. Raises UsageError."""
    found, contents = entries.read(
        container, {path: False}, engine, only=lambda one: one == path, kept=lambda one: one == path
    )
    entry = found.get(path)
    if entry is None:
        return None
    _require_own_name(container, path, engine)
    if entry.kind not in ("file", "hardlink"):
        raise UsageError(f"{path} is no file but a {entry.kind}", hint="name a text file that 'devenv diff' lists")
    if path not in contents or len(contents[path]) > MOST_BYTES:
        raise UsageError(f"{path} is larger than 1 MiB", hint="compare it inside the container")
    return contents[path]


def _require_own_name(container: str, path: str, engine: Engine) -> None:
    """Raise UsageError for a path through a link: the name by which a file is secret is another one."""
    for folder in entries.chain(posixpath.dirname(path)):
        found, _ = entries.read(container, {folder: False}, engine, only=lambda one, name=folder: one == name)  # type: ignore[misc]
        if (entry := found.get(folder)) and entry.kind == "symlink":
            raise UsageError(f"{folder} is a link to {entry.target}", hint="name the file by its own path")


def _text(content: bytes | None, path: str) -> str:
    text = (content or b"").decode("utf-8", "replace")
    if "\0" in text or "\ufffd" in text:
        raise UsageError(f"{path} is no text in UTF-8", hint="compare it inside the container")
    return text


def _lines(before: str, after: str, path: str) -> Iterator[str]:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"image{path}", f"container{path}"
    )
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
