"""Looking into an environment: logs, exec, shell, restart, smoke."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Sequence
from typing import Protocol

import click

from devenv.checks.restart import restart as restart_service
from devenv.cli.app import App, all_users_option, json_option, pass_app
from devenv.cli.elsewhere import on_option
from devenv.container import condition
from devenv.container import logs as log
from devenv.container.labels import Running
from devenv.doors import process
from devenv.doors.terminal.console import printable
from devenv.errors import EngineError, UsageError
from devenv.plan.inside import WORKSPACE


@click.command()
@click.argument("name", required=False)
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines.")
@click.option("-n", "--lines", default=200, show_default=True, help="The number of last lines to print first.")
@all_users_option
@on_option
@pass_app
def logs(app: App, name: str | None, service: str | None, follow: bool, lines: int, all_users: bool) -> None:
    """Show the log of SERVICE, or of every service and of 'setup'.

    With one environment, 'devenv logs SERVICE' is enough.
    """
    running, service = _target(app, name, service, all_users=all_users)
    if running.facts.state != "running":
        for text in log.stopped(running, service, app.engine, lines=lines):
            app.console.data(text)
        return
    paths = log.existing(running, service, app.engine)
    if not paths:
        app.console.note("no log yet")
        return
    with (
        contextlib.closing(log.read(running, paths, app.engine, lines=lines, follow=follow)) as printed,
        contextlib.suppress(*((KeyboardInterrupt,) if follow else ())),
    ):
        for line in printed:
            app.console.data(line)


class _Exec(click.Command):
    """Keeps a `--` before the words, which click removes, because a word after it is not an environment's name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        words = ctx.params.get("words") or ()
        if given[: len(given) - len(words)][-1:] == ["--"]:
            ctx.params["words"] = ("--", *words)
        return rest


def command_of(words: tuple[str, ...], name: str | None) -> tuple[str | None, tuple[str, ...]]:
    """The environment that the words of `exec` name, unless `name` does, and the command. Raises UsageError without a
    command."""
    if words[:1] == ("--",):
        words = words[1:]
    elif name is None and words[1:2] == ("--",):
        name, words = words[0], words[2:]
    if not words:
        raise UsageError("no command is given", hint="devenv exec NAME -- COMMAND")
    return name, words


@click.command(
    "exec", cls=_Exec, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)  # fmt: skip
@click.option("--name", help="The environment; default: the one of this project, or the only one.")
@click.option(
    "-w", "--workdir", metavar="DIR", help="The folder in the container to run it in, relative to /workspace."
)
@all_users_option
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[NAME --] COMMAND...")
@on_option
@pass_app
def exec_(app: App, name: str | None, workdir: str | None, words: tuple[str, ...], all_users: bool) -> None:
    """Run COMMAND in the container as the user, in /workspace, and exit with its exit status.

    A single word before '--' is the environment's name. All words after '--' or '--name' are COMMAND. Run a program
    whose own first argument is '--' like this: devenv exec -- grep -- -x FILE.

    COMMAND ends when this command ends, for whatever reason. With `nohup` or `setsid` in front it keeps running.
    """
    given, hint = name, "devenv ps"
    name, words = command_of(words, name)
    if name != given:
        hint += f"; to run a program named {name!r} in the container: devenv exec -- {name} -- …"
    running = app.select(name, all_users=all_users, devcontainers=True, hint=hint)
    sys.exit(interactive(app, running, words, workdir=workdir))


@click.command()
@click.argument("name", required=False)
@all_users_option
@on_option
@pass_app
def shell(app: App, name: str | None, all_users: bool) -> None:
    """Open a login shell in the container. The shell and its jobs end when this command ends, for whatever reason."""
    sys.exit(interactive(app, app.select(name, all_users=all_users, devcontainers=True), ("bash", "-l")))


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME] [SERVICE]")
@all_users_option
@json_option
@on_option
@pass_app
def restart(app: App, words: tuple[str, ...], all_users: bool) -> None:
    """Restart one service of a running environment, or without SERVICE all of it, and wait until it answers.

    With a service everything else keeps running. Browsers stay logged in; after 'devenv stop' they need the token.
    """
    if len(words) > 2:
        raise UsageError(f"too many arguments: {' '.join(words)}", hint="devenv restart NAME SERVICE")
    running, name = _restarted(app, words, all_users=all_users)
    if name is None:
        from devenv.up.start import start as start_again

        with app.console.stages() as stages:
            start_again(running.name, app.environments, app.session(stages), anew=True)
        if app.json:
            app.console.json({"name": running.name, "service": None})
        else:
            app.console.note(f"{running.name} is restarted")
        return
    with app.locked(running):
        running = app.select(running.name, all_users=all_users, devcontainers=True)
        with app.console.stages() as stages:
            restart_service(running, name, app.engine, token=app.known_token(running), stages=stages)
    if app.json:
        app.console.json({"name": running.name, "service": name})
    else:
        app.console.note(f"{name} of {running.name} is restarted")


