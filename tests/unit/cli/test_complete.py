"""What Tab offers, with no engine and no network."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from devenv.cli import cli
from devenv.cli.complete import keys, names


def _offered(complete: object, incomplete: str) -> list[tuple[str, str]]:
    assert callable(complete)
    found = complete(click.Context(click.Command("up")), click.Argument(["preset"]), incomplete)
    return [(item.type, item.value) for item in found]


def test_presets_snapshots_environments_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert ("plain", "rapidocr") in _offered(names, "")
    for folder in ("snapshots/rapid-kept", "snapshots/.unfinished-rapid", "envs/rapid-mine", "envs/rapid-kept"):
        (tmp_path / "devenv" / folder).mkdir(parents=True)
    assert _offered(names, "rapid") == [
        ("file", "rapid"), ("plain", "rapid-kept"), ("plain", "rapid-mine"), ("plain", "rapidocr"),
    ]  # fmt: skip
    assert _offered(names, "./x") == [("file", "./x")]


def test_a_key_is_of_ssh_or_a_file() -> None:
    assert _offered(keys, "") == [("file", ""), ("plain", "ssh")]


@pytest.mark.parametrize("command", ["up", "build", "run", "push", "export", "verify"])
def test_the_commands_offer_names(command: str) -> None:
    context = click.Context(cli)
    found = cli.get_command(context, command)
    assert found is not None
    arguments = [one for one in found.params if isinstance(one, click.Argument)]
    assert "file" in {item.type for item in arguments[0].shell_complete(context, "")}
