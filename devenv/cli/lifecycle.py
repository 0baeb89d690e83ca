"""An environment's life: ps, status, stop, start, down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from devenv.checks import readiness
from devenv.cli.app import App, all_users_option, json_option, pass_app
from devenv.container import condition, container, labels, network, owner
from devenv.doors.docker.engine import LABEL
from devenv.doors.terminal.console import bytes_text, printable
from devenv.errors import NotReadyError


@click.command()
@json_option
@pass_app
def ps(app: App) -> None:
    """List the environments on this engine, running or not."""
    every = container.everything(app.engine)
    if app.json:
        app.console.json([_short(app, one) for one in every])
        return
    if not every:
        app.console.note("no environment; make one: devenv up rapidocr")
        return
    rows = [(one.name, one.preset, _state(app, one), one.project or "-", _ide(app, one)) for one in every]
    app.console.table("", ("NAME", "PRESET", "STATE", "PROJECT", "URL"), rows, stdout=True)


@click.command()
@click.argument("name", required=False)
@json_option
@pass_app
def status(app: App, name: str | None) -> None:
    """Show one environment: its services now, URLs, volumes, memory."""
    one = app.select(name, look=True)
    token = app.known_token(one)
    live = one.facts.state == "running"
    services = readiness.states(one, token or "") if live else {}
    if live and app.is_own(one):
        _warn_of_token(app, one, services)
    memory = _memory(app.engine.stats(one.facts.name)) if live else None
    gpus = _gpus(app, one, live=live)
    if app.json:
        app.console.json({
            **_short(app, one), "services": services, "memory_bytes": memory, "gpus": gpus,
            "volumes": [{"name": m.source, "at": m.target} for m in one.facts.mounts if m.kind == "volume"],
        })  # fmt: skip
        return
    lines = [f"{one.name}  {_state(app, one)}  (preset {one.preset}, lock {one.lock_digest[:12]})"]
    lines += [f"  remedy     {text}"] if (text := condition.remedy(one)) else []
    urls = one.urls(token) if live else {}
    lines += [f"  {key.ljust(10)} {services.get(key, '-').ljust(8)} {url}" for key, url in urls.items()]
    lines += [f"  volume     {m.source} at {m.target}" for m in one.facts.mounts if m.kind == "volume"]
    lines += [f"  project    {one.project} at /workspace"] if one.project else []
    lines += [f"  memory     {bytes_text(memory)}"] if memory is not None else []
    lines += [_gpu_line(each) for each in gpus]
    app.console.data("\n".join(printable(line, one_line=True) for line in lines))


@click.command()
@click.argument("names", nargs=-1)
@all_users_option
@json_option
@pass_app
def stop(app: App, names: tuple[str, ...], all_users: bool) -> None:
    """Stop environments; everything in them is kept."""
    chosen = _chosen(app, names, all_users=all_users)
    for name in chosen:
        with app.locked(name):
            one = _now(app, name, all_users=all_users)
            if one and not condition.can_start(one):
                app.console.note(f"{name} is {one.facts.state}: {condition.remedy(one)}")
                continue
            if one:
                app.engine.stop(one.facts.name, timeout_s=container.STOP_TIMEOUT_S)
        app.console.note(f"{name} is stopped")
    _done(app, chosen)


@click.command()
@click.argument("name", required=False)
@json_option
@pass_app
def start(app: App, name: str | None) -> None:
    """Start a stopped or paused environment and wait until its services answer."""
    from devenv.up.up import wake

    one = app.select(name)
    environment = app.environment(one.name)
    token = environment.kept_token()
    with app.locked(one.name), app.console.stages() as stages:
        one = _startable(app, app.select(one.name))
        if one.facts.state == "running":
            readiness.check_token(one, readiness.states(one, token), environment.token_file)
        with stages.stage("boot") as stage:
            stage.cached = one.facts.state == "running" and not one.facts.is_cut_off
            watch = wake(one, environment, app.session(stages))
            readiness.wait_up(watch)
        with stages.stage("ready") as stage:
            readiness.wait_ready(one, token, watch, progress=stage, engine=app.engine)
        if one.gpu:
            from devenv.checks.gpu import prove

            with stages.stage("gpu"):
                prove(one, app.engine)
    now = app.select(one.name)
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
@pass_app
def down(app: App, names: tuple[str, ...], volumes: bool, ports: bool, all_users: bool) -> None:
    """Remove environments' containers and networks. Volumes, token and ports stay, except with the options.

    With --volumes, name the environment: without a name, only the environment of this project is removed.
    """
    for name in (chosen := _chosen(app, names, all_users=all_users, without_container=True, with_volumes=volumes)):
        environment = app.environment(name)
        with app.locked(name):
            one = _now(app, name, all_users=all_users)
            lost = owner.removable(environment, app.engine, one, all_users=all_users) if volumes else ()
            if one:
                condition.remove(one, app.engine)
            if not network.remove(environment, app.engine, everybodys=all_users or one is not None):
                app.console.note(f"kept the network {environment.network}: another container is connected to it")
            if ports:
                environment.keep_ports({})
            if volumes:
                for volume in lost:
                    app.engine.remove_volume(volume)
                environment.forget()
        app.console.note(f"{name} is down" + ("; its volumes are removed" if volumes else "; its volumes are kept"))
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
        return [app.select(None, all_users=all_users, here_only=here_only).name]
    for name in names:
        # Its volumes and state may outlive its container.
        if not (without_container and _left(app, name, all_users=all_users)):
            app.select(name, all_users=all_users)
    return list(dict.fromkeys(names))


def _left(app: App, name: str, *, all_users: bool) -> bool:
    """Whether an environment has no container, but still its state, or with `all_users` its volumes."""
    environment = app.environment(name)
    if app.engine.container(environment.container):
        return False
    return environment.folder.exists() or (all_users and bool(app.engine.volumes(f"{LABEL}name={name}")))


def _now(app: App, name: str, *, all_users: bool) -> labels.Running | None:
    """The environment's container now: another command may have made or removed it meanwhile."""
    one = container.find(name, app.engine)
    if one:
        owner.check(one, app.environment(name), all_users=all_users)
    return one


