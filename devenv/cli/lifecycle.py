"""The life cycle of an environment: ps, status, stop, start, down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from devenv.checks import readiness
from devenv.cli.app import App, all_users_option, json_option, pass_app
from devenv.cli.elsewhere import on_option
from devenv.container import condition, labels, life, once, usage
from devenv.container.names import is_name
from devenv.doors.docker.engine import LABEL
from devenv.doors.terminal.console import bytes_text, printable
from devenv.errors import EngineError, NotReadyError
from devenv.plan.base_path import ENTRY
from devenv.plan.inside import WORKBENCH


@click.command()
@json_option
@on_option
@pass_app
def ps(app: App) -> None:
    """List the environments on this engine, running or not, dev containers, and the commands of 'devenv run'.

    Then those on your targets. With --on only those of one target.
    """
    from devenv.cli import everywhere

    others = None if app.options.here else everywhere.listed(app)
    try:
        every, runs = app.environments.every(), once.every(app.engine)
    except EngineError as error:
        if others is None:
            raise
        app.console.warn(error.message)  # a laptop may have no engine
        every, runs = (), ()
    found = [(name, one) for name, rows in others or () for one in rows]
    if app.json:
        own = {one.name: [run.name for run in runs if run.labels.get(labels.RUN) == one.name] for one in every}
        here = [{**_short(app, running), "runs": own[running.name], "target": None} for running in every]
        app.console.json([*here, *({**one, "target": name} for name, one in found)])
        return
    if not every and not runs and not found:
        app.console.note("no environment; make one: devenv up rapidocr")
        return
    rows: list[tuple[str, ...]] = [
        (running.name, running.preset, _state(app, running), running.project or "-", _ide(app, running))
        for running in every
    ]
    rows += [
        (
            run.name,
            run.labels.get(f"{LABEL}preset", ""),
            f"run, {run.state}",
            run.labels.get(f"{LABEL}project") or "-",
            "-",
        )
        for run in runs
    ]
    columns: tuple[str, ...] = ("NAME", "PRESET", "STATE", "PROJECT", "URL")
    if others is not None:
        columns = ("NAME", "TARGET", *columns[1:])
        rows = [(row[0], "here", *row[1:]) for row in rows] + [everywhere.row(name, one) for name, one in found]
    app.console.table("", columns, rows, stdout=True)


@click.command()
@click.argument("name", required=False)
@json_option
@on_option
@pass_app
def status(app: App, name: str | None) -> None:
    """Show one environment: its services now, URLs, volumes, memory."""
    running = app.select(name, look=True, devcontainers=True)
    token = app.known_token(running)
    live = running.facts.state == "running"
    services = readiness.states(running, token or "") if live else {}
    if live and not running.is_devcontainer and app.is_own(running):
        _warn_of_token(app, running, services)
    memory = usage.memory(running, app.engine) if live else None
    gpus = [] if running.gpu is None else usage.gpus(running, app.engine)
    if app.json:
        app.console.json({
            **_short(app, running), "services": services, "memory_bytes": memory, "gpus": [_gpu(each) for each in gpus],
            "volumes": [{"name": m.source, "at": m.target} for m in running.facts.mounts if m.kind == "volume"],
        })  # fmt: skip
        return
    lines = [f"{running.name}  {_state(app, running)}  (preset {running.preset}, lock {running.lock_digest[:12]})"]
    lines += [f"  remedy     {text}"] if (text := condition.remedy(running)) else []
    urls = running.urls(token) if live else {}
    lines += [f"  {key.ljust(10)} {services.get(key, '-').ljust(8)} {url}" for key, url in urls.items()]
    lines += _proxy_line(running, services) if live else []
    lines += [f"  volume     {m.source} at {m.target}" for m in running.facts.mounts if m.kind == "volume"]
    lines += [f"  project    {running.project} at /workspace"] if running.project else []
    lines += [f"  memory     {bytes_text(memory)}"] if memory is not None else []
    lines += [_gpu_line(each) for each in gpus]
    app.console.data("\n".join(printable(line, one_line=True) for line in lines))


@click.command()
@click.argument("names", nargs=-1)
@all_users_option
@json_option
@on_option
@pass_app
def stop(app: App, names: tuple[str, ...], all_users: bool) -> None:
    """Stop environments; everything in them is kept."""
    chosen = _chosen(app, names, all_users=all_users)
    for name in chosen:
        life.stop(name, app.environments, note=app.console.note, all_users=all_users)
    _done(app, chosen)


@click.command()
@click.argument("name", required=False)
@json_option
@on_option
@pass_app
def start(app: App, name: str | None) -> None:
    """Start a stopped or paused environment and wait until its services answer."""
    from devenv.up.start import start as start_again

    name = app.select(name, devcontainers=True).name
    with app.console.stages() as stages:
        now, token = start_again(name, app.environments, app.session(stages))
    if app.json:
        app.console.json(_short(app, now))
        return
    for service, url in now.urls(token).items():
        app.console.data(f"{service}  {url}")


@click.command()
@click.argument("names", nargs=-1)
@click.option("--volumes", is_flag=True, help="Remove the environment's volumes too, with all their data.")
@click.option("--ports", is_flag=True, help="Release its ports; the next 'up' chooses new ones.")
@all_users_option
@json_option
@on_option
@pass_app
def down(app: App, names: tuple[str, ...], volumes: bool, ports: bool, all_users: bool) -> None:
    """Remove environments' containers and networks. Volumes, token and ports stay, except with the options.

    With --volumes, name the environment: without a name, only the environment of this project is removed. Of what a dev
    container client made, the container is removed, and the volumes always stay.
    """
    removal = life.Removal(volumes=volumes, ports=ports, all_users=all_users)
    for name in (chosen := _chosen(app, names, all_users=all_users, without_container=True, with_volumes=volumes)):
        life.down(name, app.environments, removal, note=app.console.note)
    _done(app, chosen)


def _chosen(
    app: App, names: tuple[str, ...], *, all_users: bool, without_container: bool = False, with_volumes: bool = False
) -> list[str]:
    """The named environments, each once; without a name, the one `select` finds."""
    if not names:
        here_only = (
            "name the environment, because its volumes and their data will be removed: devenv down --volumes NAME"
            if with_volumes
            else ""
        )
        return [app.select(None, all_users=all_users, here_only=here_only, devcontainers=True).name]
    for name in names:
        # Its volumes and state may outlive its container.
        if not (without_container and is_name(name) and app.environments.is_left(name, all_users=all_users)):
            app.select(name, all_users=all_users, devcontainers=True)
    return list(dict.fromkeys(names))


def _done(app: App, chosen: list[str]) -> None:
    if app.json:
        app.console.json(chosen)


def _short(app: App, running: labels.Running) -> dict[str, Any]:
    token = app.known_token(running)
    return {
        "name": running.name,
        "preset": running.preset,
        "role": running.role,
        "state": running.facts.state,
        "remedy": None if running.unreadable else condition.remedy(running),
        "project": running.project or None,
        "lock_digest": running.lock_digest,
        "image_id": running.facts.image,
        "container_id": running.facts.id,
        "started_at": running.facts.started_at,
        "urls": running.urls(token) if running.facts.state == "running" and not running.unreadable else {},
        **running.proxy_json(),
        "own": app.is_own(running),
        "devcontainer": running.is_devcontainer,
        "unreadable": running.unreadable or None,
    }


def _state(app: App, running: labels.Running) -> str:
    if running.unreadable:
        return f"unreadable: {running.unreadable}"
    state = running.facts.state if running.role == WORKBENCH else f"{running.facts.state}, {running.role}"
    state += ", dev container" if running.is_devcontainer else ""
    return state if app.is_own(running) else f"{state}, another user's"


def _ide(app: App, running: labels.Running) -> str:
    urls = running.urls(app.known_token(running)) if running.facts.state == "running" and not running.unreadable else {}
    return next(iter(urls.values()), "-")


def _proxy_line(running: labels.Running, services: Mapping[str, str]) -> list[str]:
    if running.base_path is None:
        return []
    return [f"  proxy      {services.get(ENTRY, '-').ljust(8)} {running.base_path.text} to {running.entry}"]


def _warn_of_token(app: App, running: labels.Running, services: Mapping[str, str]) -> None:
    environment = app.environment(running.name)
    try:
        environment.kept_token()
        readiness.check_token(running, services, environment.token_file)
    except NotReadyError as error:
        app.console.warn(f"{error.where}: {error.message}; {error.hint}")


def _gpu(now: usage.GpuNow) -> dict[str, Any]:
    return {
        "index": now.index, "uuid": now.uuid, "name": now.name, "mode": now.mode, "memory_bytes": now.memory_bytes,
        "memory_used_bytes": now.used_bytes, "environment_bytes": now.own_bytes,
        "utilisation_percent": now.busy_percent,
    }  # fmt: skip


def _gpu_line(now: usage.GpuNow) -> str:
    if now.used_bytes is None:
        return f"  gpu        {now.index}: {now.name}, by {now.mode}; the driver does not answer"
    own = f", {bytes_text(now.own_bytes)} of it here" if now.own_bytes is not None else ""
    busy = f", {now.busy_percent} % busy" if now.busy_percent is not None else ""
    used, every = bytes_text(now.used_bytes), bytes_text(now.memory_bytes)
    return f"  gpu        {now.index}: {now.name}, by {now.mode}; {used} of {every} in use{own}{busy}"
