"""What Tab offers in the place of a name. Only folders are read: neither the network nor the engine is contacted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from devenv.doors.dirs import Dirs

_FILES = "file"
"""The type for which the shell itself adds files and folders; bash forgets what came before it."""


def names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped presets, snapshots, environments that were up here, and files."""
    from devenv.preset.load import shipped

    dirs = Dirs.of(os.environ)
    return _offered([*shipped(), *_folders(dirs.snapshots), *_folders(dirs.environments)], incomplete)


def keys(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The word `ssh`, and files."""
    return _offered(["ssh"], incomplete)


def _offered(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    fitting = sorted({word for word in words if word.startswith(incomplete)})
    return [CompletionItem(incomplete, type=_FILES), *map(CompletionItem, fitting)]


def _folders(folder: Path) -> list[str]:
    from devenv.container.names import is_name

    try:
        return [path.name for path in folder.iterdir() if is_name(path.name)]
    except OSError:
        return []
