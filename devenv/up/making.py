"""All that comes before a container: the name's owner, the machine's verdict, weights and image, settings and user."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from devenv.build.image import Image
from devenv.container import container, owner
from devenv.container.labels import Running
from devenv.container.state import Environment
from devenv.plan.base_path import under
from devenv.plan.role import in_role
from devenv.up import preflight, prepare
from devenv.up.decide import Decided
from devenv.up.image import make_image
from devenv.up.prepare import Target, Wishes
from devenv.up.session import Session
from devenv.up.weights import Bringing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a container is made from; the plan is that of its role. `running`: the environment's present container,
    running or not; `has_news`: the host's settings changed since it read them."""

    decided: Decided
    image: Image
    target: Target
    running: Running | None
    has_news: bool


@contextlib.contextmanager
def making(
    decided: Decided, environment: Environment, session: Session, *, project: Path | None, wishes: Wishes
) -> Iterator[Made]:
    """Within the `with` no other command acts on the environment, or removes its model.

    Raises MachineError before anything is downloaded, NotReadyError, EngineError, BuildError, CancelledError, …
    """
    wishes.gpus.check()
    # Raises before anything is downloaded.
    under(in_role(decided.plan, wishes.role), prepare.shown_at(environment, wishes))
    engine = session.engine()
    rootless = preflight.usable(decided.loaded, session).rootless
    waiting = session.waiting_for("is using this environment")
    with environment.locked(waiting, session.cancel), contextlib.ExitStack() as held:
        project = owner.known_path(environment, container.find(environment.name, engine), project)
        claim = partial(prepare.claim, decided, environment, project, session, wishes)
        running, _ = claim()
        decided, gpu = prepare.machine(decided, environment, running, session, wishes)
        # The model's volume is made again where only this environment's container has it, which a run leaves alone.
        own = "" if wishes.once else environment.name
        weights = held.enter_context(
            Bringing(decided.lock.model, session, own=own, model_from=decided.model_from)
        )  # fmt: skip
        decided, image = weights.beside(lambda inner: make_image(decided, inner, relock=wishes.relock))
        # Check again, because another user may have made a container or volumes of that name meanwhile.
        running = prepare.keep(claim(), environment, session, wishes)
        has_news = prepare.host_settings(decided, environment, session)
        user, beside = prepare.user(project, session, rootless=rootless)
        target = Target(environment=environment, project=project, user=user, beside=beside, gpu=gpu)
        shown = under(in_role(decided.plan, wishes.role), prepare.shown_at(environment, wishes))
        decided = dataclasses.replace(decided, plan=shown)
        yield Made(decided=decided, image=image, target=target, running=running, has_news=has_news)
