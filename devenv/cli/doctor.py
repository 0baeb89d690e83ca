"""`devenv doctor`: can this machine run a preset? Findings with remedies, before anything is downloaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli.app import App, json_option
from devenv.container.gpu import MODES
from devenv.doctor.finding import BLOCKER, OK, Finding, Needs, blockers, hint
from devenv.doors import files, untrusted
from devenv.errors import LockError, MachineError, UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from devenv.compat.matrix import Matrix
    from devenv.doctor.alternatives import Instead
    from devenv.doors.http.web import Origin
    from devenv.doors.machine.model import EngineFacts, Machine
    from devenv.lock.model import Lock
    from devenv.preset.load import LoadedPreset

_SIGNS = {"ok": "ok     ", "warning": "warning", "blocker": "BLOCKER"}


@click.command()
@click.argument("preset", required=False)
@click.option("--offline", is_flag=True, help="Leave the network alone.")
@click.option("--gpus", metavar="WHICH", help="As of 'up': all, none, or indices and UUIDs with commas between.")
@click.option("--gpu-mode", type=click.Choice(["auto", *MODES]), default="auto", help="As of 'up'.")
@click.option(
    "--machine",
    "recorded",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Judge a recorded machine instead: the 'machine' of a --json document from there.",
)
@json_option
@click.pass_obj
def doctor(app: App, preset: str | None, offline: bool, gpus: str | None, gpu_mode: str, recorded: Path | None) -> None:
    """Say whether this machine can run PRESET, and what helps; exit status 13 when it cannot.

    PRESET is a shipped name, a YAML file, a project folder, or nothing: devenv.yaml here or above, or without one
    just the machine.
    """
    from devenv.doctor.examine import examine

    # The engine and buildx answer while Python reads the preset.
    told = [] if recorded else [_asked(app)]
    loaded = _loaded(preset)
    lock = _lock(app, loaded) if loaded else None
    machine = _recorded(recorded) if recorded else _gather(app, loaded, told[0], offline=offline)
    needed = _needs(app, loaded, lock, machine, elsewhere=recorded is not None)
    matrix = _matrix(app) if gpus or (loaded and _has_versions(loaded)) else None
    findings = examine(machine, loaded.preset if loaded else None, needed, matrix, gpus=gpus, mode=gpu_mode)
    found = blockers(findings)
    other = _instead(app, loaded, machine, gpus, gpu_mode, elsewhere=recorded is not None) if found else None
    if app.json:
        app.console.json(_json(machine, loaded, needed, findings, other))
    else:
        _tell(app, loaded, findings)
    if found:
        name = loaded.preset.name if loaded else "environments"
        first = found[0]
        raise MachineError(
            f"this machine cannot run {name}: {first.what}" + (f" (and {len(found) - 1} more)" if found[1:] else ""),
            hint=hint(first, _words(loaded, other)),
        )


def _instead(
    app: App, loaded: LoadedPreset | None, machine: Machine, gpus: str | None, mode: str, *, elsewhere: bool
) -> Instead | None:
    """The first of the preset's alternatives that this machine can run."""
    if loaded is None or not loaded.preset.alternatives:
        return None
    from devenv.doctor.alternatives import instead, needs_of

    def needed(one: LoadedPreset) -> Needs:
        return needs_of(one, app.settings, elsewhere=elsewhere)

    return instead(loaded, machine, _matrix(app), needed, gpus=gpus, mode=mode)


def _words(loaded: LoadedPreset | None, other: Instead | None) -> str:
    if other is not None:
        return other.remedy
    none = loaded.preset.alternatives if loaded else ()
    return f"nor can it run {', '.join(none)}" if none else ""


def _loaded(preset: str | None) -> LoadedPreset | None:
    from devenv.preset.load import find, load
    from devenv.preset.project_root import project_of

    here = Path.cwd()
    if preset is None and project_of(here) is None:
        return None
    return load(find(preset, here))


def _has_versions(loaded: LoadedPreset) -> bool:
    """Whether the compatibility matrix has anything to say about a preset."""
    preset = loaded.preset
    return bool(preset.gpu or preset.torch or preset.vllm or preset.cuda)


def _matrix(app: App) -> Matrix:
    from devenv.compat.matrix import read

    return read(app.dirs.config)


def _lock(app: App, loaded: LoadedPreset) -> Lock | None:
    from devenv.lock import files as lock_files
    from devenv.lock.model import read

    try:
        return read(lock_files.lock_path(loaded, app.dirs))
    except LockError:
        return None  # nothing is known yet of a preset that was never locked


def _needs(app: App, loaded: LoadedPreset | None, lock: Lock | None, machine: Machine, *, elsewhere: bool) -> Needs:
    """What the lock says; on another machine nothing of it is there."""
    if loaded is None:
        return Needs()
    if lock is None:
        return Needs(kinds=frozenset({"deb", "wheel"}), weights_known=loaded.preset.model is None)
    from devenv.doctor.examine import needs
    from devenv.weights.local_copies import needed_bytes
    from devenv.weights.store import Weights

    if elsewhere:
        weights = sum(one.size for one in lock.model.files) if lock.model else 0
        return needs(lock, lock.artifacts(), image_here=False, weights_bytes=weights)
    hubs = app.settings.hubs
    weights = needed_bytes(lock.model, store=Weights(hubs.dir), caches=hubs.caches)
    if _image_here(app, loaded, lock, machine):
        return needs(lock, (), image_here=True, weights_bytes=weights)
    from devenv.fetch.store import Store

    return needs(lock, Store(app.dirs.store).missing(lock), image_here=False, weights_bytes=weights)


