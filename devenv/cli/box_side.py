"""`devenv on-box …`: what a devenv on another machine calls here, by SSH. For programs: no help, no completion."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devenv.cli.app import App, pass_app
from devenv.cli.elsewhere import VARIABLE
from devenv.cli.program import program
from devenv.doors import streams
from devenv.doors.settings.targets import HERE
from devenv.remote.talk import places

if TYPE_CHECKING:
    from devenv.fetch.store import Store
    from devenv.weights.store import Weights


@click.group("on-box", hidden=True)
def on_box() -> None:
    """Serve a devenv on another machine."""
    os.environ[VARIABLE] = HERE  # the targets of this machine's user are not meant
    with contextlib.suppress(OSError):
        os.utime(Path(_program()[0]).parent)  # it is in use


@on_box.command()
@pass_app
def hello(app: App) -> None:
    """Print the name of this devenv."""
    app.console.data(Path(_program()[0]).parent.name)


@on_box.command()
@pass_app
def serve(app: App) -> None:
    """Answer questions about a project's files and the store, on standard input and output."""
    from devenv.remote.agent import Agent

    def store() -> Store:
        from devenv.fetch.store import Store

        return Store(app.dirs.store)

    def weights() -> Weights:
        from devenv.weights.store import Weights

        return Weights(app.settings.hubs.dir)

    Agent(top=_top(), store=store, weights=weights, heard=sys.stdin.buffer, tell=sys.stdout.buffer).serve()


@on_box.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("project")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@pass_app
def guard(app: App, project: str, words: tuple[str, ...]) -> None:  # noqa: ARG001
    """Run a command of devenv in a project's folder; it ends with the connection."""
    sys.exit(streams.guarded([*_program(), *words], cwd=_folder(project)))


@on_box.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name")
@click.argument("offset", type=int)
@click.argument("project")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@pass_app
def run(app: App, name: str, offset: int, project: str, words: tuple[str, ...]) -> None:  # noqa: ARG001
    """Run a command of devenv apart from the connection, and print what it prints; later calls read on."""
    from devenv.remote.runs import Run

    one = Run.of(_top(), name)
    if words:
        one.start([*_program(), *words], _folder(project))
    one.follow(offset, sys.stdin.buffer, sys.stdout.buffer)


def _top() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or Path(os.environ["HOME"]) / ".local" / "share"
    return Path(data) / places.FOLDER


def _folder(project: str) -> Path:
    """The project's folder, where it is there; else home."""
    home = Path(os.environ["HOME"])
    if project == "-":
        return home
    folder = places.There.parse(project).path(_top())
    return folder if folder.is_dir() else home


def _program() -> tuple[str, ...]:
    """The script that starts this devenv."""
    script = Path(__file__).resolve().parents[3] / "run"
    return (str(script),) if script.is_file() else program()
