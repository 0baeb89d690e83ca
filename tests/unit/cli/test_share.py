"""Which words `push` takes, and what they mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv import cli
from devenv.cli.share import subject_of
from devenv.container import container
from devenv.doors.dirs import Dirs
from devenv.errors import ShareError
from devenv.secrets.known import KnownValues
from devenv.share import subject
from devenv.share.place import InRegistry
from devenv.up.session import Session

NOBODY = KnownValues.of([])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing argument"),
        (("one", "two", "example.org/x:1"), "too many names"),
        (("python",), "it names no registry"),
        (("python", "team/x:1"), "it names no registry"),
        (("python", "example.org/x"), "has no tag to push to"),
        (("example.org/x:1", "python"), "it names no registry"),
        (("python", f"example.org/x:1@sha256:{'0' * 64}"), "which only a push makes"),
        (("python", f"example.org/x@sha256:{'0' * 64}"), "write example.org/x:1"),
        (("python", "https://example.org/x:1"), "leave 'https://' out"),
    ],
)
def test_what_cannot_be_pushed_to_is_refused_before_anything_is_done(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["push", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("word", ["python", "team/x:1", "example.org/x", "EXAMPLE.org/X:1"])
def test_pull_takes_a_whole_reference(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["pull", word]) == 2
    assert capsys.readouterr().err.count("error:") == 1


def test_a_registry_that_refuses_is_known_before_anything_is_built(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: InRegistry, _: Session) -> None:
        raise ShareError(f"cannot push to {place}")

    monkeypatch.setattr(InRegistry, "check", refuse)
    monkeypatch.setattr("devenv.cli.share.subject_of", lambda *_, **__: pytest.fail("something was built"))
    assert cli.run(["push", "python", "example.org/x:1"]) == 11
    assert "cannot push to example.org/x:1" in capsys.readouterr().err


# ---- what the name means


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where `mine` is an own environment, `theirs` another user's, and both and `kept` are snapshots."""
    boxes = {name: SimpleNamespace(name=name) for name in ("mine", "theirs", "here")}
    dirs = Dirs(cache=tmp_path, state=tmp_path, config=tmp_path)
    for name in ("mine", "theirs", "kept"):
        (dirs.snapshots / name).mkdir(parents=True)
    made = SimpleNamespace(
        engine=None, dirs=dirs, locks=[], select=lambda _: boxes["here"], is_own=lambda box: box.name != "theirs"
    )

    @contextlib.contextmanager
    def locked(running: Any) -> Iterator[None]:
        made.locks.append(running.name)
        yield

    @contextlib.contextmanager
    def of_environment(running: Any, *_: Any, message: str, weights: bool) -> Iterator[str]:
        assert weights
        yield f"environment {running.name}: {message}"

    made.locked = locked
    monkeypatch.setattr(container, "find", lambda name, _: boxes.get(name))
    monkeypatch.setattr(subject, "of_environment", of_environment)
    monkeypatch.setattr(subject, "of_snapshot", lambda name, _, weights: f"snapshot {name}" * weights)
    monkeypatch.setattr(subject, "of_preset", lambda name, *_, weights: f"preset {name}" * weights)
    monkeypatch.setattr("devenv.snapshot.store.Snapshots.get", lambda _, name: name)
    return made


@pytest.mark.parametrize(
    ("name", "meant", "locks"),
    [
        (None, "environment here: m", ["here"]), ("mine", "environment mine: m", ["mine"]),
        ("theirs", "snapshot theirs", []), ("kept", "snapshot kept", []), ("python", "preset python", []),
        ("./devenv.yaml", "preset ./devenv.yaml", []), ("../kept", "preset ../kept", []),
    ],
)  # fmt: skip
def test_an_own_environment_comes_before_a_snapshot_and_that_before_a_preset(
    name: str | None, meant: Any, locks: list[str], app: Any
) -> None:
    given: Any = SimpleNamespace(dirs=app.dirs)
    with subject_of(name, app, NOBODY, given, message="m", weights=True) as found:
        assert (found, app.locks) == (meant, locks)