def _startable(app: App, one: labels.Running) -> labels.Running:
    """The container, running or ready to be started. Raises NotReadyError for one that only `up` can continue."""
    settled = condition.settled(one, app.engine, app.console.note) if condition.can_start(one) else None
    if settled is None:
        raise NotReadyError(f"{one.name} cannot be started: it is {one.facts.state}", hint=condition.remedy(one))
    return settled


def _done(app: App, chosen: list[str]) -> None:
    if app.json:
        app.console.json(chosen)


def _short(app: App, one: labels.Running) -> dict[str, Any]:
    token = app.known_token(one)
    return {
        "name": one.name,
        "preset": one.preset,
        "state": one.facts.state,
        "remedy": None if one.unreadable else condition.remedy(one),
        "project": one.project or None,
        "lock_digest": one.lock_digest,
        "image_id": one.facts.image,
        "container_id": one.facts.id,
        "started_at": one.facts.started_at,
        "urls": one.urls(token) if one.facts.state == "running" and not one.unreadable else {},
        "own": app.is_own(one),
        "unreadable": one.unreadable or None,
    }


def _state(app: App, one: labels.Running) -> str:
    if one.unreadable:
        return f"unreadable: {one.unreadable}"
    return one.facts.state if app.is_own(one) else f"{one.facts.state}, another user's"


def _ide(app: App, one: labels.Running) -> str:
    urls = one.urls(app.known_token(one)) if one.facts.state == "running" and not one.unreadable else {}
    return next(iter(urls.values()), "-")


def _warn_of_token(app: App, one: labels.Running, services: Mapping[str, str]) -> None:
    environment = app.environment(one.name)
    try:
        environment.kept_token()
        readiness.check_token(one, services, environment.token_file)
    except NotReadyError as error:
        app.console.warn(f"{error.where}: {error.message}; {error.hint}")


def _gpus(app: App, one: labels.Running, *, live: bool) -> list[dict[str, Any]]:
    """The environment's GPUs now: memory and utilisation of each, and the memory of the environment's own processes."""
    if one.gpu is None:
        return []
    from devenv.doors.machine.gpu_usage import usage

    pids = app.engine.pids(one.facts.name) if live else frozenset()
    now = {each.uuid: each for each in usage([each.uuid for each in one.gpu.devices], pids)}
    rows = []
    for device in one.gpu.devices:
        seen = now.get(device.uuid)
        rows.append({
            "index": device.index, "uuid": device.uuid, "name": device.name, "mode": one.gpu.mode,
            "memory_bytes": device.memory_bytes, "memory_used_bytes": seen and seen.used_bytes,
            "environment_bytes": seen and seen.own_bytes, "utilisation_percent": seen and seen.utilisation_percent,
        })  # fmt: skip
    return rows


def _gpu_line(row: dict[str, Any]) -> str:
    if row["memory_used_bytes"] is None:
        return f"  gpu        {row['index']}: {row['name']}, by {row['mode']}; the driver does not answer"
    own = f", {bytes_text(row['environment_bytes'])} of it here" if row["environment_bytes"] is not None else ""
    busy = f", {row['utilisation_percent']} % busy" if row["utilisation_percent"] is not None else ""
    used, every = bytes_text(row["memory_used_bytes"]), bytes_text(row["memory_bytes"])
    return f"  gpu        {row['index']}: {row['name']}, by {row['mode']}; {used} of {every} in use{own}{busy}"


def _memory(stats: Any) -> int | None:
    """Bytes in use without the page cache, as `docker stats` counts."""
    facts = stats.get("memory_stats") or {}
    if "usage" not in facts:
        return None
    return int(facts["usage"]) - int((facts.get("stats") or {}).get("inactive_file", 0))
