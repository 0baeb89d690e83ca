"""What a diff finds, as values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

from devenv.drift.observe import Difference

KINDS = {
    "python": "Python packages", "apt": "Debian packages", "npm": "npm packages", "extension": "editor extensions",
    "kernel": "Jupyter kernels", "settings": "settings", "container": "container", "secret": "secrets",
    "file": "own files",
}  # fmt: skip
"""The classes of differences, in the order in which they are shown."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One difference as a person names it: a package, a setting, a file. `change`: added, changed, removed, edited
    (files inside it), editable (installed from a folder); `was` and `now` are versions or values; `paths` are the
    differing files, sorted; `bytes` is what the new ones hold."""

    kind: str
    change: str
    name: str
    was: str = ""
    now: str = ""
    paths: tuple[str, ...] = ()
    bytes: int = 0
    asked_for: bool = False  # a person named it; it did not come as a dependency
    origin: str = ""  # where a package came from, when not from an index: a folder, a repository, an address
    note: str = ""


class Pool:
    """The differences that nothing has explained yet."""

    def __init__(self, differences: Mapping[str, Difference]) -> None:
        self._left = dict(differences)

    def __iter__(self) -> Iterator[Difference]:
        return iter(tuple(self._left.values()))

    def __contains__(self, path: str) -> bool:
        return path in self._left

    def get(self, path: str) -> Difference | None:
        """The difference at that path."""
        return self._left.get(path)

    def below(self, folder: str) -> tuple[Difference, ...]:
        """The differences of a folder and of all in it."""
        return tuple(one for path, one in self._left.items() if path == folder or path.startswith(f"{folder}/"))

    def take(self, wanted: Callable[[Difference], bool]) -> tuple[Difference, ...]:
        """Take out what fits."""
        taken = tuple(one for one in self._left.values() if wanted(one))
        self.drop(taken)
        return taken

    def drop(self, differences: Iterable[Difference]) -> None:
        """Take these out."""
        for one in differences:
            self._left.pop(one.path, None)


def in_order(items: Iterable[Item]) -> tuple[Item, ...]:
    """By kind, in the order of KINDS, then by name."""
    kinds = list(KINDS)
    return tuple(sorted(items, key=lambda one: (kinds.index(one.kind), one.name)))


def total_bytes(differences: Iterable[Difference]) -> int:
    """What the new or changed files hold."""
    return sum(one.after.size for one in differences if one.after and one.after.kind in ("file", "hardlink"))
