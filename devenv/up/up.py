"""The whole line: preset → lock → fetch → render → build → boot → probe → smoke → report."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.build import own_images
from devenv.build.build import Image, build
from devenv.build.build import find as find_image
from devenv.checks import gpu as proof
from devenv.checks import passed, readiness, smoke
from devenv.checks.gpu import Proof
from devenv.checks.setup import setup
from devenv.checks.smoke import Report
from devenv.container import condition, container, network, owner, worktree
from devenv.container.container import Running
from devenv.container.gpu import Access
from devenv.container.host_settings import brought
from devenv.container.state import Environment
from devenv.container.user import User, check_workspace, container_user
from devenv.doors.docker.buildx import check_buildx
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.values import ContainerSpec
from devenv.doors.file_lock import hold
from devenv.doors.terminal.stages import Beside
from devenv.errors import NotReadyError
from devenv.lock.files import relocked_path
from devenv.lock.files import write as write_lock
from devenv.plan.plan import plan
from devenv.up import preflight
from devenv.up.preflight import Asked
from devenv.up.session import Decided, Doors, completed
from devenv.up.weights import Bringing

if TYPE_CHECKING:
    from devenv.fetch.fetch import GoneError


_PORT_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What `up` reached. `report` may hold failed checks: the caller decides what to say."""

    running: Running
    image: Image
    decided: Decided
    report: Report
    ready: tuple[readiness.Ready, ...]
    untouched: bool
    proof: Proof | None = None


def make_image(
    decided: Decided, doors: Doors, *, no_cache: bool = False, relock: bool = False
) -> tuple[Decided, Image]:
    """Fetch what is missing and build, unless the image is here. Two runs at once build once.

    With `relock`, Debian packages that no mirror has any more are locked anew; the plan that was built is returned.
    Raises FetchError, BuildError, EngineError.
    """
    engine = doors.engine()
    if not no_cache and (here := find_image(decided.plan, engine)):
        return decided, here
    # Only here, for an image that has to be made: a warm start does without these.
    from devenv.build.context import assemble
    from devenv.fetch.fetch import GoneError
    from devenv.render.render import render

    check_buildx()
    folder = doors.dirs.contexts / decided.plan.preset
    with hold(folder.with_suffix(".lock"), lambda: doors.stages.note("another devenv builds this preset; waiting")):
        if not no_cache and (here := find_image(decided.plan, engine)):
            return decided, here
        try:
            bring_files(decided, doors, anew=no_cache)
        except GoneError as gone:
            if not relock or gone.kind != "deb":
                raise
            decided = _relocked(decided, gone, doors)
            bring_files(decided, doors, anew=no_cache)
        with doors.stages.stage("render"):
            assemble(decided.plan, render(decided.plan), doors.store, folder, anew=no_cache)
        _keep_tags(decided, doors, engine)
        with doors.stages.stage("build") as stage:
            image = build(decided.plan, folder, engine, doors.store, progress=stage, no_cache=no_cache)
            stage.message(image.reference)
    return decided, image


def _keep_tags(decided: Decided, doors: Doors, engine: Engine) -> None:
    """Remember which images this user makes now: those that are here already may be another user's."""
    tags = (decided.plan.image, decided.plan.editor_image, decided.lock.base.tag)
    own_images.keep(doors.dirs.images, [tag for tag in tags if tag and engine.image_id(tag) is None])


def bring_files(decided: Decided, doors: Doors, *, anew: bool = False) -> None:
    """Fetch what the store lacks of the lock's files; `anew` reads the others again first. Raises FetchError, and
    LockError for a file that is not what the lock says it is."""
    from devenv.fetch import declared
    from devenv.fetch.fetch import fetch
    from devenv.fetch.sources import archives

    with doors.stages.stage("fetch") as stage:
        fetched = fetch(
            decided.lock, store=doors.store, settings=doors.settings, progress=stage,
            files=archives(decided.loaded.preset), anew=anew,
        )  # fmt: skip
        declared.check_all(decided.lock, doors.store)
        stage.cached = fetched.files == 0 and not anew


