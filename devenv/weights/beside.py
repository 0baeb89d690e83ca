"""Weights and image at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devenv.engine import Engine
    from devenv.host import Settings
    from devenv.lock.model import LockedModel
    from devenv.stages import Stages


class Bringing:
    """The weights in a thread of their own, while the image is fetched and built. Nothing to do: no thread, no time."""

    def __init__(
        self,
        model: LockedModel | None,
        *,
        settings: Settings,
        stages: Stages,
        engine: Callable[[], Engine],
        sources: Sequence[str],
    ) -> None:
        self._model = model
        self._settings = settings
        self._stages = stages
        self._engine = engine
        self._sources = sources
        self._told: list[BaseException] = []
        self._thread: threading.Thread | None = None
        if self._model is None:
            return
        from devenv.weights.store import Weights

        self._store = Weights(settings.hubs.dir)
        if not self._store.present(self._model):
            from devenv.http.ranges import Ranges

            self._web = Ranges(settings)
            self._thread = threading.Thread(target=self._run, name="weights", daemon=True)
            self._thread.start()

    def halt(self) -> None:
        """The other half failed: end soon, what came is kept."""
        if self._thread is not None:
            self._web.halt()
            self._thread.join(timeout=10)

    def finish(self) -> None:
        """Wait for the weights, and make their volume. Raises what bringing them raised."""
        if self._model is None:
            return
        if self._thread is not None:
            try:
                self._thread.join()
            except BaseException:
                self.halt()
                raise
        if self._told:
            raise self._told[0]
        from devenv.weights import volume

        volume.ensure(self._model, self._store.folder(self._model.key), self._engine())

    def _run(self) -> None:
        from devenv.weights.prefetch import prefetch

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
            self._told.append(error)
