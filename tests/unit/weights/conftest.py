"""A store that holds one small model, and an engine that knows who uses its volume."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from devenv.doors.docker.engine import LABEL
from devenv.lock.model import LockedModel
from devenv.weights.store import Weights
from tests.unit.weights.test_weights import BODIES, locked


class Engine:
    """`users`: the names of the environments whose containers have the model's volume."""

    def __init__(self, *users: str) -> None:
        self.users = users
        self.removed: list[str] = []

    def containers_with(self, volume: str) -> list[SimpleNamespace]:
        assert volume.startswith("devenv-model-")
        return [SimpleNamespace(name=f"devenv-{one}", labels={f"{LABEL}name": one}) for one in self.users]

    def remove_volume(self, name: str) -> None:
        self.removed.append(name)


@pytest.fixture
def model() -> LockedModel:
    return locked()


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """A folder with the model's files."""
    folder = tmp_path / "download"
    for name, body in BODIES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


@pytest.fixture
def store(tmp_path: Path, model: LockedModel, download: Path) -> Weights:
    made = Weights(tmp_path / "weights")
    made.begin(model)
    for file in model.files:
        part = made.parts(model.key) / file.sha256
        part.write_bytes((download / file.path).read_bytes())
        made.put(model, file, part)
    return made