def _relocked(decided: Decided, gone: GoneError, doors: Doors) -> Decided:
    """The same preset with a lock whose missing Debian packages were resolved anew. Said plainly; never silent."""
    from devenv.resolve.resolver import refresh_missing

    names = ", ".join(one.file for one in gone.missing[:3]) + (" …" if gone.missing[3:] else "")
    doors.stages.note(f"no mirror has {len(gone.missing)} locked Debian packages any more ({names}): locking them anew")
    with doors.stages.stage("relock") as stage:
        lock = refresh_missing(
            decided.lock, gone.missing, decided.loaded, settings=doors.settings, store=doors.store, progress=stage,
            image_facts=doors.image_facts,
        )  # fmt: skip
        place = relocked_path(decided.loaded, doors.dirs)
        write_lock(lock, place)
        stage.message(str(place))
    return dataclasses.replace(decided, lock=lock, plan=plan(decided.loaded, lock))


def up(
    decided: Decided,
    environment: Environment,
    doors: Doors,
    *,
    project: Path | None,
    fresh: bool = False,
    relock: bool = False,
    asked: Asked | None = None,
    take_over: bool = False,
    new_token: bool = False,
) -> Result:
    """Machine and image to a running, probed and smoke-tested container. With `take_over` it may have volumes and state
    that others left under its name; with `new_token` the token is another one from now on.

    Raises MachineError before anything is downloaded, NotReadyError, EngineError, BuildError, …
    """
    engine = doors.engine()
    (asked := asked or Asked()).check()
    rootless = preflight.usable(engine, decided.loaded).rootless
    waiting = partial(doors.stages.note, "another devenv command holds this environment; waiting")
    with environment.locked(waiting), contextlib.ExitStack() as held:
        project = owner.known_path(environment, container.find(environment.name, engine), project)
        claim = partial(_claim, environment, engine, decided, project, take_over=take_over)
        running, _ = claim()
        asked = preflight.remembered(environment, asked)
        decided = _recorded(decided, doors, asked)
        gpu = _first(decided, doors, None if fresh else running, asked)
        preflight.remember(environment, asked)
        network.wanted(environment, engine, has_ports=bool(decided.plan.ports))
        decided, image = _image_and_weights(decided, doors, held, own=environment.name, relock=relock)
        # Again: another user may have made a container or volumes of that name meanwhile.
        running = _keep(claim(), environment, doors)
        token, token_is_new = _token(environment, anew=new_token)
        told = brought(doors.settings, doors.carried, decided.lock.base.distribution)
        brought_anew = environment.bring(told.variables, told.ca_bundle, told.apt_sources, told.git_config)
        user, beside = _look_at(project, doors, rootless=rootless)
        had_ports = bool(environment.ports())
        spec = (make_spec := partial(_spec, decided, image, environment, engine, project, user, gpu, beside))()
        same = running is not None and not fresh and running.spec_digest == dict(spec.labels)["dev.devenv.spec"]
        live = running is not None and running.facts.state == "running"
        if running and same and live and not token_is_new and (known := _untouched(environment, running, token)):
            if brought_anew:
                doors.stages.note(
                    "proxies, mirrors, certificates or git's settings changed: 'devenv up --fresh' brings them"
                )
            return Result(running=running, image=image, decided=decided, report=known[0], ready=(), untouched=True,
                          proof=known[1])  # fmt: skip
        if running and (not same or (live and token_is_new)):
            doors.stages.note(_changes(running, decided, spec, fresh=fresh))
        with doors.stages.stage("boot") as stage:
            stage.message(spec.name)
            if running and same:
                watch = wake(running, environment, engine, restart=token_is_new, note=doors.stages.note)
            else:
                if live:
                    engine.stop(spec.name, timeout_s=container.STOP_TIMEOUT_S)
                watch = _start_new(spec, make_spec, environment, doors, may_move=not had_ports)
            running = _started(environment, engine)
            proving = proof.beside(running, engine, doors.stages) if running.gpu else None
            # What a check needs may be the setup's work.
            smoking = None if decided.plan.setup else smoke.beside(running, engine, doors.stages)
            readiness.wait_up(watch)
        if smoking is None:
            watch, smoking = _set_up(running, decided, watch, doors)
        with doors.stages.stage("ready") as stage:
            ready = readiness.wait_ready(running, token, watch, progress=stage, engine=engine)
            stage.message(", ".join(f"{one.service} {one.seconds:.1f} s" for one in ready))
        # The GPU first: when it cannot compute, that is why a smoke check failed.
        proved = proving.result() if proving else None
        report = smoking.result()
        watch.check()
        passed.keep(environment, running, report, proved)
        return Result(
            running=running, image=image, decided=decided, report=report, ready=ready, untouched=False, proof=proved
        )


