"""What a container changed in its image, from outside: the paths of its own layer, and the files as a tar.

Nothing in the container runs. Where this user can read the layer's folder (root, overlay2), its entries are the
changes, and that takes milliseconds. Elsewhere the engine compares two trees, which takes seconds, and misses a file
whose size and times are those of before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from devenv.doors.docker.container_files import ContainerFiles
from devenv.doors.docker.forward import Forward
from devenv.doors.docker.own_files import OwnFiles
from devenv.doors.docker.sdk import checked, guarded
from devenv.errors import EngineError

Members = Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]
_KINDS = ("changed", "added", "removed")  # as the engine numbers them
_SIZES_TIMEOUT_S = 20  # it counts the files of every volume of the engine
_SILENT_S = 600  # for so long an engine may send nothing of an archive
_SYS_ADMIN = 1 << 21  # the capability without which nobody sees an overlay's marks


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A path that a container's own layer has. `kind`: added, changed or removed. All that is in an added folder is
    named too; a removed folder stands for all that was in it."""

    path: str
    kind: str


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """The changes, sorted by path; `own` reads the layer's files where this user can, with the same names."""

    changes: tuple[Change, ...]
    own: OwnFiles | None

    @classmethod
    def of(cls, changes: Iterable[Change], own: OwnFiles | None = None) -> Listed:
        """Changes in any order."""
        return cls(tuple(sorted(changes, key=lambda one: one.path)), own)


class Changes(ContainerFiles):
    """Changes of containers. Every method raises EngineError."""

    @guarded
    def changes(self, container: str) -> Listed:
        """The changes of a container, running or not."""
        data = (self._api.inspect_container(container).get("GraphDriver") or {}).get("Data") or {}
        found = _of_layers(data)
        if found is None:
            rows = self._api.diff(container) or ()
            return Listed.of([Change(row["Path"], _KINDS[row["Kind"]]) for row in rows])
        upper = os.path.realpath(data["UpperDir"])
        # In a container with a user namespace, numbers of owners are others than in the folder.
        return Listed.of(found, OwnFiles(upper) if Path(upper).stat().st_uid == 0 else None)

    @guarded
    def volume_sizes(self) -> Mapping[str, int]:
        """The bytes in every volume, as the engine counts them; -1 or no entry where it does not in time."""
        import requests.exceptions

        address = f"{self._api.base_url}/v{self._api.api_version}/system/df"
        try:
            answer = self._api.get(address, params={"type": "volume"}, timeout=_SIZES_TIMEOUT_S)
        except requests.exceptions.Timeout:
            return {}
        answer.raise_for_status()
        found = answer.json().get("Volumes") or ()
        return {one["Name"]: int((one.get("UsageData") or {}).get("Size", -1)) for one in found}

    @contextlib.contextmanager
    def members(self, container: str, path: str) -> Iterator[Members]:
        """The tar members of a path, with their content, as the engine sends them; none when it does not exist. Each
        content must be read before the next member is asked for. Names begin with the path's last part."""
        answer = self._sent(container, path)
        if answer is None:
            yield iter(())
            return
        hint = "a file may have changed while it was read: run the command again"
        with _members(answer, path, hint=hint) as every:
            yield every

    @contextlib.contextmanager
    def saved(self, reference: str) -> Iterator[Members]:
        """The tar members of an image as `docker save` writes it; to be read as those of `members`."""
        with _members(self._whole(reference), reference, hint="run the command again") as every:
            yield every

    @guarded
    def _sent(self, container: str, path: str) -> Any:
        """The engine's answer; None when the container has no such path."""
        import docker.errors

        try:
            return self._archive(f"containers/{container}/archive", {"path": path})
        except docker.errors.NotFound as missing:
            if not str(missing.explanation).lower().startswith("no such container"):
                return None
            raise

    @guarded
    def _whole(self, reference: str) -> Any:
        return self._archive(f"images/{reference}/get", {})

    def _archive(self, place: str, params: Mapping[str, str]) -> Any:
        """The engine's answer to a request for a tar. Raises what the SDK raises."""
        return checked(self._api.get(
            f"{self._api.base_url}/v{self._api.api_version}/{place}", params=params,
            headers={"Accept-Encoding": "identity"}, stream=True, timeout=_SILENT_S,
        ))  # fmt: skip


