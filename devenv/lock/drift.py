"""Whether a lock still fits its preset: the pins that decide it, in one canonical form, and the differences."""

from __future__ import annotations

import dataclasses
from typing import Any

from devenv.doors.dirs import templates_digest
from devenv.errors import LockError
from devenv.lock.builtin_packages import IMAGE_PACKAGES, SYSTEM_PACKAGES, TOOLCHAIN_PACKAGES
from devenv.lock.model import Lock
from devenv.preset.model import Archive, Preset
from devenv.preset.own_wheel import own_wheel
from devenv.preset.repository import repository

TEMPLATES = "templates"
"""The section of devenv's own parts of the image, which differ between versions of devenv."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One difference: the pin in the lock, and the pin in the preset now (`—` for none)."""

    section: str
    locked: str
    wanted: str


def inputs(preset: Preset) -> dict[str, Any]:
    """The preset's pins by section; without order, layout and values that a lock does not resolve."""
    editor = preset.code_server
    found = {
        "base": preset.base.bootstrap or f"image {preset.base.image}",
        "python": preset.python,
        "system": sorted(IMAGE_PACKAGES if preset.base.image else SYSTEM_PACKAGES),
        "apt": sorted(set(preset.packages())),
        "apt_components": sorted(set(preset.apt_components)),
        "cuda": preset.cuda,
        "pip": sorted({_canonical(requirement) for requirement in preset.requirements()}),
        "npm": sorted(set(preset.npm)),
        "node": preset.node,
        "code_server": editor and _joined(editor.version, editor.source, editor.archive),
        "toolchain": sorted(TOOLCHAIN_PACKAGES) if editor and editor.source == "npm" else [],
        "extensions": sorted(
            extension.lower()
            if isinstance(extension, str)
            else _joined(extension.id, extension.version, extension.archive)
            for extension in preset.extensions
        ),
        "model": _model(preset),
        TEMPLATES: templates_digest(),
    }
    return {section: pins for section, pins in found.items() if pins}


def compare(lock: Lock, preset: Preset) -> tuple[Drift, ...]:
    """The differences, by section; empty when the lock fits."""
    wanted = inputs(preset)
    found: list[Drift] = []
    for section in dict.fromkeys((*wanted, *lock.inputs)):
        before, after = lock.inputs.get(section), wanted.get(section)
        if isinstance(before, list) or isinstance(after, list):
            found += _listed(section, {str(pin) for pin in before or ()}, {str(pin) for pin in after or ()})
        elif before != after:
            found.append(Drift(section=section, locked=_shown(before), wanted=_shown(after)))
    return tuple(found)


def require_fit(lock: Lock, preset: Preset, *, where: str | None = None, command: str = "devenv lock") -> None:
    """Raise LockError with the differences and the `command` to run, unless the lock fits the preset."""
    drift = compare(lock, preset)
    if drift and all(difference.section == TEMPLATES for difference in drift):
        raise LockError(
            "the lock was made with the templates of another devenv version: it would give another image",
            where=where,
            hint=f"update the lock, its packages stay as they are: {command}; or use the devenv version that made it",
        )
    if drift:
        first = drift[0]
        raise LockError(
            f"the lock is stale: {first.section}: {first.locked} → {first.wanted}",
            where=where,
            detail="\n".join(
                f"{difference.section}: {difference.locked} → {difference.wanted}" for difference in drift[1:]
            )
            or None,
            hint=f"bring it up to date: {command}",
        )


def _listed(section: str, before: set[str], after: set[str]) -> list[Drift]:
    """The removed and added entries of a list, as one change where only the version differs."""
    gone, new = sorted(before - after), sorted(after - before)
    changed = {pin: next((other for other in new if _name(pin) == _name(other)), None) for pin in gone}
    came = [pin for pin in new if pin not in changed.values()]
    return [
        *(Drift(section=section, locked=pin, wanted=changed[pin] or "—") for pin in gone),
        *(Drift(section=section, locked="—", wanted=pin) for pin in came),
    ]


def _shown(pin: Any) -> str:
    return "—" if pin is None else str(pin)


def _name(pin: str) -> str:
    """The part of an entry that stays when its version changes."""
    for sign in ("==", ">=", "<=", "~=", "!=", ">", "<", " ", "="):
        pin = pin.partition(sign)[0]
    return pin.rpartition("@")[0] or pin


def _canonical(requirement: str) -> str:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    if own := own_wheel(requirement):  # independent of its path on this machine
        return f"{own.name}=={own.version} sha256 {own.sha256}"
    parsed = Requirement(requirement)
    place = repository(requirement)
    extras = f"[{','.join(sorted(canonicalize_name(extra) for extra in parsed.extras))}]" if parsed.extras else ""
    specifier = f" {place.pin}" if place else ",".join(sorted(str(one) for one in parsed.specifier))
    return canonicalize_name(parsed.name) + extras + specifier + (f"; {parsed.marker}" if parsed.marker else "")


def _model(preset: Preset) -> list[str]:
    model = preset.model
    if model is None:
        return []
    hubs = (("huggingface", model.huggingface), ("modelscope", model.modelscope))
    return [
        *(f"{hub} {one.id}@{one.revision}" for hub, one in hubs if one),
        *(f"allow {pattern}" for pattern in sorted(set(model.allow))),
        *(f"deny {pattern}" for pattern in sorted(set(model.deny))),
    ]


def _joined(name: str, rest: str, archive: Archive | None) -> str:
    return f"{name} {rest}" + (f" sha256 {archive.sha256}" if archive else "")
