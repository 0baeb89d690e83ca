"""What every command uses: folders, settings, console, and shared options."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from devenv.cli import surroundings
from devenv.doors.dirs import Dirs
from devenv.doors.terminal.console import Console, printable
from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.container.environments import Environments
    from devenv.container.labels import Running
    from devenv.container.state import Environment
    from devenv.doors.docker.address import Endpoint
    from devenv.doors.docker.engine import Engine
    from devenv.doors.settings.settings import Settings
    from devenv.doors.terminal.stages import Stages
    from devenv.up.session import Session

_CARRIED = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "NPM_CONFIG_REGISTRY", "npm_config_registry",
    "HF_ENDPOINT", "MODELSCOPE_DOMAIN",
)  # fmt: skip

_SHOWN = (("devenv.doors.process", "    $ %(message)s"), ("devenv.output", "      %(message)s"))
"""The loggers of `--verbose`, and the form of their lines."""
_F = TypeVar("_F", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The values of the options that several commands have. `folders`: those to search for locked files; `registry`:
    of editor extensions; `here`: this machine alone is meant."""

    verbose: bool = False
    quiet: bool = False
    json: bool = False
    folders: tuple[Path, ...] = ()
    weights_dir: str | None = None
    registry: str | None = None
    here: bool = False


_SHARED = ("json", "folders", "weights_dir", "registry")
"""The values of `Options` that a command's own options give."""


def begin(options: Options) -> Options:
    """Correct this process's surroundings and, with `--verbose`, show the commands that run. Raises UsageError."""
    surroundings.settle(make_console(options).warn)
    for name, form in _SHOWN if options.verbose else ():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Printable(form))
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)
    return options


class App:
    """One run of the command line. Engine and settings are made at first use."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.dirs = Dirs.of(os.environ)
        self.console = make_console(options)

    @property
    def json(self) -> bool:
        """Whether the answer is one JSON document."""
        return self.options.json

    @functools.cached_property
    def settings(self) -> Settings:
        """The user's mirrors, proxies, CA and identity."""

        from devenv.doors.settings.settings import Settings

        settings = dataclasses.replace(Settings.read(self.dirs), folders=self.options.folders)
        if self.options.registry is not None:
            from devenv.doors.settings.config_yaml import extension_registry

            address = extension_registry(self.options.registry, "--registry")
            settings = dataclasses.replace(settings, extension_registry=address)
        if self.options.weights_dir is None:
            return settings
        from devenv.doors.settings.config_yaml import weights_dir

        folder = weights_dir(self.options.weights_dir, _home(), "--weights-dir")
        hubs = dataclasses.replace(settings.hubs, dir=folder, dir_from="--weights-dir")
        return dataclasses.replace(settings, hubs=hubs)

    @property
    def carried(self) -> dict[str, str]:
        """This host's proxies and hub mirrors, for programs in the container. Variables of the environment come before
        docker's config.json."""
        from devenv.doors.docker.address import proxies

        own = {name: value for name in _CARRIED if (value := os.environ.get(name))}
        own_names = {name.lower() for name in own}
        return own | {
            name: value for name, value in proxies(os.environ, _home()).items() if name.lower() not in own_names
        }

    @functools.cached_property
    def endpoint(self) -> Endpoint:
        """Where the Docker Engine is."""
        from devenv.doors.docker.address import endpoint

        return endpoint(os.environ, _home())

    @functools.cached_property
    def engine(self) -> Engine:
        """The Docker Engine."""
        from devenv.doors.docker.engine import connect

        return connect(self.endpoint)

    def session(self, stages: Stages, sources: tuple[str, ...] = ()) -> Session:
        """The session of one run; `sources`: fetch weights from these hubs only."""
        from devenv.up.session import Session

        return Session(
            dirs=self.dirs, settings=self.settings, engine=lambda: self.engine, stages=stages, carried=self.carried,
            weight_sources=sources,
        )  # fmt: skip

    @functools.cached_property
    def environments(self) -> Environments:
        """The environments on the engine, as this user sees them."""
        from devenv.container.environments import Environments

        return Environments(engine=lambda: self.engine, folder=self.dirs.environments)

    def select(
        self, name: str | None, *, all_users: bool = False, look: bool = False, here_only: str = "",
        devcontainers: bool = False, hint: str = "devenv ps",
    ) -> Running:  # fmt: skip
        """The environment `name`, or without a name the one that is meant in this folder; see `Environments`."""
        if name is not None:
            return self.environments.named(name, all_users=all_users, look=look, devcontainers=devcontainers, hint=hint)
        return self.environments.meant(
            Path.cwd(), all_users=all_users, here_only=here_only, devcontainers=devcontainers
        )

    def is_own(self, running: Running) -> bool:
        """Whether devenv made the container, for this user."""
        return self.environments.is_own(running)

    def known_token(self, running: Running) -> str | None:
        """The token of this user's environment; None for another user's, even under the same name."""
        return self.environments.known_token(running)

    def locked(self, running: Running) -> AbstractContextManager[None]:
        """Lock the environment for one command; prints a note when another command has the lock."""
        return self.environments.state_of(running).locked(
            lambda: self.console.note("another devenv command is using this environment; waiting")
        )

    def environment(self, name: str) -> Environment:
        """The state of the environment `name`."""
        return self.environments.state(name)


