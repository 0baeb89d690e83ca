"""Volumes of an environment in a snapshot: each as a tar, read from and put into a container through the engine."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from devenv.container.labels import HOST_MOUNT, Running
from devenv.doors.docker.engine import Engine
from devenv.doors.terminal.progress import Progress
from devenv.drift.observe import host_numbers
from devenv.secrets.search import as_bytes
from devenv.snapshot.store import Snapshot, Snapshots, volume_file

_CHUNK_BYTES = 1 << 20
_XATTRS = "SCHILY.xattr."
_BRIEF = ("CachedProfilesData", "CachedExtensionVSIXs", "logs", "coder-logs")


def mounts(running: Running, *, workspace: bool, data: bool) -> tuple[str, ...]:
    """The mount points to take: /workspace, and the volumes that are the environment's own. Never weights, which have
    a lock of their own."""
    own = [
        one.target for one in running.facts.mounts
        if not one.read_only and one.target not in ("/workspace", HOST_MOUNT) and one.kind == "volume"
    ]  # fmt: skip
    return (*(["/workspace"] if workspace else []), *(sorted(own) if data else []))


def take(
    running: Running, wanted: Sequence[str], folder: Path, engine: Engine, progress: Progress
) -> dict[str, int]:  # fmt: skip
    """Write a tar of each mount point into `folder`; returns their sizes in bytes. Raises EngineError, OSError."""
    sizes: dict[str, int] = {}
    users, groups = host_numbers(engine.inspection(running.facts.id))
    for mount in wanted:
        progress.message(mount)
        folder.mkdir(exist_ok=True)
        place = folder / volume_file(mount)
        with (
            tarfile.open(place, "x:", format=tarfile.PAX_FORMAT) as copy,
            engine.members(running.facts.id, mount) as every,
        ):
            for member, content in every:
                # Below the mount point, because it has another name in another environment.
                member.name = f"./{member.name.strip('/').partition('/')[2]}"
                if member.islnk():
                    member.linkname = f"./{member.linkname.strip('/').partition('/')[2]}"
                if not member.isdev() and not _is_brief(member.name):
                    member.uid, member.gid = users.get(member.uid, member.uid), groups.get(member.gid, member.gid)
                    member.uname = member.gname = ""
                    # Else the headers of the engine's tar win over the new name and owner.
                    member.pax_headers = {
                        key: value for key, value in member.pax_headers.items() if key.startswith(_XATTRS)
                    }
                    copy.addfile(member, content)
                    copy.members.clear()  # type: ignore[attr-defined]  # it would keep them all
        sizes[mount] = place.stat().st_size
    return sizes


def files_of(folder: Path, mount: str) -> Iterator[tuple[str, str, Iterator[bytes]]]:
    """(path in the container, kind, content) of each file and link of a taken mount point: a link's content is where it
    leads to, and a file has its content under its first name only."""
    with tarfile.open(folder / volume_file(mount), "r|") as archive:
        for member in archive:
            path = posixpath.normpath(posixpath.join(mount, member.name))
            if member.isreg() and (content := archive.extractfile(member)):
                yield path, "file", iter(partial(content.read, _CHUNK_BYTES), b"")
            elif member.islnk():  # the name may be a secret file's
                yield path, "file", iter(())
            elif member.issym():
                yield path, "symlink", iter([as_bytes(member.linkname)])


def to_fill(snapshot: Snapshot, kept: Snapshots, environment: str) -> dict[str, Path]:
    """Mount point → tar, for an environment that may have another name than the one that was kept."""
    return {
        mount_in(environment, mount, snapshot.environment): kept.volume(snapshot, mount) for mount in snapshot.volumes
    }


def mount_in(environment: str, mount: str, was: str) -> str:
    """The mount point in an environment of what had the point `mount` in the one called `was`."""
    return f"/mnt/{environment}" if mount == f"/mnt/{was}" else mount


def sizes(wanted: Sequence[str], running: Running, engine: Engine) -> dict[str, int]:
    """Mount point → bytes, as the engine counts them; -1 for a folder of this host."""
    known = engine.volume_sizes()
    names = {one.target: one.source for one in running.facts.mounts}
    return {mount: known.get(names.get(mount, ""), -1) for mount in wanted}


def _is_brief(name: str) -> bool:
    """What the editor makes anew at every start."""
    parts = name.split("/")
    return ".code-server" in parts and any(one in parts for one in _BRIEF)
