"""An environment's life: ps, status, stop, start, down, prune."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import click

from devenv import boot, probe
from devenv.cli.app import App, json_option
from devenv.console import bytes_text
from devenv.engine import LABEL
from devenv.environment import hold
from devenv.errors import EngineError, UsageError
from devenv.localtag import BASE_TAG, EDITOR_TAG, LOCAL


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
    token = app.environment(one.name).known_token()
    live = one.facts.state == "running"
    services = probe.states(one, token or "") if live else {}
    memory = _memory(app.engine.stats(one.facts.name)) if live else None
    gpus = _gpus(app, one, live=live)
    if app.json:
        app.console.json({
            **_short(app, one), "services": services, "memory_bytes": memory, "gpus": gpus,
            "volumes": [{"name": m.source, "at": m.target} for m in one.facts.mounts if m.kind == "volume"],
        })  # fmt: skip
        return
    lines = [f"{one.name}  {one.facts.state}  (preset {one.preset}, lock {one.lock_digest[:12]})"]
    urls = one.urls(token) if live else {}
    lines += [f"  {key.ljust(10)} {services.get(key, '-').ljust(8)} {url}" for key, url in urls.items()]
    lines += [f"  volume     {m.source} at {m.target}" for m in one.facts.mounts if m.kind == "volume"]
    lines += [f"  project    {one.project} at /workspace"] if one.project else []
    lines += [f"  memory     {bytes_text(memory)}"] if memory is not None else []
    lines += [_gpu_line(each) for each in gpus]
    app.console.data("\n".join(lines))


@click.command()
@click.argument("names", nargs=-1)
@json_option
@click.pass_obj
def stop(app: App, names: tuple[str, ...]) -> None:
    """Stop environments; everything in them is kept."""
    chosen = _chosen(app, names)
    for name in chosen:
        if one := boot.find(name, app.engine):
            app.engine.stop(one.facts.name, timeout_s=boot.STOP_TIMEOUT_S)
        app.console.note(f"{name} is stopped")
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
        if one.gpu:
            from devenv.proof import prove

            with stages.stage("gpu"):
                prove(one, app.engine)
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
    for name in (chosen := _chosen(app, names, also_without_container=True)):
        environment = app.environment(name)
        with environment.locked(lambda: app.console.note("another devenv command holds this environment; waiting")):
            one = boot.find(name, app.engine)  # now: another command may have made or removed it meanwhile
            if one:
                if one.facts.state == "running":
                    app.engine.stop(one.facts.name, timeout_s=boot.STOP_TIMEOUT_S)
                app.engine.remove(one.facts.name)
            if ports:
                environment.keep_ports({})
            if volumes:
                for volume, _ in app.engine.volumes(f"{LABEL}name={name}"):
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

    folders = [app.dirs.contexts, *([app.dirs.store] if everything else [])]
    with contextlib.ExitStack() as held:
        # A build, fetch or lock that runs now holds its lock: wait for it, and take nothing that it is about to use.
        locks = [*app.dirs.contexts.glob("*.lock"), *((app.dirs.store / "tmp").glob("*.lock") if everything else ())]
        for lock in locks:
            held.enter_context(hold(lock, lambda: app.console.note("another devenv command is at work; waiting")))
        removed, kept = _remove_images(app, everything=everything)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    if app.json:
        app.console.json({"images": removed, "kept": kept, "folders": [str(one) for one in folders]})
        return
    app.console.note(f"removed {len(removed)} images and {len(folders)} folders")
    for tag in kept:
        app.console.note(f"kept {tag}: a container that is not devenv's uses it")


def _remove_images(app: App, *, everything: bool) -> tuple[list[str], list[str]]:
    """Remove devenv's images that no environment uses; returns (removed, kept: in use by other containers)."""
    environments = boot.everything(app.engine)
    used = {one.facts.image for one in environments}
    editors = {one.facts.labels.get(f"{LABEL}editor", "") for one in environments}
    every = app.engine.images("")
    tags = Counter(image for _, image, _ in every)
    removed, kept = [], []
    for tag, image, _ in sorted(every, key=lambda one: one[0].startswith(BASE_TAG)):
        if not tag.startswith(("devenv/", f"{LOCAL}devenv")) or image in used or tag in editors:
            continue
        # The compiled editor, and the last tag of a base, are not had again at once.
        lasts = tag.startswith(EDITOR_TAG) or (tag.startswith(BASE_TAG) and tags[image] == 1)
        if lasts and not everything:
            continue
        try:
            app.engine.remove_image(tag)
            removed.append(tag)
            tags[image] -= 1
        except EngineError:
            kept.append(tag)
    return removed, kept


def _chosen(app: App, names: tuple[str, ...], *, also_without_container: bool = False) -> list[str]:
    """The named environments, each once; without a name, the one `select` finds."""
    if not names:
        return [app.select(None).name]
    known = {one.name for one in boot.everything(app.engine)}
    for name in names:
        # Its container may be gone while its volumes and state are not.
        if name not in known and not (also_without_container and app.environment(name).folder.exists()):
            raise UsageError(f"there is no environment called {name!r}", hint="devenv ps lists them")
    return list(dict.fromkeys(names))


def _done(app: App, chosen: list[str]) -> None:
    if app.json:
        app.console.json(chosen)


def _short(app: App, one: boot.Running) -> dict[str, Any]:
    token = app.environment(one.name).known_token()
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
    urls = one.urls(app.environment(one.name).known_token()) if one.facts.state == "running" else {}
    return next(iter(urls.values()), "-")


def _gpus(app: App, one: boot.Running, *, live: bool) -> list[dict[str, Any]]:
    """The environment's GPUs now: memory and utilisation of each, and what of it the environment's processes have."""
    if one.gpu is None:
        return []
    from devenv.machine.usage import usage

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
