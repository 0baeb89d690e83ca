"""The health check of a container that serves, on services that answer here."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.plan.plan import plan
from devenv.render.render import render
from tests.unit.examples import loaded, lock

SCRIPT = Path(__file__).parents[3] / "templates/image/usr/local/lib/devenv/healthy"
SERVICES = {
    "api": {"command": ("api",), "port": 8600, "listen": "127.0.0.1:8601", "health": {"path": "/health"}},
    "open": {"command": ("open",), "port": 8602, "auth": "none"},
    "worker": {"command": ("worker",)},
}


@pytest.fixture
def healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program, with the file that is rendered for it and a boot's folder; `answers` are by port."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("healthy", str(SCRIPT))
    spec = importlib.util.spec_from_loader("healthy", loader)
    assert spec
    module: Any = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    marked = {name: {**service, "role": "serve"} for name, service in SERVICES.items()}
    rendered = render(plan(loaded(services=marked), lock()))
    (tmp_path / "health.json").write_bytes(rendered.context["image/etc/devenv/serve/health.json"])
    stat = tmp_path / "sv/worker/supervise/stat"
    stat.parent.mkdir(parents=True)
    stat.write_text("run\n")
    (tmp_path / "token").write_text("secret\n")
    module.answers, module.asked = {8600: 200, 8602: 404}, []

    class Connection:
        def __init__(self, host: str, port: int, timeout: float) -> None:
            assert (host, timeout > 0) == ("127.0.0.1", True)
            self.port = port

        def request(self, method: str, path: str, headers: dict[str, str]) -> None:
            if self.port not in module.answers:
                raise ConnectionRefusedError(111, "Connection refused")
            module.asked.append((self.port, method, path, headers))

        def getresponse(self) -> Any:
            return SimpleNamespace(status=module.answers[self.port])

    monkeypatch.setattr(module.http.client, "HTTPConnection", Connection)
    monkeypatch.setattr(module, "ETC", tmp_path)
    monkeypatch.setattr(sys, "argv", ["healthy"])
    monkeypatch.setattr(module, "RUN", tmp_path)
    return module


def test_all_is_well_when_each_answers_as_its_preset_says(healthy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert healthy.main() == 0
    assert healthy.asked == [
        (8600, "GET", "/health", {"Authorization": "Bearer secret"}),
        (8602, "GET", "/", {}),
    ]
    assert capsys.readouterr().out == "api: ready\nopen: ready\nworker: ready\n"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({8600: 503, 8602: 200}, "api: HTTP 503"),
        ({8600: 401, 8602: 200}, "api: HTTP 401"),
        ({8600: 200, 8602: 502}, "open: HTTP 502"),
        ({8602: 200}, "api: [Errno 111] Connection refused"),
    ],
)
def test_one_that_does_not_is_named(
    healthy: Any, answers: dict[int, int], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy.answers.clear()
    healthy.answers |= answers
    assert healthy.main() == 1
    assert said in capsys.readouterr().out


def test_a_service_without_a_port_has_to_run(healthy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (healthy.RUN / "sv/worker/supervise/stat").write_text("down\n")
    assert healthy.main() == 1
    assert "worker: down" in capsys.readouterr().out


def test_one_service_alone_is_asked_where_it_is_named(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy.answers[8602] = 502
    monkeypatch.setattr(sys, "argv", ["healthy", "api"])
    assert healthy.main() == 0
    assert [port for port, *_ in healthy.asked] == [8600]


def test_it_waits_until_all_is_well_or_time_is_over(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy.answers[8600] = 502
    monkeypatch.setattr(sys, "argv", ["healthy", "--wait", "60"])
    monkeypatch.setattr(healthy.time, "sleep", lambda _: healthy.answers.update({8600: 200}))
    assert healthy.main() == 0
    healthy.answers[8600] = 502
    monkeypatch.setattr(sys, "argv", ["healthy", "--wait", "0"])
    monkeypatch.setattr(healthy.time, "sleep", lambda _: pytest.fail("the time is over"))
    assert healthy.main() == 1


def test_a_workbench_is_asked_for_its_own_services(monkeypatch: pytest.MonkeyPatch, healthy: Any) -> None:
    rendered = render(plan(loaded(services={"api": SERVICES["api"]}), lock()))
    services = json.loads(rendered.context["image/etc/devenv/health.json"])
    assert [(one["name"], one["path"]) for one in services][-1] == ("api", "/health")


def test_images_where_nothing_serves_have_no_part_of_it() -> None:
    context = render(plan(loaded(services={"api": SERVICES["api"]}), lock())).context
    assert not [name for name in context if "serve/" in name or name.endswith("/drain")]
    assert json.loads(context["image/etc/devenv/environment.json"])["services"][-1].get("role") is None
