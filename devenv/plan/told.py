"""The labels by which a container tells what it was planned to be, whoever makes it: devenv, or a dev container client
from a devcontainer.json of devenv's. `devenv/container/labels.py` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devenv.doors.docker.engine import LABEL, labels_json

if TYPE_CHECKING:
    from devenv.plan.plan import Plan

DEVCONTAINER = f"{LABEL}devcontainer"
"""On a container that a dev container client made: the format of its labels. It has no `name`, so older versions of
devenv leave it alone."""
DEVCONTAINER_FORMAT = 1
"""To be raised when an older devenv would misread what is written."""


def of_image(plan: Plan) -> tuple[tuple[str, str], ...]:
    """The preset, its lock, and the tags of the images."""
    return (
        (f"{LABEL}preset", plan.preset),
        (f"{LABEL}lock", plan.lock.digest),
        (f"{LABEL}image", plan.image),
        (f"{LABEL}editor", plan.editor_image or ""),
    )


def of_services(plan: Plan) -> tuple[tuple[str, str], ...]:
    """The services, the smoke checks and the ports of a container's role."""
    return (
        (f"{LABEL}services", labels_json([service.document() for service in plan.services])),
        (f"{LABEL}smoke", labels_json([check.document() for check in plan.smoke])),
        (f"{LABEL}ports", labels_json(plan.ports)),
    )


def of_devcontainer(plan: Plan) -> tuple[tuple[str, str], ...]:
    """All labels of a container that a dev container client makes. They hold no `${`, which clients replace."""
    # In JSON a dollar sign stands in strings alone, where it can be written as an escape.
    services = ((name, value.replace("$", "\\u0024")) for name, value in of_services(plan))
    return ((DEVCONTAINER, str(DEVCONTAINER_FORMAT)), *of_image(plan), *services)
