"""Readiness: every service is probed in parallel until it answers; one that fails is an error at once.

The supervisor starts every service again that ends. A mistake ends one soon after its start, again and again: that
is an error at the first end. A busy machine ends one late, when its own patience is over (code-server waits 10 s for a
process of its own): it is started again within its time limit. devenv's own services may do so as often as the limit
allows, a preset's own once, because its start may take minutes each time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType

from devenv.container.labels import Running
from devenv.doors.cancellation import Cancellation
from devenv.doors.docker.engine import Engine
from devenv.doors.terminal.progress import Progress
from devenv.doors.thread import in_thread
from devenv.errors import EngineError, NotReadyError
from devenv.plan.inside import ANY_STATUS, RESERVED, PlannedService

_EVERY_S = 0.05
_LOG_LINES = 20
_SOON_S = 5.0
_REFUSED = ("HTTP 401", "HTTP 403")

# What the entrypoint and its `finish` script print (templates/image/usr/local/lib/devenv).
_UP = "devenv: up"
_EXIT = re.compile(
    r"devenv: service (?P<name>\S+) ended: status (?P<status>-?\d+) signal (?P<signal>\d+)(?: count (?P<count>\d+))?"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A service that answered, and how many seconds after the probing began."""

    service: str
    seconds: float


