"""A file system as canonical layers: the part that two builds of the same inputs have in common, on any engine.

    python3 -m devenv.verify.canonical ROOT OUT [--base BASE] [--beside DIR]

It writes OUT/canonical.json about ROOT, or about what BASE has not; folders of DIR stand for those at ROOT's top.

It runs inside a build as well, on images that are mounted there (verify/identity.py), so it needs only the standard
library of Python 3.9. Paths are grouped into layers by their origin, sorted, and written as PAX tar members with
one fixed time and numeric owners: how an engine cut its layers, in what order it listed a folder, and when, leaves no
trace. A layer is hashed as it is made, and kept only by layer_files.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from devenv.verify.tar_entry import Entry, header
from devenv.verify.tree import Tree

FORMAT = 2
"""Raise it when the same root is described in another way: identities of two formats cannot be compared."""
REMOVED = "removed"
"""The layer of paths that the base has and the image has not."""
_LOCK = "etc/devenv/devenv.lock"
_VENV = "opt/venv"
_PREFIXES = (
    ("opt/node", "node"), ("opt/code-server", "editor"), ("opt/npm", "npm"), (_VENV, "wheels-0"),
    ("etc/devenv", "own"), ("usr/local", "own"), ("workspace", "own"),
)  # fmt: skip
_BYTECODE = re.compile(r"^(.*/)?__pycache__/([^/]+?)\.[a-z]+-[0-9]+(?:\.opt-[12])?\.pyc$")
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# An engine's own notes, and labels from the host's policy. All others are part of a file's meaning.
_NOTES = ("trusted.overlay.", "user.overlay.", "security.selinux", "security.evm", "security.ima")
_CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Layer:
    """`diff_id` is the sha256 of the uncompressed tar, as an image's configuration has it; `entries` are sorted."""

    name: str
    diff_id: str
    size_bytes: int
    entries: tuple[Entry, ...]


@dataclasses.dataclass(frozen=True)
class Part:
    """A layer that is not made yet. `size_bytes`: about how much there is to read; `make`: writes its tar."""

    name: str
    size_bytes: int
    make: Callable[[Callable[[bytes], object]], Layer]


def layers(root: Tree, base: Tree | None = None) -> Iterator[Layer]:
    """Yield the canonical layers of `root`, lowest first; with `base`, of the differences from it. Raises OSError."""
    for part in parts(root, base):
        yield part.make(lambda _: None)


def parts(root: Tree, base: Tree | None = None, *, each_file: bool = True) -> Iterator[Part]:
    """Yield the layers as `layers` does, before any of them is made. Without `each_file`, files have no hash of their
    own. Raises OSError, as `make` does."""
    found = _walk(root)
    groups = _groups(root, found)
    same = _unchanged(root, found, base) if base else frozenset()
    inside: dict[str, dict[str, os.stat_result]] = {}
    for path, facts in found.items():
        if path not in same:
            inside.setdefault(groups[path], {})[path] = facts
    if base:
        # A folder that is now another kind of file loses its content too.
        gone = sorted(set(_walk(base)) - set(found))
        if tops := [path for path in gone if not (up := _parent(path)) or (up in found and _is_folder(found[up]))]:
            yield Part(name=REMOVED, size_bytes=0, make=functools.partial(_whiteouts, tops))
    for name in sorted(inside, key=_rank):
        whole = _with_folders(inside[name], found)
        size = sum(facts.st_size for facts in whole.values() if stat.S_ISREG(facts.st_mode))
        yield Part(name=name, size_bytes=size, make=functools.partial(_layer, name, root, whole, each_file))


def _with_folders(
    inside: Mapping[str, os.stat_result], found: Mapping[str, os.stat_result]
) -> dict[str, os.stat_result]:
    """The paths of a layer with all folders above them: an engine that unpacks a layer by itself makes missing ones
    with a mode and an owner of its own, and these then cover the right ones."""
    whole = dict(inside)
    for path in inside:
        while (path := _parent(path)) and path not in whole:
            whole[path] = found[path]
    return dict(sorted(whole.items()))


def _rank(group: str) -> tuple[int, int]:
    """The order of layers: heavy and stable ones lowest."""
    kind, _, number = group.partition("-")
    return ("base", "node", "editor", "wheels", "system", "npm", "own").index(kind), int(number or 0)


# ---- the layer of each path


