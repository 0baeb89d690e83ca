"""`devenv render`: the plan as files for people and other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devenv.cli.app import App, from_option, json_option, pass_app
from devenv.errors import DriftError, RenderError, UsageError

if TYPE_CHECKING:
    from devenv.plan.plan import Plan
    from devenv.preset.load import LoadedPreset
    from devenv.render.render import Rendered


@click.command("render")
@click.argument("preset", required=False)
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to; default: the project's folder, else the current one.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; exit status 12 and a diff when files would change.")
@click.option(
    "--with-artifacts", is_flag=True,
    help="Also write every input of the build there; 'docker buildx build' then needs nothing but this folder.",
)  # fmt: skip
@click.option(
    "--online", is_flag=True,
    help="Write a small folder .devcontainer to commit, without artifacts: 'docker buildx build' and dev container "
    "clients build the image from it over the network, without devenv.",
)  # fmt: skip
@from_option
@json_option
@pass_app
def render(app: App, preset: str | None, output: Path | None, check: bool, with_artifacts: bool, online: bool) -> None:
    """Write Dockerfile, .devcontainer/devcontainer.json and compose.yaml of PRESET.

    PRESET is a shipped name, a file, a folder, or nothing: then devenv.yaml here or above. The lock must exist.
    """
    from devenv.lock import drift
    from devenv.lock.files import lock_path
    from devenv.lock.model import read
    from devenv.plan.plan import plan
    from devenv.preset.load import find, load
    from devenv.render.render import render as render_plan

    if online and with_artifacts:
        raise UsageError("--online and --with-artifacts exclude each other", hint="choose one of them")
    loaded = load(find(preset, Path.cwd()))
    place = lock_path(loaded, app.dirs)
    lock = read(place)
    drift.require_fit(lock, loaded.preset, where=str(place))
    decided = plan(loaded, lock)
    target = (output or loaded.project or Path.cwd()).absolute()
    if online:
        from devenv.build import standalone as repository
        from devenv.fetch.sources import archives

        target = repository.place(target)
        rendered = repository.folder(decided, archives(loaded.preset))
    else:
        rendered = render_plan(decided, self_contained=with_artifacts, with_context=with_artifacts)
    if check:
        difference = repository.differences(rendered, target) if online else rendered.differences(target)
        _check(app, decided, difference, target)
        return
    if online:
        changed = _small(loaded, decided, rendered, target)
    else:
        changed = _whole(app, loaded, decided, rendered, target) if with_artifacts else rendered.write(target)
    if app.json:
        app.console.json({
            "preset": decided.preset, "lock_digest": lock.digest, "image": decided.image, "folder": str(target),
            "files": sorted(rendered.files.keys() | rendered.context.keys()) if online else list(rendered.files),
            "changed": [path.relative_to(target).as_posix() for path in changed],
        })  # fmt: skip
        return
    for path in changed:
        app.console.note(f"wrote {path}")
    if not changed:
        app.console.note(f"{target}: up to date")


def _check(app: App, decided: Plan, difference: str, target: Path) -> None:
    """Print the differences. Raises DriftError when there are any."""
    if app.json:
        app.console.json({
            "preset": decided.preset, "folder": str(target), "matches": not difference, "diff": difference,
        })  # fmt: skip
    elif difference:
        app.console.data(difference)
    if difference:
        raise DriftError(f"rendered files in {target} are not what the preset and lock give", hint="devenv render")
    app.console.note(f"{target}: up to date")


def _whole(app: App, loaded: LoadedPreset, decided: Plan, rendered: Rendered, target: Path) -> tuple[Path, ...]:
    """Write the build context and the files into one folder of their own, after fetching what is missing."""
    from devenv.build.context import assemble
    from devenv.fetch.fetch import fetch
    from devenv.fetch.sources import archives
    from devenv.fetch.store import Store

    _require_own(loaded, target, free=not target.is_dir() or not any(target.iterdir()) or rendered.owns(target))
    store = Store(app.dirs.store)
    with app.console.stages() as stages, stages.stage("fetch") as stage:
        report = fetch(
            decided.lock, store=store, settings=app.settings, progress=stage, files=archives(loaded.preset)
        )  # fmt: skip
        stage.cached = report.files == 0
    changed = tuple(target / name for name in rendered.files if not (target / name).is_file())
    assemble(decided, rendered, store, target, with_files=True)
    return changed


def _small(loaded: LoadedPreset, decided: Plan, rendered: Rendered, target: Path) -> tuple[Path, ...]:
    """Write the folder that needs no artifacts; returns what changed."""
    from devenv.build.context import assemble
    from devenv.build.standalone import changes, free

    _require_own(loaded, target, free=free(rendered, target))
    changed = changes(rendered, target)
    assemble(decided, rendered, None, target, with_files=True)
    return changed


def _require_own(loaded: LoadedPreset, target: Path, *, free: bool) -> None:
    """Refuse to replace a `target` that has files of the user's. Raises RenderError."""
    lies = "holds the preset" if loaded.path.is_relative_to(target.resolve()) else "is not empty"
    if not free or lies == "holds the preset":
        raise RenderError(f"cannot replace {target}: it {lies}", hint="choose another folder with -o")
