from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from devenv.checks import readiness
from devenv.container.labels import Running
from devenv.doors.docker.values import ContainerFacts
from devenv.doors.terminal.progress import Silent
from devenv.errors import EngineError, NotReadyError
from devenv.plan.inside import ANY_STATUS, PlannedService
from tests.waiting import until


def _service(name: str, port: int, *, timeout_s: int = 30, status: int = 200) -> PlannedService:
    return PlannedService(
        name=name, command=("x",), port=port, auth="none", listen=None, url="/", health_path="/", health_status=status,
        env=(), timeout_s=timeout_s,
    )  # fmt: skip


def _running(*services: PlannedService, state: str = "running") -> Running:
    facts = ContainerFacts(
        id="1", name="devenv-demo", state=state, exit_code=137, image="i", labels={},
        ports=tuple((one.port or 0, one.port or 0) for one in services), mounts=(), started_at="",
    )  # fmt: skip
    return Running(
        name="demo", facts=facts, preset="demo", lock_digest="", spec_digest="", project="", services=services,
        checks=(), named_ports=(),
    )  # fmt: skip


class FakeEngine:
    """What Watch and the error texts ask of an engine."""

    def __init__(self, events: Sequence[tuple[float, str]] = (), *, state: str = "running") -> None:
        self.events = events
        self.state = state
        self.stopped = threading.Event()

    def attach(self, name: str) -> Iterator[str]:
        for after_s, line in self.events:
            if self.stopped.wait(after_s):
                return
            yield line
        self.stopped.wait(5)

    def container(self, name: str) -> ContainerFacts | None:
        return _running(state=self.state).facts

    def container_log(self, name: str, *, tail: int = 50) -> str:
        return "the entrypoint said this"

    def exec(self, name: str, command: Sequence[str], *, user: str = "") -> tuple[int, str, str]:
        return 0, "the log's last line\n", ""


def _wait(running: Running, engine: Any) -> tuple[readiness.Ready, ...]:
    watch = readiness.Watch(running.facts.name, engine)
    try:
        return readiness.wait_ready(running, "token", watch, progress=Silent(), engine=engine)
    finally:
        engine.stopped.set()


def test_every_service_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, int] = {"a": 0, "b": 0}

    def answers(running: Running, service: PlannedService, token: str) -> tuple[bool, str]:
        asked[service.name] += 1
        return asked[service.name] >= 3, "HTTP 502"

    monkeypatch.setattr(readiness, "answers", answers)
    ready = _wait(_running(_service("a", 1), _service("b", 2)), FakeEngine([(0, "devenv: up")]))
    assert [one.service for one in ready] == ["a", "b"]
    assert asked == {"a": 3, "b": 3}


@pytest.mark.timeout(120)  # the other's time is 300 s
def test_a_service_that_dies_is_told_at_once_with_its_status_and_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "answers", lambda *_: (False, "HTTP 502"))
    with pytest.raises(NotReadyError, match=r"service 'b' ended with exit status 3") as told:
        _wait(
            _running(_service("a", 1, timeout_s=300), _service("b", 2)),
            FakeEngine([(0, "devenv: up"), (0.1, "devenv: service b ended: status 3 signal 0 count 1")]),
        )
    assert told.value.detail == "the log's last line\n"
    assert "devenv logs demo b" in (told.value.hint or "")


def test_a_signal_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "answers", lambda *_: (False, ""))
    with pytest.raises(NotReadyError, match="signal 9"):
        _wait(_running(_service("a", 1)), FakeEngine([(0, "devenv: service a ended: status -1 signal 9 count 1")]))


def _ends(service: str, *, times: int) -> list[tuple[float, str]]:
    """A service that ends so often, once the probing has begun."""
    return [(0.1, "devenv: up"), *[(0.1, f"devenv: service {service} ended: status 1 signal 0 count 1")] * times]


def _noted(running: Running, engine: Any, monkeypatch: pytest.MonkeyPatch, *, restarts: int) -> list[str]:
    """The messages until the services answer, after so many restarts. Every exit counts as a late one."""
    said: list[str] = []
    monkeypatch.setattr(readiness, "_SOON_S", 0)
    monkeypatch.setattr(readiness, "answers", lambda *_: (len(said) >= restarts, "HTTP 502"))
    watch = readiness.Watch(running.facts.name, engine, note=said.append)
    try:
        readiness.wait_ready(running, "token", watch, progress=Silent(), engine=engine)
    finally:
        engine.stopped.set()
    return said


def test_a_service_that_a_busy_machine_ended_late_is_waited_for_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said = _noted(_running(_service("ide", 1)), FakeEngine(_ends("ide", times=3)), monkeypatch, restarts=3)
    assert len(said) == 3
    assert "'ide' ended with exit status 1" in said[0]
    assert "starts it again" in said[0]


def test_a_service_of_the_presets_own_may_end_late_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(_noted(_running(_service("a", 1)), FakeEngine(_ends("a", times=1)), monkeypatch, restarts=1)) == 1
    with pytest.raises(NotReadyError, match="'a' ended with exit status 1"):
        _noted(_running(_service("a", 1)), FakeEngine(_ends("a", times=2)), monkeypatch, restarts=2)


