"""What a lock names: one shape for each kind of file, and the limits of what a stranger's lock may say."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, model_validator

SOURCE_STAGE = "source-"
"""The beginning of the names of the build stages that make wheels."""
_MOST_SIZE = (1 << 63) - 1
_MOST_LAYER = 255


class Stored(BaseModel):
    """Stored files: unknown keys of a newer devenv are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


# A lock's values end up in file names, addresses and build steps, so none may leave its folder or its argument.
def no_dots(text: str) -> str:
    """Refuse a path that leaves its folder. Raises ValueError."""
    if {"", ".", ".."} & set(text.split("/")):
        raise ValueError("a name with an empty, '.' or '..' part")
    return text


def _within(text: str) -> str:
    return text if text == "." else no_dots(text)


Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9@][A-Za-z0-9@/._+:~!-]*$", max_length=255), AfterValidator(no_dots)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+~!%:-]*$", max_length=255)]
PoolPath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_+~%][A-Za-z0-9._+~:%-]*(/[A-Za-z0-9_+~%][A-Za-z0-9._+~:%-]*)*$", max_length=1024)
]
Folder = Annotated[str, Field(pattern=r"^[A-Za-z0-9._+/-]+$", max_length=255), AfterValidator(_within)]
"""A folder in a source archive, `.` for its top."""
Size = Annotated[int, Field(ge=0, le=_MOST_SIZE)]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Artifact(Stored):
    """One locked file: what every kind has."""

    name: Word
    version: Word
    file: FileName
    """The file's own name, unique within its kind."""
    size: Size
    """Bytes."""
    sha256: Hex


class Deb(Artifact):
    """A Debian package."""

    arch: Word
    path: PoolPath
    """The path below a mirror's base, as in the Packages index (`pool/main/b/bash/…`)."""
    suite: Word
    """The suite that had it (`bookworm-security`), which decides which of the user's mirrors comes first."""
    layer: Annotated[int, Field(ge=1, le=_MOST_LAYER)] | None = None
    """The image layer it goes to, as for wheels; None is the root preset's, and that of the base and the toolchain."""


class Wheel(Artifact):
    """A Python wheel."""

    layer: Annotated[int, Field(ge=0, le=_MOST_LAYER)] = 0
    """The image layer it goes to: 0 for the root preset's wheels, higher for each preset that extends it."""


class Tarball(Artifact):
    """An npm package's tarball; `file` is `NAME-VERSION.tgz`, a scoped one `SCOPE+NAME-VERSION.tgz`."""


class Source(Artifact):
    """A Python package that the index has as source only: its archive, and all that making its wheel needs."""

    layer: Annotated[int, Field(ge=0, le=_MOST_LAYER)] | None = None
    """The image layer that its wheel goes to, as for wheels; None: only the builds of other sources need it."""
    backend: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*(:[A-Za-z_][A-Za-z0-9_.]*)?$", max_length=255)]
    """The build backend, as PEP 517 names it (`MODULE:OBJECT`)."""
    backend_path: Annotated[tuple[Folder, ...], Field(max_length=16)] = ()
    """The archive's folders that hold the backend, where the archive brings its own."""
    toolchain: Literal[True] | None = None
    """Its build gets the toolchain: it is compiled, or the base lacks the interpreter."""
    requires: Annotated[tuple[Wheel, ...], FailFast()] = ()
    """Its build requirements."""
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")] | None = None
    """Of a package in a git repository: the archive is what devenv makes of this commit, NAME-COMMIT.tar."""
    needs: tuple[FileName, ...] = ()
    """Its build requirements that are sources themselves, by their files. They come earlier in the list."""

    @property
    def stage(self) -> str:
        """The name of the stage that makes its wheel."""
        return f"{SOURCE_STAGE}{re.sub('[^a-z0-9]+', '-', self.name.lower())}-{self.sha256[:8]}"


class LockedSources(Stored):
    """Packages without wheels, in the order of their builds, and the compiler and headers for some of them."""

    packages: Annotated[tuple[Source, ...], Field(min_length=1), FailFast()]
    toolchain: Annotated[tuple[Deb, ...], FailFast()] = ()
    """In the build stages only, never in the image."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        known: set[str] = set()
        for source in self.packages:
            if late := sorted(set(source.needs) - known):
                raise ValueError(f"the build of {source.file} needs {late[0]}, which does not come before it")
            known.add(source.file)
        if len({source.stage for source in self.packages}) < len(self.packages):
            raise ValueError("a source is listed twice")
        if not self.toolchain and any(source.toolchain for source in self.packages):
            raise ValueError("a source that is compiled, without a toolchain")
        return self

    def toolchain_of(self, source: Source) -> tuple[Deb, ...]:
        """The toolchain that its build gets."""
        return self.toolchain if source.toolchain else ()

    def chain(self, source: Source) -> tuple[Source, ...]:
        """The sources that its build needs, and itself, in the order of their builds."""
        wanted = {source.file}
        for earlier in reversed(self.packages):
            if earlier.file in wanted:
                wanted |= set(earlier.needs)
        return tuple(each for each in self.packages if each.file in wanted)


TARGETS = {"amd64": "linux-x64", "arm64": "linux-arm64"}
"""Debian's name of a processor → the name that registries of extensions have for Linux on it."""


class Vsix(Artifact):
    """An editor extension; `file` is `PUBLISHER.NAME-VERSION.vsix`."""

    platform: Literal["linux-x64", "linux-arm64", "universal"] | None = None
    """The build of a registry of extensions; None: a file that the preset names."""
