"""A model as a plain folder, for machines without a network: exported from the store, imported into it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from devenv.doors.terminal.progress import Progress
from devenv.errors import FetchError, UsageError
from devenv.lock.model import LockedModel, ModelFile
from devenv.weights import local_copies
from devenv.weights.store import Stored, Weights

_SHOWN = 12


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The result of an import: the files that `folder` had, and those that the store still lacks."""

    model: LockedModel
    folder: Path
    taken: tuple[ModelFile, ...]
    missing: tuple[ModelFile, ...]

    def raise_missing(self) -> None:
        """Raise FetchError when the model is not complete."""
        if not self.missing:
            return
        names = [file.path for file in self.missing[:_SHOWN]] + (["…"] if self.missing[_SHOWN:] else [])
        raise FetchError(
            f"{self.folder} lacks {len(self.missing)} of {len(self.model.files)} files of {self.model.key}, "
            "or has different files under these names",
            detail="\n".join(names), hint="the matching files were imported; download the rest: devenv prefetch",
        )  # fmt: skip


def import_from(folder: Path, model: LockedModel, store: Weights, *, progress: Progress) -> Imported:
    """Copy the model's files from `folder` (an export, a clone, a download) into the store, verified. Raises FetchError
    for a store that cannot be written."""
    with store.only(model.key, lambda: None):
        store.begin(model)
        taken = local_copies.take(model, folder.resolve(), store=store, progress=progress)
    return Imported(model=model, folder=folder, taken=taken, missing=store.missing(model))


def exportable(name: str, folder: Path, store: Weights) -> Stored:
    """The model of that key, name or hub id, when it can be exported to `folder`. Raises UsageError."""
    found = store.named(name)
    if not found.complete:
        raise UsageError(f"{found.model.key} is not complete", hint="devenv prefetch, or devenv weights verify")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", hint="name a new folder")
    return found


def export_to(folder: Path, stored: Stored, *, progress: Progress) -> None:
    """Copy the files of a model that is `exportable` to `folder`."""
    progress.start("export", stored.model.size)
    for file in stored.model.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        local_copies.copy(stored.folder / file.path, target)
        progress.advance("export", file.size)
