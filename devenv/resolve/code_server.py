"""code-server: the npm package with its dependencies, or a release tarball."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import Web
from devenv.doors.terminal.progress import Progress
from devenv.errors import LockError
from devenv.fetch import declared
from devenv.fetch.sources import Sources
from devenv.fetch.store import Store, bring
from devenv.lock.model import Artifact, Deb, LockedEditor
from devenv.preset.model import Archive, CodeServer
from devenv.resolve import npm

PACKAGE = "code-server"
_ANOTHER = "use a later version in 'code_server', or 'source: release'"
_MOST_BYTES = 16 << 20
_AGENTS = ("@github/copilot-sdk", "@microsoft/mxc-sdk", "@vscode/sqlite3")
"""Packages, by the beginnings of their names, that only the editor's AI agents load (templates/build/trim.mjs has the
same ones). The settings switch these off, and without GitHub's account they do nothing."""
_SHRINKWRAPS = tuple(f"package/{folder}npm-shrinkwrap.json" for folder in ("", "lib/vscode/", "lib/vscode/extensions/"))


def resolve_editor(
    wish: CodeServer,
    *,
    toolchain: tuple[Deb, ...],
    arch: str,
    store: Store,
    web: Web,
    sources: Sources,
    progress: Progress,
) -> LockedEditor:
    """Lock code-server. From npm, its own shrinkwraps list the dependencies. Raises LockError, FetchError."""
    if wish.source == "release":
        assert wish.archive is not None
        file = f"{PACKAGE}-{wish.version}-linux-{arch}.tar.gz"
        archive = Artifact(**pinned(wish.archive, PACKAGE, wish.version, file, store=store, web=web, sources=sources))
        declared.check(archive, "release", store.path(archive.sha256))
        return LockedEditor(version=wish.version, source="release", archive=archive)
    integrity = _integrity(wish.version, sources)
    own = npm.lock_tarballs(
        {(PACKAGE, wish.version): integrity}, store=store, web=web, sources=sources, progress=progress
    )[0]
    needed = npm.shrinkwraps(_texts(store.path(own.sha256)), arch, _AGENTS)
    return LockedEditor(
        version=wish.version,
        source="npm",
        archive=Artifact(**own.model_dump()),
        packages=npm.lock_tarballs(needed, store=store, web=web, sources=sources, progress=progress),
        toolchain=toolchain,
    )


def has_agents(editor: LockedEditor) -> bool:
    """Whether an earlier lock still has them."""
    return any(package.name.startswith(_AGENTS) for package in editor.packages)


def _integrity(version: str, sources: Sources) -> str:
    described = sources.described(PACKAGE, version)
    dist = described.get("dist")
    integrity = dist.get("integrity") if isinstance(dist, dict) else None
    if not isinstance(integrity, str):
        raise LockError(f"the npm registry gives no hash for {PACKAGE} {version}")
    return integrity


def _texts(archive: Path) -> tuple[str, ...]:
    """The shrinkwraps' texts; the archive is read once, front to back."""
    found: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                if member.name in _SHRINKWRAPS and (content := tar.extractfile(member)) is not None:
                    if member.size > _MOST_BYTES:
                        raise ValueError(f"{member.name} is too large")
                    found[member.name] = content.read().decode()
                    if len(found) == len(_SHRINKWRAPS):
                        break
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise LockError(f"the package {PACKAGE} cannot be read: {error}", hint=_ANOTHER) from None
    for name in _SHRINKWRAPS:
        if name not in found:
            raise LockError(
                f"this version of {PACKAGE} has no {name.removeprefix('package/')}",
                hint=_ANOTHER,
            )
    return tuple(found.values())


def pinned(
    archive: Archive, name: str, version: str, file: str, *, store: Store, web: Web, sources: Sources
) -> Mapping[str, object]:
    """The facts of a file that the preset pins, now in the store. Raises FetchError."""
    if archive.path is not None:
        store.adopt(Path(archive.path), archive.sha256)
    else:
        wanted = Wanted(name=file, digests=(("sha256", archive.sha256),))
        bring(store, web, wanted, lambda: sources.address(archive))
    size = store.path(archive.sha256).stat().st_size
    return {"name": name, "version": version, "file": file, "size": size, "sha256": archive.sha256}
