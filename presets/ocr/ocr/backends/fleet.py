"""One engine for each GPU, each with a process of its own that prepares its pictures; pages go to the one that has the
fewest. For backends that take pages as they come."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import queue
import socket
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Literal, Self

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
_MOST_ENDED = 2
_END_S = 20.0
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
            self._members.append(_Member(gpu=gpu, process=process, connection=ours, sending=_Sending(ours)))
        facts: list[Facts] = []
        problem: OcrError | None = None
        for member in self._members:
            for kind, value in iter(member.receive, None):
                if kind == "say":
                    say(f"GPU {member.gpu}: {value}")
                    continue
                if kind == "loaded":
                    facts.append(value)
                else:
                    problem = value
                    say(f"GPU {member.gpu} is left out: {value.message}")
                    member.give_up()
                break
            else:
                problem = BackendError(
                    f"the engine on GPU {member.gpu} ended while it started", hint="its own messages are above"
                )
                say(problem.message)
                member.give_up()
        if not facts:
            assert problem is not None
            raise problem
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
        ended: Counter[int] = Counter()  # by page, how many engines ended while they had it
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
                    yield from _left(member.give_up(), again, ended)
        for member in self._members:
            member.send(("over",))

    @staticmethod
    def _hand_out(members: Sequence[_Member], again: deque[tuple[int, Image]], pictures: Pictures, most: int) -> None:
        """Assign pages to the engine with the fewest, up to `most` for each."""
        for member in _with_room(members, most):
            is_idle = not any(one.pages for one in members)
            page = again.popleft() if again else pictures.take(wait=is_idle)
            if page is None:
                break
            member.give(*page)

    def peak_memory_mb(self) -> tuple[float, Literal["GPU", "RSS"]]:
        """Of this process: each engine's is its own."""
        return peak_rss_mb(), "RSS"

    def close(self) -> None:
        """End all engines."""
        members, self._members = self._members, []
        for member in members:
            member.give_up()
        deadline = time.monotonic() + _END_S
        for member in members:
            member.process.join(timeout=max(0.0, deadline - time.monotonic()))
            if member.process.is_alive():
                member.process.kill()


@dataclasses.dataclass(slots=True, kw_only=True)
class _Member:
    """An engine's process, and the pages that are with it."""

    gpu: int
    process: Any
    connection: Connection | None
    sending: _Sending
    pages: dict[int, Image] = dataclasses.field(default_factory=dict)

    def send(self, message: tuple[Any, ...]) -> None:
        """To it, soon, if it is there still."""
        self.sending.put(message)

    def give(self, number: int, picture: Image) -> None:
        """A page to read."""
        self.pages[number] = picture
        self.send(("page", number, picture))

    def receive(self) -> tuple[str, Any] | None:
        """Its next message; None when it has ended."""
        try:
            return self.connection.recv() if self.connection is not None else None
        except (EOFError, OSError):
            return None

    def give_up(self) -> list[tuple[int, Image]]:
        """No more to do with it; its pages."""
        if self.connection is not None:
            self.sending.end()
        pages, self.pages, self.connection = list(self.pages.items()), {}, None
        return pages


class _Sending:
    """What goes over a connection to an engine, in a thread of its own: a full pipe stops no other engine. This thread
    closes the connection, so that none is closed while it is written to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._is_ended = False
        threading.Thread(target=self._send, daemon=True).start()

    def put(self, message: tuple[Any, ...]) -> None:
        """In its turn."""
        self._messages.put(message)

    def end(self) -> None:
        """Send nothing more, and close the connection."""
        self._hang_up()  # first, for then it is open still; it also ends what is being sent
        self._is_ended = True
        self._messages.put(None)

    def _send(self) -> None:
        with self._connection:
            try:
                while (message := self._messages.get()) is not None and not self._is_ended:
                    self._connection.send(_packed(message))
            except Exception as error:  # noqa: BLE001  (whatever it is, the engine cannot be used any more)
                if not isinstance(error, OSError):
                    traceback.print_exc()
                self._hang_up()
                while not self._is_ended:
                    self._messages.get()

    def _hang_up(self) -> None:
        """Let both sides see the end. The connection stays open: it is read in another thread."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


def _packed(message: tuple[Any, ...]) -> tuple[Any, ...]:
    """A message whose picture, if it has one, is plain bytes: they are copied once, and a picture three times."""
    if message[0] != "page":
        return message
    _, number, picture = message
    return "page", number, picture.mode, picture.size, picture.tobytes()


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


def _left(
    pages: Sequence[tuple[int, Image]], again: deque[tuple[int, Image]], ended: Counter[int]
) -> Iterator[tuple[int, BackendError]]:
    """The pages of an engine that ended go to others; but one that was with several that ended is failed."""
    for number, picture in pages:
        ended[number] += 1
        if ended[number] < _MOST_ENDED:
            again.append((number, picture))
        else:
            yield (
                number,
                BackendError(f"{_MOST_ENDED} engines ended during this page", hint="the log has the reason"),
            )


def _with_room(members: Sequence[_Member], most: int) -> Iterator[_Member]:
    """The member with the fewest pages, again and again, while it has room."""
    while len((member := min(members, key=lambda one: len(one.pages))).pages) < most:
        yield member


class _Arriving:
    """What comes over a connection, in an engine's process. A thread of its own takes it from there, so that the other
    side never waits with a page in its hands while this one has answers to send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.is_over = False
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._messages.put(self._connection.recv())
        self._messages.put(("close",))

    def next(self) -> tuple[Any, ...]:
        """The next message; `close` when there are no more."""
        return self._messages.get()

    def begin(self) -> Self:
        """Pages come now."""
        self.is_over = False
        return self

    def take(self, *, wait: bool) -> tuple[int, Image] | None:
        """See `ocr.flow.Pictures`."""
        if self.is_over or (not wait and self._messages.empty()):
            return None
        message = self.next()
        if message[0] == "page":
            from PIL import Image as Pillow

            _, number, *plain = message
            return number, Pillow.frombytes(*plain)
        if message[0] == "close":
            self._messages.put(message)
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
            arriving = _Arriving(connection)
            while (message := arriving.next())[0] != "close":
                if message[0] == "flow":
                    for number, answer in engine.flow(arriving.begin(), message[1], message[2], say):
                        connection.send(("read", (number, answer)))
        except (EOFError, OSError, KeyboardInterrupt):
            raise
        except OcrError as error:
            connection.send(("failed", error))
        except Exception as error:  # noqa: BLE001  (the parent process reports it)
            traceback.print_exc()
            connection.send(("failed", BackendError(f"the engine failed: {error}", hint="see the traceback above")))
