"""`devenv render`: the plan as files for people and other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli.app import App, WithCommand, from_option, json_option, pass_app
from devenv.errors import DriftError, RenderError, UsageError
from devenv.plan.inside import ROLES, SERVE, WORKBENCH

if TYPE_CHECKING:
    from devenv.build.rendered_folder import RenderedFolder
    from devenv.fetch.store import Store
    from devenv.render.kubernetes.words import Wanted


@click.command("render", cls=WithCommand)
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
@click.option(
    "--configuration", metavar="NAME",
    help="Write .devcontainer/NAME/devcontainer.json alone: one of several configurations, which dev container clients "
    "offer by name.",
)  # fmt: skip
@click.option(
    "--dockerfile", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="With --configuration: a Dockerfile of your own on top of the image, which begins with 'ARG ENVIRONMENT' and "
    "'FROM ${ENVIRONMENT}'. Clients build it.",
)  # fmt: skip
@click.option(
    "--target", type=click.Choice(["kubernetes", "slurm"]),
    help="Write the objects of a cluster instead: kubernetes/ROLE.yaml, for 'kubectl apply' or a repository that the "
    "cluster follows, without the token; or a batch script that runs COMMAND: slurm/NAME.sbatch.",
)  # fmt: skip
@click.option(
    "--image", metavar="REF", help="With --target: the image as nodes pull it, best by digest, as 'devenv push' prints."
)
@click.option("--name", help="With --target: the environment's name; default: the preset's.")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    help="With --target: what its pods are for; default: workbench, or run with COMMAND.",
)
@click.option("--replicas", type=int, help="With --role serve: how many pods; default: 1.")
@click.option(
    "--autoscale", metavar="FEWEST-MOST", help="With --role serve: as many pods as the load needs, such as 1-4."
)
@click.option("--parallel", type=int, help="With COMMAND: so many pods, each with its number in JOB_COMPLETION_INDEX.")
@from_option
@json_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@pass_app
def render(
    app: App, preset: str | None, output: Path | None, check: bool, with_artifacts: bool, online: bool,
    configuration: str | None, dockerfile: Path | None, target: str | None, command: tuple[str, ...], **cluster: Any,
) -> None:  # fmt: skip
    """Write Dockerfile, .devcontainer/devcontainer.json and compose.yaml of PRESET; with --target what a cluster gets.

    PRESET is a shipped name, a file, a folder, or nothing: then devenv.yaml here or above. The lock must exist. What
    pods get is in your own config.yaml under 'kubernetes'.
    """
    from devenv.build.rendered_folder import Kind, render_folder
    from devenv.lock.files import read_fitting
    from devenv.preset.load import find, load
    from devenv.render.devcontainer import is_configuration

    if online and with_artifacts:
        raise UsageError("--online and --with-artifacts exclude each other", hint="choose one of them")
    if configuration is not None and (online or with_artifacts):
        raise UsageError("--configuration goes with neither --online nor --with-artifacts", hint="choose one of them")
    if dockerfile is not None and configuration is None:
        raise UsageError(
            "--dockerfile is for one of several configurations", hint="name it, such as: --configuration mine"
        )
    if configuration is not None and not is_configuration(configuration):
        raise UsageError(
            f"{configuration!r} is not a name for a configuration",
            hint="use lower-case letters, digits, dashes, dots and underscores, such as 'gpu'",
        )
    if target is None and (command or any(value is not None for value in cluster.values())):
        raise UsageError("these options are for a cluster", hint="devenv render --target kubernetes …")
    if target is not None and (online or with_artifacts or configuration is not None):
        raise UsageError("--target goes with no other kind of files", hint="render them one after another")
    kind = Kind.ONLINE if online else Kind.WITH_ARTIFACTS if with_artifacts else Kind.FILES
    if configuration:
        kind = Kind.CONFIGURATION
    kind = {"kubernetes": Kind.CLUSTER, "slurm": Kind.BATCH}.get(target or "", kind)
    loaded = load(find(preset, Path.cwd()))
    lock = read_fitting(loaded, app.dirs)
    place = (output or loaded.project or Path.cwd()).absolute()
    wanted = _wanted(app, loaded.preset.name, command, **cluster) if target else None
    folder = render_folder(
        loaded, lock, place, kind, configuration=configuration or "", dockerfile=dockerfile, wanted=wanted
    )
    if check:
        _check(app, folder)
        return

    def fetch() -> Store:
        from devenv.up.image import bring_files

        with app.console.stages() as stages:
            session = app.session(stages)
            bring_files(loaded, lock, session)
        return session.store

    changed = folder.write(fetch)
    if app.json:
        app.console.json({
            "preset": folder.plan.preset, "lock_digest": lock.digest, "image": folder.plan.image,
            "folder": str(folder.target), "files": list(folder.names),
            "changed": [path.relative_to(folder.target).as_posix() for path in changed],
        })  # fmt: skip
        return
    for path in changed:
        app.console.note(f"wrote {path}")
    if not changed:
        app.console.note(f"{folder.target}: up to date")


def _wanted(
    app: App, preset: str, command: tuple[str, ...], *, image: str | None, name: str | None, role: str | None,
    replicas: int | None, autoscale: str | None, parallel: int | None,
) -> Wanted:  # fmt: skip
    """What a cluster is to get. Raises UsageError."""
    from devenv.render.kubernetes.words import RUN, Wanted, replicas_of

    if command and role:
        raise UsageError("COMMAND runs in pods of its own", hint="leave --role out")
    if parallel is not None and not command:
        raise UsageError(
            "--parallel is for a COMMAND", hint="devenv render --target kubernetes --parallel 8 -- COMMAND…"
        )
    if role != SERVE and (replicas is not None or autoscale is not None):
        raise UsageError("only the role serve has replicas", hint="add --role serve")
    return Wanted(
        name=name or preset, image=image or "", settings=app.settings.clusters, command=command,
        role=RUN if command else role or WORKBENCH, parallel=1 if parallel is None else parallel,
        replicas=1 if replicas is None else replicas,
        autoscale=replicas_of(autoscale) if autoscale else None,
    )  # fmt: skip


def _check(app: App, folder: RenderedFolder) -> None:
    """Print the differences. Raises DriftError when there are any."""
    difference = folder.differences()
    if app.json:
        app.console.json({
            "preset": folder.plan.preset, "folder": str(folder.target), "matches": not difference, "diff": difference,
        })  # fmt: skip
    elif difference:
        app.console.data(difference)
    if difference:
        raise DriftError(
            f"rendered files in {folder.target} are not what the preset and lock give",
            hint=_remedy(folder),
        )
    app.console.note(f"{folder.target}: up to date")


def _remedy(folder: RenderedFolder) -> str:
    """What to do about differences, which `render` may refuse to write."""
    try:
        folder.require_free()
    except RenderError as error:
        return f"'devenv render' cannot write them: {error.message}; {error.hint}"
    return "write them again, with the same options: devenv render"
