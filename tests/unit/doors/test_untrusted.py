from __future__ import annotations

import json
from typing import Any

import pytest

from devenv.doors.untrusted import MAX_DEPTH, MAX_VALUES, MAX_YAML_VALUES, from_json, from_yaml, last_object

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))


def test_values_come_through() -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": []}}
    assert from_json(json.dumps(value)) == value
    assert from_yaml(json.dumps(value)) == value
    assert from_yaml("") is None
    assert from_yaml("a: &x [1]\nb: *x\n") == {"a": [1], "b": [1]}


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_json_that_is_too_deep(depth: int, opening: str, closing: str) -> None:
    with pytest.raises(ValueError, match="nested more than"):
        from_json(opening * depth + "1" + closing * depth)


def test_json_with_too_many_values() -> None:
    assert len(from_json(json.dumps([0] * MAX_VALUES))) == MAX_VALUES
    with pytest.raises(ValueError, match="more than"):
        from_json(json.dumps([[0] * 1000] * (MAX_VALUES // 1000)))


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\udfff": 1}', "1" * 5000, "{", "", "nul"])
def test_json_that_is_no_value(text: str) -> None:
    with pytest.raises(ValueError):
        from_json(text)


@pytest.mark.parametrize("text", [BOMB, MERGES, "&a [*a]", "&a {b: *a}", "[" * 5000, "- " * 200, f"[{'0,' * 30_000}]"])
def test_yaml_bombs(text: str) -> None:
    with pytest.raises(ValueError):
        from_yaml(text)


def test_a_list_of_the_most_values_is_no_bomb() -> None:
    assert len(from_yaml("a: &x [" + "0," * 100 + "]\nb: [" + "*x," * 190 + "]")["b"]) == 190
    with pytest.raises(ValueError, match="aliases expanded"):
        from_yaml("a: &x [" + "0," * 100 + "]\nb: [" + "*x," * (MAX_YAML_VALUES // 100) + "]")


@pytest.mark.parametrize("tag", ["!!int", "!!float", "!!timestamp", "!!bool", "!!binary", "!!python/name:os.system"])
@pytest.mark.parametrize("value", ["", "x", "[]"])
def test_yaml_tags_that_do_not_fit(tag: str, value: str) -> None:
    try:
        from_yaml(f"a: {tag} {value}")
    except ValueError:
        return


@pytest.mark.parametrize(
    ("text", "value"),
    [('x\n{"a": 1}\n', {"a": 1}), ("", {}), ("[1]", {}), ("[" * 100_000, {}), ("9" * 5000, {}), ('{"a": "\\ud800"}', {})],
)  # fmt: skip
def test_the_object_on_the_last_line(text: str, value: Any) -> None:
    assert last_object(text) == value
