"""A built image as a value, and whether the engine has it already."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devenv.doors.docker.engine import Engine
    from devenv.plan.plan import Plan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A built image: `id` is its config digest; `cached` when it was already here."""

    reference: str
    id: str
    cached: bool
    steps: tuple[Step, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a build, for the report: seconds it took, 0 when cached."""

    name: str
    seconds: float
    cached: bool


def find(plan: Plan, engine: Engine) -> Image | None:
    """The plan's image, when this engine has it."""
    found = engine.image_id(plan.image)
    return Image(reference=plan.image, id=found, cached=True) if found else None
