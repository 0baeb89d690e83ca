"""Commands on a machine that SSH reaches."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.cli.elsewhere import project_here
from devenv.cli.program import program
from devenv.container.names import is_name
from devenv.doors.ssh import Ssh, sockets
from devenv.doors.terminal.console import printable
from devenv.errors import TargetError
from devenv.remote.box import OnBox
from devenv.remote.links import UP, Keeper, Link, ports_of, rewritten

if TYPE_CHECKING:
    from devenv.cli.app import App
    from devenv.cli.elsewhere import Command
    from devenv.doors.settings.targets import SshTarget
    from devenv.doors.terminal.stages import Stages


def hand(app: App, target: SshTarget, command: Command) -> Any:
    """Do a command there; returns its result. Raises TargetError."""
    box = on_box(app, target)
    if command.name == "up":
        from devenv.cli.on_box_up import up

        return up(app, box, command)
    box.connect()
    project = project_here()
    told(app, box)
    if command.name in ("exec", "shell"):
        tty = sys.stdin.isatty() and sys.stdout.isatty()
        sys.exit(box.interactive(project, (command.name, *command.words), tty=tty))
    if command.name == "logs":
        with contextlib.suppress(*((KeyboardInterrupt,) if command.values.get("follow") else ())):
            sys.exit(box.printed(project, (command.name, *command.words), (app.console.data, _echo)))
        return None
    if command.name == "open":
        from devenv.cli.on_box_open import open_

        return open_(app, box, command, project)
    return _captured(app, box, command, project)


def on_box(app: App, target: SshTarget, stages: Stages | None = None) -> OnBox:
    """A target, for this command."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = sockets(Path(runtime) if runtime and Path(runtime).is_dir() else None, os.getuid())
    ssh = Ssh(name=target.name, destination=target.destination, folder=folder)
    made: list[Stages] = [stages] if stages else []

    def one() -> Stages:
        if not made:
            made.append(app.console.stages())
        return made[0]

    box = OnBox(target=target, ssh=ssh, dirs=app.dirs, make_settings=lambda: app.settings, stages=one)
    box.links.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return box


def told(app: App, box: OnBox) -> None:
    """Warn of what happened to projects since the last command, and forget it."""
    notes = box.links.folder / "notes"
    try:
        text = notes.read_text(errors="replace")
        notes.unlink()
    except OSError:
        return
    for line in text.splitlines()[-50:]:
        app.console.warn(line)


def _captured(app: App, box: OnBox, command: Command, project: Path | None) -> Any:
    """A command that prints its answer when it has it: addresses in it become those here."""
    ends = command.name in ("stop", "down")
    words = (*(["--json"] if ends and not app.json else []), *command.words)
    done = box.run(project, (command.name, *words), _echo)
    name = (
        _environment(box, command, project)
        if done.code == 0 and command.name in ("status", "start", "restart")
        else None
    )
    ports: dict[int, int] = {}
    if name:
        ports = linked(app, box, name[0], name[1], project if name[2] else None)
    elif command.name == "ps":
        ports = {there: here for link in box.links.every() for there, here in link.ports}
    if ends:
        for one in _names(done.out):
            box.links.end(one, forget=command.name == "down")
    if done.out and not (ends and not app.json):
        text = rewritten(done.out, ports)
        app.console.document(text) if app.json else app.console.data(text)
    if command.name in ("diff", "snapshot") and project and done.code in (0, 12):
        box.synchronise(project)
    sys.exit(done.code)


def _echo(text: str) -> None:
    sys.stderr.write(printable(text))
    sys.stderr.flush()


def _environment(box: OnBox, command: Command, project: Path | None) -> tuple[str, Mapping[str, Any], bool] | None:
    """The environment that a command was about: its name and pages, and whether it is this project's; None when it does
    not run."""
    given = command.values.get("name") or (command.values.get("words") or (None,))[0]
    found = status(box, given, project)
    urls = found.get("urls")
    if not isinstance(urls, dict) or not urls or found.get("own") is not True:
        return None
    return str(found.get("name")), urls, is_of_project(box, found, project)


def is_of_project(box: OnBox, found: Mapping[str, Any], project: Path | None) -> bool:
    """Whether an environment there, as its `status` says, has this project's folder."""
    return project is not None and str(found.get("project")).endswith(f"/{box.there(project)}")


def status(box: OnBox, name: str | None, project: Path | None) -> dict[str, Any]:
    """What a devenv there says of an environment; empty when it says nothing."""
    done = box.run(project, ("status", "--json", *(("--", name) if name else ())))
    try:
        value = json.loads(done.out)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def linked(app: App, box: OnBox, name: str, urls: Mapping[str, Any], project: Path | None) -> dict[int, int]:
    """Have the ports of an environment here, and its project kept the same; the ports there to those here. Warns when
    there is no connection."""
    old = box.links.get(name)
    wanted = Link(
        target=box.target.name, destination=box.target.destination, name=name, key=box.key,
        ports=tuple((port, 0) for port in ports_of(urls)),
        project=str(project) if project else old.project if old else "",
    )  # fmt: skip
    if not wanted.ports and not wanted.project:
        return {}
    keeper = Keeper(
        command=(*program(), "on-link"), release=box.ssh.cancel,
        variables={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    try:
        link = box.links.have(wanted, keeper)
    except TargetError as error:
        app.console.warn(f"{error.message}; {error.hint}")
        return {}
    if link.state != UP:
        app.console.warn(f"the ports of {name} are not here now: {link.state}; devenv connects again by itself")
    return dict(link.ports)


def _names(out: str) -> list[str]:
    """The environments that a command names in its answer."""
    try:
        value = json.loads(out)
    except ValueError:
        return []
    return [one for one in value if isinstance(one, str) and is_name(one)] if isinstance(value, list) else []
