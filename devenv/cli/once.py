"""`devenv run`: one command in a container of its own."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path

import click

from devenv.cli import complete
from devenv.cli.app import App, WithCommand, from_option, pass_app, source_option, weights_dir_option
from devenv.cli.elsewhere import on_option
from devenv.cli.inside import attached
from devenv.cli.meant import meant
from devenv.container import once as one_off
from devenv.container.gpu import MODES
from devenv.container.labels import HOST_MOUNT
from devenv.container.spec import RUNTIME_MOUNT
from devenv.doors.docker.values import Mount
from devenv.errors import UsageError
from devenv.preset.model import CONTAINER_PATH, ENV_NAME
from devenv.up.once import Extra, once
from devenv.up.preflight import Asked
from devenv.up.prepare import Wishes, mountable

__all__ = ["run"]


@click.command(cls=WithCommand)
@click.argument("target", required=False, metavar="[ENV|PRESET|SNAPSHOT|REF]", shell_complete=complete.names)
@click.option("--name", help="The environment whose volumes it has; default: that of ENV, else the preset's own name.")
@click.option(
    "--workspace", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder mounted at /workspace; default: the project's folder.",
)  # fmt: skip
@click.option("--gpus", metavar="WHICH", help="all, none, or indices and UUIDs separated by commas: 0,2. For this run.")
@click.option(
    "--gpu-mode", type=click.Choice(["auto", *MODES]), default=None,
    help="How the container gets the GPUs; default: chosen for this machine. For this run.",
)  # fmt: skip
@click.option(
    "-e", "--env", "variables", multiple=True, metavar="NAME[=VALUE]",
    help="A variable of the command; without a value, that of your shell. Repeat it for several.",
)  # fmt: skip
@click.option(
    "-v", "--volume", "volumes", multiple=True, metavar="FOLDER:PATH[:ro]",
    help="A folder of this machine, mounted at PATH, with ':ro' read-only. Repeat it for several.",
)  # fmt: skip
@click.option(
    "--relock", is_flag=True, envvar="DEVENV_RELOCK",
    help="Lock again the packages that the mirrors no longer have, then continue.",
)  # fmt: skip
@click.option("--parallel", type=int, help="In a cluster: so many pods, each with its number in JOB_COMPLETION_INDEX.")
@from_option
@source_option
@weights_dir_option
@on_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@pass_app
def run(
    app: App,
    target: str | None,
    name: str | None,
    workspace: Path | None,
    gpus: str | None,
    gpu_mode: str | None,
    variables: tuple[str, ...],
    volumes: tuple[str, ...],
    relock: bool,
    parallel: int | None,
    sources: tuple[str, ...],
    command: tuple[str, ...],
) -> None:
    """Run COMMAND in a container of its own, and exit with its exit status.

    The image, weights, GPUs, user, network settings and /workspace are those of 'devenv up'; editor, Jupyter, gateway
    and services are not started, nothing is published, and no smoke test runs. Without a name: the preset here or
    above. ENV is an environment as it is up now, which may keep running beside.

    COMMAND gets this command's signals, a second Ctrl-C kills it. When this command ends, for whatever reason, COMMAND
    ends too, and the container is removed.
    """
    if parallel is not None:
        raise UsageError("--parallel is for a cluster", hint="add --on k8s")
    if not command:
        raise UsageError("no command is given", hint="devenv run [ENV|PRESET|SNAPSHOT|REF] -- COMMAND…")
    extra = Extra(variables=variables_of(variables), mounts=tuple(map(_mount, volumes)))
    asked = Asked(gpus=gpus, mode=gpu_mode)
    with contextlib.ExitStack() as held:
        with app.console.stages() as stages:
            session = app.session(stages, sources)
            with meant(app, target, name, session, asked) as it:
                project = mountable(workspace or it.project)
                wishes = Wishes(once=True, relock=relock, gpus=asked, fill=it.fill)
                ready = once(it.decided, it.environment, session, project=project, wishes=wishes, extra=extra)
                connection = held.enter_context(ready)
        code = attached(app, connection.name, command, connection, passed=one_off.PASSED)
    sys.exit(code)


def variables_of(words: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE, or NAME for the value here. Raises UsageError."""
    found = {}
    for word in words:
        name, given, value = word.partition("=")
        if not re.fullmatch(ENV_NAME, name, re.ASCII):
            raise UsageError(f"{name!r} is not a name of a variable", hint="-e NAME=VALUE")
        if given or name in os.environ:
            found[name] = value if given else os.environ[name]
    return found


def _mount(word: str) -> Mount:
    """FOLDER:PATH[:ro]. Raises UsageError."""
    hint = "-v FOLDER:/PATH or -v FOLDER:/PATH:ro"
    text, read_only = (word.removesuffix(":ro"), True) if word.endswith(":ro") else (word.removesuffix(":rw"), False)
    folder, colon, path = text.rpartition(":")
    if not colon or not folder or not re.fullmatch(CONTAINER_PATH, path) or {".", ".."} & {*path.split("/")}:
        raise UsageError(f"{word!r} is not FOLDER:PATH[:ro], with PATH an absolute path in the container", hint=hint)
    if any(f"{path}/".startswith(f"{own}/") for own in (RUNTIME_MOUNT, HOST_MOUNT)):
        raise UsageError(f"{path} is devenv's own", hint=hint)
    source = mountable(Path(folder))
    if source is None or not source.exists():
        raise UsageError(f"{folder} does not exist", hint=hint)
    return Mount(kind="bind", source=str(source), target=path, read_only=read_only)