class Watch:
    """Follows what one container prints: `up` is set when it is booted, `exits` holds services that failed. `waiting`
    are those that may still be started again; `note` is told when one is.

    Made before the container starts, so that no line is missed; `up` is given for one that runs already. `known`: how
    often a service had ended before, because lines of then may come late.
    """

    def __init__(
        self,
        container: str,
        engine: Engine,
        *,
        up: bool = False,
        note: Callable[[str], None] = lambda _: None,
        cancel: Cancellation | None = None,
        known: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._known = known
        self.up = threading.Event()
        self.failed = threading.Event()
        self.exits: dict[str, str] = {}
        self.waiting: set[str] = set()
        self._note = note
        self._cancel = cancel or Cancellation()
        self._ends: Counter[str] = Counter()
        self._began = time.monotonic()
        self._last_end: dict[str, float] = {}
        self._said: deque[str] = deque(maxlen=_LOG_LINES)
        self._container = container
        self._engine = engine
        if up:
            self.up.set()
        lines = engine.attach(container)
        threading.Thread(target=self._follow, args=(lines,), name="watch", daemon=True).start()
        if up and not self._runs():
            self.failed.set()

    def _follow(self, lines: Iterator[str]) -> None:
        with contextlib.suppress(EngineError):
            for line in lines:
                self._said.append(line)
                if line.strip() == _UP:
                    self._began = time.monotonic()
                    self.up.set()
                elif (found := _EXIT.match(line)) and self._is_new(found):
                    how = f"signal {found['signal']}" if found["status"] == "-1" else f"exit status {found['status']}"
                    self._ended(found["name"], how)
        # The container ended, for whatever reason: check() asks the engine why.
        self.failed.set()

    def _is_new(self, found: re.Match[str]) -> bool:
        return found["count"] is None or int(found["count"]) > self._known.get(found["name"], 0)

    def _ended(self, service: str, how: str) -> None:
        now = time.monotonic()
        ran_s = now - self._last_end.get(service, self._began)
        self._last_end[service] = now
        self._ends[service] += 1
        is_late = service in self.waiting and ran_s >= _SOON_S
        if is_late and (service in RESERVED or self._ends[service] == 1):
            self._note(f"service {service!r} ended with {how} after {ran_s:.0f} s; the supervisor starts it again")
            return
        self.exits.setdefault(service, how)
        self.failed.set()

    def _runs(self) -> bool:
        """Whether the container has not ended before it was attached to: the engine never ends such a stream."""
        facts = self._engine.container(self._container)
        return facts is not None and facts.state not in ("exited", "dead", "removing")

    def check(self) -> None:
        """Raise NotReadyError when a service or the container has died, CancelledError."""
        self._cancel.check()
        if not self.failed.is_set():
            return
        if self.exits:
            name, status = next(iter(self.exits.items()))
            raise NotReadyError(
                f"service {name!r} ended with {status} before it was ready",
                detail=log_tail(self._engine, self._container, name),
                hint=f"the container keeps running; see its log: devenv logs {self._short()} {name}",
            )
        facts = self._engine.container(self._container)
        if facts is None:  # the engine removes a container of one command at its end
            raise NotReadyError(
                "the container is gone while it started", detail="\n".join(self._said) or None,
                hint="run the command again",
            )  # fmt: skip
        raise NotReadyError(
            f"the container ended with status {facts.exit_code} while it started",
            detail=self._engine.container_log(self._container, tail=_LOG_LINES),
            hint=f"docker logs {self._container}",
        )

    def _short(self) -> str:
        return self._container.removeprefix("devenv-")


def wait_up(watch: Watch, *, timeout_s: float = 30) -> None:
    """Wait until the entrypoint has finished. Raises NotReadyError."""
    deadline = time.monotonic() + timeout_s
    while not watch.up.wait(0.02):
        watch.check()
        if time.monotonic() > deadline:
            raise NotReadyError(f"the container did not finish booting within {timeout_s:.0f} s", hint="devenv logs")


def wait_ready(running: Running, token: str, watch: Watch, *, progress: Progress, engine: Engine) -> tuple[Ready, ...]:
    """Probe every published service until it answers correctly.

    Raises NotReadyError: at once for a service that fails, at its own `timeout_s` for one that never answers.
    """
    asked = [one for one in running.probed if one.port is not None and one.health_path is not None]
    began = time.monotonic()
    stop = threading.Event()
    waiting = watch.waiting = {one.name for one in asked}

    def ask(service: PlannedService) -> Ready:
        last = "no answer yet"
        while not stop.is_set():
            passed, last = answers(running, service, token)
            seconds = time.monotonic() - began
            if passed:
                waiting.discard(service.name)
                progress.message(f"waiting for {', '.join(sorted(waiting))}" if waiting else "all answer")
                return Ready(service=service.name, seconds=round(seconds, 3))
            if seconds > service.timeout_s:
                raise NotReadyError(
                    f"service {service.name!r} did not answer within {service.timeout_s} s: {last}",
                    detail=log_tail(engine, running.facts.name, service.name),
                    hint=f"devenv logs {running.name} {service.name}",
                )
            stop.wait(_EVERY_S)
        raise NotReadyError(f"service {service.name!r} was not ready when the check was stopped")

    progress.message(f"waiting for {', '.join(sorted(waiting))}")
    # Not by an executor: a service that keeps a request open must not delay the report that another one ended.
    probes = [in_thread(f"probe {one.name}", partial(ask, one)) for one in asked]
    try:
        while True:
            watch.check()
            ready = tuple(one.result() for one in probes if one.done())
            if len(ready) == len(probes):
                return ready
            watch.failed.wait(_EVERY_S)
    finally:
        stop.set()


def answers(running: Running, service: PlannedService, token: str, *, timeout_s: float = 5) -> tuple[bool, str]:
    """Probe one service once; returns whether it answered correctly, and its answer in words."""
    outside = running.port(service.port) if service.port is not None else None
    if outside is None or service.health_path is None:
        return True, "not published"
    headers = {} if service.auth == "none" else {"Authorization": f"Bearer {token}"}
    link = http.client.HTTPConnection("127.0.0.1", outside, timeout=timeout_s)
    try:
        link.request("GET", service.health_path, headers=headers)
        status = link.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        return False, type(error).__name__ if not str(error) else str(error)
    finally:
        link.close()
    if service.health_status == ANY_STATUS:
        return status < 500, f"HTTP {status}"
    return status == service.health_status, f"HTTP {status}"


def states(running: Running, token: str, *, ask: Callable[..., tuple[bool, str]] = answers) -> dict[str, str]:
    """Every published service's state now, probed in parallel: `ready`, or its answer."""
    asked = [one for one in running.probed if one.port is not None]
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        told = list(pool.map(lambda one: ask(running, one, token, timeout_s=2), asked))
    return {one.name: "ready" if passed else said for one, (passed, said) in zip(asked, told, strict=True)}


def check_token(running: Running, states: Mapping[str, str], file: Path) -> None:
    """Raise NotReadyError when a service refused the token of `file`: it was changed after the container's start."""
    # A preset's own service may refuse for reasons of its own.
    ours = [one.name for one in running.services if one.name in RESERVED]
    guarded = ours or [one.name for one in running.services if one.auth == "token"]
    refused = [name for name in guarded if states.get(name) in _REFUSED]
    if refused:
        raise NotReadyError(
            f"{running.name} runs with another token ({', '.join(refused)} refused this one): the file was changed "
            "after the container had started",
            where=str(file),
            hint=f"to use the token of the file: devenv stop {running.name} && devenv start {running.name}; "
            "to make a new one: devenv up --new-token",
        )


def log_tail(engine: Engine, container: str, service: str, *, lines: int = _LOG_LINES) -> str | None:
    """The last lines of a service's log, read inside."""
    try:
        _, text, _ = engine.exec(
            container, ["tail", "-n", str(lines), f"/var/log/devenv/{service}/current"], user="root"
        )
    except EngineError:
        return None
    return text or None
