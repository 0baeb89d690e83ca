"""`devenv doctor`: findings with remedies, before anything is downloaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli.app import App, json_option, pass_app
from devenv.container.gpu import MODES
from devenv.doctor.finding import BLOCKER, OK, Finding, Needs, blockers, hint
from devenv.doors import files, untrusted
from devenv.errors import MachineError, UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from devenv.compat.matrix import Matrix
    from devenv.doctor.alternatives import Instead
    from devenv.doors.machine.model import EngineFacts, Machine
    from devenv.preset.load import LoadedPreset

_SIGNS = {"ok": "ok     ", "warning": "warning", "blocker": "BLOCKER"}


@click.command()
@click.argument("preset", required=False)
@click.option("--offline", is_flag=True, help="Do not use the network.")
@click.option("--gpus", metavar="WHICH", help="Same as for 'up': all, none, or indices and UUIDs separated by commas.")
@click.option("--gpu-mode", type=click.Choice(["auto", *MODES]), default="auto", help="Same as for 'up'.")
@click.option(
    "--machine",
    "recorded",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Judge a recorded machine instead of this one: the 'machine' value of its --json document.",
)
@json_option
@pass_app
def doctor(app: App, preset: str | None, offline: bool, gpus: str | None, gpu_mode: str, recorded: Path | None) -> None:
    """Check whether this machine can run PRESET, and print what helps; exit status 13 when it cannot.

    PRESET is a shipped name, a YAML file, a project folder, or nothing: devenv.yaml here or above. Without a
    devenv.yaml, devenv checks the machine alone.
    """
    from devenv.doctor.examine import examine

    # The engine and buildx answer while Python reads the preset.
    told = [] if recorded else [_asked(app)]
    loaded = _loaded(preset)
    machine = _recorded(recorded) if recorded else _gather(app, loaded, told[0], offline=offline)
    needed = _needs(app, loaded, machine, elsewhere=recorded is not None)
    matrix = _matrix(app) if gpus or (loaded and loaded.preset.has_versions) else None
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
    from devenv.doctor.alternatives import instead
    from devenv.doctor.needs import needs_of

    def needed(one: LoadedPreset) -> Needs:
        return needs_of(one, app.settings, elsewhere=elsewhere)

    return instead(loaded, machine, _matrix(app), needed, gpus=gpus, mode=mode)


def _words(loaded: LoadedPreset | None, other: Instead | None) -> str:
    if other is not None:
        return other.remedy
    none = loaded.preset.alternatives if loaded else ()
    return f"this machine cannot run these either: {', '.join(none)}" if none else ""


def _loaded(preset: str | None) -> LoadedPreset | None:
    from devenv.preset.load import find, load
    from devenv.preset.project_root import project_of

    here = Path.cwd()
    if preset is None and project_of(here) is None:
        return None
    return load(find(preset, here))


def _matrix(app: App) -> Matrix:
    from devenv.compat.matrix import read

    return read(app.dirs.config)


def _needs(app: App, loaded: LoadedPreset | None, machine: Machine, *, elsewhere: bool) -> Needs:
    from devenv.doctor.needs import needs_of
    from devenv.doors.docker.address import ask
    from devenv.errors import EngineError

    def has_image(reference: str) -> bool:
        if machine.engine is None or machine.engine.problem:
            return False
        try:
            return ask(app.endpoint, f"/images/{reference}/json") is not None
        except (EngineError, OSError, ValueError):
            return False

    return needs_of(loaded, app.settings, elsewhere=elsewhere, has_image=has_image) if loaded else Needs()


def _gather(app: App, loaded: LoadedPreset | None, told: Future[EngineFacts], *, offline: bool) -> Machine:
    from devenv.doctor import probes
    from devenv.doctor.needs import wants_weights
    from devenv.doors.machine.gather import gather

    preset = loaded.preset if loaded else None
    with_weights = loaded is not None and not offline and wants_weights(loaded, app.settings)
    origins = None if offline else probes.origins(app.settings, app.carried, preset, with_weights=with_weights)
    ports = probes.ports(preset) if preset else ()
    return gather(app.settings, told.result, ports=ports, origins=origins, carried=app.carried)


def _asked(app: App) -> Future[EngineFacts]:
    from concurrent.futures import ThreadPoolExecutor

    from devenv.doors.machine.engine import ask

    return ThreadPoolExecutor(1).submit(ask, lambda: app.endpoint, lambda: app.engine)


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
            hint="record the machine on it: devenv doctor --json > machine.json",
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
