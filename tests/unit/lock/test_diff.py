"""Differences between two locks."""

from __future__ import annotations

from devenv.lock.diff import Change, changes
from tests.unit import examples


def test_versions_are_told_and_hashes_where_the_version_is_the_same() -> None:
    lock = examples.lock()
    first, second, *rest = lock.wheels
    newer = first.model_copy(update={"version": "99.0"})
    other = second.model_copy(update={"sha256": "ab" * 32})
    new = lock.model_copy(update={"wheels": (newer, other, *rest)})
    assert changes(lock, lock) == ()
    assert set(changes(lock, new)) == {
        Change(kind="pip", name=first.name, old=first.version, new="99.0"),
        Change(
            kind="pip", name=second.name, old=f"{second.version} (sha256 {second.sha256[:12]}…)",
            new=f"{second.version} (sha256 abababababab…)",
        ),
    }  # fmt: skip
    assert {change.old for change in changes(None, lock)} == {None}
