from __future__ import annotations

import pytest

from devenv.preset.extension import Named, is_id, is_version, named


def test_a_name_with_and_without_a_version() -> None:
    assert named("Charlie.Ruff") == Named(id="Charlie.Ruff")
    assert named("Charlie.Ruff").key == "charlie.ruff"
    assert named("a.b@1.2.3-rc.1") == Named(id="a.b", version="1.2.3-rc.1")


@pytest.mark.parametrize(
    "text", ["a", "a.", ".b", "a.b.c", "a_.b", "-a.b", "a.b\n", "a.b/c", "a.b%2f", "..", "ä.b", 3, None]
)
def test_what_is_no_id(text: object) -> None:
    assert not is_id(text)


@pytest.mark.parametrize(
    "text", ["1", "1.2", "1.2.3.4", "v1.2.3", "^1.2.3", "1.2.3/..", "1.2.3\n", "1.2.x", "１.2.3", 1]
)
def test_what_is_no_version(text: object) -> None:
    assert not is_version(text)


def test_what_is_one() -> None:
    assert is_id("k--kato.intellij-idea-keybindings")
    assert is_id("13xforever.language-x86-64")
    assert is_version("2026.4.0")
    assert is_version("2025.28.0-dev1")
