"""npm: the tarballs that a package-lock names, and the preset's own packages."""

from __future__ import annotations

import base64
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from devenv.doors import files
from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import Web
from devenv.doors.process import ProcessError
from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.progress import Progress
from devenv.doors.untrusted import from_json
from devenv.errors import LockError
from devenv.fetch import npm_program
from devenv.fetch.sources import Sources, tarball_file
from devenv.fetch.store import Store, bring
from devenv.lock.model import LockedNpm, Tarball

_STRENGTH = ("sha1", "sha256", "sha384", "sha512")
_CPU = {"amd64": "x64", "arm64": "arm64"}
_ASKED = ("dependencies", "optionalDependencies", "peerDependencies", "devDependencies")
_PLACE = re.compile(r"(node_modules/(@[\w.~-]+/)?[\w.~-]+(/|$))*")
_RANGE = re.compile(r"(?i)(?!\.|.*\.(tgz|tar|tar\.gz)$)(npm:(@[\w.~-]+/)?[\w.~-]+@)?[\w.+*^~<>=| -]*")
"""Versions, ranges and tags, as `^1.2.0 || 3.x` and `npm:other@1.x`; no address, path or repository has this form."""


def wanted_tarballs(
    package_lock: Mapping[str, Any], arch: str, without: tuple[str, ...] = ()
) -> dict[tuple[str, str], str]:  # fmt: skip
    """(name, version) → integrity of every package that an installation for Linux and glibc takes, without dev ones.
    `without`: beginnings of names of packages at the top that are left out, with what they alone need.

    `package_lock` is a package-lock or shrinkwrap of lockfileVersion 2 or 3. Raises LockError when an entry has no
    integrity.
    """
    found: dict[tuple[str, str], str] = {}
    try:
        packages = package_lock.get("packages", {})
        needed = _needed(packages, without) if without and "" in packages else None
        for place, entry in packages.items():
            if needed is not None and place not in needed:
                continue
            if not place or entry.get("dev") or entry.get("link") or entry.get("inBundle") or not _fits(entry, arch):
                continue
            name = entry.get("name") or place.rpartition("node_modules/")[2]
            integrity = entry.get("integrity")
            if not integrity:
                raise LockError(
                    f"npm's lock gives no hash for {name}", hint="such a package cannot be locked; leave it out"
                )
            version = entry["version"]
            if not all(isinstance(one, str) for one in (name, version, integrity)):
                raise TypeError("a name, version or hash that is not text")
            found[name, version] = integrity
    except (AttributeError, LookupError, TypeError) as error:
        raise LockError(f"cannot read npm's lock: {error}", hint="devenv reads lockfileVersion 2 and 3") from None
    return found


def _needed(packages: Mapping[str, Any], without: tuple[str, ...]) -> set[str]:
    """The places that the root needs, found as Node.js finds modules: below the one that asks, else above it."""
    found, todo = {""}, [""]
    while todo:
        place = todo.pop()
        entry = packages.get(place, {})
        wanted = {**entry.get("dependencies", {}), **entry.get("optionalDependencies", {}),
                  **entry.get("peerDependencies", {})}  # fmt: skip
        for name in wanted:
            if not place and name.startswith(without):
                continue
            above = place
            while (at := f"{above}/node_modules/{name}".lstrip("/")) not in packages and above:
                above = above.rpartition("node_modules/")[0].rstrip("/")
            if at in packages and at not in found:
                found.add(at)
                todo.append(at)
    return found


def _fits(entry: Mapping[str, Any], arch: str) -> bool:
    mine = {"os": "linux", "cpu": _CPU.get(arch, arch), "libc": "glibc"}
    for key, value in mine.items():
        listed = entry.get(key)
        if listed and (f"!{value}" in listed or not (value in listed or all(word[0] == "!" for word in listed))):
            return False
    return True


def digests(integrity: str) -> tuple[tuple[str, str], ...]:
    """The strongest hash of a Subresource Integrity text, as (algorithm, hex)."""
    parts = [part.partition("?")[0].partition("-") for part in integrity.split()]
    try:
        known = [(name, base64.b64decode(value).hex()) for name, _, value in parts if name in _STRENGTH]
    except ValueError:
        known = []
    if not known:
        raise LockError(f"unknown kind of integrity: {integrity}")
    return (max(known, key=lambda one: _STRENGTH.index(one[0])),)


