"""`devenv targets check` and `rm` for a machine that SSH reaches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from devenv.cli.on_box import on_box
from devenv.doors.terminal.console import bytes_text, printable
from devenv.errors import TargetError, UsageError
from devenv.remote import probe
from devenv.remote.projects import projects
from devenv.remote.talk import places

if TYPE_CHECKING:
    from devenv.cli.app import App
    from devenv.doors.settings.targets import SshTarget


def check(app: App, target: SshTarget) -> None:
    """Print what a box has. Raises TargetError for what does not work."""
    box = on_box(app, target)
    box.connect()
    facts = probe.probe(box.ssh, target.python)
    python = probe.chosen(facts, target.name)
    probe.require_engine(facts, target.name)
    version = ".".join(map(str, python.version))
    is_there = box.key in facts.devenvs
    if app.json:
        app.console.json({
            "name": target.name, "destination": target.destination, "machine": facts.machine, "libc": facts.libc,
            "libc_version": ".".join(map(str, facts.libc_version)), "cpus": facts.cpus, "gpus": facts.gpus,
            "free_bytes": facts.free_bytes, "python": {"path": python.path, "version": version},
            "engine": facts.engine, "folder": f"{facts.data}/{places.FOLDER}", "devenv": box.key if is_there else None,
            "others": [one for one in facts.devenvs if one != box.key],
        })  # fmt: skip
        return
    others = [one for one in facts.devenvs if one != box.key]
    rows = [
        ("ssh", target.destination),
        ("machine", f"{facts.machine}, {facts.libc} {'.'.join(map(str, facts.libc_version))}, {facts.cpus} CPUs"),
        ("gpus", str(facts.gpus)),
        ("free", bytes_text(facts.free_bytes) if facts.free_bytes is not None else "unknown"),
        ("python", f"{version} ({python.path})"),
        ("engine", f"Docker {facts.engine}"),
        ("devenv", "this version is there" if is_there else "will be brought by the next command"),
        *([("others", ", ".join(others) + ": not used")] if others else []),
    ]
    app.console.data("\n".join(printable(f"{name.ljust(8)} {value}", one_line=True) for name, value in rows))


def forget(app: App, target: SshTarget) -> None:
    """Remove devenv's folder on a box, after its projects were made the same here. Raises UsageError while an
    environment needs it, TargetError."""
    box = on_box(app, target)
    remedy = f"to forget it here only: devenv targets rm {target.name} --keep-there"
    try:
        box.connect()
        done = box.ssh.run(box.guard(None, ("ps", "--json")), timeout_s=60)
    except TargetError as error:
        error.hint = f"{error.hint}; {remedy}"
        raise
    if done.code == 0:
        every = json.loads(done.out)
        mine = [str(one.get("name")) for one in every if f"/{places.FOLDER}/" in str(one.get("project") or "")]
        if mine:
            raise UsageError(
                f"environments on {target.name} use their projects there: {', '.join(mine)}",
                hint=f"devenv down {' '.join(mine)} --on {target.name}; {remedy}",
            )
        for project in projects(box.links.folder):
            if project.is_dir():
                box.synchronise(project)
    for link in box.links.every():
        box.links.end(link.name)
    removed = box.ssh.run(("sh", "-c", places.REMOVE), timeout_s=600)
    if removed.code != 0:
        raise TargetError(
            f"devenv's folder on {target.name} could not be removed", detail=removed.err[-1000:] or None, hint=remedy
        )
    box.forget()
    box.ssh.close()
