"""`devenv on-link FILE`: the process that keeps a link to an environment on a box. Only devenv starts it."""

from __future__ import annotations

import time
from pathlib import Path

import click

from devenv.cli.app import App, pass_app
from devenv.cli.on_box import on_box
from devenv.doors.settings.targets import SshTarget
from devenv.errors import UsageError
from devenv.remote import links
from devenv.remote.link import Keeper


@click.command("on-link", hidden=True)
@click.argument("path", type=click.Path(path_type=Path))
@pass_app
def on_link(app: App, path: Path) -> None:
    """Keep the ports and the project of a link's file, until the file is gone."""
    link = links.read(path)
    if link is None:
        raise UsageError("that is not the file of a link", where=str(path))
    box = on_box(app, SshTarget(name=link.target, destination=link.destination))

    def told(text: str) -> None:
        with (path.parent / "notes").open("a") as notes:
            notes.write(f"{time.strftime('%H:%M')} {text}\n".replace("\n", " ").rstrip() + "\n")

    sync = box.sync(Path(link.project)) if link.project else None
    Keeper(path=path, link=link, ssh=box.ssh, sync=sync, told=told).run()
