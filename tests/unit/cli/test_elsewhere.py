"""A command's values become words again that mean the same."""

from __future__ import annotations

from typing import Any

import click
import pytest

from devenv.cli import cli, elsewhere

ON = (
    "up",
    "ps",
    "status",
    "logs",
    "exec",
    "shell",
    "smoke",
    "stop",
    "start",
    "restart",
    "down",
    "open",
    "diff",
    "snapshot",
)


def _command(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)  # type: ignore[attr-defined]
    assert isinstance(command, click.Command)
    return command


def _values(command: click.Command, words: list[str]) -> dict[str, Any]:
    """What `pass_app` gets."""
    context = command.make_context(command.name, list(words))
    return {key: value for key, value in context.params.items() if key != "on"}


@pytest.mark.parametrize("name", ON)
def test_every_command_around_an_environment_takes_a_target(name: str) -> None:
    assert any(one.name == "on" for one in _command(name).params)


@pytest.mark.parametrize(
    "line",
    [
        ["up"], ["up", "rapidocr", "--name", "x", "--fresh", "--gpus", "0,1", "--role", "serve"], ["up", "--pull", "a.b/c:d"],
        ["up", "--source", "modelscope", "--source", "registry", "--json-events"], ["ps", "--json"], ["logs", "x", "ide", "-f"],
        ["logs", "-n", "5"], ["exec", "--", "ls", "-l", "--name", "y"], ["exec", "x", "--", "ls", "-l"],
        ["exec", "--name", "x", "ls", "--on", "y"], ["exec", "-w", "sub", "--", "--", "x"], ["shell"], ["stop", "a", "b"],
        ["down", "--volumes", "--", "-a"], ["open", "x", "--jupyter"], ["open", "--cursor"], ["diff"], ["restart", "x", "ide"],
        ["snapshot", "x", "y", "-m", "a b", "--allow", "p", "--allow", "q", "--with-data"], ["smoke", "--all-users"],
    ],
)  # fmt: skip
def test_values_and_words_mean_the_same(line: list[str]) -> None:
    command = _command(line[0])
    values = _values(command, line[1:])
    again = elsewhere.words(command, values)
    assert _values(command, list(again)) == values
