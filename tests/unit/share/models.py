"""A small model, and stores that have it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from devenv.lock.model import LockedModel, ModelFile, ModelSource, files_digest
from devenv.up.session import Session
from devenv.weights.store import Weights
from tests.unit import examples
from tests.unit.share import exported

CONTENTS = {"config.json": b'{"a": 1}', "sub/model.safetensors": b"weights" * 1000}
FILES = tuple(
    ModelFile(path=path, size=len(data), sha256=examples.sha(data.decode())) for path, data in CONTENTS.items()
)
MODEL = LockedModel(
    name="tiny", digest=files_digest(FILES), files=FILES,
    sources=(ModelSource(hub="huggingface", id="me/tiny", revision="a" * 40),),
)  # fmt: skip
LOCK = examples.lock(model=MODEL)


def session(root: Path) -> Session:
    """With a store of weights of its own, and hubs where nothing answers."""
    mine = exported.session(root)
    hubs = dataclasses.replace(mine.settings.hubs, dir=root / "weights", huggingface="http://127.0.0.1:9")
    return dataclasses.replace(mine, settings=dataclasses.replace(mine.settings, hubs=hubs))


def store(session: Session) -> Weights:
    """Its store."""
    return Weights(session.settings.hubs.dir)


def filled(root: Path) -> Session:
    """With the whole model."""
    mine = session(root)
    weights = store(mine)
    weights.begin(MODEL)
    for file in FILES:
        fresh = weights.parts(MODEL.key) / "fresh"
        fresh.write_bytes(CONTENTS[file.path])
        weights.put(MODEL, file, fresh)
    return mine
