"""Python packages in a container: what installed, changed or removed them left in `*.dist-info`.

Formats: RECORD, INSTALLER and REQUESTED (PEP 376 and 627), direct_url.json (PEP 610), Core Metadata.
"""

from __future__ import annotations

import base64
import binascii
import csv
import dataclasses
import io
import posixpath
import re
from collections.abc import Callable, Mapping
from email.parser import HeaderParser

from packaging.utils import canonicalize_name

from devenv.doors.untrusted import from_json
from devenv.drift.entries import chain, same
from devenv.drift.items import Item, Pool
from devenv.drift.observe import Difference, ImageFiles, Observed
from devenv.drift.packages import SITE, Package, explained
from devenv.lock.model import Lock, Source, Wheel
from devenv.plan.inside import UID, VENV

_INFO = re.compile(
    r"^(?P<site>.*/(?:site|dist)-packages)/(?P<info>(?P<name>[^/]+?)(?:-(?P<version>[^/-]+)[^/]*)?\.(?:dist|egg)-info)(?:/|$)"
)
_BYTECODE = re.compile(r"^(?P<folder>.*)/__pycache__/(?P<name>[^/]+?)\.[a-z]+-[0-9]+(?:\.opt-[12])?\.pyc(?:\.[0-9]+)?$")
_NOTES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "WHEEL")
_MOST_ROWS = 200_000
_USERS = frozenset({0, UID})  # who may have installed a package


def python_packages(observed: Observed, pool: Pool, lock: Lock) -> tuple[list[Item], Records]:
    """The changed packages, and who has which file now."""
    records = Records(observed.image, lock)
    infos = sorted({f"{match['site']}/{match['info']}" for one in pool if (match := _INFO.match(one.path))})
    gone, there = _gone_and_there(infos, pool)
    items: list[Item] = []
    for info in there:
        package = _package(info, observed.contents, gone, records)
        items.append(explained(package, pool))
        records.add(package, observed.differences)
    for (site, name), (info, version) in gone.items():
        package = Package(
            kind="python", name=name, version="", was=version, old=records.files(info), own=_below(info),
            place=_place(site),
        )  # fmt: skip
        items.append(explained(package, pool))
    _drop_notes(infos, pool, records)
    return items, records


def drop_bytecode(pool: Pool, differences: Mapping[str, Difference]) -> int:
    """Take out bytecode that Python made, and return how many files: of sources that are new or changed, or that the
    image has none for, or whose code is that of the image. Other bytecode of unchanged sources runs in their place, so
    it is no noise."""
    return len(pool.take(lambda one: _is_bytecode(one, differences)))


def _is_bytecode(one: Difference, differences: Mapping[str, Difference]) -> bool:
    if "/__pycache__/" not in f"{one.path}/":
        return False
    before, after = one.before, one.after
    if before is None or after is None or _is_as_before(one) or (before.md5 and before.md5 == after.md5):
        return True
    match = _BYTECODE.match(one.path)
    source = match and differences.get(f"{match['folder']}/{match['name']}.py")
    return source is not None and not _is_as_before(source)


def _gone_and_there(infos: list[str], pool: Pool) -> tuple[dict[tuple[str, str], tuple[str, str]], list[str]]:
    """((folder, package) → (its *.dist-info, version) that the image has and the container has not; the new ones)."""
    gone: dict[tuple[str, str], tuple[str, str]] = {}
    there: list[str] = []
    for info in infos:
        match = _INFO.match(info)
        assert match is not None
        one, origin = pool.get(info), pool.get(f"{info}/direct_url.json")
        is_replaced = origin is not None and origin.after is not None  # the same version from another place
        if (one and one.after is None) or (is_replaced and not (one and one.before is None)):
            gone[match["site"], canonicalize_name(match["name"])] = (info, match["version"] or "")
        if (one and one.before is None) or is_replaced:
            there.append(info)
    return gone, there