def test_an_end_soon_after_a_restart_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    watch = readiness.Watch("devenv-demo", engine := FakeEngine(), note=said.append)  # type: ignore[arg-type]
    engine.stopped.set()
    watch.waiting = {"ide"}
    start = watch._began
    for after_s in (10, 25):
        monkeypatch.setattr(readiness.time, "monotonic", lambda after_s=after_s: start + after_s)
        watch._ended("ide", "exit status 1")
        assert watch.exits == {}
    monkeypatch.setattr(readiness.time, "monotonic", lambda: start + 27)
    watch._ended("ide", "exit status 1")
    assert watch.exits == {"ide": "exit status 1"}
    assert [words.split(" after ")[1].split(";")[0] for words in said] == ["10 s", "15 s"]


def test_one_that_had_answered_or_that_nobody_asks_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_SOON_S", 0)
    monkeypatch.setattr(readiness, "answers", lambda _, service, __: (service.name == "ide", "HTTP 502"))
    for ended in ("ide", "worker"):
        with pytest.raises(NotReadyError, match=f"'{ended}' ended with exit status 1"):
            _wait(_running(_service("ide", 1), _service("b", 2)), FakeEngine([(0.2, ""), *_ends(ended, times=1)]))


def test_a_service_that_never_answers_ends_at_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "answers", lambda *_: (False, "HTTP 502"))
    with pytest.raises(NotReadyError, match=r"'a' did not answer within 1 s: HTTP 502"):
        _wait(_running(_service("a", 1, timeout_s=1)), FakeEngine([(0, "devenv: up")]))


def test_a_container_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(FakeEngine):
        def attach(self, name: str) -> Iterator[str]:
            yield "devenv: up"
            raise EngineError("gone")

    monkeypatch.setattr(readiness, "answers", lambda *_: (False, ""))
    with pytest.raises(NotReadyError, match="ended with status 137") as told:
        _wait(_running(_service("a", 1)), Dying(state="exited"))
    assert told.value.detail == "the entrypoint said this"


@pytest.mark.parametrize(
    ("wanted", "given", "passes"),
    [(200, 200, True), (200, 302, False), (ANY_STATUS, 404, True), (ANY_STATUS, 502, False)],
)
def test_what_counts_as_an_answer(wanted: int, given: int, passes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Link:
        def __init__(self, *_: Any, **__: Any) -> None:
            self.status = given

        def request(self, *_: Any, **__: Any) -> None: ...
        def getresponse(self) -> Link:
            return self

        def close(self) -> None: ...

    monkeypatch.setattr(readiness.http.client, "HTTPConnection", Link)
    service = _service("a", 1, status=wanted)
    assert readiness.answers(_running(service), service, "t")[0] is passes


def test_a_token_that_was_changed_is_said_by_its_file(tmp_path: Path) -> None:
    guarded = dataclasses.replace(_service("ide", 8443), auth="token")
    running = _running(guarded, _service("open", 9000), dataclasses.replace(_service("own", 9001), auth="own"))
    readiness.check_token(running, {"ide": "ready", "open": "HTTP 401", "own": "HTTP 403"}, tmp_path / "token")
    with pytest.raises(NotReadyError, match="another token") as caught:
        readiness.check_token(running, {"ide": "HTTP 401", "open": "ready"}, tmp_path / "token")
    assert caught.value.where == str(tmp_path / "token")
    assert "--new-token" in str(caught.value.hint)


def test_an_end_from_before_whose_line_comes_late_is_no_failure() -> None:
    """The engine may send what a service said before the watch began."""
    line = "devenv: service web ended: status -1 signal 15 count {}"
    late: Any = FakeEngine([(0, line.format(3))])
    watch = readiness.Watch("devenv-demo", late, up=True, known={"web": 3})
    until(lambda: bool(watch._said))
    late.stopped.set()
    until(watch.failed.is_set)  # the stream ended, so the line was read
    assert watch.exits == {}
    for number, known in ((4, 3), (1, 0)):
        watch = readiness.Watch("devenv-demo", FakeEngine([(0, line.format(number))]), up=True, known={"web": known})  # type: ignore[arg-type]
        until(watch.failed.is_set)
        assert watch.exits == {"web": "signal 15"}


@pytest.mark.parametrize("state", ["exited", "dead", "removing"])
def test_a_container_that_ended_before_it_was_looked_at_is_not_waited_for(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine attaches to it and never ends the stream."""
    monkeypatch.setattr(readiness, "answers", lambda *_: (False, "Connection refused"))
    engine: Any = FakeEngine(state=state)
    watch = readiness.Watch("devenv-demo", engine, up=True)
    assert watch.failed.is_set()
    with pytest.raises(NotReadyError, match="ended with status 137"):
        readiness.wait_ready(
            _running(_service("a", 1, timeout_s=300), state=state), "token", watch, progress=Silent(), engine=engine
        )
    assert not readiness.Watch("devenv-demo", engine).failed.is_set(), "it may be about to be started"
    engine.stopped.set()


def test_the_last_words_of_a_container_that_is_gone_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine removes a container of one command with its log."""
    engine: Any = FakeEngine([(0, "devenv: DEVENV_UID must be a number")])
    monkeypatch.setattr(engine, "container", lambda _: None)
    watch = readiness.Watch("devenv-demo-run-1", engine)
    engine.stopped.set()
    with pytest.raises(NotReadyError, match="is gone") as failed:
        readiness.wait_up(watch)
    assert failed.value.detail == "devenv: DEVENV_UID must be a number"
