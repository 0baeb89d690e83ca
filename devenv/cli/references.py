"""A word of the command line that may name an image in a registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files

if TYPE_CHECKING:
    from devenv.share.remote import Remote
    from devenv.up.session import Session


def may_be_reference(name: str | None) -> bool:
    """Whether it begins with a host and is no file here, so that it can only be meant as HOST/NAME:TAG."""
    if name is None or name.startswith((".", "/", "~")) or files.is_there(Path(name)):
        return False
    host, slash, _ = name.partition("/")
    return bool(slash) and (host == "localhost" or "." in host or ":" in host)


def remote(name: str, session: Session) -> Remote:
    """What HOST/NAME:TAG leads to, signed as this machine and the project of this folder require. Raises UsageError for
    another form, ShareError."""
    from devenv.doors.http.registry.reference import Reference
    from devenv.preset.project_root import project_of
    from devenv.share.place import InRegistry
    from devenv.share.remote import look

    return look(InRegistry(reference=Reference.parse(name)), session, project=project_of(Path.cwd()))
