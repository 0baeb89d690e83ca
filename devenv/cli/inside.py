"""Looking into an environment: logs, exec, shell, open, smoke."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import click

from devenv import boot, condition, probe, run
from devenv.boot import Running
from devenv.cli.app import App, all_users_option, json_option
from devenv.console import printable
from devenv.errors import EngineError, NotReadyError, UsageError

_LOGS = "/var/log/devenv"


@click.command()
@click.argument("name", required=False)
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Keep printing what comes.")
@click.option("-n", "--lines", default=200, show_default=True, help="How many lines to begin with.")
@all_users_option
@click.pass_obj
def logs(app: App, name: str | None, service: str | None, follow: bool, lines: int, all_users: bool) -> None:
    """Show the log of SERVICE, or of every service. With one environment, `devenv logs SERVICE` is enough."""
    one, service = _target(app, name, service, all_users=all_users)
    names = [service] if service else [*(s.name for s in one.services), "gateway"]
    if one.facts.state != "running":
        for each in names:
            text = app.engine.read_file(one.facts.name, f"{_LOGS}/{each}/current")
            app.console.data("\n".join(text.splitlines()[-lines:]))
        return
    paths = [f"{_LOGS}/{each}/current" for each in names]
    existing = app.engine.exec(
        one.facts.name, ["sh", "-c", 'for f; do [ -e "$f" ] && echo "$f"; done; true', "sh", *paths]
    )
    if not existing[1].strip():
        app.console.note("no log yet")
        return
    if follow:
        _follow(app, one, ["tail", "-n", str(lines), "-F", *existing[1].split()])
        return
    for line in app.engine.follow(one.facts.name, ["tail", "-n", str(lines), *existing[1].split()], user="root"):
        app.console.data(line)


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--name", help="The environment; the only one, or the project's here, when not given.")
@all_users_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def exec_(app: App, name: str | None, command: tuple[str, ...], all_users: bool) -> None:
    """Run COMMAND inside as the user, in /workspace; its exit status becomes this one's.

    COMMAND ends when this one does, however that happens; with `nohup` or `setsid` in front it goes on.
    """
    sys.exit(_interactive(app, app.select(name, all_users=all_users), command))


@click.command()
@click.argument("name", required=False)
@all_users_option
@click.pass_obj
def shell(app: App, name: str | None, all_users: bool) -> None:
    """Open a login shell inside. It and its jobs end when this command does, however that happens."""
    sys.exit(_interactive(app, app.select(name, all_users=all_users), ("bash", "-l")))


@click.command("open")
@click.argument("name", required=False)
@click.argument("service", default="ide")
@click.pass_obj
def open_(app: App, name: str | None, service: str) -> None:
    """Open an environment's page (ide, jupyter, …) in the browser, token included."""
    one = app.select(name)
    environment = app.environment(one.name)
    token = environment.kept_token()
    urls = one.urls(token)
    if service not in urls:
        raise UsageError(
            f"{one.name} has no page {service!r}; it has: {', '.join(urls) or 'none'}", hint="devenv status"
        )
    if one.facts.state == "running":
        probe.check_token(one, probe.states(one, token), environment.token_file)
    app.console.data(urls[service])
    # A page that leads on, readable by this user only: a browser's arguments show in the process list.
    page = environment.page(service, urls[service])
    if click.launch(page.as_uri()) != 0:
        app.console.note("no browser here: open the address above")


@click.command()
@click.argument("name", required=False)
@all_users_option
@json_option
@click.pass_obj
def smoke(app: App, name: str | None, all_users: bool) -> None:
    """Run the smoke test again in a running environment."""
    from devenv.cli.up import smoke_json
    from devenv.smoke import smoke as run_smoke

    one = _running(app.select(name, all_users=all_users))
    with app.console.stages() as stages, stages.stage("smoke") as stage:
        report = run_smoke(one, app.engine, progress=stage)
        stage.failed = not report.passed
    if app.json:
        app.console.json(smoke_json(report))
    else:
        for check in report.checks:
            app.console.data(printable(check.line, one_line=True))
    report.raise_failed(one.name)


def _target(app: App, name: str | None, service: str | None, *, all_users: bool) -> tuple[Running, str | None]:
    """`logs NAME SERVICE`, `logs NAME`, or `logs SERVICE` when there is only one environment."""
    if name is not None and service is None:
        environments = boot.everything(app.engine)
        mine = [one for one in environments if all_users or app.is_own(one)]
        if any(one.name == name for one in environments) or len(mine) != 1:
            return app.select(name, all_users=all_users), None
        name, service = None, name
    one = app.select(name, all_users=all_users)
    known = {*(s.name for s in one.services), "gateway"}
    if service is not None and service not in known:
        raise UsageError(f"{one.name} has no service {service!r}; it has: {', '.join(sorted(known))}")
    return one, service


def _running(one: Running) -> Running:
    if one.facts.state != "running":
        raise NotReadyError(f"{one.name} is not running ({one.facts.state})", hint=condition.remedy(one))
    return one


def _follow(app: App, one: Running, command: list[str]) -> None:
    """Print what a command inside prints, until either ends."""
    from devenv.lifeline import Lifeline

    with Lifeline(app.engine, one.facts.name) as line, contextlib.suppress(KeyboardInterrupt):
        for text in app.engine.follow(one.facts.name, line.command(command), user="root"):
            app.console.data(text)


def _interactive(app: App, one: Running, command: tuple[str, ...]) -> int:
    _running(one)
    terminal = ["-i", "-t"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
    options = [*terminal, "--user", "dev", "--workdir", "/workspace"]
    from devenv.lifeline import Lifeline

    with Lifeline(app.engine, one.facts.name) as line:
        code = _inside(app, one, options, line.command(command), tell=line.tell)
        if code < 0:
            line.lost()
            return 128 - code
        line.done()
    return code


def _inside(
    app: App,
    one: Running,
    options: list[str],
    command: list[str],
    *,
    tell: Callable[[int], None],
) -> int:
    """Run a command inside on this terminal, through the docker client."""
    full = ["docker", "--host", app.engine.address, "exec", *options, one.facts.name, *command]
    try:
        return run.interactive(full, tell=tell)
    except FileNotFoundError:
        raise EngineError("the 'docker' client program is not installed", hint="install docker-cli") from None
