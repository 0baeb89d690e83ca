"""A lock may come with a cloned project: nothing in it may reach outside or run on the host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devenv.errors import LockError
from devenv.lock.model import read
from tests.unit.examples import lock


def _tampered(tmp_path: Path, change: Any) -> Path:
    document = json.loads(lock().dump())
    change(document)
    path = tmp_path / "devenv.lock"
    path.write_text(json.dumps(document))
    return path


def test_the_example_itself_is_read(tmp_path: Path) -> None:
    assert read(_tampered(tmp_path, lambda _: None)) == lock()


@pytest.mark.parametrize(
    "name", ["x/../../../victim", "../x", "x/..", "x//y", "x/./y", "/etc/x", "x\ny", "x y", "x;y", "$(x)"]
)
def test_names_that_would_leave_their_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LockError):
        read(_tampered(tmp_path, lambda document: document["editor"]["packages"][0].update(name=name)))


@pytest.mark.parametrize(("part", "name"), [("node", "evil-node"), ("uv", "not-uv")])
def test_what_runs_on_this_machine_is_what_it_says(part: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(LockError, match="must be"):
        read(_tampered(tmp_path, lambda document: document[part].update(name=name)))
