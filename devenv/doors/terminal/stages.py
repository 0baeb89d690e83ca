"""The stages of a long command as a live list: elapsed time, bytes, rate, time left, the current step."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from devenv.doors.terminal.console import Console

_PLAIN_EVERY_S = 5.0
_BYTES_EVERY_S = 0.5
_PAUSE_S = 3.0
"""Without a byte for so long a stage does something else."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """One finished stage, for tables and `--json`."""

    name: str
    seconds: float
    cached: bool


class Stage:
    """One running stage; a `Progress` that any thread may call."""

    def __init__(self, name: str, stages: Stages) -> None:
        self.name = name
        self.cached = False
        self.started = time.monotonic()
        self.ended: float | None = None
        self.failed = False
        self.note = ""
        self.total_bytes = 0
        self.done_bytes = 0
        self.told = 0.0  # when its bytes were last reported
        self._stages = stages
        self._moved = self.started
        self._moving_s = 0.0
        self._open: dict[str, None] = {}

    @property
    def seconds(self) -> float:
        """Elapsed time."""
        return (self.ended or time.monotonic()) - self.started

    def start(self, task: str, total_bytes: int | None) -> None:
        """See `Progress`."""
        self._open[task] = None
        self._moved = time.monotonic()
        self.total_bytes += total_bytes or 0

    def advance(self, task: str, bytes_: int) -> None:  # noqa: ARG002
        """See `Progress`."""
        now = time.monotonic()
        self._moving_s += min(now - self._moved, _PAUSE_S)
        self._moved = now
        self.done_bytes += bytes_
        self._stages.tick(self)
        self._stages.tell_bytes(self)

    def finish(self, task: str) -> None:
        """See `Progress`."""
        self._open.pop(task, None)

    def message(self, text: str) -> None:
        """See `Progress`."""
        self.note = text
        self._stages.tick(self)
        self._stages.tell("message", stage=self.name, text=text)

    def detail(self) -> str:
        """Bytes, rate and time left when bytes move, then the current step."""
        from devenv.doors.terminal.console import bytes_text, printable

        parts = []
        if self.total_bytes or self.done_bytes:
            rate = self.done_bytes / max(self._moving_s, 0.001)
            of = f" of {bytes_text(self.total_bytes)}" if self.total_bytes else ""
            left = self.total_bytes - self.done_bytes
            is_moving = self.ended is None and time.monotonic() - self._moved < _PAUSE_S
            shown = f", {bytes_text(rate)}/s" if is_moving or self.ended is not None else ""
            parts.append(f"{bytes_text(self.done_bytes)}{of}{shown}")
            if is_moving and left > 0 and rate > 0:
                parts.append(f"{left / rate:.0f} s left")
        if self.note:
            parts.append(self.note)
        elif self._open and self.ended is None:
            parts.append(next(iter(self._open)))
        return printable(" · ".join(parts), one_line=True)


Events = Callable[[dict[str, Any]], None]
"""The receiver of every event; see docs/reference/json.md."""


class Stages:
    """Runs and shows stages; several may run at once. `events` gets each step as well."""

    def __init__(self, console: Console, events: Events | None = None) -> None:
        self.console = console
        self._events = events
        self.list: list[Stage] = []
        self._live: Any = None
        self._told = 0.0
        self._guard = threading.Lock()
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self.console.live:
            from rich.console import Console as RichConsole
            from rich.live import Live

            self._live = Live(
                console=RichConsole(stderr=True),
                get_renderable=self._render,
                refresh_per_second=8,
                transient=False,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Run one stage: `with stages.stage("build") as stage: …`."""
        stage = Stage(name, self)
        with self._guard:
            self.list.append(stage)
        self.tell("stage", stage=name, state="started")
        try:
            yield stage
        except BaseException:
            stage.failed = True
            raise
        finally:
            stage.ended = time.monotonic()
            self.tell_bytes(stage)
            state = "failed" if stage.failed else ("cached" if stage.cached else "done")
            self.tell("stage", stage=name, state=state, seconds=round(stage.seconds, 3))
            if not self._live:
                self._line(stage)

    def reports(self) -> tuple[StageReport, ...]:
        """What ran, in order of starting."""
        return tuple(StageReport(name=s.name, seconds=round(s.seconds, 3), cached=s.cached) for s in self.list)

    @property
    def seconds(self) -> float:
        """Wall time since the first stage could start."""
        return time.monotonic() - self._began

    def tell(self, event: str, **values: Any) -> None:
        """Send an event to the listener, if there is one."""
        if self._events:
            self._events({"event": event, **values})

    def tell_bytes(self, stage: Stage) -> None:
        """Report a stage's bytes, now and then and at its end."""
        now = time.monotonic()
        if not self._events or not (stage.total_bytes or stage.done_bytes):
            return
        with self._guard:
            if stage.ended is None and now - stage.told < _BYTES_EVERY_S:
                return
            stage.told = now
        self.tell("bytes", stage=stage.name, done=stage.done_bytes, total=stage.total_bytes or None)

    def note(self, text: str) -> None:
        """A line that stays above the list."""
        self.tell("note", text=text)
        if self._live:
            from devenv.doors.terminal.console import printable

            self._live.console.print(printable(text), markup=False, highlight=False)
        else:
            self.console.note(text)

    def tick(self, stage: Stage) -> None:
        """A stage made progress. Without a terminal, print that now and then."""
        if self._live:
            return
        now = time.monotonic()
        with self._guard:
            if now - max(self._told, stage.started) < _PLAIN_EVERY_S:
                return
            self._told = now
        self.console.note(f"  … {stage.name:<8} {stage.seconds:6.1f} s  {stage.detail()}")

    def _line(self, stage: Stage) -> None:
        mark = "✗" if stage.failed else ("=" if stage.cached else "✓")
        self.console.note(f"  {mark} {stage.name:<8} {stage.seconds:6.1f} s  {stage.detail()}".rstrip())

    def _render(self) -> Any:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        for stage in self.list:
            if stage.ended is None:
                mark: Any = Spinner("dots", style="cyan")
            elif stage.failed:
                mark = Text("✗", style="red")
            else:
                mark = Text("=" if stage.cached else "✓", style="green")
            style = "" if stage.ended is None else "dim"
            detail = Text(stage.detail(), style=style, overflow="ellipsis", no_wrap=True)
            table.add_row(mark, Text(stage.name), Text(f"{stage.seconds:6.1f} s"), detail)
        return table
