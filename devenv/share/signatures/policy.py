"""Which signatures an image needs: by the rules of this machine, and by those of the project. All must hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.doors.settings.signature_rules import KNOWN, SignatureRule, rules, ruling
from devenv.doors.untrusted import from_yaml
from devenv.errors import UsageError
from devenv.preset.yaml.nodes import display
from devenv.share.signatures.payload import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devenv.doors.http.registry.reference import Reference
    from devenv.doors.settings.settings import Settings

PROJECT_POLICY = "devenv.policy.yaml"
"""Beside the project's devenv.yaml."""
SECTION = "require_signature"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A signature that an image needs. `where`: the file that demands it; a project's files may not lead out of
    `inside`."""

    where: str
    rule: SignatureRule
    inside: Path | None = None

    def read(self, path: Path) -> bytes:
        """One of the files that the rule names. Raises UsageError."""
        try:
            return files.read(path, most_bytes=files.STATE_BYTES, inside=self.inside)
        except OSError as error:
            raise UsageError(
                f"cannot read {display(path)}, which says who may sign: {files.reason(error)}",
                where=self.where,
                hint=files.hint(error) or f"put the file there, or name another one: {KNOWN}",
            ) from None


def policy(reference: Reference, settings: Settings, project: Path | None) -> tuple[Demand, ...]:
    """What the image of a reference needs; empty when nothing requires a signature. `project`: the folder of the
    project in which it is to be used. Raises UsageError."""
    return tuple(_demands(name_of(reference), settings, project))


def policy_of_files(settings: Settings, project: Path | None) -> tuple[Demand, ...]:
    """What an image needs that comes from no registry: the rules for all images alone count. Raises UsageError."""
    return tuple(_demands("", settings, project))


def _demands(name: str, settings: Settings, project: Path | None) -> Iterator[Demand]:
    machine = ruling(settings.signature_rules, name)
    if machine:
        path = settings.dirs.config / "config.yaml"
        yield Demand(where=_where(path, machine), rule=machine)
    if project is not None and files.is_there(path := project / PROJECT_POLICY):
        own = ruling(_of_project(path, project), name)
        if own:
            yield Demand(where=_where(path, own), rule=own, inside=project)


def _where(path: Path, rule: SignatureRule) -> str:
    return f"{display(path)} ({SECTION}: {rule.scope})"


def _of_project(path: Path, project: Path) -> tuple[SignatureRule, ...]:
    def refused(why: str, hint: str | None = None) -> UsageError:
        return UsageError(why, where=display(path), hint=hint or f"a project's policy has one section: {KNOWN}")

    try:
        document = from_yaml(files.read_text(path, inside=project))
        if not isinstance(document, dict) or set(document) != {SECTION}:
            raise refused("not a policy")
        return rules(document[SECTION], lambda name: project / name)
    except OSError as error:
        raise refused(f"cannot be read: {files.reason(error)}", files.hint(error)) from None
    except ValueError as error:
        raise refused(f"{SECTION}: {error}") from None
