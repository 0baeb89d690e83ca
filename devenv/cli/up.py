"""`devenv up` and `devenv build`: the main job."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli import complete
from devenv.cli.app import App, from_option, json_option, pass_app, source_option, weights_dir_option
from devenv.cli.came_up import came_up, pages, serving
from devenv.cli.elsewhere import on_option
from devenv.container.gpu import MODES
from devenv.doors.terminal.console import Console, printable
from devenv.errors import CancelledError, DevenvError, UsageError
from devenv.plan.inside import ROLES, WORKBENCH

if TYPE_CHECKING:
    from devenv.doors.terminal.stages import Events
    from devenv.share.bring import Way
    from devenv.up.up import Result

__all__ = ["build", "up"]


@click.command()
@click.argument("preset", required=False, shell_complete=complete.names)
@click.option("--name", help="The environment's name; default: the preset's own.")
@click.option(
    "--workspace", type=click.Path(path_type=Path),
    help="The folder mounted at /workspace; default: the project's folder. With --on a folder there, which is not "
    "copied.",
)  # fmt: skip
@click.option("--fresh", is_flag=True, help="Replace the container even when nothing changed.")
@click.option(
    "--take-over", is_flag=True,
    help="Take the volumes, token and ports that another project left under this name; volumes of another user too.",
)  # fmt: skip
@click.option(
    "--new-token", is_flag=True, help="Make a new token; the container restarts with it and keeps its volumes."
)
@click.option(
    "--relock",
    is_flag=True,
    envvar="DEVENV_RELOCK",
    help="Lock again the packages that the mirrors no longer have, then continue.",
)
@click.option(
    "--role", type=click.Choice(ROLES), default=WORKBENCH, show_default=True,
    help="serve: start only the services that the preset marks as the model's, with a health check.",
)  # fmt: skip
@click.option("--pull", "way", flag_value="pull", help="Of an image in a registry: pull it, and do not build it here.")
@click.option("--rebuild", "way", flag_value="rebuild", help="Of an image in a registry: build it from its recipe.")
@from_option
@click.option("--gpus", metavar="WHICH", help="all, none, or indices and UUIDs separated by commas: 0,2. Remembered.")
@click.option(
    "--gpu-mode", type=click.Choice(["auto", *MODES]), default=None,
    help="How the container gets the GPUs; default: chosen for this machine. Remembered.",
)  # fmt: skip
@click.option(
    "--base-path", metavar="URL",
    help="The address at which a reverse proxy shows it: https://HOST/PATH, or /PATH under any known host; none: "
    "no proxy. Remembered.",
)  # fmt: skip
@source_option
@weights_dir_option
@json_option
@click.option(
    "--json-events", is_flag=True, help="Print events on stdout, one JSON object a line; the last one has the result."
)
@on_option
@pass_app
def up(
    app: App,
    preset: str | None,
    name: str | None,
    workspace: Path | None,
    fresh: bool,
    take_over: bool,
    new_token: bool,
    relock: bool,
    role: str,
    way: Way | None,
    gpus: str | None,
    gpu_mode: str | None,
    base_path: str | None,
    sources: tuple[str, ...],
    json_events: bool,
) -> None:
    """Bring an environment up, until its smoke test has passed.

    PRESET is a shipped name, a YAML file, a project folder, a snapshot, an image in a registry (HOST/NAME:TAG), an
    export (DIR, FILE.tar), or nothing: devenv.yaml here or above.
    """
    # Not at the top: with --on the rooms of `up` are needed on another machine.
    from devenv.cli import references
    from devenv.cli.meant import decided_by, filling, name_of, snapshot
    from devenv.plan.base_path import NONE, parse
    from devenv.up.preflight import Asked
    from devenv.up.prepare import Wishes, mountable
    from devenv.up.report import up_json
    from devenv.up.up import up as bring_up

    if workspace is not None and not workspace.is_dir():
        raise UsageError(f"{workspace} is not a folder", where="--workspace", hint="name a folder that exists")
    events = app.console.event if json_events else None
    with telling_of_failure(events), app.console.stages(events) as stages:
        if base_path not in (None, NONE):
            parse(base_path)  # a mistake in it is told before anything is locked
        session = app.session(stages, sources)
        asked = Asked(gpus=gpus, mode=gpu_mode)
        named = None if name is None else app.environment(name)
        wishes = Wishes(
            fresh=fresh, relock=relock, take_over=take_over, new_token=new_token, gpus=asked, role=role,
            base_path=base_path,
        )  # fmt: skip
        if kept := snapshot(app, preset):
            from devenv.snapshot.bring_back import bring, known_project

            environment = named or app.environment(kept.environment)
            project = mountable(workspace or known_project(environment, session))
            result = bring(kept, environment, session, project=project, wishes=wishes)
        else:
            remote = references.remote(preset, session) if preset and references.may_be_reference(preset) else None
            decided = decided_by(preset, remote, way, session, asked)
            project = mountable(workspace or decided.loaded.project)
            environment = named or app.environment(name_of(decided, remote))
            wishes = dataclasses.replace(wishes, fill=filling(remote, environment, session))
            result = bring_up(decided, environment, session, project=project, wishes=wishes)
    token = environment.kept_token()
    with telling_of_failure(events):
        if events:
            events({"event": "result", **up_json(result, stages.reports(), token)})
        elif app.json:
            app.console.json(up_json(result, stages.reports(), token))
        else:
            tell(app.console, result, stages, token)
        result.report.raise_failed(environment.name)


@contextlib.contextmanager
def telling_of_failure(events: Events | None) -> Iterator[None]:
    """Report a failure as an event too, with the process's exit status."""
    try:
        yield
    except (DevenvError, KeyboardInterrupt) as error:
        known = error if isinstance(error, DevenvError) else CancelledError()
        if events:
            events({
                "event": "error", "message": known.message, "where": known.where, "hint": known.hint,
                "exit_status": known.exit_code,
            })  # fmt: skip
        raise


