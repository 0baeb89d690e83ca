"""The whole line: preset → lock → fetch → render → build → boot → probe → smoke → report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from devenv.build.image import Image
from devenv.checks import gpu as proof
from devenv.checks import passed, readiness, smoke
from devenv.checks.gpu import Proof
from devenv.checks.setup import setup
from devenv.checks.smoke import Report
from devenv.container import container, network
from devenv.container.labels import Running
from devenv.container.state import Environment
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.values import ContainerSpec
from devenv.doors.thread import outcome
from devenv.errors import NotReadyError
from devenv.plan.inside import SERVE
from devenv.up import prepare
from devenv.up.decide import Decided
from devenv.up.fill import create
from devenv.up.making import making
from devenv.up.prepare import Target, Token, Wishes
from devenv.up.session import Session

_PORT_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of `up`. `report` may hold failed checks; the caller prints them."""

    running: Running
    image: Image
    decided: Decided
    report: Report
    ready: tuple[readiness.Ready, ...]
    untouched: bool
    proof: Proof | None = None


def up(
    decided: Decided,
    environment: Environment,
    session: Session,
    *,
    project: Path | None,
    wishes: Wishes = Wishes(),  # noqa: B008 - a value
) -> Result:
    """Machine and image to a running, probed and smoke-tested container.

    Raises MachineError before anything is downloaded, NotReadyError, EngineError, BuildError, CancelledError, …
    """
    engine = session.engine()
    with making(decided, environment, session, project=project, wishes=wishes) as made:
        decided, image, target, running = made.decided, made.image, made.target, made.running
        if environment.filling() and running and running.facts.state == "created":
            running = None  # left by a run that was stopped while it filled the volumes
        token = prepare.token(environment, wishes)
        may_move = not environment.ports()  # before they are chosen
        spec = target.spec(decided, image, engine)
        if running and (known := _known(running, spec, token, target, wishes)):
            if made.has_news:
                session.stages.note(
                    "proxies, mirrors, certificates or git's settings changed; use them: devenv up --fresh"
                )
            report, proved = known
            return Result(running=running, image=image, decided=decided, report=report, ready=(), untouched=True,
                          proof=proved)  # fmt: skip
        other_ports = partial(target.spec, decided, image, engine, new_ports=True) if may_move else None
        if running and (why := _changes(running, decided, spec, token, wishes)):
            session.stages.note(why)
        with session.stages.stage("boot") as stage:
            stage.message(spec.name)
            if running and _is_same(running, spec, wishes):
                watch = wake(running, environment, session, restart=token.is_new)
            else:
                if running and running.facts.state == "running":
                    engine.stop(spec.name, timeout_s=container.STOP_TIMEOUT_S)
                watch = _start_new(spec, other_ports, environment, session, wishes.fill)
            running = _started(environment, engine)
            proving = proof.beside(running, engine, session.stages) if running.gpu else None
            # A check may need the results of the setup, and one of the role `serve` needs the services.
            waits = bool(decided.plan.setup) or running.role == SERVE
            smoking = None if waits else smoke.beside(running, engine, session.stages)
            readiness.wait_up(watch)
        if decided.plan.setup:
            watch = _set_up(running, decided, watch, session)
            smoking = None if running.role == SERVE else smoke.beside(running, engine, session.stages)
        with session.stages.stage("ready") as stage:
            ready = readiness.wait_ready(running, token.text, watch, progress=stage, engine=engine)
            stage.message(", ".join(f"{one.service} {one.seconds:.1f} s" for one in ready))
        smoking = smoking or smoke.beside(running, engine, session.stages)
        # The GPU first, because a GPU that cannot compute explains a failed smoke check.
        proof_ = outcome(proving, session.cancel) if proving else None
        report = outcome(smoking, session.cancel)
        watch.check()
        passed.keep(environment, running, report, proof_)
        return Result(
            running=running, image=image, decided=decided, report=report, ready=ready, untouched=False, proof=proof_
        )


