"""Names, labels and annotations of our objects in a cluster: written and read by these words alone."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from devenv.doors.docker.engine import LABEL
from devenv.doors.settings.clusters import USUAL, ClusterSettings
from devenv.errors import UsageError
from devenv.plan import told
from devenv.plan.inside import WORKBENCH
from devenv.plan.plan import Plan
from devenv.preset.model import SLUG

MANAGER = "devenv"
"""As field manager, and as the value of app.kubernetes.io/managed-by."""
PREFIX = "dev.devenv/"
FORMAT = 1
"""To be raised when an older devenv would misread what is written."""
APP, INSTANCE, COMPONENT, MANAGED_BY = (
    f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "managed-by")
)
MODEL = {APP: MANAGER, COMPONENT: "model", MANAGED_BY: MANAGER}
"""The labels of weights, which belong to no environment."""
RUN = "run"
"""The role of a pod for one command, beside those of a plan."""
_OF_ENGINES = ("image", "editor")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a plan becomes in a cluster. `name`: the environment's; `image`: as nodes pull it; `command`: of the role
    `run`, in `parallel` pods; `autoscale`: fewest and most replicas of the role `serve`; `job`: the Job's own name."""

    name: str
    image: str
    settings: ClusterSettings = USUAL
    role: str = WORKBENCH
    command: tuple[str, ...] = ()
    parallel: int = 1
    replicas: int = 1
    autoscale: tuple[int, int] | None = None
    job: str = ""

    def check(self) -> None:
        """Raise UsageError for what no cluster takes."""
        if not re.fullmatch(SLUG, self.name):
            raise UsageError(
                f"{self.name!r} cannot be an environment's name", hint="take a-z, 0-9 and '-', at most 40 characters"
            )
        if not 1 <= self.parallel <= 10_000 or not 0 <= self.replicas <= 1000:
            raise UsageError("the number of pods is out of range", hint="--parallel takes 1 to 10000")
        if self.autoscale and not 1 <= self.autoscale[0] <= self.autoscale[1] <= 1000:
            raise UsageError("the fewest and the most replicas are out of range", hint="--autoscale 1-4")

    @property
    def top(self) -> str:
        """The name of its workload."""
        return f"devenv-{self.name}" if self.role != RUN else self.job or f"devenv-{self.name}-run"

    @property
    def token_secret(self) -> str:
        """The Secret with the token."""
        return f"devenv-{self.name}-token"

    def volume(self, name: str) -> str:
        """The claim of one of its volumes."""
        return f"devenv-{self.name}-{name}"


def labels(name: str, role: str) -> dict[str, str]:
    """The labels of an object of an environment. With `role`, they select its pods."""
    return {**selector(name, role), MANAGED_BY: MANAGER}


def selector(name: str, role: str) -> dict[str, str]:
    """What selects the pods of one role."""
    return {APP: MANAGER, INSTANCE: name, COMPONENT: role}


def query(wanted: Mapping[str, str]) -> str:
    """Labels as `--selector` takes them."""
    return ",".join(f"{name}={value}" for name, value in wanted.items())


def told_of(plan: Plan) -> dict[str, str]:
    """What later commands need to know; JSON is too long for labels."""
    pairs = (*told.of_image(plan), *told.of_services(plan))
    model = {f"{PREFIX}model": plan.model.locked.key} if plan.model else {}
    found = {name.replace(LABEL, PREFIX, 1): value for name, value in pairs if not name.endswith(_OF_ENGINES)}
    return {f"{PREFIX}format": str(FORMAT), **found, **model}


def metadata(name: str, wanted: Wanted, notes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """An object's metadata, without a namespace: who applies it chooses that."""
    found: dict[str, Any] = {"name": name, "labels": labels(wanted.name, wanted.role)}
    return {**found, "annotations": dict(notes)} if notes else found


def replicas_of(text: str) -> tuple[int, int]:
    """The fewest and the most replicas: `1-4`. Raises UsageError."""
    fewest, _, most = text.partition("-")
    if not (fewest.isdecimal() and most.isdecimal() and len(text) < 12):
        raise UsageError(f"{text!r} is not a range of replicas", hint="write the fewest and the most: 1-4")
    return int(fewest), int(most)
