"""Names of snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.container.names import is_name
from devenv.errors import UsageError
from devenv.snapshot import naming
from devenv.snapshot.store import Snapshots


def test_what_one_and_two_words_mean() -> None:
    assert naming.split(()) == (None, None)
    assert naming.split(("ocr",)) == ("ocr", None), "a mistyped environment is never a snapshot's name"
    assert naming.split(("ocr", "before")) == ("ocr", "before")
    with pytest.raises(UsageError):
        naming.split(("a", "b", "c"))


def test_the_next_name_is_free_and_is_a_name(tmp_path: Path) -> None:
    kept = Snapshots(tmp_path)
    assert naming.next_name("ocr", kept) == "ocr-1"
    (tmp_path / "ocr-1").mkdir()
    assert naming.next_name("ocr", kept) == "ocr-2"
    for name in ("a" * 40, f"{'a' * 33}-{'b' * 6}"):
        assert is_name(naming.next_name(name, kept))