def _package(
    info: str, contents: Mapping[str, bytes], gone: dict[tuple[str, str], tuple[str, str]], records: Records
) -> Package:
    match = _INFO.match(info)
    assert match is not None
    told = next((text for name in ("/METADATA", "/PKG-INFO", "") if (text := _text(contents, f"{info}{name}"))), "")
    headers = HeaderParser().parsestr(told)
    name = canonicalize_name(str(headers.get("Name") or match["name"]))
    old_info, was = gone.pop((match["site"], name), ("", ""))
    origin, is_editable = _origin(_text(contents, f"{info}/direct_url.json"))
    prefix = _prefix(match["site"])
    files = {
        path: digest for path, digest in _record(_text(contents, f"{info}/RECORD"), match["site"]).items()
        if path.startswith(prefix)
    }  # fmt: skip
    return Package(
        kind="python", name=name, version=str(headers.get("Version") or match["version"] or "?"), was=was, files=files,
        old=records.files(old_info) if old_info else (), own=_below(info, old_info or info), origin=origin,
        is_editable=is_editable, asked_for=f"{info}/REQUESTED" in contents or not files, place=_place(match["site"]),
    )  # fmt: skip


def _drop_notes(infos: list[str], pool: Pool, records: Records) -> None:
    """Leave out what an installer notes when it installs a package again that is as it was, and that its files and
    folders have another owner since."""
    for info in infos:
        notes = [one for one in pool.below(info) if posixpath.basename(one.path) in _NOTES]
        pool.drop(notes)
        if notes:
            files = records.files(info)
            folders = {info} | {
                above for path in files for above in chain(posixpath.dirname(path)) if SITE.match(above)
            }
            pool.drop([one for one in pool if (one.path in files or one.path in folders) and _is_as_before(one)])


def _is_as_before(one: Difference) -> bool:
    """Whether only the owner changed, and who else may write."""
    before, after = one.before, one.after
    if before is None or after is None or (before.mode ^ after.mode) & ~0o022 or not {before.uid, after.uid} <= _USERS:
        return False
    return same(dataclasses.replace(before, mode=after.mode, uid=after.uid, gid=after.gid), after)


def _below(*folders: str) -> Callable[[str], bool]:
    return lambda path: path in folders or path.startswith(tuple(f"{one}/" for one in folders))


def _prefix(site: str) -> str:
    """Where a package of that folder may have files: in the environment, and of Debian's own Python in the folder."""
    match = re.fullmatch(r"(.+)/lib(?:64)?/python[^/]*/(?:site|dist)-packages", site)
    return f"{match[1]}/" if match and match[1] != "/usr" else f"{site}/"


def _place(site: str) -> str:
    return "" if site.startswith(f"{VENV}/") else site


def _text(contents: Mapping[str, bytes], path: str) -> str:
    return contents.get(path, b"").decode(errors="replace")


def _record(text: str, site: str) -> dict[str, str]:
    """RECORD → path to `sha256:HEX`, or to nothing where it gives no hash."""
    found: dict[str, str] = {}
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text, newline=""))):
            if row and row[0] and number < _MOST_ROWS:
                path = posixpath.normpath(posixpath.join(site, row[0]))
                found[path] = _hex(row[1]) if len(row) > 1 else ""
    except csv.Error:
        return {}
    return found


def _hex(value: str) -> str:
    kind, _, text = value.partition("=")
    if kind != "sha256":
        return ""
    try:
        return f"sha256:{base64.urlsafe_b64decode(text + '=' * (-len(text) % 4)).hex()}"
    except (binascii.Error, ValueError):
        return ""


