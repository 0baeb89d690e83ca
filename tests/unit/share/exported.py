"""Layouts as `devenv export` writes them, of an image that is made by hand."""

from __future__ import annotations

import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

from devenv.doors.http.registry.manifest import EMPTY, Descriptor, Manifest
from devenv.doors.http.registry.upload import Blob
from devenv.doors.terminal.progress import Silent
from devenv.share import manifests
from devenv.share.along import Along
from devenv.share.formats import BUILD, CONFIG, LAYER, RECIPE, SBOM, TITLE
from devenv.share.layout import InLayout
from devenv.share.manifests import Contents
from devenv.up.session import Session
from tests.unit import handmade

LAYERS = (random.Random(1).randbytes(700_000), random.Random(2).randbytes(2_500_000))
CONFIG_BYTES = json.dumps({"config": {}}).encode()


def session(root: Path) -> Session:
    return handmade.session(handmade.settings(root))


def blob(data: bytes, media_type: str = LAYER) -> Blob:
    return Blob(descriptor=Descriptor.of(data, media_type), content=data)


def top() -> Manifest:
    contents = Contents(identity="sha256:" + "0" * 64, recipe=b"recipe", about={TITLE: "shop", BUILD: "b" * 64})
    return manifests.image(CONFIG_BYTES, tuple(Descriptor.of(one, LAYER) for one in LAYERS), contents)


def write(
    path: Path, mine: Session, *, layers: tuple[Blob, ...] | None = None, along: tuple[Along, ...] = (), **values: Any
) -> InLayout:
    """Write the image with its bill of materials, and what goes along."""
    place = InLayout(path=path, tar=path.suffix == ".tar", **values)
    image = top()
    with place.opened(mine, writing=True) as layout:
        small = (blob(CONFIG_BYTES, CONFIG), blob(b"recipe", RECIPE), blob(b"bill", SBOM), blob(b"{}", EMPTY))
        beside = [blob for one in along for blob in one.every()]
        layout.send([*small, *(layers or map(blob, LAYERS)), *beside], Silent())
        layout.put(image)
        for one in along:
            layout.attach(one.manifest(image))
        layout.attach(manifests.attachment(SBOM, b"bill", image))
    return InLayout(path=path)


def along(*contents: bytes, kind: str = "application/x-tests") -> Along:
    return Along(kind=kind, blobs=tuple(blob(one, "application/octet-stream") for one in contents))


def files(path: Path) -> dict[str, bytes]:
    """Name → content of all files of a layout."""
    if path.is_dir():
        return {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}
    with tarfile.open(path) as archive:
        return {one.name: file.read() for one in archive if (file := archive.extractfile(one))}


def tar(path: Path, contents: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    """A tar of these files, and of members without content."""
    with tarfile.open(path, "w") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in more:
            archive.addfile(member)
    return path
