"""A drift as lines of a preset: what a person asked for and a lock can fix, and what is left with the reason. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.utils import is_normalized_name
from packaging.version import InvalidVersion, Version

from devenv.drift.entries import chain
from devenv.drift.items import Item
from devenv.errors import PresetError
from devenv.preset import requirement
from devenv.preset.model import APT, CONTAINER_PATH, NPM
from devenv.preset.yaml import edit

MOST_FILE_BYTES = 1 << 20
"""The largest file of unknown origin that a patch copies beside the preset."""
MOST_FILES = 200
LOCKABLE = ("python", "apt", "npm")
"""The kinds of items that a lock can fix."""
_FOLDER = "environment-files"
_KEYS = {"torch": "torch", "vllm": "vllm", "jupyter": "jupyterlab"}  # keys that stand for a requirement


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a preset cannot say, with the reason and a remedy."""

    kind: str
    name: str
    why: str
    remedy: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Entries to add to a preset's lists, entries to replace (old → new) and to remove there, and `files`: a path in
    the container to its name beside the preset; `refresh`: the same of files that the preset names already, and whose
    copies are out of date."""

    add: Mapping[str, tuple[str, ...]]
    replace: Mapping[str, Mapping[str, str]]
    remove: Mapping[str, tuple[str, ...]]
    files: Mapping[str, str]
    refresh: Mapping[str, str] = dataclasses.field(default_factory=dict)
    left: tuple[Left, ...]

    @property
    def copies(self) -> Mapping[str, str]:
        """All files to copy."""
        return {**self.files, **self.refresh}

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.add or self.replace or self.remove or self.files or self.refresh)

    def apply(self, text: str) -> str:
        """The preset's text with the changes. Raises PresetError for a file that cannot be changed line by line."""
        try:
            for key, pairs in self.replace.items():
                for old, new in pairs.items():
                    text = edit.replace(text, key, old, new)
            for key, entries in self.remove.items():
                for one in entries:
                    text = edit.remove(text, key, one)
            for key, entries in self.add.items():
                text = edit.add(text, key, entries)
            return edit.add(text, "files", dict(self.files))
        except edit.CannotEditError as error:
            raise PresetError(
                f"the preset cannot be changed in place: {error}",
                hint="put these lines in by hand", detail=self.words(),
            ) from None  # fmt: skip

    def words(self) -> str:
        """The changes as lines of YAML."""
        lines = []
        for key, entries in self.add.items():
            lines += [f"{key}:", *(f"  - {one}" for one in entries)]
        if self.files:
            lines += ["files:", *(f"  {path}: {name}" for path, name in self.files.items())]
        lines += [f"# in {key}: {old} → {new}" for key, pairs in self.replace.items() for old, new in pairs.items()]
        lines += [f"# in {key}: no {one}" for key, entries in self.remove.items() for one in entries]
        return "\n".join(lines)


def patch(items: Iterable[Item], composed: Mapping[str, Any], own: Mapping[str, Any]) -> Patch:
    """The patch of a drift; `composed` is the preset of the image, `own` the file to change, both as read from YAML."""
    made = _Maker(own, composed)
    for one in items:
        made.item(one)
    return made.patch()


