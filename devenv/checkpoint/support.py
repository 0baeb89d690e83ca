"""Whether the locked release of an engine knows a checkpoint, and whether the repository's own code is needed."""

from __future__ import annotations

import dataclasses
from typing import Literal

from devenv.checkpoint.checkpoint import Checkpoint
from devenv.compat.architectures import Architectures, Engine, architectures, formats
from devenv.errors import MachineError, UsageError

Knowledge = Literal["known", "by Transformers", "by its own code", "not known"]
_TITLE = {"vllm": "vLLM", "transformers": "Transformers"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What the preset's lock brings: the engine, its version, and the version of Transformers beside vLLM. A version
    that the preset does not pin is None."""

    engine: Engine
    version: str | None
    transformers: str | None

    @property
    def title(self) -> str:
        """For people."""
        return f"{_TITLE[self.engine]} {self.version}" if self.version else _TITLE[self.engine]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """`knowledge`: what is known about the release and the architecture. `takes_pictures`: the smoke test shows one."""

    knowledge: Knowledge
    takes_pictures: bool
    needs_code: bool
    capability: str | None = None
    """The oldest compute capability for the weights' format."""
    packages: tuple[str, ...] = ()
    """Python packages that the format needs besides."""


def judge(checkpoint: Checkpoint, release: Release, *, trusted: bool) -> Support:
    """What the release does with the checkpoint. `trusted`: the user takes the repository's own code.

    Raises UsageError for an architecture that it does not know, or code that the user did not take; MachineError for a
    format of weights that needs a GPU.
    """
    named = checkpoint.architecture
    if not named:
        raise UsageError(
            f"the config.json of {checkpoint.id} names no architecture",
            hint="name a repository in Transformers' form: its config.json has 'architectures'",
        )
    own = architectures(release.engine, release.version)
    backend = own if release.engine == "transformers" else architectures("transformers", release.transformers)
    if own is not None and named in own.pooling:
        raise UsageError(
            f"{checkpoint.id} is {named}, which gives vectors or scores and completes no text",
            hint="this serves models that complete texts; for others write a preset: docs/how-to/own-preset.md",
        )
    elsewhere = _elsewhere(checkpoint)
    knowledge = _knowledge(checkpoint, own, backend)
    needs_code = knowledge == "by its own code" or (knowledge == "not known" and checkpoint.has_code)
    if needs_code and not trusted:
        raise _code(checkpoint, release, own is None)
    if needs_code and elsewhere:
        raise UsageError(
            f"{checkpoint.id} takes its code from another repository, {elsewhere}: the lock would not pin it",
            hint="name a repository that has its code beside the weights",
        )
    if knowledge == "not known" and own is not None and not needs_code:
        raise UsageError(
            f"{release.title} does not know the architecture {named}",
            hint="a newer release may: set 'vllm' and its packages in a preset of your own, and name that preset",
        )
    capability, packages = _format(checkpoint, release)
    return Support(
        knowledge=knowledge, needs_code=needs_code, capability=capability, packages=packages,
        takes_pictures=checkpoint.sees and _listed_with_pictures(named, own, backend),
    )  # fmt: skip


def _knowledge(checkpoint: Checkpoint, own: Architectures | None, backend: Architectures | None) -> Knowledge:
    named = checkpoint.architecture
    listed = own is not None and named in own.text | own.picture
    by_transformers = backend is not None and named in backend.text | backend.picture
    readable = not checkpoint.has_code or checkpoint.type in (own.types if own else frozenset()) | (
        backend.types if backend else frozenset()
    )
    if listed and readable:
        return "known"
    if own is not None and own is not backend and by_transformers and readable:
        return "by Transformers"
    return "by its own code" if own is not None and checkpoint.has_code else "not known"


def _listed_with_pictures(named: str, own: Architectures | None, backend: Architectures | None) -> bool:
    rows = [row for row in (own, backend) if row is not None]
    return not rows or any(named in row.picture for row in rows)


def _elsewhere(checkpoint: Checkpoint) -> str:
    """The other repository that `auto_map` names (`OWNER/NAME--module.Class`), if it does."""
    classes = checkpoint.config.get("auto_map")
    values = classes.values() if isinstance(classes, dict) else ()
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return next((one.partition("--")[0][:100] for one in flat if isinstance(one, str) and "--" in one), "")


def _code(checkpoint: Checkpoint, release: Release, untold: bool) -> UsageError:
    why = (
        f"devenv has no list of the architectures of {release.title}, and cannot tell whether it works without"
        if untold
        else f"{release.title} does not know {checkpoint.architecture} ({checkpoint.type or 'no model_type'}) itself"
    )
    return UsageError(
        f"{checkpoint.id} comes with code of its own, which the server would run: {why}",
        hint="read the .py files of that revision; then say so: --trust-remote-code. The lock pins them by hash, and "
        "they run in the container only",
    )


def _format(checkpoint: Checkpoint, release: Release) -> tuple[str | None, tuple[str, ...]]:
    """The oldest capability for quantised weights, and the packages that they need."""
    method = checkpoint.quantisation
    if not method:
        return None, ()
    if release.engine == "transformers":
        raise MachineError(
            f"{checkpoint.id} has {method} weights, which need a GPU",
            hint="name the repository that they were made from, or use a machine with an NVIDIA GPU: "
            "devenv init vllm --model …",
        )
    known = formats("vllm", release.version)
    if known is None:
        return None, ()
    if method not in known.methods:
        raise UsageError(
            f"{release.title} does not read {method} weights", hint=f"it reads: {', '.join(sorted(known.methods))}"
        )
    found = known.methods[method]
    return found.capability, (found.package,) if found.package else ()
