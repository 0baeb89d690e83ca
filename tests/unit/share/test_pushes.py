"""Where this user has pushed to, so that a registry can take blobs from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.doors.http.registry.reference import Reference
from devenv.share.pushes import Pushes


def _at(name: str, host: str = "example.org") -> Reference:
    return Reference.parse(f"{host}/{name}:1")


def test_the_latest_repositories_of_the_same_registry_come_first(tmp_path: Path) -> None:
    pushes = Pushes(folder=tmp_path / "pushes")
    assert pushes.origins(_at("new")) == ()
    for name in ("a", "b", "c", "d", "e", "c"):
        pushes.remember(_at(name))
    pushes.remember(_at("other", "127.0.0.1:5000"))
    assert pushes.origins(_at("new")) == ("c", "e", "d", "b")
    assert pushes.origins(_at("c")) == ("e", "d", "b")
    assert pushes.origins(_at("new", "127.0.0.1:5000")) == ("other",)


@pytest.mark.parametrize("text", ["", "{}", "[1, null]", "no", "[" * 9000])
def test_what_cannot_be_read_counts_for_nothing(text: str, tmp_path: Path) -> None:
    pushes = Pushes(folder=tmp_path)
    pushes.remember(_at("a"))
    (path,) = tmp_path.iterdir()
    path.write_text(text)
    assert pushes.origins(_at("new")) == ()
    pushes.remember(_at("a"))
    assert pushes.origins(_at("new")) == ("a",)
