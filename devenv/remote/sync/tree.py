"""One machine's side of a project: its files, links and programs by path, as a list that travels."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from devenv.doors import beneath
from devenv.doors.beneath import TEMPORARY, Entry
from devenv.remote.sync import ignore
from devenv.remote.sync.ignore import Rule

Tree = Mapping[str, Entry]
MOST_FILES = 200_000
MOST_FILE_BYTES = 1 << 30
_PATH_BYTES = 4096
_SETTLED_NS = 2_000_000_000
"""A file whose time is younger may change again without a change of its time."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DIGEST = re.compile(r"[0-9a-f]{64}")


_Facts = tuple[int, ...]
"""Size, times and number of a file: while they stay, its bytes do."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Scanner:
    """Lists one folder, again and again; unchanged files are read once. Of the last list: `left_out` (path → why), and
    `rules` (folder → what is ignored in it), and `is_whole`: `left_out` names all that it lacks."""

    root: Path
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    rules: dict[str, tuple[Rule, ...]] = dataclasses.field(default_factory=dict)
    is_whole: bool = True
    _found: dict[str, Entry] = dataclasses.field(default_factory=dict)
    _known: dict[str, tuple[_Facts, Entry]] = dataclasses.field(default_factory=dict)
    _before: dict[str, tuple[_Facts, Entry]] = dataclasses.field(default_factory=dict)

    def scan(self) -> dict[str, Entry]:
        """All files, programs and links of the project but the ignored ones. Raises OSError when the folder itself
        cannot be read."""
        self.left_out, self.rules, self._found, self.is_whole = {}, {}, {}, True
        self._before, self._known = self._known, {}
        with beneath.folder(self.root, ()) as top:
            self._folder(top, "", ignore.around(self.root))
        return self._found

    def rules_of(self, folder: str) -> tuple[Rule, ...]:
        """The rules that hold in a folder, which may be on the other machine alone."""
        while folder and folder not in self.rules:
            folder = folder.rpartition("/")[0]
        return self.rules.get(folder, ())

    def known(self) -> dict[str, list[object]]:
        """What the next process may know about files: see `learn`."""
        return {path: [list(facts), one.kind, one.size, one.digest] for path, (facts, one) in self._known.items()}

    def learn(self, kept: object) -> None:
        """Take over what an earlier process knew; anything else is passed over."""
        for path, values in kept.items() if isinstance(kept, dict) else ():
            with contextlib.suppress(TypeError, ValueError):
                facts, kind, size, digest = values
                self._known[path] = tuple(map(int, facts)), Entry(kind=kind, size=size, digest=digest)

    def _folder(self, at: int, path: str, rules: tuple[Rule, ...]) -> None:
        with os.scandir(at) as listed:
            entries = sorted(listed, key=lambda one: one.name)
        for name in ignore.NAMES:
            if any(one.name == name for one in entries):
                with contextlib.suppress(OSError), beneath.opened(name, at) as file:
                    rules = (*rules, *ignore.parse(file.read(1 << 20).decode(errors="replace"), base=path))
        self.rules[path] = rules
        for one in entries:
            below = f"{path}/{one.name}" if path else one.name
            if one.name.startswith(TEMPORARY):
                continue
            if len(self._found) >= MOST_FILES:
                self.left_out[below] = f"the project has more than {MOST_FILES:,} files"
                self.is_whole = False
                return
            try:
                self._one(one, at, below, rules)
            except OSError as error:
                self.left_out[printable(below)] = (error.strerror or str(error)).lower()

    def _one(self, one: os.DirEntry[str], at: int, path: str, rules: tuple[Rule, ...]) -> None:
        facts = one.stat(follow_symlinks=False)
        is_folder = stat.S_ISDIR(facts.st_mode)
        if ignore.is_ignored(path, rules, is_folder=is_folder):
            return
        if not is_safe(path):
            self.left_out[printable(path)] = "its name is not UTF-8, has control characters or is too long"
        elif is_folder:
            below = os.open(one.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            try:
                self._folder(below, path, rules)
            finally:
                os.close(below)
        elif stat.S_ISLNK(facts.st_mode):
            target = os.readlink(one.name, dir_fd=at)
            if stays_inside(path, target):
                self._found[path] = Entry(kind="l", size=0, digest=target)
            else:
                self.left_out[path] = "the link leads out of the project"
        elif not stat.S_ISREG(facts.st_mode):
            self.left_out[path] = "it is not a regular file"
        elif facts.st_size > MOST_FILE_BYTES:
            self.left_out[path] = f"it is larger than {MOST_FILE_BYTES >> 30} GiB"
        else:
            self._found[path] = self._file(one.name, at, path, facts)

    def _file(self, name: str, at: int, path: str, facts: os.stat_result) -> Entry:
        key = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_mode & 0o100)
        known = self._before.get(path)
        if known and known[0] == key:
            self._known[path] = known
            return known[1]
        read = beneath.entry(name, at)
        if read is None:
            raise beneath.ChangedError("it changed while it was read")
        if time.time_ns() - max(facts.st_mtime_ns, facts.st_ctime_ns) > _SETTLED_NS:
            self._known[path] = key, read
        return read


def is_safe(path: str) -> bool:
    """Whether a path may be written below a project's folder: relative, plain, and no part of git's own data."""
    parts = path.split("/")
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        return False
    return (
        len(raw) <= _PATH_BYTES
        and not _CONTROL.search(path)
        and all(part not in ("", ".", "..") and len(part.encode()) <= 255 for part in parts)
        and not any(part.lower() in (".git", "git~1") or part.startswith(TEMPORARY) for part in parts)
    )


def stays_inside(path: str, target: str) -> bool:
    """Whether a link's target is relative and lies in the project."""
    if not target or target.startswith("/") or _CONTROL.search(target) or len(target) > _PATH_BYTES:
        return False
    depth = path.count("/")
    for part in target.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return False
    return not any(part.lower() == ".git" for part in target.split("/"))


