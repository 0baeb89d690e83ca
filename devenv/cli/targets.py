"""`devenv targets …`: other machines for `--on`."""

from __future__ import annotations

import dataclasses

import click

from devenv.cli.app import App, json_option, pass_app
from devenv.cli.elsewhere import book, project_here
from devenv.cli.elsewhere import targets as all_of
from devenv.doors.settings.targets import (
    HERE,
    KUBERNETES,
    KubernetesTarget,
    SshTarget,
    Target,
    check_name,
    destination,
    shown,
)
from devenv.errors import UsageError


@click.group()
def targets() -> None:
    """Name other machines, on which commands with --on work."""


@targets.command("add")
@click.argument("name")
@click.argument("destination", required=False)
@click.option("--python", metavar="FILE", help="The Python there, where devenv would not find it.")
@click.option("--kubernetes", is_flag=True, help="The target is a cluster of kubectl's settings.")
@click.option("--context", help="The cluster's context; default: the current one at that time.")
@click.option("--namespace", help="The namespace; default: the context's own.")
@pass_app
def add(
    app: App, name: str, destination: str | None, python: str | None, kubernetes: bool, context: str | None,
    namespace: str | None,
) -> None:  # fmt: skip
    """Name a target: DESTINATION as for ssh (HOST, USER@HOST, ssh://USER@HOST:PORT), or a cluster with --kubernetes.

    Keys, ports and jump hosts belong into ~/.ssh/config, which the client reads.
    """
    is_cluster = kubernetes or bool(context or namespace)
    cluster = KubernetesTarget(name=name, context=context, namespace=namespace) if is_cluster else None
    target = _made(check_name(name), destination, python, cluster)
    book(app).add(target)
    app.console.note(f"{name} is {shown(target)}; try it: devenv targets check {name}")


def _made(name: str, text: str | None, python: str | None, cluster: KubernetesTarget | None) -> Target:
    if (text is None) == (cluster is None):
        raise UsageError("a target is a DESTINATION of SSH, or a cluster", hint="devenv targets add gpu-box me@host")
    if text is None:
        assert cluster is not None
        return cluster
    if python is not None and (not python.startswith("/") or not python.isprintable()):
        raise UsageError(f"{python!r} is not a file there", where="--python", hint="write it from /")
    return SshTarget(name=name, destination=destination(text, "DESTINATION"), python=python)


@targets.command("list")
@json_option
@pass_app
def list_(app: App) -> None:
    """List the targets, and which is the default."""
    every = all_of(app)
    if app.json:
        app.console.json({
            "targets": [
                {"name": one.name, "kind": "ssh" if isinstance(one, SshTarget) else KUBERNETES}
                | {key: value for key, value in dataclasses.asdict(one).items() if key not in ("name", "origin")}
                | {"from": one.origin}
                for one in every.named
            ],
            "on": every.on, "on_from": every.on_from or None,
        })  # fmt: skip
        return
    if not every.named:
        app.console.note("no target; name one: devenv targets add gpu-box USER@HOST")
        return
    rows = [(one.name, shown(one), "default" if one.name == every.on else "", one.origin) for one in every.named]
    app.console.table("", ("NAME", "TARGET", "", "FROM"), rows, stdout=True)


@targets.command("use")
@click.argument("name")
@click.option("--project", is_flag=True, help="For the project of this folder alone.")
@pass_app
def use(app: App, name: str, project: bool) -> None:
    """Make a target the default of commands without --on; 'here' for this machine again.

    The choice is kept in your own settings, never in the project.
    """
    every = all_of(app)
    if name != HERE and name not in {one.name for one in every.named}:
        raise UsageError(f"{name!r} is not a target", hint=f"devenv targets add {name} USER@HOST")
    folder = project_here() if project else None
    if project and folder is None:
        raise UsageError("this folder lies in no project", hint="devenv init")
    book(app).use(None if name == HERE and not project else name, folder)
    app.console.note(f"commands{f' in {folder}' if folder else ''} now work on {name}")


@targets.command("rm")
@click.argument("name")
@click.option("--keep-there", is_flag=True, help="Forget it here only; what devenv brought there stays.")
@pass_app
def rm(app: App, name: str, keep_there: bool) -> None:
    """Forget a target, and remove what devenv brought there.

    Projects are made the same on both sides first. Environments there have to be removed before.
    """
    target = _named(app, name)
    if not keep_there:
        if isinstance(target, SshTarget):
            from devenv.cli.on_box_check import forget

            forget(app, target)
        else:
            from devenv.cli import on_cluster

            on_cluster.forget(app, target)
    book(app).remove(name)
    app.console.note(f"{name} is forgotten")


@targets.command("check")
@click.argument("name")
@json_option
@pass_app
def check(app: App, name: str) -> None:
    """Look whether a target can be reached and used, and what it has."""
    target = all_of(app).meant(name)
    if target is None:
        raise UsageError("this machine is no target", hint="devenv doctor")
    if isinstance(target, SshTarget):
        from devenv.cli.on_box_check import check as look

        look(app, target)
    else:
        from devenv.cli import on_cluster

        on_cluster.check(app, target)


def _named(app: App, name: str) -> Target:
    for one in all_of(app).named:
        if one.name == name:
            return one
    raise UsageError(f"{name} is not a target", hint="devenv targets list")
