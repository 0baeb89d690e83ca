"""What `devenv verify` prints of a snapshot's layer."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from devenv import cli
from devenv.cli.app import App
from devenv.snapshot import bring_back
from devenv.verify import rebuild, subject
from devenv.verify.identity import Identity
from devenv.verify.rebuild import Difference, Verdict

ADDS = tuple(f"/home/dev/{number}" for number in range(7))


def _identity(digest: str) -> Identity:
    return Identity(reference="i", digest=digest, config={}, layers=())


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The verdict on an image of the snapshot `kept`; `values` change it."""
    values: dict[str, Any] = {"snapshot": "kept", "adds": ADDS, "differences": ()}
    decided: Any = SimpleNamespace(plan=SimpleNamespace(preset="p"), lock=SimpleNamespace(digest="l"), delta=None)

    def prove(_: str, given: Any, *__: Any, stated: bool) -> Verdict:
        assert (given, stated) == ("with the layer", True)
        again = _identity("sha256:2" if values["differences"] else "sha256:1")
        return Verdict(image=_identity("sha256:1"), rebuilt=again, stated=stated, **values)

    monkeypatch.setattr(App, "engine", SimpleNamespace())
    monkeypatch.setattr(App, "session", lambda *_: SimpleNamespace())
    monkeypatch.setattr(subject, "subject", lambda *_, **__: ("devenv/x:1", decided))
    monkeypatch.setattr(bring_back, "with_layer", lambda *_: "with the layer")
    monkeypatch.setattr(rebuild, "is_stated", lambda *_: True)
    monkeypatch.setattr(rebuild, "verify", prove)
    return values


def test_the_layer_of_a_snapshot_is_named_and_is_success(
    verdict: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["verify", "x"]) == 0
    told = (
        "devenv/x:1 is what its preset and lock give, with the layer of the snapshot kept (7 paths: /home/dev/0, "
        "/home/dev/1, /home/dev/2, /home/dev/3, /home/dev/4, …), byte for byte"
    )
    assert told in capsys.readouterr().err
    assert cli.run(["verify", "x", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["snapshot"], document["adds"], document["equal"]) == ("kept", [*ADDS], True)


def test_more_than_the_layer_is_a_difference(verdict: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    verdict["differences"] = (Difference(path="/x", layer="own", what="only in the image"),)
    assert cli.run(["verify", "x"]) == 12
    assert ": 1 difference\n" in capsys.readouterr().err


def test_without_a_snapshot_nothing_is_said_of_one(verdict: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    verdict.update(snapshot="", adds=())
    assert cli.run(["verify", "x", "--json"]) == 0
    assert "snapshot" not in json.loads(capsys.readouterr().out)
    assert cli.run(["verify", "x"]) == 0
    assert "is what its preset and lock give, byte for byte" in capsys.readouterr().err