@contextlib.contextmanager
def _members(answer: Any, what: str, *, hint: str) -> Iterator[Members]:
    stream = cast("IO[bytes]", Forward(answer.raw))
    try:
        # Close it, because the engine keeps the container busy while it sends.
        with contextlib.closing(answer), tarfile.open(fileobj=stream, mode="r:") as archive:
            yield ((one, archive.extractfile(one) if one.isreg() else None) for one in _each(archive))
    except tarfile.TarError as error:
        raise EngineError(f"what the engine sent of {what} breaks off: {error}", hint=hint) from None


def _each(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members, one by one."""
    while (one := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # it would keep them all
        yield one


def _of_layers(data: Mapping[str, Any]) -> list[Change] | None:
    """The changes as the layer's own folder has them; None where it cannot be read or does not tell all."""
    upper, lower = data.get("UpperDir"), data.get("LowerDir")
    if not upper or not lower or not os.access(upper, os.R_OK | os.X_OK) or not _sees_marks(Path(upper)):
        return None
    try:
        return list(_walk(os.path.realpath(upper), [Path(one) for one in lower.split(":")]))
    except (OSError, _IndirectError):
        return None


class _IndirectError(Exception):
    pass


def _sees_marks(upper: Path) -> bool:
    """Whether the marks in the layer are those that this process can see: an engine without root has others, which
    programs in the container can make too."""
    try:
        rights = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
        return upper.parent.stat().st_uid == 0 and rights is not None and bool(int(rights[1], 16) & _SYS_ADMIN)
    except OSError:
        return False


def _walk(upper: str, below: Sequence[Path]) -> Iterator[Change]:
    """The changes in a layer's folder; `below`: the folders that it covers, the uppermost first."""
    waiting = [("", below)]
    while waiting:
        folder, covers = waiting.pop()
        for name, facts, is_whole in _listed(upper, folder):
            here = f"{folder}/{name}"
            covered = _covered(name, covers)
            if _is_whiteout(facts):
                if covered:
                    yield Change(here, "removed")
            elif not stat.S_ISDIR(facts.st_mode):
                yield Change(here, "changed" if covered else "added")
            elif is_whole or not covered or not stat.S_ISDIR(covered[0].lstat().st_mode):
                # Where the image has something of that name, that is gone as a whole.
                if covered:
                    yield Change(here, "removed")
                yield Change(here, "added")
                waiting.append((here, ()))
            else:
                if _owned(covered[0].lstat()) != _owned(facts):
                    yield Change(here, "changed")
                waiting.append((here, covered))


def _listed(upper: str, folder: str) -> list[tuple[str, os.stat_result, bool]]:
    """(name, facts, whether it is a folder that hides the one below) of all in a folder of the layer. The container
    goes on: what goes meanwhile is left out, and a folder that becomes a link is not followed."""
    found: list[tuple[str, os.stat_result, bool]] = []
    try:
        opened = os.open(f"{upper}{folder}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return found
    try:
        if str(Path(f"/proc/self/fd/{opened}").readlink()) != f"{upper}{folder}":
            return found
        with os.scandir(opened) as listing:
            for one in listing:
                with contextlib.suppress(FileNotFoundError):
                    facts = one.stat(follow_symlinks=False)
                    mine = f"/proc/self/fd/{opened}/{one.name}"
                    found.append((one.name, facts, stat.S_ISDIR(facts.st_mode) and _is_opaque(mine)))
    finally:
        os.close(opened)
    return found


def _covered(name: str, below: Sequence[Path]) -> list[Path]:
    """What the layers below have under that name, as far down as it shows through."""
    found: list[Path] = []
    for folder in below:
        path = folder / name
        try:
            facts = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if _is_whiteout(facts):
            break
        if found and not stat.S_ISDIR(facts.st_mode):
            break
        found.append(path)
        if not stat.S_ISDIR(facts.st_mode) or _is_opaque(path):
            break
    return found


def _is_whiteout(facts: os.stat_result) -> bool:
    return stat.S_ISCHR(facts.st_mode) and facts.st_rdev == 0


def _owned(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_mode, facts.st_uid, facts.st_gid


def _is_opaque(path: str | Path) -> bool:
    names = os.listxattr(path, follow_symlinks=False)
    if "trusted.overlay.redirect" in names:  # a renamed folder, whose content lies elsewhere below
        raise _IndirectError
    return "trusted.overlay.opaque" in names and os.getxattr(path, "trusted.overlay.opaque") == b"y"
