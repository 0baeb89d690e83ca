"""The sources of a locked file, from the user's own settings: mirrors, indexes, registries, local folders."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from packaging.utils import canonicalize_name

from devenv.doors import files
from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import NowhereError, Origin, Unusable, Web
from devenv.doors.once import Once
from devenv.doors.settings.apt_archives import apt_sources, snapshots
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.tool_configs import header_for
from devenv.doors.untrusted import from_json
from devenv.errors import DevenvError, FetchError, UsageError
from devenv.fetch.open_vsx import OpenVsx
from devenv.lock.model import Artifact, Deb, Lock, Vsix
from devenv.preset.model import Archive, Preset
from devenv.preset.own_wheel import own_wheel
from devenv.preset.repository import Repository, repository

Place = Origin | Unusable


class Listed(NamedTuple):
    """A file on an index page."""

    file: str
    url: str
    sha256: str | None
    python: str = ""  # the Pythons that it is for, as a specifier
    yanked: bool = False


def repositories(preset: Preset) -> dict[str, Repository]:
    """The git repositories that the preset names, by package."""
    return {found.name: found for found in map(repository, preset.pip) if found}


def archives(preset: Preset) -> dict[str, Archive]:
    """The files that the preset itself names (by path or address), by sha256."""
    editor = preset.code_server.archive if preset.code_server else None
    wheels = (
        Archive(path=str(wheel.path) if wheel.path else None, url=wheel.url, sha256=wheel.sha256)
        for wheel in map(own_wheel, preset.pip)
        if wheel
    )
    extensions = (extension.archive for extension in preset.extensions if not isinstance(extension, str))
    named = (editor, *extensions, *wheels)
    return {archive.sha256: archive for archive in named if archive is not None}


class Sources:
    """`places(artifact)` gives the sources of a file, in order. Pages and the registry are looked up once."""

    def __init__(
        self,
        settings: Settings,
        web: Web,
        *,
        node_registry: Callable[[], str] | None = None,
        files: Mapping[str, Archive] | None = None,
    ) -> None:
        self._settings = settings
        self._web = web
        self._node_registry = node_registry
        self._files = files or {}
        self._folders = Folders(settings.folders)
        self._pages = Once[str, tuple[Listed, ...]]()
        self._registry = Once[str, str]()

    def deb(self, deb: Deb, distribution: str, release: str, made: str | None = None) -> Iterator[Place]:
        """apt's own folder, each archive of that suite, the other archives of the release, and at last the user's
        snapshot service, for the archive as it was when it was `made`."""
        if self._settings.apt_archives is not None:
            name = f"{deb.name}_{deb.version.replace(':', '%3a')}_{deb.arch}.deb"
            if (self._settings.apt_archives / name).is_file():
                yield Origin(url=(self._settings.apt_archives / name).as_uri())
        sources = apt_sources(self._settings, distribution, release)
        first = [source.uri for source in sources if deb.suite in source.suites]
        others = [source.uri for source in sources if deb.suite not in source.suites]
        if not sources:
            yield Unusable(url=f"{distribution}/{release}", why=_no_mirror(distribution), gone=False)
        for uri in dict.fromkeys((*first, *others)):
            url = f"{uri}/{quote(deb.path, safe='/~')}"
            yield Origin(url=url, channel="apt", headers=header_for(url, self._settings.apt_auth))
        service = dict(self._settings.apt_snapshots).get(distribution)
        if service and made is None:
            yield Unusable(url=service, why="the lock is old and does not record which day to request", gone=True)
        for base in snapshots(self._settings, distribution, deb.suite, made) if made else ():
            url = f"{base}/{quote(deb.path, safe='/~')}"
            yield Origin(url=url, channel="apt", headers=header_for(url, self._settings.apt_auth))

    def package(self, wheel: Artifact) -> Iterator[Place]:
        """A file of a Python package: the preset's own; else local folders, then each index, then pip's default one."""
        if archive := self._files.get(wheel.sha256):
            yield from self.address(archive)
            return
        pip = self._settings.pip
        for folder in self._link_folders():
            if (folder / wheel.file).is_file():
                yield Origin(url=(folder / wheel.file).resolve().as_uri())
        for page in self._link_pages():
            yield from self._listed(page, wheel)
        for index in () if pip.no_index else (*pip.extra_indexes, self._default_index()):
            yield from self._listed(_page(index, wheel.name), wheel)

    def listed(self, name: str) -> tuple[Listed, ...]:
        """Every file of a Python package in the user's folders and indexes. A place that cannot be read has none."""
        pip = self._settings.pip
        found = [
            Listed(path.name, path.resolve().as_uri(), None)
            for folder in self._link_folders()
            for path in sorted(folder.glob("*"))
            if path.is_file()
        ]
        indexes = () if pip.no_index else (*pip.extra_indexes, self._default_index())
        for page in (*self._link_pages(), *(_page(index, name) for index in indexes)):
            with contextlib.suppress(NowhereError):
                found += self._links(page, name)
        return tuple(found)

    def _link_folders(self) -> Iterator[Path]:
        for place in self._settings.pip.find_links:
            if "://" not in place.replace("file://", ""):
                yield Path(unquote(urlsplit(place).path) if place.startswith("file:") else place)

    def _link_pages(self) -> Iterator[str]:
        yield from (place for place in self._settings.pip.find_links if place.startswith(("http://", "https://")))

    def tarball(self, name: str, version: str) -> Iterator[Place]:
        """The scope's registry, or the user's, or npm's default; by the usual path, then by the registry's metadata."""
        try:
            registry = self.registry(name)
        except DevenvError as error:
            yield Unusable(url=name, why=error.message)
            return
        headers = self._npm_headers(registry)
        base = name.rpartition("/")[2]
        usual = f"{registry}/{name}/-/{base}-{version}.tgz"
        yield Origin(url=usual, channel="npm", headers=headers)
        try:
            dist = self.described(name, version).get("dist")
            address = dist.get("tarball") if isinstance(dist, dict) else None
        except NowhereError as error:
            yield from error.reasons
            return
        if isinstance(address, str) and address != usual:
            yield Origin(url=address, channel="npm", headers=self._npm_headers(address))

    def described(self, name: str, version: str) -> dict[str, Any]:
        """The registry's metadata of one version of an npm package. Raises NowhereError."""
        registry = self.registry(name)
        place = Origin(
            url=f"{registry}/{name.replace('/', '%2f')}/{version}",
            channel="npm",
            headers=self._npm_headers(registry),
        )
        try:
            value = from_json(self._web.page(place)[0])
        except ValueError:
            value = None
        if not isinstance(value, dict):
            why = Unusable(url=place.url, why="does not answer as an npm registry")
            raise NowhereError(Wanted(name=f"{name}@{version}"), (why,))
        return value

    def address(self, archive: Archive) -> tuple[Place, ...]:
        """The source of a preset's own archive."""
        if archive.path is not None:
            return (Origin(url=Path(archive.path).resolve().as_uri()),)
        return (Origin(url=archive.url or ""),)

    def file(self, artifact: Artifact) -> Iterator[Place]:
        """The preset's own source: a path or an address."""
        archive = self._files.get(artifact.sha256)
        if archive is None:
            yield Unusable(url=artifact.file, why="the preset gives no address for it", gone=True)
        else:
            yield from self.address(archive)

    def extension(self, vsix: Vsix) -> Iterator[Place]:
        """The preset's own file, else the user's registry of extensions."""
        registry = self._settings.extension_registry
        if vsix.platform is None:
            yield from self.file(vsix)
        elif registry is None:
            yield Unusable(url=vsix.file, why="your settings name no registry of extensions")
        else:
            yield from OpenVsx(registry, self._web).places(vsix.name, vsix.version, vsix.platform)

    def local(self, artifact: Artifact) -> Path | None:
        """The file in one of the user's own folders."""
        return self._folders.find(artifact)

    def places(self, artifact: Artifact, lock: Lock, kind: str) -> Iterator[Place]:
        """The sources of one of the lock's files; `kind` as `kinds` gives it. The user's own folders come first."""
        found = self._folders.find(artifact)
        if found is not None:
            yield Origin(url=found.resolve().as_uri())
        yield from self._places(artifact, lock, kind)

    def _places(self, artifact: Artifact, lock: Lock, kind: str) -> Iterator[Place]:
        match kind:
            case "deb":
                assert isinstance(artifact, Deb)
                return self.deb(artifact, lock.base.distribution, lock.base.release, _made(lock, artifact))
            case "wheel" | "source":
                return self.package(artifact)
            case "tarball":
                return self.tarball(artifact.name, artifact.version)
            case "extension":
                assert isinstance(artifact, Vsix)
                return self.extension(artifact)
            case _:
                return self.file(artifact)

    def registry(self, name: str) -> str:
        """The npm registry for a package of that name, without a trailing slash."""
        scope = name.partition("/")[0] if name.startswith("@") else ""
        scoped = dict(self._settings.npm.scopes).get(scope)
        return (scoped or self._registry.get("", self._default_registry)).rstrip("/")

    def _default_registry(self) -> str:
        if self._settings.npm.registry:
            return self._settings.npm.registry
        if self._node_registry is None:
            raise FetchError("no npm registry is known", hint="npm config set registry ADDRESS")
        return self._node_registry()

    def _npm_headers(self, url: str) -> tuple[tuple[str, str], ...]:
        return header_for(url, self._settings.npm.auth)

    def _default_index(self) -> str:
        if self._settings.pip.index:
            return self._settings.pip.index
        from pypi_simple import PYPI_SIMPLE_ENDPOINT

        return PYPI_SIMPLE_ENDPOINT

    def _listed(self, page: str, wheel: Artifact) -> Iterator[Place]:
        try:
            links = self._links(page, wheel.name)
        except NowhereError as error:
            yield from error.reasons
            return
        found = [(link.url, link.sha256) for link in links if link.file == wheel.file]
        for url, sha256 in found:
            if sha256 is not None and sha256 != wheel.sha256:
                yield Unusable(url=url, why=f"the index has sha256 {sha256}, the lock has {wheel.sha256}")
            else:
                yield from self._cached(url)
                yield Origin(url=url, channel="pip")
        if not found:
            yield Unusable(url=page, why=f"does not list {wheel.file}", gone=True)

    def _links(self, page: str, name: str) -> tuple[Listed, ...]:
        return self._pages.get(page, lambda: self._read(page, canonicalize_name(name)))

    def _cached(self, url: str) -> Iterator[Origin]:
        """pip's own download of that address, where its cache has one (layout of pip 23.2 and later)."""
        if self._settings.pip.cache is not None:
            name = hashlib.sha224(url.encode()).hexdigest()
            body = self._settings.pip.cache.joinpath("http-v2", *name[:5], f"{name}.body")
            if body.is_file():
                yield Origin(url=body.resolve().as_uri())

    def _read(self, page: str, project: str) -> tuple[Listed, ...]:
        """Every file on an index page, HTML or JSON."""
        asked = page
        if page.startswith("file:"):
            asked = page.rstrip("/") + "/index.html"
        accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
        text, final, kind = self._web.page(Origin(url=asked, channel="pip", accept=accept))
        from pypi_simple import ProjectPage

        try:
            if "json" in kind:
                parsed = ProjectPage.from_json_data(json.loads(text), base_url=final)
            else:
                parsed = ProjectPage.from_html(project, text, base_url=final)
        except Exception as error:  # noqa: BLE001 (whatever a broken index page makes the parser raise)
            why = Unusable(url=page, why=f"its index page cannot be read: {type(error).__name__}")
            raise NowhereError(Wanted(name=page), (why,)) from None
        return tuple(
            Listed(
                package.filename,
                urljoin(final, package.url).partition("#")[0],
                package.digests.get("sha256"),
                package.requires_python or "",
                package.is_yanked,
            )
            for package in parsed.packages
        )