def wake(running: Running, environment: Environment, session: Session, *, restart: bool = False) -> readiness.Watch:
    """Continue with the existing container: start it unless it runs; stop it first with `restart`, or when it was
    disconnected from its network. Raises PortTakenError, EngineError, UsageError."""
    engine = session.engine()
    cut_off = running.facts.is_cut_off
    if cut_off:
        session.stages.note(f"{running.name} was disconnected from its network: it is started again on a new one")
    # The gateway answers only the network that the container was started on.
    if running.facts.state == "running" and not (restart or cut_off):
        return _watch(running.facts.name, session, up=True)
    if running.facts.state == "running":
        engine.stop(running.facts.name, timeout_s=container.STOP_TIMEOUT_S)
    network.rejoin(running.facts, environment, engine)
    started = _watch(running.facts.name, session)
    container.start(running.facts.name, engine)
    return started


def _watch(name: str, session: Session, *, up: bool = False) -> readiness.Watch:
    """Follow the container `name` for this run; `up`: it runs already."""
    return readiness.Watch(name, session.engine(), up=up, note=session.stages.note, cancel=session.cancel)


def _start_new(
    spec: ContainerSpec,
    other_ports: Callable[[], ContainerSpec] | None,
    environment: Environment,
    session: Session,
    fill: Mapping[str, Path],
) -> readiness.Watch:
    """Create and start the container. `other_ports` replaces a port that another program took meanwhile; `fill`: what
    new volumes begin with."""
    engine = session.engine()
    for left in range(_PORT_ATTEMPTS - 1, -1, -1):
        create(spec, environment, session, fill)
        watch = _watch(spec.name, session)
        try:
            container.start(spec.name, engine)
        except container.PortTakenError:
            if other_ports is None or not left:
                raise
            spec, fill = other_ports(), {}
        else:
            return watch
    raise AssertionError("unreachable")


def _started(environment: Environment, engine: Engine) -> Running:
    running = container.find(environment.name, engine)
    if running is None:
        raise NotReadyError(
            "the container vanished while it started",
            hint="another process may have removed it; run the command again",
        )
    return running


def _set_up(running: Running, decided: Decided, watch: readiness.Watch, session: Session) -> readiness.Watch:
    """The preset's own commands. After them the watch is a new one, because a service that lacked their results may
    have ended before."""
    engine, stages = session.engine(), session.stages
    with stages.stage("setup") as stage:
        ran = setup(running, decided.plan.setup, engine, progress=stage, cancel=session.cancel)
        stage.cached = not ran
        stage.message(f"log: devenv logs {running.name} setup" if ran else "done before")
    return _watch(running.facts.name, session, up=True) if ran else watch


def _is_same(running: Running, spec: ContainerSpec, wishes: Wishes) -> bool:
    """Whether the existing container is the wanted one."""
    return not wishes.fresh and running.spec_digest == dict(spec.labels)["dev.devenv.spec"]


def _changes(running: Running, decided: Decided, spec: ContainerSpec, token: Token, wishes: Wishes) -> str:
    """In words, why the existing container is replaced or restarted; empty when it stays."""
    if _is_same(running, spec, wishes):
        is_restarted = token.is_new and running.facts.state == "running"
        return "the token is new: the container restarts with it" if is_restarted else ""
    if running.spec_digest == dict(spec.labels)["dev.devenv.spec"]:
        return "you asked for a new container; its volumes are kept"
    why = "ports, volumes, services, checks, GPUs or the user changed"
    if running.role != wishes.role:
        why = f"its role changes from {running.role} to {wishes.role}"
    elif running.base_path != decided.plan.base_path:
        why = "its base path changes"
    elif running.lock_digest != decided.lock.digest:
        why = "the lock changed"
    elif running.facts.labels.get("dev.devenv.image") != decided.plan.image or running.facts.image != spec.image:
        why = "the image changed"
    return f"{why}: the container is replaced, its volumes are kept"


def _known(
    running: Running, spec: ContainerSpec, token: Token, target: Target, wishes: Wishes
) -> tuple[Report, Proof | None] | None:
    """The known results of a container that runs correctly; None when it does not, or none are known. Raises
    NotReadyError when it has another token."""
    facts = running.facts
    if facts.state != "running" or facts.is_cut_off or token.is_new or not _is_same(running, spec, wishes):
        return None
    states = readiness.states(running, token.text)
    readiness.check_token(running, states, target.environment.token_file)
    report, proved = passed.known(target.environment, running)
    return (report, proved) if report and all(state == "ready" for state in states.values()) else None
