"""What a container has otherwise than its image: found from outside, byte by byte. Nothing inside runs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from devenv.build import delta
from devenv.container.labels import Running
from devenv.doors.docker.changes import Change, Listed
from devenv.doors.docker.engine import Engine
from devenv.doors.thread import in_thread
from devenv.drift import entries
from devenv.drift.begin import Begun
from devenv.drift.entries import Entry, Spool
from devenv.drift.paths import is_metadata, is_unread
from devenv.errors import EngineError
from devenv.plan.inside import UID, USER


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One path; None where it does not exist."""

    path: str
    before: Entry | None
    after: Entry | None

    @property
    def change(self) -> str:
        """added, changed or removed."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observed:
    """`differences` by path; `contents`: what the container has in the files that tell about packages and settings;
    `unread`: caches and temporary files, whose content nobody looked at; `image` reads the image's own files."""

    differences: Mapping[str, Difference]
    contents: Mapping[str, bytes]
    unread: tuple[str, ...]
    image_id: str
    image: ImageFiles


class ImageFiles:
    """The files of an image, through a container that is never started."""

    def __init__(self, container: str, engine: Engine) -> None:
        self._container, self._engine = container, engine

    def entries(self, requests: Mapping[str, bool], only: Callable[[str], bool]) -> dict[str, Entry]:
        """What the image has (see `entries.read`)."""
        return entries.read(self._container, requests, self._engine, only=only)[0]

    def text(self, path: str) -> str:
        """A file's text; empty when it does not exist."""
        return self._engine.read_file(self._container, path)

    def texts(self, folder: str, kept: Callable[[str], bool]) -> dict[str, str]:
        """The texts of the files in a folder that `kept` names, by path."""
        _, found = entries.read(self._container, {folder: True}, self._engine, only=kept, kept=kept)
        return {path: content.decode(errors="replace") for path, content in found.items()}


@contextlib.contextmanager
def observed(
    running: Running,
    engine: Engine,
    *,
    spool: Spool | None = None,
    still: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    begun: Begun | None = None,
    meanwhile: Callable[[ImageFiles], None] | None = None,
) -> Iterator[Observed]:
    """The container's differences from the image of its lock, as long as that image's files can be read. A `spool`
    keeps the files' content; the container is read in `still`, and nothing else. `begun`: where the
    engine was asked already; `meanwhile` is called before its answer is waited for. Raises EngineError."""
    facts = begun.facts if begun else engine.inspection(running.facts.id)
    mounts = _mounts(facts)
    image_id, further = image_of_lock(running, engine)
    with engine.laid_open(image_id) as made:
        image = ImageFiles(made, engine)
        if meanwhile:
            meanwhile(image)
        with still():
            listed = begun.listed.result() if begun else engine.changes(running.facts.id)
            found = (*listed.changes, *further)
            changes = [one for one in found if not any(_is_in(one.path, mount) for mount in mounts)]
            unread = tuple(one.path for one in changes if is_unread(one.path))
            changes = [one for one in changes if not is_unread(one.path)]
            if spool:
                spool.leave_room(len(changes))
            # The engine answers for two containers at the same time.
            reading = in_thread("image", partial(_of_image, changes, image))
            after, contents = _after(
                running.facts.id, dataclasses.replace(listed, changes=tuple(changes)), (*mounts, *unread), engine, spool
            )
        before = _before(changes, after, reading.result(), image)
        for one in _never_read(changes, before, after):
            side = before if one.kind == "removed" else after
            side[one.path] = Entry(path=one.path, kind="unread", mode=0, uid=0, gid=0)
        known_as = host_numbers(facts)
        differences = {
            path: Difference(path, was, now)
            for path in sorted({*before, *after})
            if not entries.same(was := _booted(before.get(path)), now := _known(after.get(path), known_as))
        }
        for path in ("/etc/passwd", "/etc/group"):
            if path in differences and _accounts(path, image.text(path), ({}, {})) == _accounts(
                path, contents.get(path, b"").decode(errors="replace"), known_as
            ):
                del differences[path]
        yield Observed(differences=differences, contents=contents, unread=unread, image_id=image_id, image=image)


def image_of_lock(running: Running, engine: Engine) -> tuple[str, tuple[Change, ...]]:
    """(the image that preset and lock alone give, the paths that the container's own image changes in it)."""
    labels = engine.image_labels(running.facts.image)
    below = labels.get(delta.BELOW_LABEL)
    if below is None:
        return running.facts.image, ()
    found = engine.image_id(below)
    if found is None:
        raise EngineError(
            f"the image {below}, which the snapshot of {running.name} is laid over, is gone from this engine",
            hint=f"make it again: devenv up {labels.get(delta.SNAPSHOT_LABEL, 'SNAPSHOT')}",
        )
    try:
        rows = delta.listed(running.facts.image, engine)  # the container may hold another
    except (ValueError, TypeError):
        raise EngineError(
            f"{delta.LIST_FILE} in {running.name} cannot be read, so nobody knows what its snapshot changed",
            hint=f"make the container again: devenv up {labels.get(delta.SNAPSHOT_LABEL, 'SNAPSHOT')}",
        ) from None
    return found, tuple(Change(path, kind) for path, kind in rows)


