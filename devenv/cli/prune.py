"""`devenv prune`: remove what no environment uses."""

from __future__ import annotations

import click

from devenv.cli.app import App, json_option, pass_app
from devenv.container import leftovers
from devenv.container.reclaimable import reclaimable
from devenv.doors.terminal.console import bytes_text, printable


@click.command()
@click.option(
    "--all", "everything", is_flag=True, help="Also remove the stored files; devenv downloads them again when needed."
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@click.option(
    "--all-users",
    is_flag=True,
    help="Also remove images and networks that another user of this engine, or an older devenv, made.",
)
@json_option
@pass_app
def prune(app: App, everything: bool, dry_run: bool, all_users: bool) -> None:
    """Remove what no environment uses: old images and networks, build contexts; with --all the stored files too.

    Images and networks that other users of this engine made are kept, and images that were imported, until their
    snapshot is removed.
    """
    from devenv.snapshot.store import Snapshots

    imported = {one.image for one in Snapshots(app.dirs.snapshots).every()}
    done = leftovers.prune(
        app.engine, app.dirs, everything=everything, all_users=all_users, dry_run=dry_run, wanted=imported,
        waiting=lambda: app.console.note("another devenv command is running; waiting"),
    )  # fmt: skip
    left = reclaimable(app.engine, app.dirs)
    size_bytes = sum(done.images.values())
    if app.json:
        app.console.json({
            "images": [*done.images], "networks": done.networks, "bytes": size_bytes, "kept": done.kept,
            "others": done.others, "runs": done.runs, "folders": [str(folder) for folder in done.folders],
            "dry_run": dry_run,
            "reclaimable": {"stored_bytes": left.stored, "build_cache_bytes": left.build_cache},
        })  # fmt: skip
        return
    for what in (*done.images, *done.networks, *done.runs, *map(str, done.folders)) if dry_run else ():
        app.console.data(printable(what, one_line=True))
    app.console.note(
        f"{'would remove' if dry_run else 'removed'} {len(done.images)} images ({bytes_text(size_bytes)}), "
        f"{len(done.networks)} networks, {len(done.folders)} folders"
    )
    for tag in done.kept:
        app.console.note(f"kept {tag}: a container that devenv did not make uses it")
    if done.others:
        app.console.note(f"kept {len(done.others)} images that another user or an older devenv made (see --all-users)")
    if left.stored and not everything:
        app.console.note(f"{bytes_text(left.stored)} of stored files are left: devenv prune --all")
    if left.build_cache:
        app.console.note(
            f"{bytes_text(left.build_cache)} of the builder's cache, which other projects may use, are left: "
            "docker builder prune"
        )
