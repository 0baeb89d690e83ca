"""`--on`: a command goes on here, or the whole of it is handed to another machine or to a cluster."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from devenv.doors.settings.targets import FILE, Book, KubernetesTarget, SshTarget, Target, Targets
from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.cli.app import App

VARIABLE = "DEVENV_ON"
_F = TypeVar("_F", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as the user gave it, without `--on`. `values`: by the names of its parameters; `words`: as a command
    line; `given`: the parameters that were given."""

    name: str
    values: Mapping[str, Any]
    words: tuple[str, ...]
    given: frozenset[str]


def on_option(command: _F) -> _F:
    """Add `--on`: where the environment is."""
    return click.option(
        "--on", metavar="TARGET",
        help="Do it on another machine: a name of 'devenv targets', USER@HOST for SSH, or k8s[:CONTEXT[/NAMESPACE]]; "
        "'here' for this one.",
    )(command)  # fmt: skip


def book(app: App) -> Book:
    """The targets of this user."""
    return Book(path=app.dirs.config / FILE, config=app.dirs.config / "config.yaml")


def target(app: App, on: str | None) -> Target | None:
    """What `--on` means, or without it the user's default; None for this machine. Raises UsageError."""
    return targets(app).meant(on)


def targets(app: App) -> Targets:
    """All targets of this user, and the one that is usual in this folder. Raises UsageError."""
    return book(app).targets(project_here(), os.environ.get(VARIABLE))


def project_here() -> Path | None:
    """The project of this folder, with links resolved."""
    from devenv.preset.project_root import project_of

    found = project_of(Path.cwd())
    return found and found.resolve()


def hand(app: App, ctx: click.Context, target: Target, values: Mapping[str, Any]) -> Any:
    """Let a target do the command; returns its result as the command itself would."""
    command = Command(
        name=ctx.info_name or "", values=values, words=words(ctx.command, values),
        given=frozenset(name for name in values if ctx.get_parameter_source(name) in _GIVEN),
    )  # fmt: skip
    if isinstance(target, SshTarget):
        if command.name == "run":
            raise UsageError("devenv run does not work on another machine yet", hint="--on here; devenv exec --on …")
        from devenv.cli import on_box

        return on_box.hand(app, target, command)
    assert isinstance(target, KubernetesTarget)
    from devenv.cli import on_cluster

    return on_cluster.hand(app, target, command)


_GIVEN = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)


def words(command: click.Command, values: Mapping[str, Any]) -> tuple[str, ...]:
    """A command's options and arguments as words of a command line that mean the same."""
    options: list[str] = []
    arguments: list[str] = []
    for one in command.params:
        value = values.get(one.name or "")
        if isinstance(one, click.Argument):
            arguments += map(str, value) if isinstance(value, tuple) else [str(value)] if value is not None else []
        elif isinstance(one, click.Option):
            options += _option(one, value)
    # An argument may look like an option. The words of `exec` keep their own '--'.
    apart = (
        []
        if not arguments or arguments[0] == "--" or command.context_settings.get("allow_interspersed_args") is False
        else ["--"]
    )
    return (*options, *apart, *arguments)


def _option(one: click.Option, value: Any) -> list[str]:
    name = max(one.opts, key=len)
    if one.is_flag:
        on = value == one.flag_value if not one.is_bool_flag else bool(value)
        return [name] if on and value is not None else []
    if one.multiple:
        return [f"{name}={each}" for each in value or ()]
    return [] if value is None or value == one.default else [f"{name}={value}"]
