"""The whole line: preset → lock → fetch → render → build → boot → probe → smoke → report."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv import boot, probe
from devenv.boot import Running
from devenv.brought import brought
from devenv.build import Image, build
from devenv.build import find as find_image
from devenv.container import ContainerSpec
from devenv.engine import Engine, check_buildx
from devenv.environment import Environment, hold
from devenv.errors import NotReadyError, UsageError
from devenv.host import Settings
from devenv.lock.image import ImageFacts, look_into
from devenv.lock.model import Lock
from devenv.lock.place import locked, relocked_path
from devenv.lock.place import write as write_lock
from devenv.paths import Dirs
from devenv.plan import UID, Plan, plan
from devenv.preset.load import LoadedPreset, load
from devenv.smoke import Check, Report, smoke
from devenv.stages import Stages
from devenv.weights.beside import Bringing

if TYPE_CHECKING:
    from devenv.artifacts import Store
    from devenv.fetch import GoneError


_PORT_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What the line acts through. `engine` connects at its first call."""

    dirs: Dirs
    settings: Settings
    engine: Callable[[], Engine]
    stages: Stages
    carried: Mapping[str, str]  # this host's proxies and mirrors, for the container
    weight_sources: tuple[str, ...] = ()  # hubs to bring weights from, and no others

    @property
    def store(self) -> Store:
        """The artifact store."""
        from devenv.artifacts import Store

        return Store(self.dirs.store)

    def image_facts(self, reference: str) -> ImageFacts:
        """What the lock must know of a base image; the engine pulls it when it is not here."""
        return look_into(reference, self.engine())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Preset, lock and plan of one run."""

    loaded: LoadedPreset
    lock: Lock
    plan: Plan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What `up` reached. `report` may hold failed checks: the caller decides what to say."""

    running: Running
    image: Image
    decided: Decided
    report: Report
    ready: tuple[probe.Ready, ...]
    untouched: bool


def decide(path: Path, doors: Doors) -> Decided:
    """Preset and lock to plan. A preset of the user's own is locked by itself the first time."""
    with doors.stages.stage("preset") as stage:
        loaded = load(path)
        stage.cached = True
        stage.message(f"{loaded.preset.name} ({loaded.path})")
    with doors.stages.stage("lock") as stage:
        lock, stage.cached = locked(
            loaded, dirs=doors.dirs, settings=doors.settings, store=doors.store, progress=stage,
            image_facts=doors.image_facts,
        )  # fmt: skip
        stage.message(f"{len(lock.artifacts())} files")
    return Decided(loaded=loaded, lock=lock, plan=plan(loaded, lock))


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
    from devenv.context import assemble
    from devenv.fetch import GoneError
    from devenv.render import render

    check_buildx()
    folder = doors.dirs.contexts / decided.plan.preset
    with hold(folder.with_suffix(".lock"), lambda: doors.stages.note("another devenv builds this preset; waiting")):
        if not no_cache and (here := find_image(decided.plan, engine)):
            return decided, here
        try:
            _fetch(decided, doors)
        except GoneError as gone:
            if not relock or gone.kind != "deb":
                raise
            decided = _relocked(decided, gone, doors)
            _fetch(decided, doors)
        with doors.stages.stage("render"):
            assemble(decided.plan, render(decided.plan), doors.store, folder)
        with doors.stages.stage("build") as stage:
            image = build(decided.plan, folder, engine, progress=stage, no_cache=no_cache)
            stage.message(image.reference)
    return decided, image


def _fetch(decided: Decided, doors: Doors) -> None:
    from devenv.fetch import fetch
    from devenv.sources import archives

    with doors.stages.stage("fetch") as stage:
        fetched = fetch(
            decided.lock, store=doors.store, settings=doors.settings, progress=stage,
            files=archives(decided.loaded.preset),
        )  # fmt: skip
        stage.cached = fetched.files == 0


def _relocked(decided: Decided, gone: GoneError, doors: Doors) -> Decided:
    """The same preset with a lock whose missing Debian packages were resolved anew. Said plainly; never silent."""
    from devenv.lock.resolve import refresh_missing

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
) -> Result:
    """Image to a running, probed and smoke-tested container. Raises NotReadyError, EngineError, BuildError, …"""
    engine = doors.engine()
    uid, _ = container_user(doors.settings)
    with environment.locked(lambda: doors.stages.note("another devenv command holds this environment; waiting")):
        _check_owner(boot.find(environment.name, engine), environment, project)
        bringing = Bringing(
            decided.lock.model, settings=doors.settings, stages=doors.stages, engine=doors.engine,
            sources=doors.weight_sources,
        )  # fmt: skip
        try:
            decided, image = make_image(decided, doors, relock=relock)
        except BaseException:
            bringing.halt()
            raise
        bringing.finish()
        token = environment.token()
        told = brought(doors.settings, doors.carried, decided.lock.base.distribution)
        brought_anew = environment.bring(told.variables, told.ca_bundle, told.apt_sources)
        if project and (warning := boot.check_workspace(project, uid)):
            doors.stages.note(f"warning: {warning}")
        had_ports = bool(environment.ports())
        spec = _spec(decided, image, environment, doors, project)
        running = boot.find(environment.name, engine)
        same = running is not None and not fresh and running.spec_digest == dict(spec.labels)["dev.devenv.spec"]
        if running and same and running.facts.state == "running":
            known = _recall(environment, running)
            if known and all(state == "ready" for state in probe.states(running, token).values()):
                if brought_anew:
                    doors.stages.note(
                        "proxies, mirrors or certificates changed: 'devenv up --fresh' brings them inside"
                    )
                return Result(running=running, image=image, decided=decided, report=known, ready=(), untouched=True)
        if running and not same:
            doors.stages.note(f"{_changes(running, decided)}: the container is replaced, its volumes are kept")
        with doors.stages.stage("boot") as stage:
            stage.message(spec.name)
            if running and same:
                watch = wake(running, engine)
            else:
                if running and running.facts.state == "running":
                    engine.stop(spec.name, timeout_s=boot.STOP_TIMEOUT_S)
                watch = _start_new(spec, decided, image, environment, doors, project, may_move=not had_ports)
            running = boot.find(environment.name, engine)
            if running is None:
                raise NotReadyError("the container vanished while it started", hint="did someone remove it? once more")
            smoking = _Smoking(running, doors)
            probe.wait_up(watch)
        with doors.stages.stage("ready") as stage:
            ready = probe.wait_ready(running, token, watch, progress=stage, engine=engine)
            stage.message(", ".join(f"{one.service} {one.seconds:.1f} s" for one in ready))
        report = smoking.report()
        watch.check()
        _remember(environment, running, report)
        return Result(running=running, image=image, decided=decided, report=report, ready=ready, untouched=False)


