"""The command line of `devenv run`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv import cli
from devenv.cli import meant as meaning
from devenv.cli import once as command_line
from devenv.cli.app import App
from devenv.doors.docker.values import Mount
from devenv.drift import observe
from devenv.errors import PresetError, UsageError
from devenv.plan.plan import plan
from devenv.snapshot import bring_back
from devenv.up.decide import Decided
from devenv.verify import rebuild
from tests.unit import handmade


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was run: the word and the name, wishes and extras, and the command; its status is 7."""
    did: list[Any] = []

    @contextlib.contextmanager
    def meant(_: App, word: str | None, name: str | None, *__: Any) -> Iterator[Any]:
        did.append((word, name))
        yield SimpleNamespace(decided=None, environment=None, project=tmp_path, fill={})

    @contextlib.contextmanager
    def once(*_: Any, wishes: Any, extra: Any, project: Path) -> Iterator[Any]:
        did.append((wishes, extra, project))
        yield SimpleNamespace(name="box")
        did.append("gone")

    def attached(_: App, container: str, command: tuple[str, ...], *__: Any, **___: Any) -> int:
        did.append((container, command))
        return 7

    monkeypatch.setattr(command_line, "meant", meant)
    monkeypatch.setattr(command_line, "once", once)
    monkeypatch.setattr(command_line, "attached", attached)
    monkeypatch.setattr(App, "session", lambda *_: None)
    return did


def _status(*arguments: str) -> int:
    try:
        return cli.run(["run", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.mark.parametrize(
    ("arguments", "meant", "command"),
    [
        (["--", "ls"], (None, None), ("ls",)),
        (["demo", "--", "grep", "--", "-x"], ("demo", None), ("grep", "--", "-x")),
        (["--name", "second", "demo", "--gpus", "0", "--", "ls", "--gpus"], ("demo", "second"), ("ls", "--gpus")),
    ],
)
def test_what_follows_two_dashes_is_the_command(
    ran: list[Any], arguments: list[str], meant: tuple[Any, Any], command: tuple[str, ...]
) -> None:
    assert _status(*arguments) == 7
    assert (ran[0], ran[2:]) == (meant, [("box", command), "gone"])
    assert ran[1][0].once
    assert ran[1][0].gpus.gpus == ("0" if "0" in arguments else None)


@pytest.mark.parametrize("arguments", [[], ["demo"], ["demo", "--"], ["demo", "ls"], ["demo", "ls", "--", "x"]])
def test_a_command_has_two_dashes_before_it(
    ran: list[Any], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _status(*arguments) == 2
    assert "-- COMMAND…" in capsys.readouterr().err
    assert ran == []


def test_variables_and_folders_are_given(ran: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a:b").mkdir()
    monkeypatch.setenv("SECRET", "s=1")
    monkeypatch.delenv("ABSENT", raising=False)
    options = ["-e", "A=b=c", "-e", "E=", "-e", "SECRET", "-e", "ABSENT", "-v", f"{tmp_path}/a:b:/data:ro"]
    assert _status(*options, "-v", f"{tmp_path}:/own", "--", "ls") == 7
    extra = ran[1][1]
    assert extra.variables == {"A": "b=c", "E": "", "SECRET": "s=1"}
    assert extra.mounts == (
        Mount(kind="bind", source=f"{tmp_path}/a:b", target="/data", read_only=True),
        Mount(kind="bind", source=str(tmp_path), target="/own"),
    )


@pytest.mark.parametrize(
    "options",
    [
        ["-e", "=x"], ["-e", "1A=x"], ["-e", "A B=x"], ["-v", "/tmp"], ["-v", ":/data"], ["-v", "/tmp:data"],
        ["-v", "/tmp:/a/../b"], ["-v", "/no/such/folder:/data"], ["-v", "/tmp:/run/devenv/x"],
        ["-v", "/tmp:/run/devenv-host"],
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_happens(ran: list[Any], options: list[str]) -> None:
    assert _status(*options, "--", "ls") == 2
    assert ran == []


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An engine with the environment `demo`, and one called `odd` that devenv did not make."""
    known = {name: SimpleNamespace(name=name, unreadable=why) for name, why in (("demo", ""), ("odd", "by hand"))}
    environments = SimpleNamespace(now=known.get)
    return SimpleNamespace(environments=environments, select=lambda _: known["demo"])


@pytest.mark.parametrize(("word", "name"), [("demo", "demo"), ("odd", None), ("python", None), ("HOST/x:1", None)])
def test_a_word_is_an_environment_first(app: Any, word: str, name: str | None) -> None:
    found = meaning._environment(app, word)
    assert (found and found.name) == name


def test_no_word_is_the_preset_here_and_else_the_environment(
    app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = meaning._environment(app, None)
    assert found is not None
    assert found.name == "demo"
    (tmp_path / "devenv.yaml").write_text("extends: python\n")
    assert meaning._environment(app, None) is None


def test_without_preset_and_environment_it_says_so(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def select(_: None) -> None:
        raise UsageError("you have no environment on this engine")

    monkeypatch.chdir(tmp_path)
    app.select = select
    with pytest.raises((UsageError, PresetError), match="no environment"):
        meaning._environment(app, None)


@pytest.mark.parametrize(
    ("tag", "used"), [("devenv/t:1-pulled", "devenv/t:1-pulled"), ("devenv/t:gone", None), ("", None)]
)
def test_an_environments_image_is_the_one_that_it_has(
    tag: str, used: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = handmade.preset()
    made = plan(handmade.loaded(wish), handmade.lock(wish))
    decided = Decided(loaded=handmade.loaded(wish), lock=handmade.lock(wish), plan=made)
    monkeypatch.setattr(observe, "image_of_lock", lambda *_: ("sha256:1", ()))
    monkeypatch.setattr(rebuild, "restore", lambda *_: Path("preset.yaml"))
    monkeypatch.setattr(bring_back, "with_layer", lambda one, *_: one)
    monkeypatch.setattr(meaning, "decide", lambda *_, **__: decided)
    engine = SimpleNamespace(image_id={"devenv/t:1-pulled": "sha256:1", made.image: "sha256:2"}.get)
    running: Any = SimpleNamespace(name="demo", facts=SimpleNamespace(image="i", labels={"dev.devenv.image": tag}))
    session: Any = SimpleNamespace(engine=lambda: engine)
    with meaning._as_it_is(running, session) as found:
        assert found.plan.image == (used or made.image)
