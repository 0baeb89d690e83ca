"""`prune`: what no environment uses."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from devenv.build import own_images
from devenv.cli.app import App, json_option
from devenv.container import container, network
from devenv.container.state import is_name
from devenv.doors.docker.engine import LABEL
from devenv.doors.docker.local_tag import BASE_TAG, EDITOR_TAG, LOCAL
from devenv.doors.file_lock import hold
from devenv.doors.terminal.console import bytes_text, printable
from devenv.errors import EngineError


@click.command()
@click.option(
    "--all", "everything", is_flag=True, help="Also the stored files (they are downloaded again when needed)."
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@click.option(
    "--all-users",
    is_flag=True,
    help="Also images and networks that another user of this engine, or an older devenv, made.",
)
@json_option
@click.pass_obj
def prune(app: App, everything: bool, dry_run: bool, all_users: bool) -> None:
    """Remove what no environment uses: old images and networks, build contexts; with --all the stored files too.

    What other users of this engine made stays.
    """
    folders = [one for one in (app.dirs.contexts, *([app.dirs.store] if everything else [])) if one.exists()]
    removed: dict[str, int] = {}
    kept: list[str] = []
    others: list[str] = []
    with contextlib.ExitStack() as held:
        # A build, fetch or lock that runs now holds its lock: wait for it, and take nothing that it is about to use.
        for lock in [] if dry_run else _locks(app, everything=everything):
            held.enter_context(hold(lock, lambda: app.console.note("another devenv command is at work; waiting")))
        for tag, size_bytes in _unused(app, everything=everything):
            if not all_users and not own_images.is_own(app.dirs.images, tag):
                others.append(tag)
            elif dry_run or _remove(app, tag):
                removed[tag] = size_bytes
            else:
                kept.append(tag)
        for folder in [] if dry_run else folders:
            shutil.rmtree(folder, ignore_errors=True)
    networks = _networks(app, all_users=all_users, dry_run=dry_run)
    if app.json:
        app.console.json({
            "images": [*removed], "networks": networks, "bytes": sum(removed.values()), "kept": kept, "others": others,
            "folders": [str(one) for one in folders], "dry_run": dry_run,
        })  # fmt: skip
        return
    for what in (*removed, *networks, *map(str, folders)) if dry_run else ():
        app.console.data(printable(what, one_line=True))
    size = bytes_text(sum(removed.values()))
    app.console.note(
        f"{'would remove' if dry_run else 'removed'} {len(removed)} images ({size}), {len(networks)} networks, "
        f"{len(folders)} folders"
    )
    for tag in kept:
        app.console.note(f"kept {tag}: a container that is not devenv's uses it")
    if others:
        app.console.note(f"left {len(others)} images that another user or an older devenv made: see --all-users")


def _networks(app: App, *, all_users: bool, dry_run: bool) -> list[str]:
    """The names of the networks that nothing uses, removed unless it is a `dry_run`."""
    unused = [
        one
        for one in network.unused(app.engine)
        if is_name(name := one.labels[f"{LABEL}name"]) and (all_users or network.is_own(one, app.environment(name)))
    ]
    return [one.name for one in unused if dry_run or app.engine.remove_network(one.id)]


def _locks(app: App, *, everything: bool) -> Iterator[Path]:
    yield from app.dirs.contexts.glob("*.lock")
    if everything:
        yield from (app.dirs.store / "tmp").glob("*.lock")


def _unused(app: App, *, everything: bool) -> Iterator[tuple[str, int]]:
    """Tag and size of devenv's images that no environment uses, bases last."""
    environments = container.everything(app.engine)
    used = {one.facts.image for one in environments}
    editors = {one.facts.labels.get(f"{LABEL}editor", "") for one in environments}
    every = app.engine.images("")
    left = Counter(image for _, image, _ in every)
    for tag, image, size_bytes in sorted(every, key=lambda one: one[0].startswith(BASE_TAG)):
        if not tag.startswith(("devenv/", f"{LOCAL}devenv")) or image in used or tag in editors:
            continue
        # The compiled editor, and the last tag of a base, are not had again at once.
        lasts = tag.startswith(EDITOR_TAG) or (tag.startswith(BASE_TAG) and left[image] == 1)
        if not lasts or everything:
            left[image] -= 1
            yield tag, size_bytes


def _remove(app: App, tag: str) -> bool:
    """Whether the tag is gone: not while another container has it."""
    try:
        app.engine.remove_image(tag)
    except EngineError:
        return False
    own_images.forget(app.dirs.images, tag)
    return True
