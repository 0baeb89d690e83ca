"""An environment's life: ps, status, stop, start, down, prune."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from devenv import boot, probe
from devenv.cli.app import App, json_option
from devenv.console import bytes_text
from devenv.engine import LABEL
from devenv.environment import hold
from devenv.errors import UsageError


@click.command()
@json_option
@click.pass_obj
def ps(app: App) -> None:
    """List the environments on this engine, running or not."""
    every = boot.everything(app.engine)
    if app.json:
        app.console.json([_short(app, one) for one in every])
        return
    if not every:
        app.console.note("no environment; make one: devenv up rapidocr")
        return
    rows = [(one.name, one.preset, one.facts.state, one.project or "-", _ide(app, one)) for one in every]
    app.console.table("", ("NAME", "PRESET", "STATE", "PROJECT", "URL"), rows, stdout=True)


@click.command()
@click.argument("name", required=False)
@json_option
@click.pass_obj
def status(app: App, name: str | None) -> None:
    """Show one environment: its services now, URLs, volumes, memory."""
    one = app.select(name)
    token = app.environment(one.name).token()
    live = one.facts.state == "running"
    services = probe.states(one, token) if live else {}
    memory = _memory(app.engine.stats(one.facts.name)) if live else None
    if app.json:
        app.console.json({
            **_short(app, one), "services": services, "memory_bytes": memory,
            "volumes": [{"name": m.source, "at": m.target} for m in one.facts.mounts if m.kind == "volume"],
        })  # fmt: skip
        return
    lines = [f"{one.name}  {one.facts.state}  (preset {one.preset}, lock {one.lock_digest[:12]})"]
    urls = one.urls(token) if live else {}
    lines += [f"  {key.ljust(10)} {services.get(key, '-').ljust(8)} {url}" for key, url in urls.items()]
    lines += [f"  volume     {m.source} at {m.target}" for m in one.facts.mounts if m.kind == "volume"]
    lines += [f"  project    {one.project} at /workspace"] if one.project else []
    lines += [f"  memory     {bytes_text(memory)}"] if memory is not None else []
    app.console.data("\n".join(lines))


@click.command()
@click.argument("names", nargs=-1)
@json_option
@click.pass_obj
def stop(app: App, names: tuple[str, ...]) -> None:
    """Stop environments; everything in them is kept."""
    chosen = _chosen(app, names)
    for one in chosen:
        app.engine.stop(one.facts.name, timeout_s=boot.STOP_TIMEOUT_S)
        app.console.note(f"{one.name} is stopped")
    _done(app, chosen)


@click.command()
@click.argument("name", required=False)
@json_option
@click.pass_obj
def start(app: App, name: str | None) -> None:
    """Start a stopped environment and wait until its services answer."""
    from devenv.up import wake

    one = app.select(name)
    environment = app.environment(one.name)
    with (
        environment.locked(lambda: app.console.note("another devenv command holds this environment; waiting")),
        app.console.stages() as stages,
    ):
        with stages.stage("boot") as stage:
            stage.cached = one.facts.state == "running"
            watch = wake(one, app.engine)
            probe.wait_up(watch)
        with stages.stage("ready") as stage:
            probe.wait_ready(one, environment.token(), watch, progress=stage, engine=app.engine)
    now = app.select(one.name)
    if app.json:
        app.console.json(_short(app, now))
        return
    for service, url in now.urls(environment.token()).items():
        app.console.data(f"{service}  {url}")


@click.command()
@click.argument("names", nargs=-1)
@click.option("--volumes", is_flag=True, help="Remove the environment's volumes too: what is on them is lost.")
@click.option("--ports", is_flag=True, help="Give its ports up, so that the next 'up' chooses new ones.")
@json_option
@click.pass_obj
def down(app: App, names: tuple[str, ...], volumes: bool, ports: bool) -> None:
    """Remove environments' containers. Volumes, token and ports stay unless told."""
    chosen = _chosen(app, names, also_without_container=True)
    for one in chosen:
        name = one if isinstance(one, str) else one.name
        environment = app.environment(name)
        with environment.locked(lambda: app.console.note("another devenv command holds this environment; waiting")):
            if not isinstance(one, str):
                if one.facts.state == "running":
                    app.engine.stop(one.facts.name, timeout_s=boot.STOP_TIMEOUT_S)
                app.engine.remove(one.facts.name)
            if ports:
                environment.keep_ports({})
            if volumes:
                for volume, labels in app.engine.volumes(f"{LABEL}name={name}"):
                    if labels.get(f"{LABEL}name") == name:
                        app.engine.remove_volume(volume)
                environment.forget()
        app.console.note(f"{name} is down" + ("; its volumes are removed" if volumes else "; its volumes are kept"))
    _done(app, chosen)