@click.command()
@click.argument("preset", required=False, shell_complete=complete.names)
@click.option("--no-cache", is_flag=True, help="Build every step again, without the build cache.")
@click.option(
    "--relock",
    is_flag=True,
    envvar="DEVENV_RELOCK",
    help="Lock again the packages that the mirrors no longer have, then continue.",
)
@from_option
@json_option
@pass_app
def build(app: App, preset: str | None, no_cache: bool, relock: bool) -> None:
    """Build the image of PRESET without a network, from files that were fetched and verified before."""
    from devenv.preset.load import find
    from devenv.up.decide import decide
    from devenv.up.image import make_image
    from devenv.up.report import image_json, stages_json

    with app.console.stages() as stages:
        session = app.session(stages)
        decided = decide(find(preset, Path.cwd()), session)
        decided, image = make_image(decided, session, no_cache=no_cache, relock=relock)
    if decided.lock.open:
        app.console.note("the lock does not pin the model yet, so this image does not either: 'devenv up' records it")
    if app.json:
        report = [{"name": one.name, "seconds": one.seconds, "cached": one.cached} for one in image.steps]
        app.console.json({
            "preset": decided.plan.preset, "lock_digest": decided.lock.digest, "image": image_json(image),
            "cached": image.cached, "stages": stages_json(stages.reports()), "steps": report,
        })  # fmt: skip
    else:
        app.console.data(image.reference)


def tell(console: Console, result: Result, stages: Any, token: str) -> None:
    """Print what an `up` came to, and the URLs."""
    how = serving(result.running.role)
    came_up(console, result.running.name, stages, untouched=result.untouched, how=how)
    if result.running.gpu and result.proof:
        names = ", ".join(f"{one.index}: {one.name}" for one in result.running.gpu.devices)
        console.note(f"gpu {names}: by {result.running.gpu.mode}; computed on inside in {result.proof.seconds:.2f} s")
    for check in result.report.checks:
        console.note(printable(f"smoke {check.line}", one_line=True))
    pages(console, result.running.urls(token))
    if result.running.entry and (base := result.running.base_path):
        console.note(
            f"the reverse proxy of {base.text} has to forward to {result.running.entry}, with or without the path"
        )
