"""A word of the command line that may name an image in a registry, or an export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files

if TYPE_CHECKING:
    from devenv.share.place import Place
    from devenv.share.remote import Remote
    from devenv.up.session import Session


def may_be_reference(name: str | None) -> bool:
    """Whether it is an export here, or begins with a host and is no file here, so that it can only be meant as
    HOST/NAME:TAG."""
    if name is None:
        return False
    if files.is_there(Path(name)):
        from devenv.share.layout_files import is_layout

        return is_layout(Path(name))
    if name.startswith((".", "/", "~")):
        return False
    host, slash, _ = name.partition("/")
    return bool(slash) and (host == "localhost" or "." in host or ":" in host)


def place(name: str) -> Place:
    """An export here, or HOST/NAME:TAG. Raises UsageError for another form."""
    from devenv.doors.http.registry.reference import Reference
    from devenv.share.layout import InLayout
    from devenv.share.place import InRegistry

    path = Path(name)
    return InLayout(path=path) if path.exists() else InRegistry(reference=Reference.parse(name))


def remote(name: str, session: Session) -> Remote:
    """What such a name leads to, signed as this machine and the project of this folder require. Raises UsageError for
    another form, ShareError."""
    from devenv.preset.project_root import project_of
    from devenv.share.remote import look

    return look(place(name), session, project=project_of(Path.cwd()))
