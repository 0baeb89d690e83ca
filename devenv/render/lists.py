"""The lists that installers read beside artifacts, and the artifacts of the first stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from devenv.lock.model import Artifact, Lock, Wheel

SUMS = "SHA256SUMS"
"""Beside artifacts: their hashes and names, as sha256sum reads them, packages in the order of their unpacking."""


def sums(entries: Iterable[tuple[str, Artifact]]) -> str:
    """The content of SUMS for these files, by their names."""
    return "".join(f"{artifact.sha256}  {file}\n" for file, artifact in entries)


def pinned(wheels: Iterable[Wheel]) -> str:
    """A requirements file of exactly these wheels, with their hashes."""
    return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels)


def first_files(lock: Lock) -> Iterator[tuple[str, Artifact]]:
    """The place of each file that every build begins with: the base's packages, and uv."""
    for deb in lock.base.packages:
        yield f"artifacts/base/{deb.file}", deb
    yield f"artifacts/uv/{lock.uv.file}", lock.uv


def first_lists(lock: Lock) -> dict[str, str]:
    """The lists beside these files."""
    return {
        f"artifacts/base/{SUMS}": sums((deb.file, deb) for deb in lock.base.packages),
        f"artifacts/uv/{SUMS}": sums([(lock.uv.file, lock.uv)]),
    }
