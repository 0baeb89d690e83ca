"""Packages without wheels, as the build gets them: their files, the lists beside these, the stages by themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from devenv.lock.model import Artifact, Lock
from devenv.render.lists import SUMS, pinned, sums

FOLDER = "artifacts/sources"


def source_files(lock: Lock) -> Iterator[tuple[str, Artifact]]:
    """The place of each file in the build context: the archives, their build requirements, the toolchain."""
    for deb in lock.debs()["sources"]:
        yield f"{FOLDER}/toolchain/{deb.file}", deb
    for source in lock.sourced:
        yield f"{FOLDER}/{source.stage}/{source.file}", source
        for wheel in source.requires:
            yield f"{FOLDER}/{source.stage}/requires/{wheel.file}", wheel


def source_lists(lock: Lock) -> dict[str, str]:
    """The lists that the builds read: names and hashes."""
    lists = {}
    if toolchain := lock.debs()["sources"]:
        lists[f"{FOLDER}/toolchain/{SUMS}"] = sums((deb.file, deb) for deb in toolchain)
    for source in lock.sourced:
        lists[f"{FOLDER}/{source.stage}/{SUMS}"] = sums([(source.file, source)])
        lists[f"{FOLDER}/{source.stage}/requires/requirements.txt"] = pinned(source.requires)
    return lists


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What the templates of these stages read, where there is no plan yet."""

    lock: Lock
    user: str
    uid: int
    group: str
    gid: int

    @property
    def python(self) -> str:
        """MAJOR.MINOR, as the lock has it."""
        return str(self.lock.inputs["python"])