def _groups(root: Tree, found: Mapping[str, os.stat_result]) -> dict[str, str]:
    owned = _owned(root)

    def group(path: str) -> str:
        if path in owned:
            return owned[path]
        if bytecode := _BYTECODE.match(path):
            source = f"{bytecode[1] or ''}{bytecode[2]}.py"
            if source in owned:
                return owned[source]
        return next((name for prefix, name in _PREFIXES if path == prefix or path.startswith(f"{prefix}/")), "system")

    groups: dict[str, str] = {}
    inodes: dict[tuple[int, int], str] = {}
    for path, facts in found.items():
        if not stat.S_ISDIR(facts.st_mode):
            groups[path] = group(path)
            if facts.st_nlink > 1:  # all names of one file must lie in one layer
                groups[path] = inodes.setdefault(root.inode(facts), groups[path])
    # A folder belongs to the lowest layer with a file in it.
    for path in sorted((path for path in found if path not in groups), key=len, reverse=True):
        groups.setdefault(path, group(path))
    for path in sorted(found, key=lambda one: one.count("/"), reverse=True):
        parent = _parent(path)
        if parent and _rank(groups[path]) < _rank(groups[parent]):
            groups[parent] = groups[path]
    return groups


def _owned(root: Tree) -> dict[str, str]:
    """Path → layer, for the files that dpkg and the wheels' records list. The lock decides the layer of each."""
    try:
        lock: Mapping[str, Any] = json.loads(_text(Path(root.at(_LOCK))))
        base = {deb["name"] for deb in lock["base"].get("packages", ())}
        layer = {_plain(wheel["name"]): int(wheel.get("layer", 0)) for wheel in lock.get("wheels", ())}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}  # not an image of devenv's, or a changed one: it is described all the same
    owned: dict[str, str] = {}
    for listing in sorted(Path(root.at("var/lib/dpkg/info")).glob("*.list")):
        if listing.stem.partition(":")[0] in base:
            for line in _text(listing).splitlines():
                owned[_merged(root, line.lstrip("/"))] = "base"
    venv = Path(root.at(_VENV))
    for record in sorted(venv.glob("lib/python3*/site-packages/*.dist-info/RECORD")):
        number = layer.get(_plain(record.parent.name.partition("-")[0]), 0)
        site = f"{_VENV}/{record.parents[1].relative_to(venv).as_posix()}"
        for line in _text(record).splitlines():
            name = line.rpartition(",")[0].rpartition(",")[0].strip('"')
            owned[os.path.normpath(f"{site}/{name}")] = f"wheels-{number}"
    return owned


