"""Differences to items: each path is explained once, by the most particular owner. Pure but for the image's files that
tell who owns a path."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Callable, Iterable

from devenv.drift import debian, node, packages, python
from devenv.drift.entries import Entry, chain, never
from devenv.drift.items import Item, Pool, in_order, total_bytes
from devenv.drift.observe import Difference, Observed
from devenv.drift.paths import is_noise, program_of
from devenv.lock.model import Lock

_MANY = 20
"""Files of one new or removed folder above this number are one item."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """`items` in the order of KINDS; `noise`: how many files programs left of their own accord."""

    items: tuple[Item, ...]
    noise: int
    derived: tuple[str, ...] = ()  # what Debian packages' own scripts made


def classify(observed: Observed, lock: Lock, is_secret: Callable[[str], bool] = never) -> Classified:
    """Name every difference, or count it as noise."""
    pool = Pool(observed.differences)
    ways = {above for path in (*observed.differences, *observed.unread) for above in chain(posixpath.dirname(path))}
    debs, deb_owner, derived = debian.debian_packages(observed, pool)
    wheels, records = python.python_packages(observed, pool, lock)
    items = [*debs, *wheels, *node.npm_packages(observed, pool), *node.kernels(observed, pool)]
    noise = len(derived) + len(observed.unread) + python.drop_bytecode(pool, observed.differences)
    noise += len(pool.take(lambda one: is_noise(one.path)))
    # Folders that came or went with what is in them.
    pool.drop([one for one in pool if one.path in ways and one.change != "changed" and _is_folder(one)])
    secrets = pool.take(lambda one: _is_file(one.after) and is_secret(one.path))
    items += _each("secret", secrets, lambda _: "")
    items += _each(
        "settings", pool.take(lambda one: program_of(one.path) is not None), lambda path: program_of(path) or ""
    )
    items += packages.edited("python", records.owner, pool)
    items += packages.edited("python", records.inside, pool)
    items += packages.edited("apt", deb_owner, pool)
    items = _joined([*items, *_files(pool, observed)])
    return Classified(items=in_order(items), noise=noise, derived=derived)


def _is_folder(one: Difference) -> bool:
    return (one.after or one.before).kind == "folder"  # type: ignore[union-attr]


def _is_file(entry: Entry | None) -> bool:
    return entry is not None and entry.kind in ("file", "hardlink")


def _each(kind: str, differences: Iterable[Difference], note: Callable[[str], str]) -> list[Item]:
    return [
        Item(
            kind=kind,
            change=one.change,
            name=one.path,
            paths=(one.path,),
            bytes=total_bytes([one]),
            note=note(one.path),
        )
        for one in differences
    ]


def _joined(items: Iterable[Item]) -> list[Item]:
    """One item for all edited files of one package."""
    found: dict[tuple[str, str, str], Item] = {}
    for one in items:
        key = (one.kind, one.change, one.name)
        known = found.get(key) if one.change == "edited" else None
        found[key] = one if known is None else dataclasses.replace(
            one, paths=tuple(sorted({*known.paths, *one.paths})), bytes=known.bytes + one.bytes
        )  # fmt: skip
    return list(found.values())


def _files(pool: Pool, observed: Observed) -> list[Item]:
    """What nobody else explains: files, and whole folders of many."""
    by_top: dict[str, list[Difference]] = {}
    for one in pool:
        top = next(
            (path for path in chain(one.path) if _is_whole(observed.differences.get(path), one.change)), one.path
        )
        by_top.setdefault(top, []).append(one)
    items = []
    for top, differences in by_top.items():
        if len(differences) > _MANY:
            items.append(Item(
                kind="file", change=differences[0].change, name=f"{top}/", paths=tuple(one.path for one in differences),
                bytes=total_bytes(differences), note=f"{len(differences)} files",
            ))  # fmt: skip
        else:
            items += [
                Item(
                    kind="file", change=one.change, name=f"{one.path}/" if _is_folder(one) else one.path,
                    paths=(one.path,), bytes=total_bytes([one]), note=_what(one.before, one.after),
                )
                for one in differences
            ]  # fmt: skip
    return items


def _is_whole(one: Difference | None, change: str) -> bool:
    """Whether a folder came or went, as all in it."""
    return one is not None and one.change == change != "changed" and _is_folder(one)


def _what(before: Entry | None, after: Entry | None) -> str:
    """What changed: kind, content (named only beside other things), mode, owner. Of a new file, what gives rights."""
    if after is None:
        return ""
    if before is None:
        return _rights(after)
    if before.kind != after.kind:
        return f"{before.kind} → {after.kind}"
    told = []
    if before.mode != after.mode:
        told.append(f"mode {before.mode:04o} → {after.mode:04o}")
    if (before.uid, before.gid) != (after.uid, after.gid):
        told.append(f"owner {before.uid}:{before.gid} → {after.uid}:{after.gid}")
    if before.capability != after.capability:
        told.append("capabilities")
    if before.target != after.target:
        told.append(f"link {before.target} → {after.target}")
    return ", ".join(["content", *told] if told and before.sha256 != after.sha256 else told)


def _rights(after: Entry) -> str:
    told = [after.kind] if after.kind in ("fifo", "char", "block") else []
    told += ["not read: its name is no UTF-8"] if after.kind == "unread" else []
    told += [f"mode {after.mode:04o}"] if _is_file(after) and after.mode & 0o6000 else []
    return ", ".join([*told, *(["capabilities"] if after.capability else [])])