_ENGINE = ("/.dockerenv", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/mtab", "/usr/sbin/docker-init")
_MEMORY = ("/dev", "/proc", "/sys")


def _mounts(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Where other file systems lie (volumes, folders of the host, memory), and what the engine itself puts in."""
    return (
        *(one["Destination"] for one in facts.get("Mounts") or ()),
        *(facts["HostConfig"].get("Tmpfs") or {}), *_MEMORY, *_ENGINE,
    )  # fmt: skip


_MOST_DIGITS = 10  # of a user's number; Python reads no number of more than 4300


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _after(
    container: str, listed: Listed, barred: Sequence[str], engine: Engine, spool: Spool | None
) -> tuple[dict[str, Entry], dict[str, bytes]]:
    """What the container has at the changed paths: from its own layer what lies there, the rest from the engine."""
    changes = listed.changes
    paths = {one.path for one in changes if one.kind != "removed"}
    found: tuple[dict[str, Entry], dict[str, bytes]] = ({}, {})
    if listed.own:
        found = entries.read_own(listed.own, paths, kept=is_metadata, spool=spool)
    left = paths - {*found[0]}
    changed = [one.path for one in changes if one.kind == "changed" and one.path in left]
    added = [one.path for one in changes if one.kind == "added" and one.path in left]
    named = {entries.as_told(one) for one in left}
    requests = entries.cover(changed, added, (*barred, *found[0]))
    more = entries.read(
        container, requests, engine, only=lambda path: entries.as_told(path) in named, kept=is_metadata, spool=spool
    )
    return found[0] | more[0], found[1] | more[1]


def _of_image(changes: Sequence[Change], image: ImageFiles) -> dict[str, Entry]:
    """What the image has at the changed paths, and below those that are removed."""
    changed = {one.path for one in changes if one.kind == "changed"}
    removed = frozenset(one.path for one in changes if one.kind == "removed" and not is_unread(one.path))
    told, gone = {entries.as_told(one) for one in changed}, {entries.as_told(one) for one in removed}
    return image.entries(
        entries.cover(changed - removed, removed, ()),
        lambda path: (name := entries.as_told(path)) in told or any(above in gone for above in entries.chain(name)),
    )


def _before(
    changes: Sequence[Change], after: Mapping[str, Entry], found: dict[str, Entry], image: ImageFiles
) -> dict[str, Entry]:
    """`found` of the image, and where a file is in a folder's place, all that was in the folder."""
    changed = {one.path for one in changes if one.kind == "changed"}
    lost = frozenset(path for path in changed if _is_folder(found.get(path)) and not _is_folder(after.get(path)))
    return found | image.entries(
        entries.cover((), lost, ()), lambda path: any(above in lost for above in entries.chain(path))
    )


def _never_read(
    changes: Sequence[Change], before: Mapping[str, Entry], after: Mapping[str, Entry]
) -> list[Change]:  # fmt: skip
    """The changed paths whose names are no UTF-8, where the folder above could not be asked for in their place."""
    odd = [one for one in changes if not entries.is_plain(one.path)]
    read = {entries.as_told(path) for path in (*before, *after)} if odd else set()
    return [one for one in odd if entries.as_told(one.path) not in read]


def _is_folder(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == "folder"


def host_numbers(facts: Mapping[str, Any]) -> tuple[dict[int, int], dict[int, int]]:
    """The host user's numbers → those that `dev` has in the image (users, groups)."""
    given = dict(one.partition("=")[::2] for one in facts["Config"].get("Env") or ())
    uid, gid = given.get("DEVENV_UID", ""), given.get("DEVENV_GID", "")
    return ({int(uid): UID} if uid.isdecimal() else {}), ({int(gid): UID} if gid.isdecimal() else {})


def _known(entry: Entry | None, numbers: tuple[dict[int, int], dict[int, int]]) -> Entry | None:
    """The entry with the image's numbers for the user."""
    users, groups = numbers
    if entry is None or not (entry.uid in users or entry.gid in groups):
        return entry
    if 0 in users and not entry.path.startswith(f"/home/{USER}"):
        return entry  # where the user is root, only what lies at home is the user's
    return dataclasses.replace(entry, uid=users.get(entry.uid, entry.uid), gid=groups.get(entry.gid, entry.gid))


def _booted(entry: Entry | None) -> Entry | None:
    """The image's entry as the first start leaves it: the user owns the home folder and all in it."""
    if entry is None or (entry.uid, entry.gid) != (0, 0) or not _is_in(entry.path, f"/home/{USER}"):
        return entry
    return dataclasses.replace(entry, uid=UID, gid=UID)


def _accounts(path: str, text: str, numbers: tuple[dict[int, int], dict[int, int]]) -> set[str]:
    """The lines of /etc/passwd or /etc/group, with the image's numbers for the user."""
    kinds = numbers if path == "/etc/passwd" else numbers[1:]
    lines = set()
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0] == USER:
            fields[2:] = [*map(_number, kinds, fields[2:]), *fields[2 + len(kinds) :]]
        lines.add(":".join(fields))
    return lines


def _number(numbers: Mapping[int, int], text: str) -> str:
    is_number = text.isdecimal() and len(text) <= _MOST_DIGITS
    return str(numbers.get(int(text), text)) if is_number else text