class _Printable(logging.Formatter):
    """What processes print, for `--verbose`."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def make_console(options: Options = Options()) -> Console:
    """A console for this process's terminal; NO_COLOR and CI are respected."""
    live = sys.stderr.isatty() and "CI" not in os.environ and os.environ.get("TERM") != "dumb"
    return Console(
        live=live and not options.quiet and not options.verbose,
        colour=sys.stderr.isatty() and "NO_COLOR" not in os.environ,
        quiet=options.quiet,
    )


class WithCommand(click.Command):
    """All words after the first `--` are the command, options of its own among them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        command = tuple(args[at + 1 :])
        rest = super().parse_args(ctx, args[:at])
        if ctx.params.get("command"):
            raise UsageError("'--' has to stand before the command", hint=f"devenv {ctx.info_name} … -- COMMAND…")
        ctx.params["command"] = command
        return rest


def pass_app(command: Callable[..., Any]) -> Callable[..., Any]:
    """Call a command with the App of its options: those of `devenv` itself, and the command's own of `Options`; or let
    the target of `--on` do it."""

    @click.pass_context
    def call(ctx: click.Context, /, **values: Any) -> Any:
        _refuse_nothing(ctx, values)
        on, has_target = values.pop("on", None), any(one.name == "on" for one in ctx.command.params)
        own = {name: values[name] for name in _SHARED if name in values}
        here = "here" in (on, os.environ.get("DEVENV_ON"))
        app = App(dataclasses.replace(ctx.obj, **own, here=here))
        if has_target and (on is not None or ctx.info_name != "ps"):  # which shows all targets
            from devenv.cli import elsewhere

            if target := elsewhere.target(app, on):
                return elsewhere.hand(app, ctx, target, values)
        return ctx.invoke(command, app, **{name: value for name, value in values.items() if name not in own})

    return functools.update_wrapper(call, command)


def _refuse_nothing(ctx: click.Context, values: Mapping[str, Any]) -> None:
    """Raise click.UsageError for an empty argument: a shell makes one of a variable that is not set. Words of a command
    in the container may be empty."""
    for one in ctx.command.params:
        given = values.get(one.name or "")
        words = given if isinstance(given, tuple) else (given,)
        if isinstance(one, click.Argument) and one.type is not click.UNPROCESSED and "" in words:
            raise click.UsageError(f"an argument is empty: {one.human_readable_name}", ctx)


def json_option(command: _F) -> _F:
    """Add `--json`: one JSON document on stdout, nothing else there."""
    return click.option("--json", is_flag=True, help="Print one JSON document on stdout.")(command)


def all_users_option(command: _F) -> _F:
    """Add `--all-users`: act on another user's environment too."""
    return click.option(
        "--all-users", is_flag=True, help="Act on another user's environment too, without asking its owner."
    )(command)


def from_option(command: _F) -> _F:
    """Add `--from DIR`: folders to search for locked files before any mirror."""

    return click.option(
        "--from",
        "folders",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        multiple=True,
        envvar="DEVENV_FROM",
        metavar="DIR",
        help="Take locked files from this folder, where their hash is right, before devenv contacts any mirror. "
        "Repeat it for several folders.",
    )(command)


def weights_dir_option(command: _F) -> _F:
    """Add `--weights-dir`: another store of weights for this run."""

    return click.option(
        "--weights-dir",
        metavar="FOLDER",
        help="The folder of the store of weights; also DEVENV_WEIGHTS_DIR, or 'weights: {dir: …}' in config.yaml.",
    )(command)


def source_option(command: _F) -> _F:
    """Add `--source`: which hubs to contact."""
    return click.option(
        "--source",
        "sources",
        multiple=True,
        type=click.Choice(["huggingface", "modelscope", "registry"]),
        help="Fetch weights from this hub only, or from the registry that the environment comes from. Repeat it for "
        "several, in order.",
    )(command)


def _home() -> Path:
    return Path(os.environ["HOME"])
