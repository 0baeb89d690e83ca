"""`devenv up` and `devenv build`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.checks.gpu import Proof
from devenv.cli.app import App, from_option, json_option, source_option, weights_dir_option
from devenv.container.gpu import MODES, Access
from devenv.doors.files import is_text
from devenv.doors.terminal.console import Console, printable
from devenv.errors import UsageError
from devenv.preset.load import find
from devenv.up import preflight
from devenv.up.preflight import Asked
from devenv.up.session import Decided, decide
from devenv.up.up import Result, image_json, make_image
from devenv.up.up import up as bring_up

if TYPE_CHECKING:
    from devenv.preset.load import LoadedPreset
    from devenv.resolve.pin_model import Recorded

__all__ = ["build", "up"]


@click.command()
@click.argument("preset", required=False)
@click.option("--name", help="The environment's name; the preset's own when not given.")
@click.option(
    "--workspace", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder mounted at /workspace; a project's own is the default.",
)  # fmt: skip
@click.option("--fresh", is_flag=True, help="Replace the container even when nothing changed.")
@click.option(
    "--take-over", is_flag=True,
    help="Take the volumes, token and ports that another project left under this name; volumes of another user too.",
)  # fmt: skip
@click.option(
    "--new-token", is_flag=True, help="Make another token; the container starts again with it, and keeps its volumes."
)
@click.option(
    "--relock", is_flag=True, envvar="DEVENV_RELOCK", help="Lock anew what the mirrors no longer have, then go on."
)
@from_option
@click.option("--gpus", metavar="WHICH", help="all, none, or indices and UUIDs with commas between: 0,2. Remembered.")
@click.option(
    "--gpu-mode", type=click.Choice(["auto", *MODES]), default=None,
    help="How the container gets them; chosen by itself when not given. Remembered.",
)  # fmt: skip
@source_option
@weights_dir_option
@json_option
@click.pass_obj
def up(
    app: App,
    preset: str | None,
    name: str | None,
    workspace: Path | None,
    fresh: bool,
    take_over: bool,
    new_token: bool,
    relock: bool,
    gpus: str | None,
    gpu_mode: str | None,
    sources: tuple[str, ...],
) -> None:
    """Bring an environment up, to a passed smoke test.

    PRESET is a shipped name, a YAML file, a project folder, or nothing: devenv.yaml here or above.
    """
    with app.console.stages() as stages:
        doors = app.doors(stages, sources)
        asked = Asked(gpus=gpus, mode=gpu_mode)

        def before_lock(loaded: LoadedPreset) -> None:
            preflight.usable(doors.engine(), loaded)
            preflight.before_lock(loaded, doors.engine(), doors.settings, asked)

        decided = decide(find(preset, Path.cwd()), doors, before_lock=before_lock)
        project = _workspace(workspace or decided.loaded.project)
        environment = app.environment(name or decided.plan.preset)
        result = bring_up(
            decided, environment, doors, project=project, fresh=fresh, relock=relock, asked=asked,
            take_over=take_over, new_token=new_token,
        )  # fmt: skip
    token = environment.kept_token()
    if app.json:
        app.console.json(_json(result, stages.reports(), token))
    else:
        _tell(app.console, result, stages, token)
    result.report.raise_failed(environment.name)


@click.command()
@click.argument("preset", required=False)
@click.option("--no-cache", is_flag=True, help="Build every step anew.")
@click.option(
    "--relock", is_flag=True, envvar="DEVENV_RELOCK", help="Lock anew what the mirrors no longer have, then go on."
)
@from_option
@json_option
@click.pass_obj
def build(app: App, preset: str | None, no_cache: bool, relock: bool) -> None:
    """Build the image of PRESET, with no network: everything was fetched and verified before."""
    with app.console.stages() as stages:
        doors = app.doors(stages)
        decided = decide(find(preset, Path.cwd()), doors)
        decided, image = make_image(decided, doors, no_cache=no_cache, relock=relock)
    if decided.lock.open:
        app.console.note("the lock leaves the model open, and so does this image: 'devenv up' records it")
    if app.json:
        report = [{"name": one.name, "seconds": one.seconds, "cached": one.cached} for one in image.steps]
        app.console.json({
            "preset": decided.plan.preset, "lock_digest": decided.lock.digest, "image": image_json(image),
            "cached": image.cached, "stages": _stages(stages.reports()), "steps": report,
        })  # fmt: skip
    else:
        app.console.data(image.reference)


def _workspace(folder: Path | None) -> Path | None:
    """The folder to mount, by its own name: a link may lead elsewhere tomorrow. Raises UsageError."""
    if folder is None:
        return None
    real = folder.resolve()
    if not is_text(str(real)):
        raise UsageError("the workspace's path is not UTF-8 text", hint="rename the folder: Docker cannot mount it")
    return real


def _json(result: Result, stages: tuple[Any, ...], token: str) -> dict[str, Any]:
    decided: Decided = result.decided
    return {
        "name": result.running.name,
        "preset": decided.plan.preset,
        "lock_digest": decided.lock.digest,
        "image": image_json(result.image),
        "container_id": result.running.facts.id,
        "urls": result.running.urls(token),
        "gpu": gpu_json(result.running.gpu, result.proof),
        "model": result.running.facts.labels.get("dev.devenv.model"),
        "recorded": recorded_json(decided.recorded, decided.place),
        "untouched": result.untouched,
        "stages": _stages(stages),
        "services": [{"name": one.service, "seconds": one.seconds} for one in result.ready],
        "smoke": smoke_json(result.report),
    }


def recorded_json(recorded: Recorded | None, place: Path | None) -> dict[str, Any] | None:
    """`recorded` of `up --json` and `prefetch --json`: the model that this run wrote into the lock; None without."""
    return None if recorded is None else {"lock": str(place), **recorded.json()}


def gpu_json(given: Access | None, proof: Proof | None) -> dict[str, Any] | None:
    """`gpu` of `up --json`: how the container got which GPUs, and what it computed on them; None without."""
    if given is None:
        return None
    return {
        "mode": given.mode,
        "devices": [
            {"index": one.index, "uuid": one.uuid, "name": one.name, "memory_bytes": one.memory_bytes,
             "capability": one.capability}
            for one in given.devices
        ],
        "check": proof and {
            "passed": proof.passed, "seconds": proof.wall_s, "inside_seconds": proof.seconds, "cuda": proof.cuda,
            "devices": [dict(one) for one in proof.devices],
        },
    }  # fmt: skip


def _stages(reports: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [{"name": one.name, "seconds": one.seconds, "cached": one.cached} for one in reports]


def smoke_json(report: Any) -> dict[str, Any]:
    """`smoke` of `up --json`, and all of `smoke --json`."""
    return {
        "passed": report.passed,
        "checks": [
            {
                "name": c.name,
                "passed": c.passed,
                "expect": c.expect,
                "seconds": c.seconds,
                "exit_code": c.exit_code,
                "report": dict(c.report),
            }
            for c in report.checks
        ],
    }


def _tell(console: Console, result: Result, stages: Any, token: str) -> None:
    name = result.running.name
    if result.untouched:
        console.note(f"{name} is up already; nothing changed")
    else:
        rows = [(one.name, f"{one.seconds:.1f} s", "cached" if one.cached else "") for one in stages.reports()]
        console.note("")
        console.table("", ("stage", "time", ""), rows)
        console.note(f"\n{name} is up after {stages.seconds:.1f} s")
    if result.running.gpu and result.proof:
        names = ", ".join(f"{one.index}: {one.name}" for one in result.running.gpu.devices)
        console.note(f"gpu {names}: by {result.running.gpu.mode}; computed on inside in {result.proof.seconds:.2f} s")
    for check in result.report.checks:
        console.note(printable(f"smoke {check.line}", one_line=True))
    urls = result.running.urls(token)
    width = max((len(one) for one in urls), default=0)
    for service, url in urls.items():
        console.data(f"{service.ljust(width)}  {url}")