def _text(path: Path) -> str:
    """A regular file's text; empty for any other kind, because a pipe would never end."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _merged(root: Tree, path: str) -> str:
    """Where a path of a package lies once /usr is merged."""
    first = path.partition("/")[0]
    return f"usr/{path}" if first in _MERGED and path != first and Path(root.at(first)).is_symlink() else path


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _plain(name: str) -> str:
    # As packaging's canonicalize_name, which the image's Python does not have.
    return re.sub(r"[-_.]+", "-", name).lower()


# ---- the file system


def _walk(root: Tree) -> dict[str, os.stat_result]:
    """Every path below `root` and its facts, sorted by path."""
    found: dict[str, os.stat_result] = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(root.at(folder)) as listing:
            for one in listing:
                path = f"{folder}/{one.name}" if folder else one.name
                facts = root.facts(one, path)
                if stat.S_ISSOCK(facts.st_mode):
                    continue  # a socket belongs to a process, not to a file system
                found[path] = facts
                if stat.S_ISDIR(facts.st_mode):
                    folders.append(path)
    return dict(sorted(found.items()))


def _is_folder(facts: os.stat_result) -> bool:
    return stat.S_ISDIR(facts.st_mode)


def _names(root: Tree, found: Mapping[str, os.stat_result]) -> dict[str, tuple[str, ...]]:
    """Path → all the names of its file, for those that have several."""
    names: dict[tuple[int, int], list[str]] = {}
    for path, facts in found.items():
        if not _is_folder(facts) and facts.st_nlink > 1:
            names.setdefault(root.inode(facts), []).append(path)
    return {path: tuple(every) for every in names.values() for path in every}


def _unchanged(root: Tree, found: Mapping[str, os.stat_result], base: Tree) -> frozenset[str]:
    """The paths that are equal in `base`, except for times."""
    known = _walk(base)
    named, known_as = _names(root, found), _names(base, known)
    same = set()
    for path, facts in found.items():
        if path in known and _plainly(known[path]) == _plainly(facts) and named.get(path) == known_as.get(path):
            ours, theirs = _entry(path, root, facts, {}), _entry(path, base, known[path], {})
            if ours == theirs and (ours.kind != "file" or _hash(root.at(path)) == _hash(base.at(path))):
                same.add(path)
    return frozenset(same)


def _plainly(facts: os.stat_result) -> tuple[int, ...]:
    size = facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return facts.st_mode, facts.st_uid, facts.st_gid, size, facts.st_rdev


def _hash(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as content:  # noqa: PTH123 - called for every file, and Path is slow
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _entry(path: str, root: Tree, facts: os.stat_result, first: dict[tuple[int, int], str]) -> Entry:
    """The facts of one path. `first`: inode → the first of its names."""
    kind, target, device, size = _kind(facts.st_mode), "", (0, 0), 0
    if kind == "symlink":
        target = os.readlink(root.at(path))  # noqa: PTH115 - Path is slow, and this is called for every path
    elif kind == "file":
        size = facts.st_size
        if facts.st_nlink > 1:
            known = first.setdefault(root.inode(facts), path)
            if known != path:
                kind, target, size = "hardlink", known, 0
    elif kind in ("char", "block"):
        device = (os.major(facts.st_rdev), os.minor(facts.st_rdev))
    return Entry(
        path=path, kind=kind, mode=stat.S_IMODE(facts.st_mode), uid=facts.st_uid, gid=facts.st_gid, size_bytes=size,
        target=target, device=device, xattrs=() if kind in ("symlink", "hardlink") else _xattrs(root.at(path)),
    )  # fmt: skip


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
        stat.S_IFCHR: "char", stat.S_IFBLK: "block",
    }  # fmt: skip
    return kinds[stat.S_IFMT(mode)]


def _xattrs(path: str) -> tuple[tuple[str, str], ...]:
    try:
        names = sorted(name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith(_NOTES))
    except OSError:
        return ()  # the file system has no extended attributes
    return tuple((name, os.getxattr(path, name, follow_symlinks=False).hex()) for name in names)


# ---- the layer's tar, hashed as it is made


def _layer(
    name: str, root: Tree, inside: Mapping[str, os.stat_result], each_file: bool, write: Callable[[bytes], object]
) -> Layer:
    digest, size = hashlib.sha256(), 0

    def put(data: bytes) -> None:
        digest.update(data)
        write(data)

    entries: list[Entry] = []
    first: dict[tuple[int, int], str] = {}
    for path, facts in inside.items():
        entry = _entry(path, root, facts, first)
        head = header(entry)
        put(head)
        size += len(head) + -(-entry.size_bytes // 512) * 512
        if entry.kind == "file":
            content = hashlib.sha256() if each_file else None
            _copy(root.at(path), entry.size_bytes, content, put)
            put(bytes(-entry.size_bytes % 512))
            entry = dataclasses.replace(entry, sha256=content.hexdigest()) if content else entry
        entries.append(entry)
    put(bytes(1024))
    return Layer(name=name, diff_id=f"sha256:{digest.hexdigest()}", size_bytes=size + 1024, entries=tuple(entries))


def _whiteouts(paths: Sequence[str], write: Callable[[bytes], object]) -> Layer:
    """A layer that removes these paths from the layers below it (the OCI image layer's `.wh.` files)."""
    digest = hashlib.sha256()
    names = (f"{_parent(path)}/.wh.{path.rpartition('/')[2]}".lstrip("/") for path in paths)
    entries = tuple(Entry(path=name, kind="file", mode=0, uid=0, gid=0) for name in names)
    for data in (*map(header, entries), bytes(1024)):
        digest.update(data)
        write(data)
    return Layer(name=REMOVED, diff_id=f"sha256:{digest.hexdigest()}", size_bytes=0, entries=entries)


def _copy(path: str, size_bytes: int, digest: hashlib._Hash | None, write: Callable[[bytes], None]) -> None:
    """Pass on a file's content, hashed by `digest`. Raises OSError when it is not as long as it was."""
    left = size_bytes
    content = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)  # called for every file, and Path is slow
    try:
        while left >= 0 and (chunk := os.read(content, _CHUNK_BYTES)):
            if digest:
                digest.update(chunk)
            write(chunk)
            left -= len(chunk)
    finally:
        os.close(content)
    if left:
        raise OSError(f"{path} changed while it was read")


def write(told: Sequence[Layer], out: Path) -> None:
    """Write OUT/canonical.json: a list of layers, each with its entries as lists of their fields."""
    rows = [
        {**dataclasses.asdict(dataclasses.replace(layer, entries=())), "entries": [_row(one) for one in layer.entries]}
        for layer in told
    ]
    (out / "canonical.json").write_text(json.dumps(rows), encoding="utf-8")


def _row(entry: Entry) -> list[Any]:
    return [getattr(entry, field.name) for field in dataclasses.fields(entry)]


def arguments(given: Sequence[str]) -> tuple[Tree, Path, Tree | None]:
    """The tree to read, the folder to write to, and the tree to leave out. Raises OSError."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--beside", type=Path)
    told = parser.parse_args(given)
    return Tree.of(told.root, told.beside), told.out, Tree.of(told.base) if told.base else None


def main(given: Sequence[str]) -> None:
    """Describe a file system."""
    root, out, base = arguments(given)
    out.mkdir(parents=True, exist_ok=True)
    write([*layers(root, base)], out)


if __name__ == "__main__":
    main(sys.argv[1:])
