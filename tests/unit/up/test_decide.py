"""The model of a preset, from its lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.errors import LockError, UsageError
from devenv.lock.files import lock_path, write
from devenv.preset.load import load
from devenv.up.decide import decide_model
from devenv.up.session import Session
from tests.unit.handmade import lock
from tests.unit.weights.test_weights import HF, locked

_TEXT = 'base: {bootstrap: debian/bookworm}\npython: "3.11"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "devenv.yaml"
    found.write_text(f"{_TEXT}model: {{huggingface: {{id: {HF['id']}, revision: {HF['revision']}}}}}\n")
    return found


def test_a_locked_model_is_taken_and_no_hub_is_contacted(path: Path, session: Session) -> None:
    one = load(path)
    write(lock(one.preset, model=locked()), lock_path(one, session.dirs))
    decided = decide_model(path, session)
    assert (decided.model, decided.recorded) == (locked(), None)


def test_a_stale_lock_is_refused(path: Path, session: Session) -> None:
    one = load(path)
    write(lock(one.preset, model=locked()), lock_path(one, session.dirs))
    path.write_text(path.read_text().replace("c0ffee", "decade"))
    with pytest.raises(LockError):
        decide_model(path, session)


def test_a_preset_without_a_model_has_no_weights(path: Path, session: Session) -> None:
    path.write_text(_TEXT)
    with pytest.raises(UsageError, match="names no model"):
        decide_model(path, session)
