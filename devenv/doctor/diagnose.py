"""One diagnosis: this machine, or a recorded one, for a preset."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doctor.finding import Finding, Needs, blockers, hint
from devenv.doors import files, untrusted
from devenv.errors import EngineError, MachineError, UsageError

if TYPE_CHECKING:
    from devenv.doctor.alternatives import Instead
    from devenv.doors.docker.address import Endpoint
    from devenv.doors.machine.engine_facts import EngineFacts
    from devenv.doors.machine.model import Machine
    from devenv.doors.settings.settings import Settings
    from devenv.preset.load import LoadedPreset


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The findings about `machine` and the preset `loaded`, or about the machine alone; `instead`: an alternative of
    the preset that the machine can run."""

    loaded: LoadedPreset | None
    machine: Machine
    needed: Needs
    findings: tuple[Finding, ...]
    instead: Instead | None

    @property
    def is_able(self) -> bool:
        """Whether the machine can run it."""
        return not blockers(self.findings)

    def refuse(self) -> None:
        """Raise MachineError unless the machine can run it."""
        if not (found := blockers(self.findings)):
            return
        name = self.loaded.preset.name if self.loaded else "environments"
        raise MachineError(
            f"this machine cannot run {name}: {found[0].what}" + (f" (and {len(found) - 1} more)" if found[1:] else ""),
            hint=hint(found[0], self._alternative()),
        )

    def _alternative(self) -> str:
        if self.instead is not None:
            return self.instead.remedy
        others = self.loaded.preset.alternatives if self.loaded else ()
        return f"this machine cannot run these either: {', '.join(others)}" if others else ""


def gather_for(
    loaded: LoadedPreset | None,
    settings: Settings,
    carried: Mapping[str, str],
    engine: Callable[[], EngineFacts],
    *,
    offline: bool = False,
) -> Machine:
    """The facts of this machine that matter to the preset; no network with `offline`. `carried`: what programs in the
    container get from this host. `engine` waits for the engine's facts."""
    from devenv.doctor import probes
    from devenv.doctor.needs import wants_weights
    from devenv.doors.machine.gather import gather

    preset = loaded.preset if loaded else None
    with_weights = loaded is not None and not offline and wants_weights(loaded, settings)
    origins = None if offline else probes.origins(settings, carried, preset, with_weights=with_weights)
    ports = probes.ports(preset) if preset else ()
    return gather(settings, engine, ports=ports, origins=origins, carried=carried)


def recorded(path: Path) -> Machine:
    """The machine in a document of `doctor --json`, or in its `machine`. Raises UsageError."""
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


def diagnose(
    loaded: LoadedPreset | None,
    machine: Machine,
    settings: Settings,
    *,
    endpoint: Callable[[], Endpoint] | None,
    gpus: str | None = None,
    mode: str = "auto",
) -> Diagnosis:
    """Examine a machine for a preset. `endpoint`: where this machine's engine is; None for a machine that was recorded
    elsewhere, which has no files yet."""
    from devenv.compat.matrix import read
    from devenv.doctor.alternatives import instead
    from devenv.doctor.examine import examine
    from devenv.doctor.needs import needs_of

    def has_image(reference: str) -> bool:
        return endpoint is not None and _has_image(reference, machine, endpoint)

    def needed_by(one: LoadedPreset) -> Needs:
        return needs_of(one, settings, elsewhere=endpoint is None)

    needed = needs_of(loaded, settings, elsewhere=endpoint is None, has_image=has_image) if loaded else Needs()
    matrix = read(settings.dirs.config) if gpus or (loaded and loaded.preset.has_versions) else None
    findings = examine(
        machine, loaded.preset if loaded else None, needed, matrix, gpus=gpus, mode=mode,
        own_gpu=loaded is not None and loaded.is_own("gpu"),
    )  # fmt: skip
    other = None
    if loaded and loaded.preset.alternatives and blockers(findings):
        other = instead(loaded, machine, matrix or read(settings.dirs.config), needed_by, gpus=gpus, mode=mode)
    return Diagnosis(loaded=loaded, machine=machine, needed=needed, findings=findings, instead=other)


def _has_image(reference: str, machine: Machine, endpoint: Callable[[], Endpoint]) -> bool:
    from devenv.doors.docker.address import ask

    if machine.engine is None or machine.engine.problem:
        return False
    try:
        return ask(endpoint(), f"/images/{reference}/json") is not None
    except (EngineError, OSError, ValueError):
        return False
