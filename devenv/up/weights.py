"""The weights of a run: alone, or while the image is made."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TypeVar

from devenv.doors.thread import in_thread
from devenv.up.session import Session

if TYPE_CHECKING:
    from concurrent.futures import Future

    from devenv.lock.model import LockedModel
    from devenv.weights.download.prefetch import Prefetched
    from devenv.weights.download.transfer import Source

_T = TypeVar("_T")


ModelFrom = Callable[[Session], contextlib.AbstractContextManager["Source"]]
"""Opens a place that may have a model's files."""


def fetch_model(model: LockedModel, session: Session, *, model_from: ModelFrom | None = None) -> Prefetched:
    """Make the model complete in the store, as a stage of its own: from the hubs, and from `model_from`. Raises
    FetchError, UsageError, CancelledError."""
    from devenv.doors.http.ranges import Ranges
    from devenv.weights.download.prefetch import prefetch
    from devenv.weights.store import Weights

    web = Ranges(session.settings)
    with contextlib.ExitStack() as held:
        held.enter_context(session.cancel.ending(web.halt))
        stage = held.enter_context(session.stages.stage("weights"))
        try:
            further = held.enter_context(model_from(session)) if model_from else None
            done = prefetch(
                model, store=Weights(session.settings.hubs.dir), settings=session.settings, progress=stage, ranges=web,
                sources=session.weight_sources, further=further,
                waiting=lambda: stage.message("another devenv command is fetching this model; waiting"),
            )  # fmt: skip
        except Exception:
            session.cancel.check()
            raise
        stage.cached = done.files == 0
        names = " and ".join(name for name, _ in done.by_source)
        stage.message(f"{model.key} from {names}" if names else model.key)
        return done


class Bringing:
    """The weights in a thread of their own, while the image is fetched and built. Without work no thread starts.

    Within the `with` no other command removes the model from the store. `own`: the environment that they are for;
    `model_from`: as for `fetch_model`.
    """

    def __init__(
        self, model: LockedModel | None, session: Session, *, own: str = "", model_from: ModelFrom | None = None
    ) -> None:
        self._model = model
        self._model_from = model_from
        self._session = session
        self._own = own
        self._brought: Future[None] | None = None
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Begin. Raises EngineError when the model's volume may not be had, before anything is downloaded."""
        if self._model is None:
            return self
        from devenv.weights.store import Weights

        self._store = Weights(self._session.settings.hubs.dir)
        self._mine = self._held.enter_context(self._session.cancel.part())
        self._other = self._held.enter_context(self._session.cancel.part())  # that of the other work
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

    def beside(self, act: Callable[[Session], _T]) -> _T:
        """Run `act` meanwhile; then wait for the weights, and make their volume. When one fails, the other ends soon,
        and its results are kept. Raises the first failure."""
        if self._model is None:
            return act(self._session)
        try:
            done = act(dataclasses.replace(self._session, cancel=self._other))
            self._finish()
        except BaseException as error:
            first = self._failure()
            self._halt()
            self._session.cancel.check()
            if first is not None and isinstance(error, Exception):  # `act` ended because the weights failed
                raise first from None
            raise
        return done

    def _failure(self) -> BaseException | None:
        return self._brought.exception() if self._brought is not None and self._brought.done() else None

    def _halt(self) -> None:
        if self._brought is not None:
            from concurrent.futures import wait

            self._mine.cancel()
            wait((self._brought,), timeout=10)

    def _finish(self) -> None:
        assert self._model is not None
        if self._brought is not None:
            self._brought.result()
        if not self._store.present(self._model):  # another process changed the store's folder since
            self._start()
            self._finish()
            return
        from devenv.weights import volume

        volume.ensure(self._model, self._store.folder(self._model.key), self._session.engine(), own=self._own)

    def _start(self) -> None:
        from devenv.weights import volume

        assert self._model is not None
        volume.check(self._model, self._store.folder(self._model.key), self._session.engine(), own=self._own)
        self._brought = in_thread("weights", self._run)
        self._brought.add_done_callback(lambda brought: self._other.cancel() if brought.exception() else None)

    def _run(self) -> None:
        assert self._model is not None
        fetch_model(
            self._model, dataclasses.replace(self._session, cancel=self._mine), model_from=self._model_from
        )  # fmt: skip