@click.command()
@click.option(
    "--all", "everything", is_flag=True, help="Also the stored files (they are downloaded again when needed)."
)
@json_option
@click.pass_obj
def prune(app: App, everything: bool) -> None:
    """Remove what no environment uses: old images of devenv's, build contexts; with --all the stored files too."""
    import shutil

    used = {one.facts.image for one in boot.everything(app.engine)}
    editors = {one.facts.labels.get(f"{LABEL}editor", "") for one in boot.everything(app.engine)}
    removed, freed = [], 0
    for tag, image, size in app.engine.images("devenv/"):
        if image not in used and tag not in editors and (everything or not tag.startswith("devenv/editor:")):
            app.engine.remove_image(tag)
            removed.append(tag)
            freed += size
    folders = [app.dirs.contexts, *([app.dirs.store] if everything else [])]
    for folder in folders:
        # A build that runs now holds its context: wait for it.
        with contextlib.ExitStack() as held:
            for lock in folder.glob("*.lock"):
                held.enter_context(hold(lock, lambda: app.console.note("a build is running; waiting")))
            shutil.rmtree(folder, ignore_errors=True)
    if app.json:
        app.console.json({"images": removed, "bytes": freed, "folders": [str(one) for one in folders]})
    else:
        app.console.note(
            f"removed {len(removed)} images ({bytes_text(freed)} at most: layers are shared) and {len(folders)} folders"
        )


def _chosen(app: App, names: tuple[str, ...], *, also_without_container: bool = False) -> list[Any]:
    if not names:
        return [app.select(None)]
    known = {one.name: one for one in boot.everything(app.engine)}
    chosen: list[Any] = []
    for name in names:
        if name in known:
            chosen.append(known[name])
        elif also_without_container and app.environment(name).folder.exists():
            chosen.append(name)  # its container is gone, its volumes and state are not
        else:
            raise UsageError(f"there is no environment called {name!r}", hint="devenv ps lists them")
    return chosen


def _done(app: App, chosen: list[Any]) -> None:
    if app.json:
        app.console.json([one if isinstance(one, str) else one.name for one in chosen])


def _short(app: App, one: boot.Running) -> dict[str, Any]:
    token = app.environment(one.name).token()
    return {
        "name": one.name,
        "preset": one.preset,
        "state": one.facts.state,
        "project": one.project or None,
        "lock_digest": one.lock_digest,
        "image_id": one.facts.image,
        "container_id": one.facts.id,
        "started_at": one.facts.started_at,
        "urls": one.urls(token) if one.facts.state == "running" else {},
    }


def _ide(app: App, one: boot.Running) -> str:
    urls = one.urls(app.environment(one.name).token()) if one.facts.state == "running" else {}
    return next(iter(urls.values()), "-")


def _memory(stats: Any) -> int | None:
    """Bytes in use without the page cache, as `docker stats` counts."""
    facts = stats.get("memory_stats") or {}
    if "usage" not in facts:
        return None
    return int(facts["usage"]) - int((facts.get("stats") or {}).get("inactive_file", 0))