def _image_here(app: App, loaded: LoadedPreset, lock: Lock, machine: Machine) -> bool:
    from devenv.doors.docker.address import ask
    from devenv.errors import EngineError, PresetError
    from devenv.plan.plan import plan

    if machine.engine is None or machine.engine.problem:
        return False
    try:
        return ask(app.endpoint, f"/images/{plan(loaded, lock).image}/json") is not None
    except (PresetError, EngineError, OSError, ValueError):
        return False


def _gather(app: App, loaded: LoadedPreset | None, told: Future[EngineFacts], *, offline: bool) -> Machine:
    from devenv.doors.machine.gather import gather

    ports = _ports(loaded) if loaded else ()
    origins = None if offline else _origins(app, loaded)
    return gather(app.settings, told.result, ports=ports, origins=origins, carried=app.carried)


def _asked(app: App) -> Future[EngineFacts]:
    from concurrent.futures import ThreadPoolExecutor

    from devenv.doors.machine.engine import ask

    return ThreadPoolExecutor(1).submit(ask, lambda: app.endpoint, lambda: app.engine)


def _ports(loaded: LoadedPreset) -> tuple[int, ...]:
    from devenv.plan.services import IDE_PORT, JUPYTER_PORT

    preset = loaded.preset
    own = [*([IDE_PORT] if preset.code_server else []), *([JUPYTER_PORT] if preset.jupyter else [])]
    return (*own, *(one.port for one in preset.services.values() if one.port), *preset.ports.values())


def _origins(app: App, loaded: LoadedPreset | None) -> list[tuple[str, Origin]]:
    """Every address that locking, fetching or a program inside would ask, as this user's settings name them."""
    from devenv.doors.http.web import Origin
    from devenv.doors.settings.apt_archives import apt_sources
    from devenv.doors.settings.tool_configs import header_for

    settings = app.settings
    found: list[tuple[str, Origin]] = []
    if not settings.pip.no_index:
        index = settings.pip.index
        if index is None:
            from pypi_simple import PYPI_SIMPLE_ENDPOINT

            index = PYPI_SIMPLE_ENDPOINT
        asked = [one for one in (index, *settings.pip.extra_indexes) if one.startswith(("http://", "https://"))]
        found += [("pip", Origin(url=f"{one.rstrip('/')}/pip/", channel="pip")) for one in asked]
    if registry := settings.npm.registry:
        headers = header_for(registry, settings.npm.auth)
        found.append(("npm", Origin(url=registry, channel="npm", headers=headers)))
    base = loaded.preset.base.bootstrap if loaded else settings.release
    distribution, _, release = (base or "").partition("/")
    if release:
        for uri in dict.fromkeys(one.uri for one in apt_sources(settings, distribution, release)):
            if uri.startswith(("http://", "https://")):
                headers = header_for(uri, settings.apt_auth)
                found.append(("apt", Origin(url=f"{uri}/dists/", channel="apt", headers=headers)))
    hubs = [hub for variable in ("HF_ENDPOINT", "MODELSCOPE_DOMAIN") if (hub := app.carried.get(variable))]
    found += [("hub", Origin(url=hub if "://" in hub else f"https://{hub}")) for hub in hubs]
    count: dict[str, int] = {}
    named = []
    for kind, origin in found:
        count[kind] = count.get(kind, 0) + 1
        named.append((kind if count[kind] == 1 else f"{kind} {count[kind]}", origin))
    return named


def _recorded(path: Path) -> Machine:
    from devenv.doors.machine.model import from_json

    try:
        value = untrusted.from_json(files.read_text(path))
        return from_json(value.get("machine", value))
    except (OSError, ValueError, AttributeError) as error:
        why = files.reason(error) if isinstance(error, OSError) else str(error).splitlines()[0]
        raise UsageError(
            f"not a recorded machine: {why}",
            where=str(path),
            hint="record one there: devenv doctor --json > machine.json",
        ) from None


def _json(
    machine: Machine,
    loaded: LoadedPreset | None,
    needed: Needs,
    findings: tuple[Finding, ...],
    other: Instead | None,
) -> dict[str, Any]:
    from devenv.doors.machine.model import to_json

    return {
        "preset": loaded.preset.name if loaded else None,
        "able": not blockers(findings),
        "needs": {**dataclasses.asdict(needed), "kinds": sorted(needed.kinds)},
        "findings": [dataclasses.asdict(one) for one in findings],
        "instead": {"preset": other.name, "command": other.command} if other else None,
        "machine": to_json(machine),
    }


def _tell(app: App, loaded: LoadedPreset | None, findings: tuple[Finding, ...]) -> None:
    lines = []
    for one in findings:
        lines.append(f"{_SIGNS[one.level]}  {one.what}")
        if one.level != OK and one.remedy:
            lines.append(f"         → {one.remedy}")
    app.console.data("\n".join(lines))
    levels = [one.level for one in findings]
    if BLOCKER not in levels:
        name = f"can run {loaded.preset.name}" if loaded else "can run environments"
        app.console.note(
            f"this machine {name}" + (f"; {levels.count('warning')} warnings" if "warning" in levels else "")
        )