def _page(index: str, name: str) -> str:
    return f"{index.rstrip('/')}/{canonicalize_name(name)}/"


def kinds(lock: Lock) -> dict[str, str]:
    """The kind of each file of the lock, by sha256: `deb`, `wheel`, `source`, `commit`, `tarball`, `extension` (of a
    registry) or `file`."""
    editor = lock.editor
    found: dict[str, str] = {}
    found.update({vsix.sha256: "extension" if vsix.platform else "file" for vsix in lock.extensions})
    if editor is not None:
        found[editor.archive.sha256] = "tarball" if editor.source == "npm" else "file"
        found.update({tarball.sha256: "tarball" for tarball in editor.packages})
    found.update({tarball.sha256: "tarball" for tarball in lock.npm.packages})
    found.update({deb.sha256: "deb" for debs in lock.debs().values() for deb in debs})
    found.update({source.sha256: "commit" if source.commit else "source" for source in lock.sourced})
    found.update({wheel.sha256: "wheel" for wheel in lock.every_wheel})
    return found


def _made(lock: Lock, deb: Deb) -> str | None:
    """The date of the archive that this package of the lock came from, where the lock records it."""
    for section, debs in lock.debs().items():
        date = lock.archived(section).get(deb.suite)
        if date and any(locked.sha256 == deb.sha256 for locked in debs):
            return date
    return None