def _origin(text: str) -> tuple[str, bool]:
    """(where a package came from when not from an index, whether it is editable); a login or a query in the address
    is left out, because it may be secret."""
    try:
        value = from_json(text) if text else {}
    except ValueError:
        return "", False
    if not isinstance(value, dict) or not isinstance(value.get("url"), str):
        return "", False
    address = re.sub(r"//[^/]*@", "//", re.sub(r"[?#].*", "", value["url"], flags=re.DOTALL))
    vcs = value.get("vcs_info")
    if isinstance(vcs, dict):
        return f"{vcs.get('vcs', 'vcs')}+{address}@{vcs.get('commit_id', '?')}", False
    folder = value.get("dir_info")
    return address, isinstance(folder, dict) and folder.get("editable") is True


def _infos(package: Wheel | Source) -> tuple[str, ...]:
    """The possible names of a package's *.dist-info."""
    if isinstance(package, Wheel):  # a wheel is called alike: NAME-VERSION
        return ("-".join(package.file.split("-")[:2]) + ".dist-info",)
    name, _, version = re.sub(r"(\.tar\.gz|\.zip)$", "", package.file).rpartition("-")
    names = {one.replace("-", "_") for one in (name, canonicalize_name(package.name))}
    return tuple(f"{one}-{each}.dist-info" for one in sorted(names) for each in sorted({version, package.version}))


class Records:
    """Who has a file of Python packages: as the records of new packages say, else those of the image's locked wheels,
    which are read when they are needed."""

    def __init__(self, image: ImageFiles, lock: Lock) -> None:
        self._image = image
        self._site = f"{VENV}/lib/python{lock.inputs.get('python', '3')}/site-packages"
        self._infos: dict[str, tuple[str, ...]] = {canonicalize_name(one.name): _infos(one) for one in lock.installed}
        self._read: dict[str, dict[str, str]] = {}
        self._learned: set[str] = set()
        self._owners: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def files(self, info: str) -> dict[str, str]:
        """The files of one *.dist-info of the image."""
        if info not in self._read:
            self._read[info] = _record(self._image.text(f"{info}/RECORD"), posixpath.dirname(info))
        return self._read[info]

    def add(self, package: Package, differences: Mapping[str, Difference]) -> None:
        """Learn a new package's files; what the image has stays whose it was."""
        for path in package.files:
            one = differences.get(path)
            if one and (one.before is None or path in package.old):
                self._note(path, package.name)

    def owner(self, path: str) -> str | None:
        """The package that has the path; bytecode belongs to its source."""
        if match := _BYTECODE.match(path):
            path = f"{match['folder']}/{match['name']}.py"
        self._look_for(path, self._owners, path)
        return self._owners.get(path)

    def inside(self, path: str) -> str | None:
        """The package in whose folder the path lies."""
        if not SITE.match(path):
            return None
        for folder in reversed(tuple(chain(posixpath.dirname(path)))):
            self._look_for(path, self._folders, folder)
            if name := self._folders.get(folder):
                return name
        return None

    def _look_for(self, path: str, known: Mapping[str, str], key: str) -> None:
        """Read records until `key` is known, or the folder's package is, or all are read."""
        if key in known or not path.startswith(f"{VENV}/"):
            return
        likely = self._by_name(path)
        if likely:
            self._learn(likely)
        if key in known or posixpath.dirname(path) in self._folders:
            return
        for name in self._infos:
            self._learn(name)

    def _by_name(self, path: str) -> str | None:
        """The package that is called like the path's first part."""
        first = path.removeprefix(f"{self._site}/").split("/")[0]
        name: str = canonicalize_name(first.partition(".")[0].partition("-")[0])
        return name if name in self._infos else None

    def _learn(self, name: str) -> None:
        if name not in self._learned:
            self._learned.add(name)
            for info in self._infos[name]:
                for path in self.files(f"{self._site}/{info}"):
                    self._note(path, name)

    def _note(self, path: str, name: str) -> None:
        self._owners.setdefault(path, name)
        if SITE.match(path):
            folder = posixpath.dirname(path)
            while not folder.endswith(("/site-packages", "/dist-packages")):
                self._folders.setdefault(folder, name)
                folder = posixpath.dirname(folder)
