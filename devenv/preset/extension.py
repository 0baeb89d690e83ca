"""Editor extensions by name: `PUBLISHER.NAME`, or `PUBLISHER.NAME@VERSION`, from a registry of extensions."""

from __future__ import annotations

import dataclasses
import re

_ID = r"[A-Za-z0-9][A-Za-z0-9-]{0,79}\.[A-Za-z0-9][A-Za-z0-9-]{0,79}"
_EXACT = r"[0-9]{1,10}\.[0-9]{1,10}\.[0-9]{1,16}(-[0-9A-Za-z.-]{1,60})?"
NAMED = rf"^{_ID}(@{_EXACT})?$"
"""As devcontainer.json takes them (VS Code's devContainer.vscode.schema.json). Names end up in addresses and paths."""
FILE_ENTRY, NAME_ENTRY = "entry: a file", "entry: a name"
"""The shapes of an entry, where an error's place has one: no key of a preset is called so."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An extension that the preset names. `version` None: the newest that fits."""

    id: str
    version: str | None = None

    @property
    def key(self) -> str:
        """The id as VS Code compares ids: without regard to case."""
        return self.id.lower()


def named(text: str) -> Named:
    """The extension that an entry of that form names."""
    name, _, version = text.partition("@")
    return Named(id=name, version=version or None)


def is_id(text: object) -> bool:
    """Whether a registry's or a package's word is an extension's id."""
    return isinstance(text, str) and re.fullmatch(_ID, text) is not None


def is_version(text: object) -> bool:
    """Whether it is an exact version of an extension."""
    return isinstance(text, str) and re.fullmatch(_EXACT, text) is not None


def shape(entry: object) -> str:
    """Which shape an entry is meant to have."""
    return NAME_ENTRY if isinstance(entry, str) else FILE_ENTRY
