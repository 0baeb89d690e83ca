"""A word of the command line that may name an image in a registry, or an export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.share.place import Place
    from devenv.share.remote import Remote
    from devenv.up.session import Session


def may_be_reference(name: str | None) -> bool:
    """Whether it is an export here, or begins with a host and is no file here, so that it can only be meant as
    HOST/NAME:TAG. Raises UsageError for what is both, and for a part of an export."""
    if name is None:
        return False
    if files.is_there(Path(name)):
        _check_file(name)
        from devenv.share.layout_files import is_layout
        from devenv.share.parts import may_be_part

        if may_be_part(Path(name)):
            raise UsageError(f"{name} is a part of an export", hint=f"bring all parts here first: devenv import {name}")
        return is_layout(Path(name))
    if name.startswith((".", "/", "~")):
        return False
    host, slash, _ = name.partition("/")
    return bool(slash) and (host == "localhost" or "." in host or ":" in host)


def place(name: str) -> Place:
    """An export here, or HOST/NAME:TAG. Raises UsageError for another form, and for what is both."""
    from devenv.doors.http.registry.reference import Reference
    from devenv.share.layout import InLayout
    from devenv.share.place import InRegistry

    path = Path(name)
    if not path.exists():
        return InRegistry(reference=Reference.parse(name))
    _check_file(name)
    return InLayout(path=path)


def remote(name: str, session: Session) -> Remote:
    """What such a name leads to, signed as this machine and the project of this folder require. Raises UsageError for
    another form, ShareError."""
    from devenv.preset.project_root import project_of
    from devenv.share.remote import look

    return look(place(name), session, project=project_of(Path.cwd()))


def _check_file(name: str) -> None:
    """Raise UsageError for a file here that has the name of an image. A project could have one, and it would be used
    without the signature that the image needs."""
    from devenv.doors.http.registry.reference import Reference

    try:
        reference = Reference.parse(name)
    except UsageError:
        return
    if reference.tag or reference.digest:
        raise UsageError(
            f"{name} is the name of an image, and a file here has it too",
            hint=f"for the file write ./{name}; for the image go to another folder",
        )
