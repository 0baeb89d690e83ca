"""`devenv snapshot`, `devenv snapshots …` and `devenv reset`: an environment's state, kept and brought back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from devenv.cli.app import App, all_users_option, json_option, pass_app
from devenv.cli.elsewhere import on_option
from devenv.cli.known_secrets import known_secrets
from devenv.doors.terminal.console import bytes_text

if TYPE_CHECKING:
    from devenv.snapshot.store import Snapshots
    from devenv.snapshot.take import Taken

__all__ = ["reset", "snapshot", "snapshots"]


@click.command()
@click.argument("words", nargs=-1, metavar="[ENV [NAME]]")
@click.option("-m", "--message", default="", metavar="TEXT", help="What it is for.")
@click.option("--with-workspace", is_flag=True, help="Keep /workspace too.")
@click.option("--with-data", is_flag=True, help="Keep the environment's volumes too, except those of weights.")
@click.option(
    "--allow", multiple=True, metavar="PATH",
    help="Let a file or folder through although it may hold secrets; it is written down. Repeat it for several.",
)  # fmt: skip
@click.option("--no-lock", is_flag=True, help="Keep all packages as files; put none into preset and lock.")
@json_option
@on_option
@pass_app
def snapshot(
    app: App, words: tuple[str, ...], message: str, with_workspace: bool, with_data: bool, allow: tuple[str, ...],
    no_lock: bool,
) -> None:  # fmt: skip
    """Keep an environment's state: its preset and lock, and one layer for what these cannot say.

    Packages from an index go into preset and lock; everything else that changed goes into the layer. What was given to
    the container (variables, options) is not kept. Files that may hold secrets refuse the snapshot. Programs stand
    still only while their files are read. Bring it back with 'devenv up NAME' or 'devenv reset ENV NAME'.
    """
    from devenv.snapshot import naming, volumes
    from devenv.snapshot.store import Snapshots
    from devenv.snapshot.take import Wanted, take

    env, name = naming.split(words)
    running = app.select(env, hint="the first name is an environment's (devenv ps): devenv snapshot ENV NAME")
    kept = Snapshots(app.dirs.snapshots)
    mounts = volumes.mounts(running, workspace=with_workspace, data=with_data)
    if mounts:
        sizes = volumes.sizes(mounts, running, app.engine)
        for mount, size in sizes.items():
            app.console.note(f"keeping {mount}{f' ({bytes_text(size)})' if size >= 0 else ''}")
    with app.console.stages() as stages:
        session = app.session(stages)
        with app.locked(running):
            wanted = Wanted(
                name=name or naming.next_name(running.name, kept), message=message, allow=allow, lock=not no_lock,
                volumes=mounts,
            )  # fmt: skip
            taken = take(running, wanted, known_secrets(app), session)
    if app.json:
        app.console.json({
            **dataclasses.asdict(taken.snapshot), "bytes": kept.size(taken.snapshot),
            "locked": taken.locked.patch.words() if taken.locked else "", "left_out": list(taken.left_out),
        })  # fmt: skip
    else:
        _tell(app, taken, kept)


def _tell(app: App, taken: Taken, kept: Snapshots) -> None:
    one = taken.snapshot
    if taken.locked:
        app.console.note("in preset and lock:\n" + taken.locked.patch.words())
    app.console.note(f"in the layer: {one.layer_paths} paths, {bytes_text(one.layer_bytes)}")
    for path in one.allowed:
        app.console.note(f"let through although it may be secret: {path}")
    for words in taken.left_out:
        app.console.note(f"left out: {words}")
    size = bytes_text(kept.size(one))
    app.console.note(
        f"{one.name} keeps {one.environment} ({size}); bring it back: devenv reset {one.environment} {one.name}"
    )


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def snapshots(ctx: click.Context, /, **options: bool) -> None:
    """List the snapshots, or remove some ('snapshots rm')."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, **options)


@snapshots.command(name="list")
@json_option
@pass_app
def list_(app: App) -> None:
    """List the snapshots: size, time, owner, message, parent."""
    from devenv.snapshot.store import Snapshots

    kept = Snapshots(app.dirs.snapshots)
    every = kept.every()
    for name in kept.unreadable():
        app.console.note(f"the snapshot {name} cannot be read: it is damaged, or a newer devenv made it")
    if app.json:
        app.console.json([{**dataclasses.asdict(one), "bytes": kept.size(one)} for one in every])
        return
    if not every:
        app.console.note("no snapshot; keep an environment's state: devenv snapshot ENV")
        return
    rows = [
        (
            one.name, one.environment, bytes_text(kept.size(one)), one.made, one.user, one.parent or "-",
            " ".join(one.volumes) or "-", " ".join(one.allowed) or "-", one.message,
        )
        for one in every
    ]  # fmt: skip
    headings = ("NAME", "ENVIRONMENT", "SIZE", "MADE", "BY", "PARENT", "VOLUMES", "LET THROUGH", "MESSAGE")
    app.console.table("", headings, rows, stdout=True)


@snapshots.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
@pass_app
def rm(app: App, names: tuple[str, ...]) -> None:
    """Remove snapshots and their images. Environments that were made from them continue, and keep their image."""
    from devenv.snapshot.images import remove_images
    from devenv.snapshot.store import Snapshots

    kept = Snapshots(app.dirs.snapshots)
    for name in names:
        if not kept.exists(name):
            kept.get(name)
    for name in dict.fromkeys(names):
        kept.remove(name, lambda: app.console.note("another devenv command is writing a snapshot; waiting"))
        images = remove_images(name, app.engine, app.dirs.images)
        app.console.note(f"{name} is removed{f', with {len(images)} image' if images else ''}")
    if app.json:
        app.console.json(sorted({*names}))


@click.command()
@click.argument("name", metavar="ENV")
@click.argument("snapshot_name", required=False, metavar="[SNAPSHOT]")
@all_users_option
@json_option
@pass_app
def reset(app: App, name: str, snapshot_name: str | None, all_users: bool) -> None:
    """Put an environment back to its lock, or to a snapshot: a new container, and the volumes stay.

    All that was changed in the container goes. Keep it first with 'devenv snapshot', if you want it back.
    """
    from devenv.cli.up import tell
    from devenv.snapshot.bring_back import reset as put_back
    from devenv.up.report import up_json

    running = app.select(name, all_users=all_users)
    environment = app.environment(running.name)
    with app.console.stages() as stages:
        result = put_back(running, snapshot_name, environment, app.session(stages))
    token = environment.kept_token()
    if app.json:
        app.console.json(up_json(result, stages.reports(), token))
    else:
        tell(app.console, result, stages, token)
    result.report.raise_failed(environment.name)
