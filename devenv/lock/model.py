"""The lock's shape and its one text form: JSON, sorted, one artifact a line, no host names, no times."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, FailFast, Field, ValidationError, model_validator

from devenv.doors import files
from devenv.doors.docker.local_tag import BASE_TAG
from devenv.doors.untrusted import from_json
from devenv.errors import LockError
from devenv.lock.artifact import (
    Artifact,
    Deb,
    Hex,
    LockedSources,
    Size,
    Source,
    Stored,
    Tarball,
    Vsix,
    Wheel,
    Word,
    no_dots,
)
from devenv.lock.builtin_packages import NODE_WHEEL
from devenv.lock.mistake import ANEW, inconsistent
from devenv.lock.text import dumped
from devenv.preset.model import REPOSITORY, REVISION

__all__ = (
    "Artifact", "Deb", "Lock", "LockedBase", "LockedEditor", "LockedModel", "LockedNpm", "LockedSources",
    "ModelFile", "ModelSource", "Source", "Tarball", "Vsix", "Wheel", "files_digest", "parse", "read",
)  # fmt: skip

FORMAT = 1
MAX_BYTES = 8 << 20
"""The size limit of a lock: some tens of times a large one."""


def _on_the_calendar(text: str) -> str:
    dt.datetime.strptime(text, "%Y%m%dT%H%M%S%z")
    return text


def _pin(value: Any) -> Any:
    if not all(isinstance(one, str) for one in (value if isinstance(value, list) else [value])):
        raise ValueError("a pin is a text or a list of texts")
    return value


_Instant = Annotated[str, Field(pattern=r"^[0-9]{8}T[0-9]{6}Z$"), AfterValidator(_on_the_calendar)]


class LockedBase(Stored):
    """The root file system: `packages` in unpacking order, or an image by digest and the packages that it lacks."""

    kind: Literal["bootstrap", "image"]
    distribution: Literal["debian", "ubuntu"]
    release: Annotated[str, Field(pattern=r"^[a-z]+$")]
    packages: Annotated[tuple[Deb, ...], FailFast()] = ()
    image: Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9._:/@-]*$")] | None = None
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    local: Literal[True] | None = None
    """The image came from no registry (`docker load`, `docker import`): `digest` is its id, the config digest."""

    @property
    def reference(self) -> str | None:
        """The exact reference of that image: NAME@DIGEST, or for a local one the tag that the build gives it."""
        if self.image is None or self.digest is None:
            return None
        return self.tag if self.local else f"{self.image}@{self.digest}"

    @property
    def tag(self) -> str | None:
        """The tag of that image for a build on the engine that has it."""
        return f"{BASE_TAG}{self.digest[7:23]}" if self.digest else None

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        if self.kind == "bootstrap" and (not self.packages or self.image or self.digest):
            raise ValueError("a bootstrapped base has packages and no image")
        if self.kind == "image" and not (self.image and self.digest):
            raise ValueError("a base image has a name and a digest")
        return self


class LockedEditor(Stored):
    """code-server: its own archive, and from npm also every tarball of its shrinkwraps and the compiler's debs."""

    version: Word
    source: Literal["npm", "release"]
    archive: Artifact
    packages: Annotated[tuple[Tarball, ...], FailFast()] = ()
    toolchain: Annotated[tuple[Deb, ...], FailFast()] = ()
    """The compiler of the native parts: in the build stage only, never in the image."""


class ModelFile(Stored):
    """One file of a model."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+@=,()\[\] -]+(/[A-Za-z0-9_.+@=,()\[\] -]+)*$", max_length=1024),
                    AfterValidator(no_dots)]  # fmt: skip
    """Relative to the model's folder."""
    size: Size
    """Bytes."""
    sha256: Hex


class ModelSource(Stored):
    """A hub's repository of the model, at one revision."""

    hub: Literal["huggingface", "modelscope"]
    id: Annotated[str, Field(pattern=REPOSITORY)]
    revision: Annotated[str, Field(pattern=REVISION)]


