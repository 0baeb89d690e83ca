"""What a container changed in its image, from outside: the paths of its own layer, and the files as a tar.

Nothing in the container runs. Where this user can read the layer's folder (root, overlay2), its entries are the
changes, and that takes milliseconds. Elsewhere the engine compares two trees, which takes seconds, and misses a file
whose size and times are those of before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from devenv.doors.docker.container_files import ContainerFiles
from devenv.doors.docker.sdk import guarded

_KINDS = ("changed", "added", "removed")  # as the engine numbers them
# What makes a layer's folder more than a list of changes: renamed folders, and files whose content lies below.
_INDIRECT = ("trusted.overlay.redirect", "trusted.overlay.metacopy", "user.overlay.redirect", "user.overlay.metacopy")


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A path that a container's own layer has. `kind`: added, changed or removed. All that is in an added folder is
    named too; a removed folder stands for all that was in it."""

    path: str
    kind: str


class Changes(ContainerFiles):
    """Changes of containers. Every method raises EngineError."""

    @guarded
    def changes(self, container: str) -> tuple[Change, ...]:
        """The changes of a container, running or not, sorted by path."""
        facts = self._api.inspect_container(container)
        found = _of_layers((facts.get("GraphDriver") or {}).get("Data") or {})
        if found is None:
            rows = self._api.diff(container) or ()
            found = [Change(row["Path"], _KINDS[row["Kind"]]) for row in rows]
        return tuple(sorted(found, key=lambda one: one.path))

    @guarded
    def volume_sizes(self) -> Mapping[str, int]:
        """The bytes in every volume, as the engine counts them; -1 where it does not."""
        address = f"{self._api.base_url}/v{self._api.api_version}/system/df"
        answer = self._api.get(address, params={"type": "volume"})
        answer.raise_for_status()
        found = answer.json().get("Volumes") or ()
        return {one["Name"]: int((one.get("UsageData") or {}).get("Size", -1)) for one in found}

    @guarded
    @contextlib.contextmanager
    def members(self, container: str, path: str) -> Iterator[Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]]:
        """The tar members of a path, with their content, as the engine sends them; none when it does not exist. Each
        content must be read before the next member is asked for. Names begin with the path's last part."""
        import docker.errors

        try:
            chunks, _ = self._api.get_archive(container, path)
        except docker.errors.NotFound:
            yield iter(())
            return
        # Close it, because the engine keeps the container busy while it sends.
        stream = cast("IO[bytes]", _Chunks(chunks))
        with contextlib.closing(chunks), tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as archive:
            yield ((one, archive.extractfile(one) if one.isreg() else None) for one in _each(archive))


def _each(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members, one by one."""
    while (one := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # it would keep them all
        yield one


class _Chunks:
    """A file to read from, made of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, b""

    def read(self, size: int) -> bytes:
        while len(self._left) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._left += chunk
        given, self._left = self._left[:size], self._left[size:]
        return given


def _of_layers(data: Mapping[str, Any]) -> list[Change] | None:
    """The changes as the layer's own folder has them; None where it cannot be read or does not tell all."""
    upper, lower = data.get("UpperDir"), data.get("LowerDir")
    if not upper or not lower or not os.access(upper, os.R_OK | os.X_OK):
        return None
    try:
        return list(_walk(Path(upper), "", [Path(one) for one in lower.split(":")]))
    except (OSError, _IndirectError):
        return None


class _IndirectError(Exception):
    pass


def _walk(folder: Path, path: str, below: Sequence[Path]) -> Iterator[Change]:
    """The changes in a folder of the layer; `below`: the folders that it covers, the uppermost first."""
    with os.scandir(folder) as listing:
        for one in listing:
            facts = one.stat(follow_symlinks=False)
            here = f"{path}/{one.name}"
            covered = _covered(one.name, below)
            if stat.S_ISCHR(facts.st_mode) and facts.st_rdev == 0:
                yield Change(here, "removed")
            elif not stat.S_ISDIR(facts.st_mode):
                yield Change(here, "changed" if covered else "added")
            elif not covered or not stat.S_ISDIR(covered[0].lstat().st_mode) or _is_opaque(one.path):
                # Where the image has something of that name, that is gone as a whole.
                if covered:
                    yield Change(here, "removed")
                yield Change(here, "added")
                yield from _walk(Path(one.path), here, ())
            else:
                if _owned(covered[0].lstat()) != _owned(facts):
                    yield Change(here, "changed")
                yield from _walk(Path(one.path), here, covered)


def _covered(name: str, below: Sequence[Path]) -> list[Path]:
    """What the layers below have under that name, as far down as it shows through."""
    found: list[Path] = []
    for folder in below:
        path = folder / name
        try:
            facts = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISCHR(facts.st_mode) and facts.st_rdev == 0:
            break
        if found and not stat.S_ISDIR(facts.st_mode):
            break
        found.append(path)
        if not stat.S_ISDIR(facts.st_mode) or _is_opaque(path):
            break
    return found


def _owned(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_mode, facts.st_uid, facts.st_gid


def _is_opaque(path: str | Path) -> bool:
    names = os.listxattr(path, follow_symlinks=False)
    if any(one in names for one in _INDIRECT):
        raise _IndirectError
    return any(
        one in names and os.getxattr(path, one) == b"y" for one in ("trusted.overlay.opaque", "user.overlay.opaque")
    )
