"""A model as an artifact of CNCF ModelPack: one layer a file, as it is, under the file's own sha256.

Format: model-spec of ModelPack (spec.md, config.md, annotations.md), read in June 2026.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.http.registry.upload import Blob
from devenv.share.along import Along
from devenv.share.formats import (
    MODEL,
    MODEL_CODE,
    MODEL_CONFIG,
    MODEL_GUESSED,
    MODEL_PATH,
    MODEL_SETTINGS,
    MODEL_TEXTS,
    MODEL_WEIGHTS,
    TITLE,
)
from devenv.share.pack import document

if TYPE_CHECKING:
    from devenv.lock.model import LockedModel, ModelFile

_BY_SUFFIX = {
    **dict.fromkeys((".py", ".sh", ".ipynb", ".js", ".cpp", ".cu"), MODEL_CODE),
    **dict.fromkeys((".md", ".pdf", ".rst", ".png", ".jpg", ".jpeg", ".gif", ".svg"), MODEL_TEXTS),
    **dict.fromkeys(
        (".json", ".jsonl", ".txt", ".yaml", ".yml", ".toml", ".cfg", ".jinja", ".vocab", ".tiktoken", ".model"),
        MODEL_SETTINGS,
    ),
}
_TEXTS = ("license", "readme", "notice", "copying")


def artifact(model: LockedModel, folder: Path) -> Along:
    """The artifact of a model whose files lie in a folder; the same model gives the same bytes."""
    blobs = tuple(Blob(descriptor=layer(file), content=folder / file.path) for file in model.files)
    config = _config(model)
    return Along(
        kind=MODEL, blobs=blobs, config=Blob(descriptor=Descriptor.of(config, MODEL_CONFIG), content=config)
    )  # fmt: skip


def layer(file: ModelFile) -> Descriptor:
    """The descriptor of one file."""
    about = ((MODEL_GUESSED, "true"), (MODEL_PATH, file.path), (TITLE, file.path))
    return Descriptor(media_type=_kind(file.path), digest=f"sha256:{file.sha256}", size=file.size, annotations=about)


def _kind(path: str) -> str:
    """By its name alone, as the annotation says."""
    name = PurePosixPath(path.lower())
    if name.stem.startswith(_TEXTS):
        return MODEL_TEXTS
    if not name.suffix and name.name.startswith("."):  # .gitattributes
        return MODEL_SETTINGS
    return _BY_SUFFIX.get(name.suffix, MODEL_WEIGHTS)


def _config(model: LockedModel) -> bytes:
    first = model.sources[0]
    return document({
        "descriptor": {"name": model.name, "title": first.id, "revision": first.revision, "version": model.digest},
        "config": {},
        "modelfs": {"type": "layers", "diffIds": [f"sha256:{file.sha256}" for file in model.files]},
    })  # fmt: skip
