"""Start a stopped environment again."""

from __future__ import annotations

from devenv.checks import readiness
from devenv.checks.gpu import prove
from devenv.container import condition, container
from devenv.container.environments import Environments
from devenv.container.labels import Running
from devenv.errors import NotReadyError
from devenv.up.session import Session
from devenv.up.up import wake


def start(name: str, environments: Environments, session: Session, *, anew: bool = False) -> tuple[Running, str]:
    """Start a stopped or paused environment and wait until its services answer; the environment and its token. `anew`:
    also one that runs, which is stopped before, and whose browsers stay logged in.

    Raises NotReadyError for one that only `up` can continue, UsageError, EngineError, CancelledError.
    """
    engine, stages = session.engine(), session.stages
    running = environments.named(name, devcontainers=True)
    state, is_client = environments.state_of(running), running.is_devcontainer
    token = "" if is_client else environments.kept_token(running)
    with state.locked(session.waiting_for("is using this environment"), session.cancel):
        running = _startable(environments.named(name, devcontainers=True), session)
        if running.facts.state == "running" and not is_client:
            readiness.check_token(running, readiness.states(running, token), state.token_file)
        with stages.stage("boot") as stage:
            stage.cached = running.facts.state == "running" and not (anew or running.facts.is_cut_off)
            watch = wake(running, state, session, restart=anew)
            readiness.wait_up(watch)
        if is_client:  # each boot of it has a token and ports of its own
            running = container.again(running, engine) or running
            token = environments.kept_token(running)
        with stages.stage("ready") as stage:
            readiness.wait_ready(running, token, watch, progress=stage, engine=engine)
        if running.gpu:
            with stages.stage("gpu"):
                prove(running, engine)
    return environments.named(name, devcontainers=True), token


def _startable(running: Running, session: Session) -> Running:
    """The container, running or ready to be started."""
    can = condition.can_start(running)
    settled = condition.settled(running, session.engine(), session.stages.note) if can else None
    if settled is None:
        raise NotReadyError(
            f"{running.name} cannot be started: it is {running.facts.state}", hint=condition.remedy(running)
        )
    return settled
