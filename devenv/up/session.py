"""A run's surroundings: the user's folders and settings, the engine, the listener of progress, the cancellation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from devenv.doors.cancellation import Cancellation
from devenv.doors.dirs import Dirs
from devenv.doors.docker.engine import Engine
from devenv.doors.machine.engine import Answers
from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.stages import Stages

if TYPE_CHECKING:
    from devenv.doors.terminal.progress import Progress
    from devenv.fetch.store import Store
    from devenv.lock.model import Lock, Source
    from devenv.resolve.base_image import ImageFacts
    from devenv.resolve.context import Built, Context


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every step of a run needs. `engine` connects at its first call. Several sessions may be at work in one
    process: `cancel` ends this one."""

    dirs: Dirs
    settings: Settings
    engine: Callable[[], Engine]
    stages: Stages
    carried: Mapping[str, str]  # this host's proxies and mirrors, for the container
    weight_sources: tuple[str, ...] = ()  # fetch weights from these hubs only
    answers: Answers = dataclasses.field(default_factory=Answers)  # the engine's own facts, requested once
    cancel: Cancellation = dataclasses.field(default_factory=Cancellation)

    @property
    def store(self) -> Store:
        """The artifact store."""
        from devenv.fetch.store import Store

        return Store(self.dirs.store)

    def image_facts(self, reference: str) -> ImageFacts:
        """The facts about a base image for the lock; the engine pulls a missing image."""
        from devenv.resolve.base_image import look_into

        return look_into(reference, self.engine())

    def make_wheel(self, lock: Lock, source: Source, progress: Progress) -> Built:
        """The wheel of one of a lock's sources, built by the engine unless the store keeps it."""
        from devenv.build.source_wheel import make

        return make(
            lock, source, engine=self.engine, store=self.store, folder=self.dirs.contexts / ".source",
            progress=progress, cancel=self.cancel,
        )  # fmt: skip

    def resolving(self, progress: Progress) -> Context:
        """What resolvers need; `progress` is that of the present stage."""
        from devenv.resolve.context import Context

        return Context(
            settings=self.settings, store=self.store, progress=progress, image_facts=self.image_facts,
            make_wheel=lambda lock, source: self.make_wheel(lock, source, progress),
            note=self.stages.note, cancel=self.cancel,
        )  # fmt: skip

    def waiting_for(self, what: str) -> Callable[[], None]:
        """The `waiting` of a lock: a note that another devenv command `what`, such as 'is using this environment'."""
        return lambda: self.stages.note(f"another devenv command {what}; waiting")