def lock_tarballs(
    wanted: Mapping[tuple[str, str], str], *, store: Store, web: Web, sources: Sources, progress: Progress
) -> tuple[Tarball, ...]:
    """Download each once, check npm's hash, and lock it by sha256. Sorted by name and version."""
    from concurrent.futures import ThreadPoolExecutor

    task = "npm packages"

    def one(item: tuple[tuple[str, str], str]) -> Tarball:
        (name, version), integrity = item
        known = digests(integrity)
        # An npm registry gives no sha256, so known ones are kept beside the store.
        note = store.kept("npm-sha256", known[0][1])
        sha256 = _noted(note) if note else None
        if sha256 is None or not store.holds(sha256):
            file = Wanted(name=f"{name}@{version}", digests=known)
            sha256 = bring(store, web, file, lambda: sources.tarball(name, version)).sha256
            found = sha256
            store.derive("npm-sha256", known[0][1], lambda path: _write(path, found))
        size = store.path(sha256).stat().st_size
        progress.advance(task, size)
        try:
            return Tarball(name=name, version=version, file=tarball_file(name, version), size=size, sha256=sha256)
        except ValueError:
            raise LockError(f"npm's lock names {name!r} {version!r}, which cannot be locked") from None

    progress.start(task, None)
    with ThreadPoolExecutor(12) as pool:
        try:
            return tuple(pool.map(one, sorted(wanted.items())))
        except BaseException:
            web.halt()
            raise
        finally:
            progress.finish(task)


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _noted(note: Path) -> str | None:
    """The sha256 in a note; a damaged note is removed."""
    try:
        text = files.read_text(note)
    except FileNotFoundError:
        return None
    except OSError:
        text = ""
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return text
    shutil.rmtree(note) if note.is_dir() and not note.is_symlink() else note.unlink()
    return None


def resolve_npm(
    packages: tuple[str, ...],
    *,
    arch: str,
    store: Store,
    web: Web,
    sources: Sources,
    settings: Settings,
    progress: Progress,
    previous: LockedNpm | None = None,
) -> LockedNpm:
    """Resolve the preset's own npm packages with npm itself, and keep the versions of `previous` that still fit."""
    if not packages:
        return LockedNpm()
    manifest = {"name": "preset", "version": "0.0.0", "private": True, "dependencies": _dependencies(packages)}
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / "package.json").write_text(json.dumps(manifest))
        if previous and (kept := preferred(previous.package_lock)):
            (top / "package-lock.json").write_text(json.dumps(kept))
        try:
            npm_program.npm(
                ("install", "--package-lock-only", "--no-audit", "--no-fund"), cwd=top, store=store, web=web,
                settings=settings,
            )  # fmt: skip
        except ProcessError as error:
            raise LockError(
                "npm cannot resolve the preset's packages", detail=_tail(error.outcome.err), hint="see 'npm:'"
            ) from None
        package_lock: dict[str, Any] = json.loads((top / "package-lock.json").read_text())
    for place, entry in package_lock["packages"].items():
        if entry.get("link"):  # npm treats folders of the machine as packages
            raise LockError(f"{place} is a folder and no package of a registry", hint="such a package cannot be locked")
        entry.pop("resolved", None)
    tarballs = lock_tarballs(
        wanted_tarballs(package_lock, arch), store=store, web=web, sources=sources, progress=progress
    )
    return LockedNpm(packages=tarballs, package_lock=package_lock)


def preferred(package_lock: Mapping[str, Any]) -> dict[str, Any] | None:
    """An earlier package-lock as npm may read it here; None when it needs more than versions from registries.

    It may come from a foreign repository. Addresses, links and folders in it would make npm run git, contact servers,
    or read files of this machine.
    """
    if not package_lock:
        return None
    packages = package_lock.get("packages")
    if not isinstance(packages, dict) or not all(_is_plain(*item) for item in packages.items()):
        return None
    return {key: package_lock[key] for key in ("name", "version", "lockfileVersion") if key in package_lock} | {
        "requires": True, "packages": packages,
    }  # fmt: skip


def _is_plain(place: str, entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.get("link") or "resolved" in entry or not _PLACE.fullmatch(place):
        return False
    asked = [entry.get(key, {}) for key in _ASKED]
    return isinstance(entry.get("version", ""), str) and all(
        isinstance(package, dict) and all(isinstance(spec, str) and _RANGE.fullmatch(spec) for spec in package.values())
        for package in asked
    )


def _dependencies(packages: tuple[str, ...]) -> dict[str, str]:
    return dict(sorted((package.rpartition("@")[0], package.rpartition("@")[2]) for package in packages))


def _tail(text: str, count: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-count:])


def shrinkwraps(texts: Iterable[str], arch: str, without: tuple[str, ...] = ()) -> dict[tuple[str, str], str]:
    """The union of several shrinkwraps' tarballs; `without` as in `wanted_tarballs`."""
    found: dict[tuple[str, str], str] = {}
    for text in texts:
        try:
            shrinkwrap = from_json(text)
        except ValueError as error:
            raise LockError(f"cannot read npm's lock: {error}") from None
        found.update(wanted_tarballs(shrinkwrap, arch, without))
    return found