def _started(environment: Environment, engine: Engine) -> Running:
    running = container.find(environment.name, engine)
    if running is None:
        raise NotReadyError("the container vanished while it started", hint="did someone remove it? once more")
    return running


def _set_up(
    running: Running, decided: Decided, watch: readiness.Watch, doors: Doors
) -> tuple[readiness.Watch, Beside[Report]]:
    """The preset's own commands, then its checks. With the watch from then on: a service that lacked the commands' work
    may have ended before."""
    engine, stages = doors.engine(), doors.stages
    with stages.stage("setup") as stage:
        ran = setup(running, decided.plan.setup, engine, progress=stage)
        stage.cached = not ran
        stage.message(f"log: devenv logs {running.name} setup" if ran else "done before")
    after = readiness.Watch(running.facts.name, engine, up=True, note=stages.note) if ran else watch
    return after, smoke.beside(running, engine, stages)


def _image_and_weights(
    decided: Decided, doors: Doors, held: contextlib.ExitStack, *, own: str, relock: bool
) -> tuple[Decided, Image]:
    """Both at the same time. `held` keeps the weights from being removed."""
    bringing = Bringing(
        decided.lock.model, settings=doors.settings, stages=doors.stages, engine=doors.engine,
        sources=doors.weight_sources, own=own,
    )  # fmt: skip
    return held.enter_context(bringing).beside(partial(make_image, decided, doors, relock=relock))


def _recorded(decided: Decided, doors: Doors, asked: Asked) -> Decided:
    """With its model recorded, when the lock leaves it open: not before this machine is known to be able."""
    if decided.lock.open:
        preflight.before_record(decided.loaded, doors.engine(), doors.settings, asked)
    return completed(decided, doors)


def _first(decided: Decided, doors: Doors, running: Running | None, asked: Asked) -> Access | None:
    """The first step, shown as a stage where it has something to look at."""
    image_here = find_image(decided.plan, doors.engine()) is not None
    ask = partial(
        preflight.check, decided.loaded, decided.lock, running=running, engine=doors.engine(), settings=doors.settings,
        store=doors.store, image_here=image_here, asked=asked, note=doors.stages.note,
    )  # fmt: skip
    if image_here and decided.loaded.preset.gpu is None and asked.gpus is None:
        return ask()
    with doors.stages.stage("doctor") as stage:
        given = ask()
        if given:
            stage.message(f"{', '.join(f'{one.index}: {one.name}' for one in given.devices)} by {given.mode}")
        return given


def _start_new(
    spec: ContainerSpec,
    make_spec: Callable[..., ContainerSpec],
    environment: Environment,
    doors: Doors,
    *,
    may_move: bool,
) -> readiness.Watch:
    """Create and start the container. With `may_move`, a port lost to another program meanwhile is chosen again."""
    engine = doors.engine()
    for attempt in range(_PORT_ATTEMPTS):
        container.create(spec, environment, engine)
        watch = readiness.Watch(spec.name, engine, note=doors.stages.note)
        try:
            container.start(spec.name, engine)
        except container.PortTakenError:
            if not may_move or attempt == _PORT_ATTEMPTS - 1:
                raise
            spec = make_spec(new_ports=True)
        else:
            return watch
    raise AssertionError("unreachable")