class LockedModel(Stored):
    """Weights: every file by size and hash, and the hubs that have them, in the preset's order."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,94}[a-z0-9])?$")]
    digest: Hex
    """sha256 over the sorted lines `SHA256 SIZE PATH`: the same content is the same model, whichever hub it is from."""
    sources: Annotated[tuple[ModelSource, ...], Field(min_length=1, max_length=64), FailFast()]
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1), FailFast()]

    @model_validator(mode="after")
    def _of_its_files(self) -> Self:
        paths = [file.path for file in self.files]
        known = set(paths)
        if paths != sorted(known):
            raise ValueError("a model's files are sorted, each once")
        for path in paths:
            if above := next((str(parent) for parent in PurePosixPath(path).parents if str(parent) in known), None):
                raise ValueError(f"{above} cannot be a file and have {path} in it")
        if files_digest(self.files) != self.digest:
            raise ValueError("the model's digest is not that of its files")
        return self

    @property
    def key(self) -> str:
        """The name of its folder and volume: name and the digest's first 12."""
        return f"{self.name}-{self.digest[:12]}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def source(self, hub: str) -> ModelSource | None:
        """The model's place on that hub."""
        return next((source for source in self.sources if source.hub == hub), None)


def files_digest(files: Iterable[ModelFile]) -> str:
    """The identity of a model: sha256 (hex) over its files."""
    lines = sorted(f"{file.sha256} {file.size} {file.path}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _packages(package_lock: dict[str, Any]) -> dict[str, Any]:
    packages = package_lock.get("packages", {})
    if not isinstance(packages, dict):
        raise ValueError("npm's lock has no packages")
    for entry in packages.values():
        if not isinstance(entry, dict):
            raise ValueError("an entry of npm's lock is not an object")
        if not all(isinstance(entry.get(key, ""), str) for key in ("name", "version")):
            raise ValueError("an entry of npm's lock has a name or version that is not text")
    if not isinstance(packages.get("", {}).get("dependencies", {}), dict):
        raise ValueError("npm's lock has no list of the requested packages")
    return package_lock


class LockedNpm(Stored):
    """The preset's own npm packages: tarballs, and npm's package-lock with addresses left out."""

    packages: Annotated[tuple[Tarball, ...], FailFast()] = ()
    package_lock: Annotated[dict[str, Any], AfterValidator(_packages)] = Field(default_factory=dict)


class Lock(Stored):
    """Every input of a build, by hash. Equal locks and templates give equal images."""

    format: Literal[1] = 1
    preset: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    platform: Literal["linux/amd64", "linux/arm64"]
    inputs: dict[str, Annotated[Any, AfterValidator(_pin)]]
    """The preset's pins that this lock resolves, by section; drift is a difference here."""
    base: LockedBase
    apt: Annotated[tuple[Deb, ...], FailFast()] = ()
    """Packages on top of the base, in unpacking order."""
    wheels: Annotated[tuple[Wheel, ...], FailFast()] = ()
    sources: LockedSources | None = None
    """Packages without wheels; None when all have some."""
    uv: Wheel
    """The installer, used in the build only."""
    node: Wheel | None = None
    editor: LockedEditor | None = None
    npm: LockedNpm = LockedNpm()
    extensions: Annotated[tuple[Vsix, ...], FailFast()] = ()
    archives: dict[Literal["base", "apt", "toolchain", "sources"], dict[Word, _Instant]] | None = None
    """The dates of the archives that packages of a section came from, by suite (the `Date` of the Release file,
    `20261122T100000Z`). A snapshot service is asked for that date once mirrors have dropped the packages."""
    model: LockedModel | None = None
    """Weights: not part of the image, kept in their own store."""
    open: Annotated[tuple[Literal["model"], ...], Field(min_length=1, max_length=1)] | None = None
    """Parts of the preset that are not pinned yet. The first command that needs one contacts the hubs and completes the
    lock."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        editor = self.editor
        folders = {
            "debs": (*self.base.packages, *self.apt),
            "toolchain": editor.toolchain if editor else (),
            "wheels": (*self.wheels, self.uv, *((self.node,) if self.node else ())),
            "sources": self.sourced,
            "sources' toolchain": self.debs()["sources"],
            "editor": (editor.archive, *editor.packages) if editor else (),
            "npm": self.npm.packages,
            "extensions": self.extensions,
        }
        sizes: dict[str, int] = {}
        for artifacts in folders.values():
            hashes: dict[str, str] = {}
            for artifact in artifacts:
                if hashes.setdefault(artifact.file, artifact.sha256) != artifact.sha256:
                    raise ValueError(f"two files are called {artifact.file}")
                if sizes.setdefault(artifact.sha256, artifact.size) != artifact.size:
                    raise ValueError(f"two sizes are given for {artifact.file}")
        if (self.node and self.node.name != NODE_WHEEL) or self.uv.name != "uv":
            raise ValueError(f"node must be {NODE_WHEEL}, and uv must be uv")
        if self.node is None and (self.npm.packages or (editor and editor.source == "npm")):
            raise ValueError("npm packages without node")
        if self.open and self.model:
            raise ValueError("a model that is both open and recorded")
        return self

    def artifacts(self) -> tuple[Artifact, ...]:
        """Every locked file, each once, sorted by hash."""
        editor = (self.editor.archive, *self.editor.packages, *self.editor.toolchain) if self.editor else ()
        artifacts = (
            *self.base.packages, *self.apt, *self.sourced, *self.debs()["sources"], *self.every_wheel, *editor,
            *self.npm.packages, *self.extensions,
        )  # fmt: skip
        return tuple(
            sorted({artifact.sha256: artifact for artifact in artifacts}.values(), key=lambda artifact: artifact.sha256)
        )

    @property
    def sourced(self) -> tuple[Source, ...]:
        """The sources, those that only builds need included."""
        return self.sources.packages if self.sources else ()

    @property
    def installed(self) -> tuple[Wheel | Source, ...]:
        """The Python packages in the image, with wheels and from source."""
        return (*self.wheels, *(source for source in self.sourced if source.layer is not None))

    @property
    def required(self) -> tuple[Wheel, ...]:
        """The wheels that only the builds of sources need, each once."""
        return tuple({wheel.sha256: wheel for source in self.sourced for wheel in source.requires}.values())

    @property
    def for_builds(self) -> tuple[Wheel | Source, ...]:
        """The Python packages that only the builds of sources need."""
        return (*self.required, *(source for source in self.sourced if source.layer is None))

    @property
    def every_wheel(self) -> tuple[Wheel, ...]:
        """The wheels in the image, those for builds, and those of devenv's own tools."""
        return (*self.wheels, *self.required, self.uv, *((self.node,) if self.node else ()))

    def debs(self) -> dict[str, tuple[Deb, ...]]:
        """The Debian packages, by the section that they were resolved in."""
        toolchain = self.editor.toolchain if self.editor else ()
        sources = self.sources.toolchain if self.sources else ()
        return {"base": self.base.packages, "apt": self.apt, "toolchain": toolchain, "sources": sources}

    def archived(self, section: str) -> dict[str, str]:
        """`archives` of one section; empty when the lock has none."""
        return next((dates for name, dates in (self.archives or {}).items() if name == section), {})

    def dump(self) -> str:
        """The lock's text: deterministic, one artifact a line."""
        return dumped(self.model_dump(mode="json", exclude_none=True)) + "\n"

    @property
    def digest(self) -> str:
        """sha256 (hex) of the text."""
        return hashlib.sha256(self.dump().encode()).hexdigest()


def read(path: Path) -> Lock:
    """The lock in `path`. Raises LockError naming the file (and line) when it is missing or unreadable."""
    try:
        text = files.read_text(path, most_bytes=MAX_BYTES, inside=path.parent)
    except FileNotFoundError:
        raise LockError(f"no lock at {path}", hint="make one with 'devenv lock'") from None
    except OSError as error:
        raise LockError(
            f"cannot read the lock: {files.reason(error)}", where=str(path), hint=files.hint(error)
        ) from None
    return parse(text, path)


def parse(text: str, path: Path) -> Lock:
    """The lock in `text`; `path` is its file, for errors. Raises LockError naming the line."""
    try:
        data = from_json(text)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise LockError(f"the lock is not JSON: {error.msg}", where=where, hint=ANEW) from None
    except ValueError as error:
        raise LockError(f"the lock cannot be read: {error}", where=str(path), hint=ANEW) from None
    if isinstance(data, dict) and isinstance(data.get("format"), int) and data["format"] > FORMAT:
        raise LockError("the lock was made by a newer devenv", where=str(path), hint="update devenv")
    try:
        lock = Lock.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise inconsistent(path, text, data, first["loc"], first["msg"].removeprefix("Value error, ")) from None
    from devenv.lock.consistency import contradictions

    for loc, reason in contradictions(lock):
        raise inconsistent(path, text, data, loc, reason)
    return lock
