"""`devenv diff`: how a running environment differs from its lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devenv.cli.app import App, all_users_option, json_option, pass_app
from devenv.cli.elsewhere import on_option
from devenv.doors.terminal.console import bytes_text
from devenv.errors import DriftError, UsageError

if TYPE_CHECKING:
    from devenv.container.labels import Running
    from devenv.drift.diff import Drift

_SHOWN = 12


@click.command()
@click.argument("name", required=False, metavar="[ENV]")
@click.option(
    "--patch", "patch_file", is_flag=False, flag_value="", metavar="[FILE]",
    help="Write what makes the differences reproducible into FILE, by default the project's devenv.yaml.",
)  # fmt: skip
@click.option(
    "--show", "path", metavar="PATH", help="Show how one text file differs from the image's, and compare nothing else."
)
@all_users_option
@json_option
@on_option
@pass_app
def diff(app: App, name: str | None, patch_file: str | None, path: str | None, all_users: bool) -> None:
    """Show what an environment holds that its lock did not put there: packages, settings, files, options.

    Nothing in the container runs, and it need not be running. Exit status 12 when there is a difference. Caches, logs
    and other traces are counted, not listed. Volumes are not compared; they are named with their size.

    --patch changes a preset's file: it adds the packages that someone asked for, and copies small files beside it. Then
    'devenv lock' and 'devenv up' make an environment that has them. What a lock cannot fix is listed with a remedy.

    --show shows the changed lines of one file, unless it may hold a secret.
    """
    from devenv.drift.begin import begin

    if path is not None and patch_file is not None:
        raise UsageError("--show and --patch exclude each other", hint="give one of them")
    running = app.select(name, all_users=all_users)
    if path is not None:
        _show(app, running, path)
        return
    begun = begin(running, app.engine)
    from devenv.drift.diff import diff as compare  # meanwhile

    with app.console.stages() as stages:
        drift = compare(running, app.session(stages), begun)
    if patch_file is not None:
        _patch(app, drift, running, Path(patch_file) if patch_file else None)
        return
    if app.json:
        from devenv.drift.report import as_json

        app.console.json(as_json(drift))
    else:
        _tell(app, drift)
    if drift.items:
        many = f"{len(drift.items)} difference{'s' if len(drift.items) != 1 else ''}"
        raise DriftError(
            f"{drift.environment} is not as its lock says: {many}",
            hint=f"write what makes it reproducible: devenv diff {drift.environment} --patch",
        )


def _show(app: App, running: Running, path: str) -> None:
    from devenv.cli.known_secrets import known_secrets
    from devenv.drift.show import changed_text
    from devenv.secrets.both import scanner_for

    scanner = scanner_for(known_secrets(app), app.dirs.cache)
    change = changed_text(running, path, app.engine, scanner)
    if app.json:
        app.console.json({"environment": running.name, "path": path, "change": change})
    elif change:
        app.console.data(change.rstrip("\n"))
    if change:
        raise DriftError(f"{path} is not as in the image", hint=f"all differences: devenv diff {running.name}")
    app.console.note(f"{path} is as in the image")


def _patch(app: App, drift: Drift, running: Running, file: Path | None) -> None:
    from devenv.cli.known_secrets import known_secrets
    from devenv.drift.report import patch_json
    from devenv.drift.write_patch import write_patch
    from devenv.secrets.both import scanner_for

    scanner = scanner_for(known_secrets(app), app.dirs.cache)
    written = write_patch(drift, running, file, app.engine, scanner)
    if app.json:
        app.console.json(patch_json(written))
        return
    if written.change:
        app.console.data(written.change.rstrip("\n"))
    if written.left:
        rows = [(one.name, one.why, one.remedy) for one in written.left]
        app.console.note("")
        app.console.table("not in the preset:", ("", "why", "remedy"), rows)
    if written.patch.refresh:
        app.console.note("copied again: " + ", ".join(written.patch.refresh.values()))
    if written.patch.is_empty:
        app.console.note("nothing to write")
        return
    app.console.note(
        f"{written.file} {'is changed' if written.change else 'stays as it is'}; now: devenv lock, devenv up"
        + ("; a new container lacks what is not in the preset: devenv snapshot keeps it" if written.left else "")
    )


def _tell(app: App, drift: Drift) -> None:
    from devenv.drift.items import KINDS
    from devenv.drift.report import row

    for kind, heading in KINDS.items():
        rows = [row(one) for one in drift.items if one.kind == kind]
        if rows:
            app.console.table(heading, rows[0], rows[1:], stdout=True)
    for volume in drift.volumes:
        size = bytes_text(volume.bytes) if volume.bytes >= 0 else "size unknown"
        what = "the folder" if volume.name.startswith("/") else "the volume"
        told = f" ({size})" if what == "the volume" else ""
        app.console.note(f"not compared: {volume.mount}, {what} {volume.name}{told}")
    if drift.noise:
        app.console.note(f"left out: {drift.noise} files of caches, logs and the like")
    if not drift.items:
        app.console.note(f"{drift.environment} is as its lock says")
