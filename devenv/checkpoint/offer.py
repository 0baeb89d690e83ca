"""A model's name to the environment that serves it: looked at, judged, and written as text. Nothing is downloaded."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devenv.checkpoint import formats, memory, report, serving, support, text
from devenv.checkpoint.checkpoint import Checkpoint
from devenv.checkpoint.formats import Chosen
from devenv.checkpoint.look import Named, look
from devenv.checkpoint.memory import Need
from devenv.checkpoint.serving import Serving
from devenv.checkpoint.support import Support
from devenv.compat import verdict
from devenv.compat.versions import numbers
from devenv.doors import files
from devenv.doors.dirs import presets_dir
from devenv.errors import PresetError
from devenv.preset import scaffold
from devenv.preset.base_option import OtherBase, other_base
from devenv.preset.load import default_name
from devenv.preset.project_root import PROJECT_FILE
from devenv.preset.yaml.nodes import display

if TYPE_CHECKING:
    from devenv.compat.matrix import Matrix
    from devenv.doors.http.web import Web
    from devenv.doors.machine.model import Machine
    from devenv.doors.settings.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user asks for."""

    named: Named
    preset: str | None = None
    base: str | None = None
    hubs: tuple[str, ...] = ()
    trust_code: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where it is asked: the project's folder, the user's settings, this machine (looked at when it matters)."""

    folder: Path
    settings: Settings
    web: Web
    matrix: Matrix
    machine: Callable[[], Machine]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The decided environment. `kind`: what the smoke test asks for."""

    checkpoint: Checkpoint
    serving: Serving
    support: Support
    chosen: Chosen
    need: Need
    extends: str
    kind: Literal["chat", "text", "picture"]
    capability: str | None = None
    """Where the weights' format needs a newer GPU than the preset says."""
    base: OtherBase | None = None


def offer(asked: Asked, around: Surroundings, note: Callable[[str], None]) -> Offer:
    """Decide. `note` gets lines worth reading. Raises UsageError, PresetError, FetchError, MachineError."""
    chosen = serving.choose(asked.preset, around.folder, around.machine, around.matrix)
    base = other_base(asked.base, chosen.preset) if asked.base is not None else None
    checkpoint = look(asked.named, around.settings, around.web, asked=asked.hubs, note=note)
    formats.choose(checkpoint, with_code=False)  # what is no language model at all is said first
    found = support.judge(checkpoint, chosen.release, trusted=asked.trust_code)
    if asked.trust_code and not found.needs_code:
        note(f"--trust-remote-code is not needed: {chosen.release.title} knows the model, and its own code is left out")
    files_ = formats.choose(checkpoint, with_code=found.needs_code)
    capability = _capability(found.capability, chosen)
    if chosen.release.engine == "vllm" and found.capability:
        serving.check_format(found.capability, around.machine(), f"weights in {checkpoint.quantisation}")
    takes = found.takes_pictures and checkpoint.has_template
    return Offer(
        checkpoint=checkpoint, serving=chosen, support=found, chosen=files_, base=base, capability=capability,
        need=memory.need(checkpoint, files_.weights_bytes, chosen.release.engine, with_picture=takes),
        extends=scaffold.extends(chosen.argument, around.folder),
        kind="picture" if takes else "chat" if checkpoint.has_template else "text",
    )  # fmt: skip


def write(made: Offer, around: Surroundings, *, force: bool) -> tuple[Path, ...]:
    """Write devenv.yaml, its schema and the smoke test into the project's folder; the files. Raises PresetError for
    versions that cannot work together too, before anything is written."""
    scaffold.require_free(around.folder, force=force)
    content = text.yaml_text(made, default_name(around.folder / PROJECT_FILE), report.lines(made))
    check = around.folder / text.CHECK
    was_there = os.path.lexists(check)
    try:
        program = files.read(presets_dir() / "completions" / "completion.py", most_bytes=files.STATE_BYTES)
        if was_there and not force and files.read(check, most_bytes=files.STATE_BYTES) != program:
            raise PresetError(
                f"{display(check)} exists already, with other content",
                hint="move it away, or overwrite it with 'devenv init --force'",
            )
        files.write_below(around.folder, text.CHECK, program)
    except OSError as error:
        raise scaffold.unwritable(around.folder, error) from None
    try:
        verdict.refuse(scaffold.checked(around.folder, content), around.matrix)
    except PresetError as error:
        if not was_there:
            check.unlink(missing_ok=True)
        raise scaffold.in_new_file(error) from None
    return (*scaffold.write_text(around.folder, content, force=force), check)


def _capability(needed: str | None, chosen: Serving) -> str | None:
    own = chosen.preset.gpu.min_capability if chosen.preset.gpu else None
    return needed if needed and (own is None or numbers(needed) > numbers(own)) else None
