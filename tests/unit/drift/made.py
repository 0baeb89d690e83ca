"""Containers and images made of dictionaries."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from devenv.drift.entries import Entry
from devenv.drift.items import Pool
from devenv.drift.observe import Difference, ImageFiles, Observed
from devenv.drift.paths import is_metadata

SITE = "/opt/venv/lib/python3.11/site-packages"
Tree = Mapping[str, "bytes | Entry"]


def file(path: str, content: bytes = b"", **changes: Any) -> Entry:
    """A regular file as the engine sends it."""
    facts: dict[str, Any] = {
        "kind": "file", "mode": 0o644, "uid": 0, "gid": 0, "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(), "md5": hashlib.md5(content).hexdigest(),
    }  # fmt: skip
    return Entry(path=path, **{**facts, **changes})


def folder(path: str, **changes: Any) -> Entry:
    return Entry(path=path, **{"kind": "folder", "mode": 0o755, "uid": 0, "gid": 0, **changes})


def link(path: str, target: str) -> Entry:
    return Entry(path=path, kind="symlink", mode=0o777, uid=0, gid=0, target=target)


def entries_of(tree: Tree) -> dict[str, Entry]:
    return {path: file(path, one) if isinstance(one, bytes) else one for path, one in tree.items()}


class Image(ImageFiles):
    """The files of an image that is a dictionary."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def text(self, path: str) -> str:
        content = self._tree.get(path, b"")
        return content.decode(errors="replace") if isinstance(content, bytes) else ""

    def texts(self, folder: str, kept: Callable[[str], bool]) -> dict[str, str]:
        return {path: self.text(path) for path in self._tree if path.startswith(f"{folder}/") and kept(path)}


def observed(before: Tree, after: Tree, unread: tuple[str, ...] = ()) -> Observed:
    """The differences of two trees."""
    was, now = entries_of(before), entries_of(after)
    differences = {
        path: Difference(path, was.get(path), now.get(path))
        for path in sorted({*was, *now}) if was.get(path) != now.get(path)
    }  # fmt: skip
    contents = {path: one for path, one in after.items() if isinstance(one, bytes) and is_metadata(path)}
    return Observed(differences=differences, contents=contents, unread=unread, image_id="i", image=Image(before))


def pool(found: Observed) -> Pool:
    return Pool(found.differences)


def row(path: str, content: bytes | None = None) -> str:
    """A line of a RECORD."""
    if content is None:
        return f"{path},,\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


def wheel(
    name: str, version: str, files: Mapping[str, bytes], *, requested: bool = False, more: str = "", site: str = SITE
) -> dict[str, bytes | Entry]:
    """What pip leaves of a package; `more` are further lines of its RECORD."""
    info = f"{site}/{name}-{version}.dist-info"
    record = "".join(row(path, content) for path, content in files.items()) + more
    tree: dict[str, bytes | Entry] = {
        posixpath.normpath(posixpath.join(site, path)): content for path, content in files.items()
    }
    tree |= {
        info: folder(info), f"{info}/METADATA": f"Name: {name}\nVersion: {version}\n".encode(),
        f"{info}/RECORD": record.encode(), f"{info}/INSTALLER": b"pip\n",
    }  # fmt: skip
    return tree | ({f"{info}/REQUESTED": b""} if requested else {})


def status(*packages: tuple[str, str], state: str = "install ok installed") -> bytes:
    """dpkg's status."""
    return "\n".join(
        f"Package: {name}\nStatus: {state}\nVersion: {version}\nDescription: x\n long\n" for name, version in packages
    ).encode()


def deb(name: str, files: Mapping[str, bytes], *folders: str) -> dict[str, bytes | Entry]:
    """A Debian package's files with dpkg's notes on them."""
    listed = "".join(f"{path}\n" for path in ("/.", *folders, *files))
    sums = "".join(f"{hashlib.md5(content).hexdigest()}  {path.lstrip('/')}\n" for path, content in files.items())
    notes = "/var/lib/dpkg/info"
    return {**files, f"{notes}/{name}.list": listed.encode(), f"{notes}/{name}.md5sums": sums.encode()}


class TarEngine:
    """An engine that sends trees as tars, and keeps what it was asked for. A value is the content of a file, or a
    changed `TarInfo`."""

    def __init__(self, **trees: Mapping[str, bytes | tarfile.TarInfo]) -> None:
        self.trees, self.asked = trees, list[str]()

    @contextlib.contextmanager
    def members(self, container: str, path: str) -> Iterator[Iterator[tuple[tarfile.TarInfo, Any]]]:
        self.asked.append(path)
        tree = self.trees[container]
        base = path.rpartition("/")[0]
        names = [one for one in sorted(tree) if one == path or one.startswith(f"{path}/")]
        yield (self._member(name.removeprefix(base).lstrip("/"), tree[name]) for name in names)

    def _member(self, name: str, value: bytes | tarfile.TarInfo) -> tuple[tarfile.TarInfo, Any]:
        if isinstance(value, bytes):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(value), 0o644
            return member, io.BytesIO(value)
        value.name = name
        return value, None


def member(kind: bytes, **changes: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo("x")
    made.type, made.mode = kind, 0o755
    for key, value in changes.items():
        setattr(made, key, value)
    return made
