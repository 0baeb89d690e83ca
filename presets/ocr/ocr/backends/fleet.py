"""One engine for each GPU, each with a process of its own that prepares its pictures; pages go to the one that has the
fewest. For backends that take pages as they come."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Literal

from ocr.backends import Settings
from ocr.engine import Facts, Reading, Request, Say
from ocr.errors import BackendError, OcrError
from ocr.flow import Answer, Pictures
from ocr.memory import peak_rss_mb

if TYPE_CHECKING:
    from PIL.Image import Image

    from ocr.backends.vllm import VllmBackend

_AHEAD = 8
"""Pages beyond those that an engine reads that are on their way to it."""
_LOOK_S = 0.02
"""How often to look for new pages while engines are at work."""


class Fleet:
    """A backend on several GPUs."""

    streams = False

    def __init__(self, one: VllmBackend, settings: Settings, gpus: Sequence[int]) -> None:
        self._one = one
        self._settings = settings
        self._gpus = tuple(gpus)
        self._members: list[_Member] = []
        self.name, self.model = one.name, one.model
        self.concurrency = one.concurrency * len(self._gpus)

    def check(self, request: Request) -> None:
        """As one engine does."""
        self._one.check(request)

    def load(self, say: Say) -> Facts:
        """Start all engines at the same time."""
        context = multiprocessing.get_context("spawn")  # CUDA and vLLM come up in each as in a program of its own
        for gpu in self._gpus:
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self._settings, gpu), daemon=False)
            process.start()
            theirs.close()
            self._members.append(_Member(gpu=gpu, process=process, connection=ours))
        facts: list[Facts] = []
        for member in self._members:
            for kind, value in iter(member.receive, None):
                if kind == "say":
                    say(f"GPU {member.gpu}: {value}")
                elif kind == "failed":
                    raise value
                else:
                    facts.append(value)
                    break
            else:
                raise BackendError(
                    f"the engine on GPU {member.gpu} ended while it started", hint="its own messages are above"
                )
        slowest = max(facts, key=lambda one: sum(one.stages.values()))
        return dataclasses.replace(slowest, device=f"{len(facts)} × {facts[0].device}")

    def read(
        self, pictures: Sequence[Image], request: Request, on_text: Callable[[str], None] | None = None
    ) -> Sequence[Reading]:
        """Read pictures, all at once."""
        del on_text
        readings: dict[int, Reading] = {}
        for number, answer in self.flow(_Given(pictures), request, self.concurrency, lambda _: None):
            if isinstance(answer, OcrError):
                raise answer
            readings[number] = answer
        return [readings[number] for number in range(len(pictures))]

    def flow(self, pictures: Pictures, request: Request, most: int, say: Say) -> Iterator[tuple[int, Answer]]:
        """Read pages as they come. Those of an engine that ended go to the others. Raises BackendError when none is
        left."""
        each = max(1, most // len(self._members))
        again: deque[tuple[int, Image]] = deque()
        for member in self._members:
            member.send(("flow", request, each))
        while True:
            members = [member for member in self._members if member.connection is not None]
            if not members:
                raise BackendError("the engines on all GPUs have ended", hint="their own messages are above")
            self._hand_out(members, again, pictures, each + _AHEAD)
            busy = [member for member in members if member.pages]
            if not busy and not again:
                break
            timeout = None if pictures.is_over and not again else _LOOK_S
            for connection in wait([member.connection for member in busy if member.connection], timeout):
                member = next(one for one in busy if one.connection is connection)
                told = member.receive()
                if told is not None and told[0] == "read":
                    number, answer = told[1]
                    if member.pages.pop(number, None) is not None:
                        yield number, answer
                elif told is not None and told[0] == "say":
                    say(f"GPU {member.gpu}: {told[1]}")
                else:
                    why = told[1].message if told is not None else "the engine has ended"
                    say(f"GPU {member.gpu}: {why}: its pages go to the others")
                    again.extend(member.give_up())
        for member in self._members:
            member.send(("over",))

    @staticmethod
    def _hand_out(members: Sequence[_Member], again: deque[tuple[int, Image]], pictures: Pictures, most: int) -> None:
        """Pages to whoever has the fewest, up to `most` for each."""
        for member in _with_room(members, most):
            is_idle = not any(one.pages for one in members)
            picture = again.popleft() if again else pictures.take(wait=is_idle)
            if picture is None:
                break
            member.pages[picture[0]] = picture[1]
            member.send(("page", *picture))

    def peak_memory_mb(self) -> tuple[float, Literal["GPU", "RSS"]]:
        """Of this process: each engine's is its own."""
        return peak_rss_mb(), "RSS"

    def close(self) -> None:
        """End all engines."""
        members, self._members = self._members, []
        for member in members:
            member.send(("close",))
            member.give_up()
        for member in members:
            member.process.join(timeout=20)
            if member.process.is_alive():
                member.process.kill()


@dataclasses.dataclass(slots=True, kw_only=True)
class _Member:
    """An engine's process, and the pages that are with it."""

    gpu: int
    process: Any
    connection: Connection | None
    pages: dict[int, Image] = dataclasses.field(default_factory=dict)

    def send(self, message: tuple[Any, ...]) -> None:
        """To it, if it is there still."""
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.send(message)

    def receive(self) -> tuple[str, Any] | None:
        """What it says next; None when it has ended."""
        try:
            return self.connection.recv() if self.connection is not None else None
        except (EOFError, OSError):
            return None

    def give_up(self) -> list[tuple[int, Image]]:
        """No more to do with it; its pages."""
        if self.connection is not None:
            self.connection.close()
        pages, self.pages, self.connection = list(self.pages.items()), {}, None
        return pages


class _Given:
    """Pictures that are all there."""

    def __init__(self, pictures: Sequence[Image]) -> None:
        self._pictures = deque(enumerate(pictures))

    @property
    def is_over(self) -> bool:
        return not self._pictures

    def take(self, *, wait: bool) -> tuple[int, Image] | None:
        del wait
        return self._pictures.popleft() if self._pictures else None


def _with_room(members: Sequence[_Member], most: int) -> Iterator[_Member]:
    """The member with the fewest pages, again and again, while it has room."""
    while len((member := min(members, key=lambda one: len(one.pages))).pages) < most:
        yield member


class _Arriving:
    """Pictures that come over a connection, in an engine's process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.is_over = False

    def take(self, *, wait: bool) -> tuple[int, Image] | None:
        """As `ocr.flow.Pictures` says."""
        if self.is_over or not (wait or self._connection.poll()):
            return None
        message = self._connection.recv()
        if message[0] == "page":
            return message[1], message[2]
        self.is_over = True
        return None


def _serve(connection: Connection, settings: Settings, gpu: int) -> None:
    """An engine's process: read what comes until the connection is closed."""
    os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(gpu)}
    from ocr.backends.vllm import VllmBackend

    def say(text: str) -> None:
        connection.send(("say", text))

    engine = VllmBackend(settings)
    with contextlib.closing(engine), contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        try:
            connection.send(("loaded", engine.load(say)))
            while (message := connection.recv())[0] != "close":
                if message[0] == "flow":
                    for number, answer in engine.flow(_Arriving(connection), message[1], message[2], say):
                        connection.send(("read", (number, answer)))
        except (EOFError, OSError, KeyboardInterrupt):
            raise
        except OcrError as error:
            connection.send(("failed", error))
        except Exception as error:  # noqa: BLE001  (the parent process says it)
            traceback.print_exc()
            connection.send(("failed", BackendError(f"the engine failed: {error}", hint="the lines above say where")))
