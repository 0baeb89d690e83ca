"""What a run acts through: the user's folders and settings, the engine, who is told of progress, how it is ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from devenv.doors.cancellation import Cancellation
from devenv.doors.dirs import Dirs
from devenv.doors.docker.engine import Engine
from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.stages import Stages
from devenv.resolve.base_image import ImageFacts, look_into

if TYPE_CHECKING:
    from devenv.fetch.store import Store


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every step of a run needs. `engine` connects at its first call. Several sessions may be at work in one
    process: `cancel` ends this one."""

    dirs: Dirs
    settings: Settings
    engine: Callable[[], Engine]
    stages: Stages
    carried: Mapping[str, str]  # this host's proxies and mirrors, for the container
    weight_sources: tuple[str, ...] = ()  # hubs to bring weights from, and no others
    cancel: Cancellation = dataclasses.field(default_factory=Cancellation)

    @property
    def store(self) -> Store:
        """The artifact store."""
        from devenv.fetch.store import Store

        return Store(self.dirs.store)

    def image_facts(self, reference: str) -> ImageFacts:
        """What the lock must know of a base image; the engine pulls it when it is not here."""
        return look_into(reference, self.engine())

    def waiting_for(self, what: str) -> Callable[[], None]:
        """Says that another devenv command holds `what`."""
        return lambda: self.stages.note(f"another devenv command {what}; waiting")
