"""The first step of `up`: whether this machine can run it, and with which GPUs. Only quick facts; no network."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from devenv.container.gpu import MODES, Access, access
from devenv.container.state import Environment
from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.container.labels import Running
    from devenv.doctor.finding import Needs
    from devenv.doors.machine.engine_facts import EngineFacts
    from devenv.doors.machine.model import Machine
    from devenv.lock.model import Lock
    from devenv.preset.load import LoadedPreset
    from devenv.up.session import Session

_FILE = "gpu.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The values of `--gpus` and `--gpu-mode`; None without them."""

    gpus: str | None = None
    mode: str | None = None

    def check(self) -> None:
        """Raise UsageError for an unknown mode."""
        if self.mode not in {None, "auto", *MODES}:
            raise UsageError(f"unknown GPU mode {self.mode!r}", hint=f"one of auto, {', '.join(MODES)}")


def remembered(environment: Environment, asked: Asked) -> Asked:
    """The values of now, else the earlier ones, because an environment keeps its GPUs for its life, as its ports."""
    kept: Any = environment.kept(_FILE)
    before = {name: value for name, value in kept.items() if isinstance(value, str)} if isinstance(kept, dict) else {}
    mode = before.get("mode") if before.get("mode") in {"auto", *MODES} else None
    return Asked(gpus=asked.gpus or before.get("gpus"), mode=asked.mode or mode)


def remember(environment: Environment, asked: Asked) -> None:
    """Keep the values, unless none was ever given."""
    if (asked.gpus or asked.mode) and environment.kept(_FILE) != dataclasses.asdict(asked):
        environment.keep(_FILE, dataclasses.asdict(asked))


def usable(loaded: LoadedPreset, session: Session) -> EngineFacts:
    """The engine's own facts. Raises MachineError for an engine whose containers share no files with this user."""
    from devenv.doctor.finding import refuse
    from devenv.doctor.host import users

    facts = session.answers.facts(session.engine(), with_version=False)
    refuse(users(facts), name=f"{loaded.preset.name!r}")
    return facts


def before_lock(loaded: LoadedPreset, session: Session, asked: Asked) -> None:
    """The verdict on engine and GPU before a preset is resolved for the first time, which downloads. Raises
    MachineError."""
    from devenv.doctor.finding import Needs

    usable(loaded, session)
    if asked.gpus != "none" and (asked.gpus or (loaded.preset.gpu and loaded.preset.gpu.required)):
        _look(loaded, Needs(), session, asked)


def before_record(loaded: LoadedPreset, session: Session, asked: Asked) -> None:
    """The verdict before hubs are contacted for a model that is not pinned yet, so without its size."""
    from devenv.doctor.finding import Needs

    wants = asked.gpus != "none" and (loaded.preset.gpu is not None or asked.gpus is not None)
    _look(loaded, Needs(), session, asked, with_gpu=wants)


def check(
    loaded: LoadedPreset, lock: Lock, session: Session, asked: Asked, *, running: Running | None, image_here: bool
) -> Access | None:
    """Refuse a machine that cannot run it (MachineError); else the container's access to its GPUs, if it gets any.

    `running` is given where its container may stay: its GPUs were checked when it was made.
    """
    wish = loaded.preset.gpu
    wants = asked.gpus != "none" and (wish is not None or asked.gpus is not None)
    has_gpus = running is not None and running.facts.state in ("running", "paused")
    if running and has_gpus and image_here and (kept := _kept(running, wants, asked)):
        return kept
    if asked.gpus == "none" and wish and wish.required:
        session.stages.note("warning: the preset needs a GPU, but --gpus none gives it none")
    weights_bytes = _missing_weights(lock, session) if lock.model else 0
    if not wants and image_here and not weights_bytes:
        return None
    from devenv.doctor.examine import needs

    missing = () if image_here else session.store.missing(lock)
    needed = needs(lock, missing, image_here=image_here, weights_bytes=weights_bytes)
    machine = _look(loaded, needed, session, asked, with_gpu=wants)
    if not wants:
        return None
    if not machine.nvidia.gpus:
        # Only for `required: false`, because every other wish was refused above.
        session.stages.note("no GPU here: it runs on the CPU, as the preset allows")
        return None
    return access(machine, asked.gpus or "all", asked.mode or "auto")


def _missing_weights(lock: Lock, session: Session) -> int:
    from devenv.weights.local_copies import needed_bytes
    from devenv.weights.store import Weights

    hubs = session.settings.hubs
    return needed_bytes(lock.model, store=Weights(hubs.dir), caches=hubs.caches)


def _kept(running: Running, wants: bool, asked: Asked) -> Access | None:
    """The running container's access, when it is the wanted one."""
    given = running.gpu
    if given is None or not wants or asked.mode not in {None, "auto", given.mode}:
        return None
    return given if given.asked == (asked.gpus or "all") else None


def _look(loaded: LoadedPreset, needed: Needs, session: Session, asked: Asked, *, with_gpu: bool = True) -> Machine:
    from devenv.compat.matrix import read
    from devenv.doctor.examine import examine
    from devenv.doctor.finding import refuse
    from devenv.doors.machine.gather import quick

    settings, engine = session.settings, session.engine()
    machine = quick(settings, session.answers.facts(engine), with_gpu=with_gpu)
    matrix = read(settings.dirs.config) if with_gpu else None
    findings = examine(
        machine, loaded.preset, needed, matrix, gpus=asked.gpus, mode=asked.mode or "auto", full=False,
        own_gpu=loaded.is_own("gpu"),
    )  # fmt: skip

    def other() -> str:
        if not loaded.preset.alternatives:
            return ""
        from devenv.doctor.alternatives import instead
        from devenv.doctor.needs import needs_of

        # Another preset may need what this one did not.
        whole = quick(settings, session.answers.facts(engine, with_buildx=True), with_gpu=True)
        found = instead(
            loaded, whole, matrix or read(settings.dirs.config), lambda preset: needs_of(preset, settings),
            gpus=asked.gpus, mode=asked.mode or "auto",
        )  # fmt: skip
        names = ", ".join(loaded.preset.alternatives)
        return found.remedy if found else f"this machine cannot run these either: {names}"

    refuse(findings, name=f"{loaded.preset.name!r}", instead=other)
    return machine
