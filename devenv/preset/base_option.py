"""`init --base IMAGE`: the keys of a preset that starts from another image than its parent, and what cannot work."""

from __future__ import annotations

import dataclasses
import re

from devenv.errors import UsageError
from devenv.preset.model import IMAGE, Preset

_FOREIGN = re.compile(
    r"(?:^|/)(alpine|busybox|scratch|fedora|centos|rockylinux|almalinux|amazonlinux|oraclelinux|archlinux|photon)"
    r"(?:[:@/]|$)|(?:^|/)(ubi[0-9]|opensuse|redhat|distroless|windows|nanoserver|wolfi-base)|[:-](alpine|ubi[0-9]|rockylinux[0-9]|centos[0-9])"
)
"""Parts of names of images that are neither Debian nor Ubuntu."""
_PYTHONS = (
    (re.compile(r"bookworm|debian:12"), "3.11"),
    (re.compile(r"trixie|debian:13"), "3.13"),
    (re.compile(r"noble|ubuntu-?:?24\.04"), "3.12"),
    (re.compile(r"jammy|ubuntu-?:?22\.04"), "3.10"),
    (re.compile(r"bullseye|debian:11"), "3.9"),
    (re.compile(r"focal|ubuntu-?:?20\.04"), "3.8"),
    (re.compile(r"buster|debian:10"), "3.7"),
    (re.compile(r"bionic|ubuntu-?:?18\.04"), "3.6"),
)
"""A release's part of an image's name, and the Python that the distribution has."""
_OLDEST = "3.10"
"""The oldest Python that the shipped presets' packages have wheels for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OtherBase:
    """The image, another Python that its distribution has (None: the preset's, or its name does not tell), and
    variables with a folder of that Python."""

    image: str
    python: str | None
    env: tuple[tuple[str, str], ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The keys of the preset."""
        told = (f'python: "{self.python}" # the one of that release',) if self.python else ()
        env = (
            ("env: # folders of that Python", *(f'  {name}: "{value}"' for name, value in self.env)) if self.env else ()
        )
        return (f'base: {{image: "{self.image}"}}', *told, *env)


def other_base(image: str, parent: Preset) -> OtherBase:
    """The keys for a base image. Raises UsageError for one that cannot work, with the reason."""
    if len(image) > 300 or not re.fullmatch(IMAGE, image):
        raise UsageError(
            f"{image[:100]!r} is not an image's name", hint="write HOST/NAME:TAG, NAME:TAG or NAME@sha256:DIGEST"
        )
    name = image.partition("@")[0]
    if _FOREIGN.search(name):
        raise UsageError(
            f"{image} is neither Debian nor Ubuntu, and devenv installs what a preset needs with apt",
            hint="name an image of the Debian family: debian:bookworm, ubuntu:24.04, or one that is made from them",
        )
    python = next((python for release, python in _PYTHONS if release.search(name)), None)
    if python and tuple(map(int, python.split("."))) < tuple(map(int, _OLDEST.split("."))):
        raise UsageError(
            f"{image} has Python {python}, and the preset's packages have no wheels for it",
            hint="name an image of a newer release: debian:bookworm, ubuntu:22.04 or newer",
        )
    if python == parent.python:
        python = None
    own = f"/python{parent.python}/"
    moved = ((key, value.replace(own, f"/python{python}/")) for key, value in parent.env.items() if own in value)
    return OtherBase(image=image, python=python, env=tuple(moved) if python else ())
