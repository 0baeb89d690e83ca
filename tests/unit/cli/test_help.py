"""`devenv --help`: every command once, under the heading of what it is about."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from devenv import cli


def _help() -> list[str]:
    return CliRunner().invoke(cli.cli, ["--help"], terminal_width=80).stdout.splitlines()


def test_commands_stand_under_headings() -> None:
    headings = [line[:-1] for line in _help() if line.endswith(":") and not line.startswith((" ", "Usage"))]
    assert headings == ["Options", *cli._GROUPS]


def test_every_command_is_there_once_and_all_texts_begin_in_one_column() -> None:
    lines = _help()
    rows = [line for line in lines[lines.index(f"{next(iter(cli._GROUPS))}:") :] if line.startswith("  ")]
    assert [row.split()[0] for row in rows] == list(cli._COMMANDS)
    assert len({row.index(text) for row, (_, text) in zip(rows, cli._COMMANDS.values(), strict=True)}) == 1
    assert len(cli._COMMANDS) == sum(map(len, cli._GROUPS.values())), "a command in two groups"


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_every_command_can_be_imported(name: str) -> None:
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command is not None
    assert command.name == name