def to_bytes(tree: Tree) -> bytes:
    """A tree as lines: kind, size, digest or target, path."""
    lines = (f"{one.kind}\t{one.size}\t{one.digest}\t{path}\n" for path, one in sorted(tree.items()))
    return "".join(lines).encode()


def from_bytes(data: bytes) -> dict[str, Entry]:
    """The tree of lines that another machine sent. Raises ValueError for what is not one."""
    found: dict[str, Entry] = {}
    for line in data.decode().splitlines():
        kind, size, digest, path = line.split("\t")
        right = stays_inside(path, digest) if kind == "l" else bool(_DIGEST.fullmatch(digest))
        if kind not in ("f", "x", "l") or not right or not is_safe(path) or len(found) >= MOST_FILES:
            raise ValueError(f"not an entry of a project: {printable(line)[:200]}")
        bytes_ = int(size) if size.isascii() and size.isdigit() and len(size) < 20 else MOST_FILE_BYTES + 1
        if bytes_ > MOST_FILE_BYTES:
            raise ValueError(f"too large: {printable(path)}")
        found[path] = Entry(kind=kind, size=bytes_, digest=digest)
    return found


def digest(data: bytes) -> str:
    """A short name of a tree's lines."""
    return hashlib.sha256(data).hexdigest()


def without_ignored(tree: Tree, rules_of: Callable[[str], Iterable[Rule]]) -> dict[str, Entry]:
    """The tree without what this machine's rules leave out; `rules_of` gives those that hold in a folder."""
    kept: dict[str, Entry] = {}
    folders: dict[str, bool] = {"": False}

    def is_out(folder: str) -> bool:
        if folder not in folders:
            parent = folder.rpartition("/")[0]
            folders[folder] = is_out(parent) or ignore.is_ignored(folder, rules_of(parent), is_folder=True)
        return folders[folder]

    for path, one in tree.items():
        parent = path.rpartition("/")[0]
        if not is_out(parent) and not ignore.is_ignored(path, rules_of(parent), is_folder=False):
            kept[path] = one
    return kept


def printable(text: str) -> str:
    """A name that may hold anything, for messages."""
    return text.encode("utf-8", "backslashreplace").decode()
