"""One command in a container of its own: the line without services, probe and smoke test."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from devenv.checks import readiness
from devenv.checks.setup import setup
from devenv.container import container, labels
from devenv.container import once as one_off
from devenv.container.state import Environment
from devenv.doors.docker.values import Mount
from devenv.errors import NotReadyError
from devenv.up.decide import Decided
from devenv.up.fill import create
from devenv.up.making import Made, making
from devenv.up.prepare import Wishes
from devenv.up.session import Session


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """What one command gets beyond the environment: variables, and folders of this machine."""

    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()


@contextlib.contextmanager
def once(
    decided: Decided,
    environment: Environment,
    session: Session,
    *,
    project: Path | None,
    wishes: Wishes,
    extra: Extra = Extra(),
) -> Iterator[one_off.Connection]:
    """A container that is ready for its command, and is gone after the `with`. The environment is free within: others
    may run beside it. Raises what `making` raises, NotReadyError for one that does not start."""
    with contextlib.ExitStack() as held:
        with making(decided, environment, session, project=project, wishes=wishes) as made:
            _tell(made, session)
            connection = held.enter_context(_started(made, environment, session, wishes, extra))
        yield connection


@contextlib.contextmanager
def _started(
    made: Made, environment: Environment, session: Session, wishes: Wishes, extra: Extra
) -> Iterator[one_off.Connection]:
    engine, plan = session.engine(), made.decided.plan
    one_off.remove_left(environment, engine)
    spec = one_off.spec(made.target.spec(made.decided, made.image, engine, with_ports=False), environment, extra.mounts)
    with session.stages.stage("boot") as stage, contextlib.ExitStack() as held:
        stage.message(spec.name)
        create(spec, environment, session, wishes.fill)
        connection = held.enter_context(one_off.Connection(engine, spec.name))
        watch = readiness.Watch(spec.name, engine, note=session.stages.note, cancel=session.cancel)
        container.start(spec.name, engine)
        readiness.wait_up(watch)
        kept = held.pop_all()
    with kept:
        if plan.setup:
            _set_up(made, spec.name, session)
        connection.give(extra.variables)
        yield connection


def _set_up(made: Made, name: str, session: Session) -> None:
    """The preset's own commands, as far as they are not done in this environment, or are for each new container."""
    engine, environment = session.engine(), made.target.environment
    facts = engine.container(name)
    if facts is None:
        raise NotReadyError("the container vanished while it started", hint="run the command again")
    here = dataclasses.replace(labels.describe(facts), name=environment.name, services=())
    with session.stages.stage("setup") as stage:
        try:
            ran = setup(here, made.decided.plan.setup, engine, progress=stage, cancel=session.cancel)
        except NotReadyError as error:
            error.hint = "correct the preset's setup step; this container is removed"
            raise
        stage.cached = not ran


def _tell(made: Made, session: Session) -> None:
    if made.has_news and made.running and made.running.facts.state == "running":
        session.stages.note(
            f"proxies, mirrors, certificates or git's settings changed; the running {made.running.name} has them "
            "after 'devenv up --fresh'"
        )
