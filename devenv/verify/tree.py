"""A file system that is read: one root, and other places for the folders at its top that something is mounted over."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Tree:
    """`beside`: name of a folder at the top → the place to read it at; `devices`: the device of such a place → that of
    the root, because one file can have names in both."""

    top: str
    beside: Mapping[str, str] = dataclasses.field(default_factory=dict)
    devices: Mapping[int, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, root: Path, beside: Path | None = None) -> Tree:
        """The tree of `root`, where each folder in `beside` stands for the one of its name. Raises OSError."""
        places = {one.name: str(one) for one in beside.iterdir()} if beside else {}
        own = root.stat().st_dev
        # "/" would give paths that begin with "//".
        return cls(str(root).rstrip("/"), places, {os.lstat(place).st_dev: own for place in places.values()})

    def at(self, path: str) -> str:
        """Where to read a path of the tree; "" is its top."""
        if self.beside:
            first, _, rest = path.partition("/")
            if place := self.beside.get(first):
                return f"{place}/{rest}" if rest else place
        return f"{self.top}/{path}"

    def facts(self, one: os.DirEntry[str], path: str) -> os.stat_result:
        """The facts of a path that its folder lists."""
        return os.lstat(self.beside[path]) if path in self.beside else one.stat(follow_symlinks=False)

    def inode(self, facts: os.stat_result) -> tuple[int, int]:
        """What all names of one file have in common."""
        return self.devices.get(facts.st_dev, facts.st_dev), facts.st_ino
