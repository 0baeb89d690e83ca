"""What every resolver needs, as one value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors.cancellation import Cancellation
from devenv.doors.http.retry import Policy
from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.progress import Progress
from devenv.fetch.store import Store

if TYPE_CHECKING:
    from devenv.lock.model import Lock, Source
    from devenv.resolve.base_image import ImageFacts


def _nobody(_: str) -> None:
    """Nobody reads the warnings."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A wheel made from source, or the further requirements that its build asked for."""

    wheel: Path | None = None
    asked: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The user's settings, the store, and who follows one resolution: `progress`, `note` for its warnings, `cancel` to
    end it. `image_facts` looks into a base image, `make_wheel` builds one of a lock's sources; without them there is no
    engine."""

    settings: Settings
    store: Store
    progress: Progress
    image_facts: Callable[[str], ImageFacts] | None = None
    make_wheel: Callable[[Lock, Source], Built] | None = None
    note: Callable[[str], None] = _nobody
    policy: Policy | None = None
    cancel: Cancellation = dataclasses.field(default_factory=Cancellation)
