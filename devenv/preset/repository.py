"""A package in a git repository that a preset names: `NAME @ git+https://…@REVISION#subdirectory=FOLDER`."""

from __future__ import annotations

import dataclasses
import hashlib
import re

from packaging.utils import canonicalize_name

from devenv.preset.requirement import parsed

_URL = re.compile(
    r"git\+(?P<url>https?://[^@/?#\s]+/[A-Za-z0-9._~%/+-]+?)"
    r"(@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/+-]*))?"
    r"(#(egg=[A-Za-z0-9._-]+&)?subdirectory=(?P<folder>[A-Za-z0-9_][A-Za-z0-9._/-]*)|#egg=[A-Za-z0-9._-]+)?"
)
"""Without a login, which would be kept, and without a query, which may be one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """`url` of the repository, http or https; `revision` a commit, a branch or a tag, HEAD without one; `folder` that
    of the package, empty for the top."""

    name: str
    url: str
    revision: str
    folder: str

    @property
    def pin(self) -> str:
        """What the lock keeps of it, without the name of a host."""
        place = hashlib.sha256(f"{self.url} {self.folder}".encode()).hexdigest()[:16]
        return f"git {self.revision} of {place}"


def repository(requirement: str) -> Repository | None:
    """The repository that a requirement refers to; None for all others. Raises InvalidRequirement."""
    asked = parsed(requirement)
    found = _URL.fullmatch(asked.url or "")
    if found is None or {"", ".", ".."} & set((found["folder"] or "x").split("/")):
        return None
    return Repository(
        name=canonicalize_name(asked.name),
        url=found["url"],
        revision=found["revision"] or "HEAD",
        folder=found["folder"] or "",
    )
