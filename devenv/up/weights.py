"""Weights and image at the same time."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from devenv.doors.docker.engine import Engine
    from devenv.doors.settings.settings import Settings
    from devenv.doors.terminal.stages import Stages
    from devenv.lock.model import LockedModel

_T = TypeVar("_T")


class Bringing:
    """The weights in a thread of their own, while the image is fetched and built. Nothing to do: no thread, no time.

    Within the `with` nobody removes the model from the store. `own`: the environment that they are for.
    """

    def __init__(
        self,
        model: LockedModel | None,
        *,
        settings: Settings,
        stages: Stages,
        engine: Callable[[], Engine],
        sources: Sequence[str],
        own: str = "",
    ) -> None:
        self._model = model
        self._settings = settings
        self._stages = stages
        self._engine = engine
        self._sources = sources
        self._own = own
        self._told: list[BaseException] = []
        self._interrupts = False
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Begin. Raises EngineError when the model's volume may not be had, before anything is downloaded."""
        if self._model is None:
            return self
        from devenv.weights.store import Weights

        self._store = Weights(self._settings.hubs.dir)
        self._held.enter_context(self._store.used(self._model.key))
        try:
            if not self._store.present(self._model):
                self._start()
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def beside(self, act: Callable[[], _T]) -> _T:
        """Do `act` meanwhile; then wait for the weights, and make their volume. When one fails the other ends soon, and
        what it brought is kept. Raises what failed."""
        try:
            with self._interrupting():
                done = act()
            self._finish()
        except KeyboardInterrupt:
            self._halt()
            if self._told:  # it was no one at the keyboard
                raise self._told[0] from None
            raise
        except BaseException:
            self._halt()
            raise
        return done

    @contextlib.contextmanager
    def _interrupting(self) -> Iterator[None]:
        """A failure of the weights ends what the main thread does as Ctrl-C would: whatever it waits for."""
        main = threading.current_thread() is threading.main_thread()
        with self._guard:
            if self._told:
                raise self._told[0]
            self._interrupts = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        try:
            yield
        finally:
            with self._guard:
                self._interrupts = False

    def _halt(self) -> None:
        if self._thread is not None:
            self._web.halt()
            self._thread.join(timeout=10)

    def _finish(self) -> None:
        if self._model is None:
            return
        if self._thread is not None:
            self._thread.join()
        if self._told:
            raise self._told[0]
        if not self._store.present(self._model):  # someone was at the store's folder since
            self._start()
            self._finish()
            return
        from devenv.weights import volume

        volume.ensure(self._model, self._store.folder(self._model.key), self._engine(), own=self._own)

    def _start(self) -> None:
        from devenv.doors.http.ranges import Ranges
        from devenv.weights import volume

        assert self._model is not None
        volume.check(self._model, self._store.folder(self._model.key), self._engine(), own=self._own)
        self._web = Ranges(self._settings)
        self._thread = threading.Thread(target=self._run, name="weights", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        from devenv.weights.download.prefetch import prefetch

        assert self._model is not None
        try:
            with self._stages.stage("weights") as stage:
                brought_ = prefetch(
                    self._model, store=self._store, settings=self._settings, progress=stage, ranges=self._web,
                    sources=self._sources,
                    waiting=lambda: stage.message("another devenv brings this model; waiting"),
                )  # fmt: skip
                stage.cached = brought_.files == 0
                stage.message(self._model.key)
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread and raised there
            with self._guard:
                self._told.append(error)
                if self._interrupts:
                    self._interrupts = False
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