def _restarted(app: App, words: tuple[str, ...], *, all_users: bool) -> tuple[Running, str | None]:
    """The environment and its service, or None for all of it. A single word is a service of the environment here, else
    the name of an environment."""
    if len(words) == 2:
        return app.select(words[0], all_users=all_users, devcontainers=True), words[1]
    if not words:
        return app.select(None, all_users=all_users, devcontainers=True), None
    (word,) = words
    if word not in {one.name for one in app.environments.every()}:
        return app.select(None, all_users=all_users, devcontainers=True), word
    with contextlib.suppress(UsageError):  # none is meant here
        here = app.select(None, all_users=all_users, devcontainers=True)
        if word in condition.service_names(here):
            return here, word
    return app.select(word, all_users=all_users, devcontainers=True), None


@click.command()
@click.argument("name", required=False)
@all_users_option
@json_option
@on_option
@pass_app
def smoke(app: App, name: str | None, all_users: bool) -> None:
    """Run the smoke test again in a running environment."""
    from devenv.checks.smoke import Report
    from devenv.checks.smoke import smoke as run_smoke
    from devenv.up.report import smoke_json

    running = condition.require_running(app.select(name, all_users=all_users, devcontainers=True))
    if running.checks:
        with app.console.stages() as stages, stages.stage("smoke") as stage:
            report = run_smoke(running, app.engine, progress=stage)
            stage.failed = not report.passed
    else:
        report = Report(checks=())
    if app.json:
        app.console.json(smoke_json(report))
    elif not running.checks:
        app.console.note(f"no smoke checks: the preset of {running.name} has none")
    else:
        for check in report.checks:
            app.console.data(printable(check.line, one_line=True))
    report.raise_failed(running.name)


def _target(app: App, name: str | None, service: str | None, *, all_users: bool) -> tuple[Running, str | None]:
    """`logs NAME SERVICE`, `logs NAME`, or `logs SERVICE` when there is only one environment."""
    if name is not None and service is None:
        environments = app.environments.every()
        mine = [running for running in environments if all_users or app.is_own(running)]
        made = [running for running in mine if not running.is_devcontainer]
        if any(running.name == name for running in environments) or len(made or mine) != 1:
            return app.select(name, all_users=all_users, devcontainers=True), None
        name, service = None, name
    running = app.select(name, all_users=all_users, devcontainers=True)
    if service is not None and service not in log.OTHERS:
        condition.require_service(running, service)
    return running, service


def interactive(app: App, running: Running, command: tuple[str, ...], *, workdir: str | None = None) -> int:
    """Run a command as the user on this terminal; it ends when this process ends. Its exit status. Raises UsageError,
    NotReadyError, EngineError."""
    from devenv.container.exec import Lifeline, working_folder

    condition.require_running(running)
    folder = working_folder(running, app.engine, workdir) if workdir else WORKSPACE
    with Lifeline(app.engine, running.facts.name) as line:
        return attached(app, running.facts.name, command, line, folder=folder)


class Line(Protocol):
    """What ends a command in a container with its client."""

    def command(self, command: Sequence[str]) -> list[str]:
        """The command to run there."""

    def tell(self, number: int) -> None:
        """Pass a signal on."""

    def done(self) -> None:
        """The command ended."""

    def lost(self) -> None:
        """Its connection ended, or a signal ended it."""


def attached(
    app: App, container: str, command: Sequence[str], line: Line, *, folder: str = WORKSPACE,
    passed: Collection[int] = (),
) -> int:  # fmt: skip
    """Run a command in the container as the user, on this terminal; its exit status. `passed`: the signals that it gets
    without an end. Raises EngineError."""
    terminal = ["-i", "-t"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
    full = ["docker", "exec", *terminal, "--user", "dev", "--workdir", folder, container, *line.command(command)]
    try:
        code = process.interactive(full, env=app.engine.endpoint.variables(), tell=line.tell, passed=passed)
    except FileNotFoundError:
        raise EngineError("the 'docker' client program is not installed", hint="install docker-cli") from None
    if code < 0 or (passed and code > 128):
        line.lost()
    else:
        line.done()
    return 128 - code if code < 0 else code