def tarball_file(name: str, version: str) -> str:
    """The one file name of an npm tarball: `+` stands between scope and name, because no npm name has it."""
    return f"{name.removeprefix('@').replace('/', '+')}-{version}.tgz"


def _no_mirror(distribution: str) -> str:
    variable = f"DEVENV_APT_MIRROR_{distribution.upper()}"
    return f"this machine's apt names no {distribution} mirror; set {variable}, or mirrors: in devenv's config.yaml"


class Folders:
    """The user's files in folders: found by size, verified by hash, under any name."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(folders)
        self._by_size = Once[str, Mapping[int, tuple[Path, ...]]]()

    def find(self, artifact: Artifact) -> Path | None:
        """A file with the artifact's size and sha256; None when there is none. Raises UsageError for a bad folder."""
        if not self._folders:
            return None
        for path in self._by_size.get("", self._listed).get(artifact.size, ()):
            with contextlib.suppress(OSError), files.opened(path) as handle:
                if hashlib.file_digest(handle, "sha256").hexdigest() == artifact.sha256:
                    return path
        return None

    def _listed(self) -> Mapping[int, tuple[Path, ...]]:
        found: dict[int, list[Path]] = {}
        for folder in self._folders:
            if not folder.is_dir():
                raise UsageError(f"{folder} is not a folder", hint="name a folder that holds locked files")
            for path in sorted(folder.rglob("*")):
                with contextlib.suppress(OSError):
                    if path.is_file():
                        found.setdefault(path.stat().st_size, []).append(path)
        return {size: tuple(paths) for size, paths in found.items()}