class _Smoking:
    """The smoke test in a thread of its own: it needs no service, so it starts with them.

    A daemon: when a service has died, the command ends without waiting for the smoke test.
    """

    def __init__(self, running: Running, doors: Doors) -> None:
        self._running = running
        self._doors = doors
        self._told: list[Report | BaseException] = []
        self._thread = threading.Thread(target=self._run, name="smoke", daemon=True)
        self._thread.start()

    def report(self) -> Report:
        """Wait for it. Raises what it raised."""
        self._thread.join()
        outcome = self._told[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _run(self) -> None:
        try:
            with self._doors.stages.stage("smoke") as stage:
                report = smoke(self._running, self._doors.engine(), progress=stage)
                stage.failed = not report.passed
                words = [f"{one.name} {'passed' if one.passed else 'FAILED'}" for one in report.checks]
                stage.message(", ".join(words) or "no checks")
                self._told.append(report)
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread and raised there
            self._told.append(error)


def _start_new(
    spec: ContainerSpec,
    decided: Decided,
    image: Image,
    environment: Environment,
    doors: Doors,
    project: Path | None,
    *,
    may_move: bool,
) -> probe.Watch:
    """Create and start the container. With `may_move`, a port lost to another program meanwhile is chosen again."""
    engine = doors.engine()
    for attempt in range(_PORT_ATTEMPTS):
        boot.create(spec, environment, engine)
        watch = probe.Watch(spec.name, engine)
        try:
            boot.start(spec.name, engine)
        except boot.PortTakenError:
            if not may_move or attempt == _PORT_ATTEMPTS - 1:
                raise
            spec = _spec(decided, image, environment, doors, project, new_ports=True)
        else:
            return watch
    raise AssertionError("unreachable")


def _check_owner(running: Running | None, environment: Environment, project: Path | None) -> None:
    """Refuse to take over what is another project's or another user's environment. Raises UsageError."""
    if running is None:
        return
    hint = f"give this one another name: devenv up --name …; 'devenv down {running.name}' removes that one"
    if running.project != str(project or ""):
        whose = running.project or "no project"
        raise UsageError(f"an environment called {running.name!r} exists already, for {whose}", hint=hint)
    if running.host_folder != str(environment.host_folder):
        raise UsageError(f"the environment {running.name!r} is another user's ({running.host_folder})", hint=hint)


def _spec(
    decided: Decided,
    image: Image,
    environment: Environment,
    doors: Doors,
    project: Path | None,
    *,
    new_ports: bool = False,
) -> ContainerSpec:
    uid, gid = container_user(doors.settings)
    ports = boot.ports_for(decided.plan, environment, doors.engine(), anew=new_ports)
    return boot.decide(decided.plan, image, environment, project=project, uid=uid, gid=gid, ports=ports)


def wake(running: Running, engine: Engine) -> probe.Watch:
    """Go on with the container that is there: started unless it runs. Raises PortTakenError, EngineError."""
    if running.facts.state == "running":
        return probe.Watch(running.facts.name, engine, up=True)
    watch = probe.Watch(running.facts.name, engine)
    boot.start(running.facts.name, engine)
    return watch


def container_user(settings: Settings) -> tuple[int, int]:
    """(uid, gid) of the user inside: the host user's, so that files in a project stay theirs; never root."""
    return (settings.uid or UID, settings.gid or UID)


def _changes(running: Running, decided: Decided) -> str:
    """In words, why the container that runs is not the one wanted."""
    if running.lock_digest != decided.lock.digest:
        return "the lock changed"
    if running.facts.labels.get("dev.devenv.image") != decided.plan.image:
        return "the image changed"
    return "ports, volumes, services, checks or the user changed"


def _remember(environment: Environment, running: Running, report: Report) -> None:
    """Keep the smoke report of this very container: a later `up` that finds it running need not repeat it."""
    environment.keep("smoke.json", {"container": running.facts.id, "report": dataclasses.asdict(report)})


def _recall(environment: Environment, running: Running) -> Report | None:
    """The passed smoke report of this very container, if it was ever reached."""
    kept: Any = environment.kept("smoke.json")
    try:
        if kept["container"] != running.facts.id:
            return None
        report = Report(checks=tuple(Check(**one) for one in kept["report"]["checks"]))
    except (KeyError, TypeError):
        return None
    return report if report.passed else None


def image_json(image: Image) -> dict[str, str]:
    """`image` of `up --json` and `build --json`: its reference and id (config digest)."""
    return {"reference": image.reference, "id": image.id, "digest": image.id}
