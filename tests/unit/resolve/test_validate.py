"""A preset that is checked, not locked."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.resolve import validate as room
from devenv.resolve.validate import validate

TEXT = 'base: {bootstrap: debian/bookworm}\npython: "3.11"\n'


def test_all_mistakes_are_given_at_once(tmp_path: Path) -> None:
    path = tmp_path / "devenv.yaml"
    path.write_text(f"{TEXT}apt: 3\npips: [x]\n")
    found = validate(str(path), tmp_path, tmp_path)
    assert len(found.mistakes) == 2
    assert all((mistake.where or "").startswith(found.name) for mistake in found.mistakes)


def test_a_preset_that_is_not_there_is_one_mistake(tmp_path: Path) -> None:
    found = validate(None, tmp_path, tmp_path)
    assert (found.name, len(found.mistakes)) == ("devenv.yaml", 1)


def test_a_valid_preset_may_have_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "devenv.yaml").write_text(TEXT)
    monkeypatch.setattr(room, "fits", lambda *_: ("torch 9 is not in the matrix",))
    found = validate(str(tmp_path), tmp_path, tmp_path)
    assert (found.mistakes, found.warnings) == ((), ("torch 9 is not in the matrix",))
