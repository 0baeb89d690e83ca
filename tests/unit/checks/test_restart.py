"""One service restarted, without the command line."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.checks import readiness
from devenv.checks import restart as room
from devenv.doors.terminal.console import Console
from devenv.doors.terminal.stages import Stages
from devenv.errors import NotReadyError, UsageError


@dataclasses.dataclass(frozen=True)
class _Demo:
    """What a restart asks of an environment."""

    facts: Any
    services: tuple[Any, ...]
    name: str = "demo"
    is_devcontainer: bool = False


def _restart(monkeypatch: pytest.MonkeyPatch, service: str, *, token: str | None = "t", **changes: Any) -> list[Any]:
    """What was done; `changes` are those of the container's facts, and `status`, what `sv` ends with."""
    done: list[Any] = []
    status = changes.pop("status", 0)
    facts: Any = SimpleNamespace(**{"state": "running", "name": "devenv-demo", "is_cut_off": False, **changes})
    services = (SimpleNamespace(name="web", port=9000), SimpleNamespace(name="worker", port=None))

    def run(_: str, command: list[str], **__: Any) -> tuple[int, str, str]:
        done.append(command[-1])
        return status, "-1 15 3\n" if command[0] == "cat" else "timeout", ""

    monkeypatch.setattr(readiness, "Watch", lambda *_, known, **__: done.append(known))
    monkeypatch.setattr(
        readiness, "wait_ready", lambda one, *_, **__: done.append([each.name for each in one.services])
    )
    running: Any = _Demo(facts=facts, services=services)
    engine: Any = SimpleNamespace(exec=run)
    room.restart(running, service, engine, token=token, stages=Stages(Console(quiet=True)))
    return done


def test_what_has_a_port_is_waited_for_and_behind_the_gateway_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _restart(monkeypatch, "web") == ["/run/devenv/sv/web", "/run/devenv/exit/web", {"web": 3}, ["web"]]
    assert _restart(monkeypatch, "worker") == ["/run/devenv/sv/worker"]
    assert _restart(monkeypatch, "gateway")[-2:] == [{"gateway": 3}, ["web"]]


def test_another_users_service_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _restart(monkeypatch, "web", token=None) == ["/run/devenv/sv/web"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "exited"}, r"demo is not running \(exited\)"),
        ({"is_cut_off": True}, "demo cannot be reached"),
        ({"status": 1}, "cannot restart service 'web'"),
    ],
)
def test_a_service_that_cannot_be_restarted_is_an_error(
    changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReadyError, match=words):
        _restart(monkeypatch, "web", **changes)


def test_what_is_no_service_is_not_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"demo has no service '\.\./x'; it has: gateway, web, worker"):
        _restart(monkeypatch, "../x")