class _Maker:
    def __init__(self, own: Mapping[str, Any], composed: Mapping[str, Any]) -> None:
        self._own = {key: _entries(own.get(key)) for key in ("pip", "apt", "npm")}
        self._composed = {key: _entries(composed.get(key)) for key in ("pip", "apt", "npm")}
        self._versions = {key: composed.get(key) for key in _KEYS}
        self._has_node = bool(composed.get("node"))
        files = own.get("files")
        self._files = {str(path): str(name) for path, name in files.items()} if isinstance(files, dict) else {}
        self._refreshed: dict[str, str] = {}
        self._add: dict[str, list[str]] = {}
        self._replace: dict[str, dict[str, str]] = {}
        self._remove: dict[str, list[str]] = {}
        self._copied: dict[str, str] = {}
        self._left: list[Left] = []

    def patch(self) -> Patch:
        """What the items came to."""
        return Patch(
            add={key: tuple(entries) for key, entries in self._add.items()}, replace=self._replace,
            remove={key: tuple(entries) for key, entries in self._remove.items()}, files=self._copied,
            refresh=self._refreshed, left=tuple(self._left),
        )  # fmt: skip

    def item(self, one: Item) -> None:
        """Add one item's lines, or the reason why there are none."""
        handler = {
            "python": self._python, "apt": self._apt, "npm": self._npm, "extension": self._extension,
            "settings": self._file, "file": self._file, "kernel": self._kernel, "container": self._container,
            "secret": self._secret,
        }[one.kind]  # fmt: skip
        handler(one)

    def _leave(self, one: Item, why: str, remedy: str) -> None:
        self._left.append(Left(kind=one.kind, name=one.name, why=why, remedy=remedy))

    def _python(self, one: Item) -> None:
        if one.change == "edited":
            self._leave(
                one, "files inside the package are edited", "build a wheel of your own and name its path in 'pip:'"
            )
        elif one.change == "editable":
            self._leave(
                one,
                f"it is an editable install of {one.origin}",
                "keep the project in /workspace and install it in 'setup:'",
            )
        elif one.origin:
            self._leave(
                one,
                f"it came from {one.origin}, not from an index",
                "build a wheel (pip wheel --no-deps) and name its path in 'pip:'",
            )
        elif one.note:
            self._leave(
                one, f"it lies {one.note}, outside of the environment's Python", "install it with the environment's pip"
            )
        elif not (is_normalized_name(one.name) and (one.change == "removed" or _is_version(one.now))):
            self._leave(
                one, "its name or version is none of a Python package", "look into the container before you trust it"
            )
        elif one.change == "removed":
            self._gone("pip", one, requirement.name_of)
        elif key := next((key for key in _KEYS if _KEYS[key] == one.name and self._versions.get(key)), None):
            self._leave(one, f"its version is that of '{key}:'", f"write {one.now} there, if that goes with the rest")
        elif one.asked_for or self._entry("pip", one.name, requirement.name_of, self._composed):
            self._pin("pip", one, f"{one.name}=={one.now}", requirement.name_of)

    def _apt(self, one: Item) -> None:
        if one.change == "edited":
            self._leave(one, "files of the package are changed", "put the files into 'files:'")
        elif one.change == "removed":
            self._gone("apt", one, _apt_name)
        elif not re.fullmatch(APT, one.name):
            self._leave(one, "its name is none of a Debian package", "look into the container before you trust it")
        elif one.change == "added" and one.asked_for:
            self._pin("apt", one, one.name, _apt_name)
        elif one.change == "changed" and (entry := self._entry("apt", one.name, _apt_name, self._own)) and "=" in entry:
            self._pin("apt", one, f"{one.name}={one.now}", _apt_name)
        elif one.change == "changed":
            self._leave(
                one, f"it was upgraded to {one.now}", "lock again to take what the archive has now: devenv lock"
            )

    def _npm(self, one: Item) -> None:
        wanted = f"{one.name}@{one.now}"
        if one.change == "edited":
            self._leave(one, "files inside the package are edited", "publish a package of your own, or keep a snapshot")
        elif one.change == "editable":
            self._leave(one, f"it is a link to {one.origin}", "keep the project in /workspace and link it in 'setup:'")
        elif one.change == "removed":
            self._gone("npm", one, _npm_name)
        elif not self._has_node:
            self._leave(one, "the preset has no Node.js", "name a version in 'node:', then the package in 'npm:'")
        elif not re.fullmatch(NPM, wanted):
            self._leave(one, f"{wanted} is no package with an exact version", "name it in 'npm:' by hand")
        else:
            self._pin("npm", one, wanted, _npm_name)

    def _extension(self, one: Item) -> None:
        self._leave(
            one, "a registry of extensions has it, or its .vsix file, and the environment does not say which",
            f"add {one.name}@{one.now} to 'extensions:' where your settings name a registry that has it, or pin its "
            ".vsix file; until then it stays on the environment's volume",
        )  # fmt: skip

    def _kernel(self, one: Item) -> None:
        if one.change == "removed":
            self._leave(one, "a preset cannot remove a file of the image", "remove it in 'setup:'")
            return
        for path in one.paths:
            self._copy(path, one)

    def _file(self, one: Item) -> None:
        if not one.paths:
            self._leave(
                one, "it lies on the environment's volume", "it stays there; nothing has to be done on this machine"
            )
        elif one.change == "removed" and one.name in self._files:
            self._leave(one, "the preset puts it there", "remove its line from 'files:'")
        elif one.change == "removed":
            self._leave(one, "a preset cannot remove a file of the image", "remove it in 'setup:'")
        elif one.note.startswith(("mode ", "owner ", "capabilities")):
            what = f"only its {one.note.split()[0]} changed" if one.change == "changed" else f"it has {one.note}"
            self._leave(one, what, "change it in 'setup:'")
        elif one.bytes > MOST_FILE_BYTES:
            self._leave(
                one,
                "it is larger than 1 MiB, and where it came from is unknown",
                "download it in 'setup:', or put it into 'files:' by hand",
            )
        elif one.name.endswith("/") and len(one.paths) > 1:
            self._copy(one.name.rstrip("/"), one)
        elif len(self._copied) >= MOST_FILES:
            self._leave(one, f"there are more than {MOST_FILES} files", "put the folder into 'files:' by hand")
        else:
            for path in one.paths:
                self._copy(path, one)

    def _copy(self, path: str, one: Item) -> None:
        if any(above in self._copied for above in chain(path)):
            return  # with its folder
        if self._files.get(path) == f"{_FOLDER}{path}":
            self._refreshed[path] = self._files[path]
        elif path in self._files:
            self._leave(one, "the preset already puts a file there", f"change {self._files[path]} beside the preset")
        elif not re.fullmatch(CONTAINER_PATH, path):
            self._leave(one, f"'files:' cannot name the path {path}", "rename it, or copy it in 'setup:'")
        else:
            self._copied[path] = f"{_FOLDER}{path}"

    def _container(self, one: Item) -> None:
        remedies = {"variable": "name it in 'env:' unless it is secret", "mount": "name it in 'volumes:'"}
        remedy = remedies.get(one.name.partition(" ")[0], "a preset has no key for it: give it to the engine again")
        self._leave(one, "it was given to the container, not to the preset", remedy)

    def _secret(self, one: Item) -> None:
        self._leave(one, "it may be secret, so it is not copied", "give it to the container on each machine")

    def _entry(self, key: str, name: str, name_of: Any, lists: Mapping[str, list[str]]) -> str | None:
        return next((one for one in lists[key] if name_of(one) == name), None)

    def _pin(self, key: str, one: Item, wanted: str, name_of: Any) -> None:
        if old := self._entry(key, one.name, name_of, self._own):
            if old != wanted:
                self._replace.setdefault(key, {})[old] = wanted
        else:  # an inherited entry of the same package gives way to it
            self._add.setdefault(key, []).append(wanted)

    def _gone(self, key: str, one: Item, name_of: Any) -> None:
        if old := self._entry(key, one.name, name_of, self._own):
            self._remove.setdefault(key, []).append(old)
        else:
            self._leave(one, "it was removed, and this preset does not name it", "extend a preset without it")


def _entries(value: Any) -> list[str]:
    """The entries of a list or the keys of a mapping; none in another value, which the lock will refuse."""
    return [str(one) for one in value] if isinstance(value, list | tuple | dict) else []


def _is_version(text: str) -> bool:
    """What a container says is a version may be anything, also further lines of a preset."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return text == text.strip()


def _apt_name(entry: str) -> str:
    return entry.partition("=")[0]


def _npm_name(entry: str) -> str:
    return entry.rpartition("@")[0]
