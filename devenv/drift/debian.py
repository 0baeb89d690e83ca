"""Debian packages in a container: dpkg's own lists, read as data.

Formats: dpkg's status (deb-control(5)), `info/*.list` and `*.md5sums`, apt's extended_states.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Collection, Iterator, Mapping

from devenv.drift import packages
from devenv.drift.items import Item, Pool
from devenv.drift.observe import Difference, ImageFiles, Observed
from devenv.drift.packages import Owner, Package
from devenv.drift.paths import is_derived

_STATUS = "/var/lib/dpkg/status"
_INFO = "/var/lib/dpkg/info"
_NONE = ("", "")
# The states of dpkg in which a package's files are there.
_THERE = tuple([one] for one in ("installed", "triggers-awaited", "triggers-pending", "unpacked", "half-configured"))
_MERGED = ("/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/")


def debian_packages(observed: Observed, pool: Pool) -> tuple[list[Item], Owner, tuple[str, ...]]:
    """(the changed packages, who has a file now, what their installation made beside their own files)."""
    image = _ImageLists(observed.image)
    if _STATUS not in pool:
        return [], image.owner, ()
    before = _installed(observed.image.text(_STATUS))
    after = _installed(observed.contents.get(_STATUS, b"").decode(errors="replace"))
    automatic = _automatic(observed.contents.get("/var/lib/apt/extended_states", b"").decode(errors="replace"))
    items: list[Item] = []
    now: dict[str, str] = {}
    for name in sorted(before.keys() | after.keys()):
        was, version = before.get(name, _NONE)[0], after.get(name, _NONE)[0]
        if was == version:
            continue
        files = _files(name, observed.contents) | _conffiles(after[name][1]) if version else {}
        package = Package(
            kind="apt", name=name, version=version, was=was, files=files,
            old=image.files(name) if was else (), own=functools.partial(_is_of, name),
            asked_for=name not in automatic,
        )  # fmt: skip
        now |= dict.fromkeys(files, name)
        items.append(packages.explained(package, pool))
    # Scripts of packages copy files from where the package has them to where they are used.
    explained = (observed.differences[path].after for one in items for path in one.paths)
    copies = {entry.sha256 for entry in explained if entry and entry.size}
    derived = pool.take(lambda one: one.path == _STATUS or (bool(items) and _is_by_script(one, copies, image)))
    return items, lambda path: now.get(path) or image.owner(path), tuple(one.path for one in derived)


def _is_by_script(one: Difference, copies: Collection[str], image: _ImageLists) -> bool:
    """Whether packages' scripts may have changed a path. They change no file that a package brought."""
    if _is_made(one, copies):
        return True
    is_brought = one.before is not None and one.before.kind != "folder"
    return is_derived(one.path) and not (is_brought and image.owner(one.path))


def _is_made(one: Difference, copies: Collection[str]) -> bool:
    """Whether a package's script copied a file of the package there, or registered an alternative."""
    entry = one.after or one.before
    if entry is None or not one.path.startswith(("/usr/", "/etc/", "/var/")):
        return False
    if entry.kind == "symlink":
        return entry.target.startswith("/etc/alternatives/")
    return one.after is not None and not entry.mode & 0o6000 and entry.sha256 in copies


def _is_of(name: str, path: str) -> bool:
    """Whether it is one of dpkg's notes on the package: NAME.list, NAME:ARCH.md5sums, …"""
    note = posixpath.basename(path).rpartition(".")[0]
    return posixpath.dirname(path) == _INFO and note.partition(":")[0] == name


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """The paragraphs of a control file; of a field with several lines all but the first begin with a blank."""
    for paragraph in text.split("\n\n"):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t"):
                fields.setdefault(name, [""]).append(line.strip())
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = [value.strip()]
        if fields:
            yield {key: "\n".join(lines) for key, lines in fields.items()}


def _installed(status: str) -> dict[str, tuple[str, str]]:
    """Package → (version, its configuration files with their md5)."""
    return {
        one["Package"]: (one.get("Version", ""), one.get("Conffiles", ""))
        for one in _paragraphs(status)
        if "Package" in one and one.get("Status", "").split()[-1:] in _THERE
    }


def _automatic(states: str) -> frozenset[str]:
    return frozenset(
        one["Package"] for one in _paragraphs(states) if one.get("Auto-Installed") == "1" and "Package" in one
    )


def _files(name: str, contents: Mapping[str, bytes]) -> dict[str, str]:
    """The package's files in the container, with their md5 where it gives one."""
    found: dict[str, str] = {}
    for path, content in contents.items():
        base = posixpath.basename(path)
        if _is_of(name, path) and base.endswith(".list"):
            for line in content.decode(errors="replace").splitlines():
                found.setdefault(_merged(line), "")
        if _is_of(name, path) and base.endswith(".md5sums"):
            for line in content.decode(errors="replace").splitlines():
                digest, _, file = line.partition("  ")
                found[_merged(f"/{file}")] = f"md5:{digest}"
    return found


def _conffiles(field: str) -> dict[str, str]:
    rows = (line.split() for line in field.splitlines())
    return {_merged(row[0]): f"md5:{row[1]}" for row in rows if len(row) == 2}


def _merged(path: str) -> str:
    """Where a path of a package lies once /usr is merged."""
    return f"/usr{path}" if path.startswith(_MERGED) else path


class _ImageLists:
    """Who has a file in the image, as dpkg's lists say; they are read when they are needed."""

    def __init__(self, image: ImageFiles) -> None:
        self._image = image

    @functools.cached_property
    def _owners(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for path, text in self._image.texts(_INFO, lambda one: one.endswith(".list")).items():
            name = posixpath.basename(path).removesuffix(".list").partition(":")[0]
            found.update((_merged(line), name) for line in text.splitlines())
        return found

    def owner(self, path: str) -> str | None:
        """The package that has the path; of a folder any of them."""
        if path.startswith(("/home/", "/opt/", "/root/", "/mnt/", "/workspace/")):
            return None
        return self._owners.get(path)

    def files(self, name: str) -> frozenset[str]:
        """The package's files in the image."""
        return frozenset(path for path, owner in self._owners.items() if owner == name)
