"""The repositories that this user has pushed to: their registry can take a blob from one of them without the bytes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from devenv.doors import atomic, files
from devenv.doors.untrusted import from_json

if TYPE_CHECKING:
    from devenv.doors.http.registry.reference import Reference
    from devenv.up.session import Session

_MOST = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pushes:
    """A file for each registry, with its repositories, the latest first."""

    folder: Path

    @classmethod
    def of(cls, session: Session) -> Self:
        """Those of this user."""
        return cls(folder=session.dirs.state / "pushes")

    def origins(self, reference: Reference) -> tuple[str, ...]:
        """The other repositories of the same registry, the latest first."""
        return tuple(one for one in self._known(reference) if one != reference.repository)

    def remember(self, reference: Reference) -> None:
        """A push to this repository has succeeded."""
        every = [reference.repository, *self.origins(reference)][:_MOST]
        if every != self._known(reference):
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic.write(self._file(reference), json.dumps(every))

    def _known(self, reference: Reference) -> list[str]:
        try:
            found = from_json(files.read_text(self._file(reference)))
        except (OSError, ValueError):
            return []
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []

    def _file(self, reference: Reference) -> Path:
        return self.folder / f"{quote(reference.host, safe='')}.json"
