"""The command line: parse, call rooms, print. Commands are imported only when they run."""

from __future__ import annotations

import errno
import gc
import importlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from devenv import __version__
from devenv.errors import DevenvError, FetchError, UsageError

_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE,
    errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTEMPTY, errno.EEXIST,
}  # fmt: skip
"""Not a bug: a full or read-only disk, a folder that is not the user's, or something else in a file's place."""
_GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    # heading: {command: (module:function, the text in `devenv --help`)}
    "Environment": {
        "up": ("up:up", "Build, start and test an environment; prints the URLs."),
        "ps": ("lifecycle:ps", "List the environments on this engine."),
        "status": ("lifecycle:status", "Show one environment: services, URLs, volumes, memory."),
        "open": ("open:open_", "Open an environment in a browser or in an editor."),
        "ssh-config": ("ssh:ssh_config", "Let SSH clients reach environments."),
        "logs": ("inside:logs", "Show a service's log."),
        "shell": ("inside:shell", "Open a shell in the container."),
        "exec": ("inside:exec_", "Run a command in the container."),
        "run": ("once:run", "Run one command in a container of its own."),
        "smoke": ("inside:smoke", "Run the smoke test again."),
        "restart": ("inside:restart", "Restart one service, or all."),
        "stop": ("lifecycle:stop", "Stop an environment; it can be started again."),
        "start": ("lifecycle:start", "Start a stopped environment."),
        "down": ("lifecycle:down", "Remove an environment's container; its volumes stay."),
    },
    "Change": {
        "diff": ("diff:diff", "Show what changed in an environment; write it into the preset."),
        "snapshot": ("snapshot:snapshot", "Keep an environment's state."),
        "snapshots": ("snapshot:snapshots", "List the snapshots, or remove some."),
        "reset": ("snapshot:reset", "Put an environment back to its lock, or to a snapshot."),
    },
    "Share": {
        "push": ("share:push", "Push a preset's image with its recipe to a registry."),
        "pull": ("share:pull", "Pull an image that 'devenv push' put into a registry."),
        "export": ("export:export", "Write an environment to a folder or file."),
        "import": ("export:import_", "Bring an exported environment to this machine."),
    },
    "Preset and lock": {
        "init": ("init:init", "Write a devenv.yaml: of a preset, a project, or a model."),
        "presets": ("preset:presets", "List the shipped presets."),
        "show": ("preset:show", "Show a preset as resolved, and where each value came from."),
        "validate": ("preset:validate", "Check presets; report all mistakes at once."),
        "schema": ("preset:schema", "Print the presets' JSON Schema, for editors."),
        "lock": ("lock:lock", "Resolve a preset to exact files; check for drift."),
        "fetch": ("lock:fetch", "Download every locked file to this machine's store."),
    },
    "Image": {
        "build": ("up:build", "Build the image, with no network."),
        "render": ("render:render", "Write Dockerfile, devcontainer.json and compose.yaml."),
        "sbom": ("lock:sbom", "Print the bill of materials of a preset's image (CycloneDX)."),
        "verify": ("verify:verify", "Prove that an image is what its preset and lock give."),
    },
    "Weights": {
        "prefetch": ("weights:prefetch", "Download a preset's model weights to this machine, verified."),
        "weights": ("weights:weights", "Manage the weights here: list, verify, rm, import, export, serve."),
    },
    "Machine": {
        "doctor": ("doctor:doctor", "Check whether this machine can run a preset, before any download."),
        "targets": ("targets:targets", "Name other machines and clusters, for --on."),
        "settings": ("settings:settings", "Show the settings in force, and where each came from."),
        "prune": ("prune:prune", "Remove unused images, contexts and stored files."),
    },
}
_COMMANDS = {name: entry for commands in _GROUPS.values() for name, entry in commands.items()}
_FOR_PROGRAMS = {"ssh-proxy": "ssh:ssh_proxy", "on-box": "box_side:on_box", "on-link": "box_link:on_link"}
"""What only other programs call: no help, no completion."""


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        place = _FOR_PROGRAMS.get(cmd_name) or _COMMANDS.get(cmd_name, ("",))[0]
        if not place:
            return None
        module, _, function = place.partition(":")
        # The collector would walk again and again through modules that stay until the end.
        gc.disable()
        try:
            command: click.Command = getattr(importlib.import_module(f"devenv.cli.{module}"), function)
            gc.freeze()
        finally:
            gc.enable()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in {*_COMMANDS, *_FOR_PROGRAMS}:
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"No such command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, _COMMANDS))
        for heading, commands in _GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, (_, text) in commands.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="devenv")
@click.option("-v", "--verbose", is_flag=True, help="Show the commands that devenv runs.")
@click.option("-q", "--quiet", is_flag=True, help="Show warnings and errors only.")
@click.pass_context
def cli(ctx: click.Context, verbose: bool, quiet: bool) -> None:
    """Reproducible AI development environments: one command to a container whose smoke test has passed."""
    from devenv.cli.app import Options, begin

    ctx.obj = begin(Options(verbose=verbose, quiet=quiet))


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with the documented status."""
    from devenv.cli.surroundings import open_streams, use_utf8

    open_streams()
    use_utf8()
    code = run(arguments)
    # Python's own shutdown walks through all imported modules, which takes longer than most commands.
    gc.freeze()
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status (docs/reference/exit-codes.md)."""
    logging.captureWarnings(True)
    # An orderly end stops the build too, and leaves no file half written.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Without standalone mode click returns the status of `ctx.exit(n)` instead of raising Exit.
        status = cli.main(args=arguments, prog_name="devenv", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        from devenv.cli.app import make_console

        asked = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "devenv"
        make_console().error(UsageError(error.format_message(), hint=f"{asked} --help"))
        return UsageError.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was done so far is kept", err=True)
        return 130
    except DevenvError as error:
        from devenv.cli.app import make_console

        make_console().error(error)
        return error.exit_code
    except BrokenPipeError:
        # The reader of the output has ended (`devenv ps | head`): no fault.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the one boundary: a bug becomes a log file and exit 70
        from devenv.doors.files import RefusedError, place_hint

        if not isinstance(error, OSError) or (error.errno not in _DISK and not isinstance(error, RefusedError)):
            return _bug(error)
        from devenv.cli.app import make_console

        where = str(error.filename) if error.filename else None
        known = UsageError if isinstance(error, RefusedError) else FetchError
        make_console().error(
            known(f"{error.strerror}", where=where, hint=place_hint(error, "free disk space, or correct that folder"))
        )
        return known.exit_code
    return status if isinstance(status, int) else 0


def _bug(error: Exception) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="devenv-bug-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as log:
        log.write(f"devenv {__version__}, Python {sys.version}\n{sys.argv}\n\n")
        traceback.print_exception(error, file=log)
    from devenv.doors.terminal.console import printable

    click.echo(f"error: a bug in devenv: {type(error).__name__}: {printable(str(error))}", err=True)
    click.echo(f"hint: please report it with {Path(log.name)}", err=True)
    return 70
