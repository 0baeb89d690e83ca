"""Words of a hub: near names, and texts that can be shown."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.doors.http.hub_words import nearest, short_text


def test_near_names_are_names_and_the_nearest_comes_first() -> None:
    names = (
        "Qwen/Qwen2.5-VL-3B-Instruct",
        "Qwen/Qwen2.5-VL-7B-Instruct",
        "other/thing",
        "Qwen/Qwen2.5\x1b[2J",
        "",
        "a/b/c",
    )
    found = nearest("qwen/Qwen2.5-VL-3B-Instrct", names)
    assert found[0] == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert set(found) <= {"Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct"}
    assert nearest("a/b", ()) == ()


@pytest.mark.parametrize("value", [None, 1, ["mit"], "a\nb", "\x1b[2J", "x" * 201, {}])
def test_what_cannot_be_shown_is_nothing(value: Any) -> None:
    assert short_text(value) == ""


def test_a_text_stays() -> None:
    assert short_text("apache-2.0") == "apache-2.0"