def _look_at(project: Path | None, doors: Doors, *, rootless: bool) -> tuple[User, tuple[Path, ...]]:
    """Warn of what will not work in the project inside; who the user is there, and what is to be mounted beside it.
    Raises NotReadyError."""
    user = container_user(doors.settings, project, rootless=rootless)
    if project is None:
        return user, ()
    if remark := check_workspace(project, user):
        doors.stages.note(remark)
    try:
        return user, worktree.outside(project)
    except worktree.OutsideError as error:
        doors.stages.note(f"warning: git will not work in {project} inside: {error}")
        return user, ()


def _token(environment: Environment, *, anew: bool) -> tuple[str, bool]:
    """The environment's token, and whether it was made now: a container that runs has the one of its start."""
    made = anew or not environment.token_file.exists()
    return (environment.new_token() if anew else environment.token()), made


def _claim(
    environment: Environment, engine: Engine, decided: Decided, project: Path | None, *, take_over: bool
) -> tuple[Running | None, owner.Claim]:
    """The container that is there, and the project's claim to it and to its volumes. Raises UsageError."""
    running = container.find(environment.name, engine)
    volumes = [environment.data_volume, *([] if project else [environment.workspace_volume])]
    volumes += [environment.volume(name) for name, _ in decided.plan.volumes]
    return running, owner.claim(
        environment, engine, running, project=str(project or ""), volumes=volumes, take_over=take_over
    )


def _keep(claimed: tuple[Running | None, owner.Claim], environment: Environment, doors: Doors) -> Running | None:
    """Remember the claim; the container that is there, as one that runs or is stopped."""
    running, claim = claimed
    owner.keep(environment, claim)
    return running and condition.settled(running, doors.engine(), doors.stages.note)


def _spec(
    decided: Decided,
    image: Image,
    environment: Environment,
    engine: Engine,
    project: Path | None,
    user: User,
    gpu: Access | None,
    beside: tuple[Path, ...],
    *,
    new_ports: bool = False,
) -> ContainerSpec:
    ports = container.ports_for(decided.plan, environment, engine, anew=new_ports)
    own = network.wanted(environment, engine, has_ports=bool(ports))
    return container.decide(
        decided.plan, image, environment, project=project, uid=user.uid, gid=user.gid, ports=ports, gpu=gpu,
        beside=beside, network=own,
    )  # fmt: skip


def wake(
    running: Running, environment: Environment, engine: Engine, *, restart: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> readiness.Watch:  # fmt: skip
    """Go on with the container that is there: started unless it runs, and with `restart` stopped before. Raises
    PortTakenError, EngineError, UsageError."""
    if running.facts.state == "running" and not restart:
        return readiness.Watch(running.facts.name, engine, up=True, note=note)
    if running.facts.state == "running":
        engine.stop(running.facts.name, timeout_s=container.STOP_TIMEOUT_S)
    network.rejoin(running.facts, environment, engine)
    watch = readiness.Watch(running.facts.name, engine, note=note)
    container.start(running.facts.name, engine)
    return watch


def _changes(running: Running, decided: Decided, spec: ContainerSpec, *, fresh: bool) -> str:
    """In words, why the container that runs is not the one wanted, and what becomes of it."""
    same = running.spec_digest == dict(spec.labels)["dev.devenv.spec"]
    if same and not fresh:
        return "the token is a new one: the container is started again with it"
    if same:
        return "a new container was asked for (--fresh): its volumes are kept"
    why = "ports, volumes, services, checks, GPUs or the user changed"
    if running.lock_digest != decided.lock.digest:
        why = "the lock changed"
    elif running.facts.labels.get("dev.devenv.image") != decided.plan.image:
        why = "the image changed"
    return f"{why}: the container is replaced, its volumes are kept"


def _untouched(environment: Environment, running: Running, token: str) -> tuple[Report, Proof | None] | None:
    """What is known of a container that runs as it should; None when it does not, or nothing is known. Raises
    NotReadyError when it has another token."""
    states = readiness.states(running, token)
    readiness.check_token(running, states, environment.token_file)
    report, proved = passed.known(environment, running)
    return (report, proved) if report and all(state == "ready" for state in states.values()) else None


def image_json(image: Image) -> dict[str, str]:
    """`image` of `up --json` and `build --json`: its reference and id (config digest)."""
    return {"reference": image.reference, "id": image.id, "digest": image.id}
