"""The JSON Schema for editors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from devenv.preset import scaffold
from devenv.preset.load import find, load, shipped
from devenv.preset.schema import schema, schema_text
from devenv.preset.yaml import parse
from devenv.preset.yaml import text as source
from devenv.preset.yaml.problems import Problems

from .conftest import Write

DOCS = Path(__file__).parents[3] / "docs" / "preset.schema.json"


def test_the_committed_schema_is_current() -> None:
    assert DOCS.read_text(encoding="utf-8") == schema_text(), "write it anew: devenv schema > docs/preset.schema.json"


@pytest.fixture(scope="module")
def check() -> Callable[[Any], list[str]]:
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    return lambda data: [error.message for error in validator.iter_errors(data)]


def test_every_key_is_explained() -> None:
    def unexplained(name: str, definition: dict[str, Any]) -> Iterator[str]:
        for key, value in definition["properties"].items():
            if "description" not in value:
                yield f"{name}.{key}"

    made = schema()
    assert [*unexplained("Preset", made)] == []
    assert [one for name, definition in made["$defs"].items() for one in unexplained(name, definition)] == []


@pytest.mark.parametrize("name", shipped())
def test_shipped_presets_agree(name: str, check: Callable[[Any], list[str]]) -> None:
    path = find(name, Path("/"))
    problems = Problems(path)
    tree = parse.parse(source.read(path, problems), problems)
    assert check(json.loads(json.dumps(tree.plain()))) == []


def test_what_may_be_left_out_or_null(check: Callable[[Any], list[str]]) -> None:
    assert check({"extends": "root"}) == []
    assert check({"extends": "root", "services": {"web": {"port": 80}}, "cuda": None, "env": {"A": None}}) == []
    assert check({"base": {"image": "x"}, "python": "3.11"}) == []
    assert check({"extends": "root", "extensions": ["charliermarsh.ruff", "ms-python.python@2026.4.0"]}) == []
    assert check({"python": "3.11"}) != []


@pytest.mark.parametrize(
    "wrong",
    [
        {"revison": "x"}, {"env": {"A B": "x"}}, {"env": {"A": 5}}, {"base": {}}, {"python": 3.11}, {"ports": {"a": 0}},
        {"base": {"image": "x", "bootstrap": "debian/x"}}, {"extensions": [{"id": "a.b"}]}, {"extensions": ["ruff"]},
        {"apt": ["a;b"]},
        {"services": {"a": {"x": 1}}},
    ],
)  # fmt: skip
def test_what_editors_mark(wrong: dict[str, Any], check: Callable[[Any], list[str]]) -> None:
    assert check({"extends": "root", **wrong}) != []


def test_the_scaffold_agrees(write: Write, check: Callable[[Any], list[str]]) -> None:
    text = scaffold.text("root", "x")
    assert check(yaml.safe_load(text)) == []
    assert check(yaml.safe_load(uncommented(text))) == []
    loaded = load(write("devenv.yaml", uncommented(text)))
    assert set(loaded.preset.services) == {"web"}
    assert loaded.preset.pip


def uncommented(text: str) -> str:
    """The scaffold with every example enabled, as its comments describe."""
    head, _, examples = text.partition("# Remove")
    lines = [
        line[2:] if line.startswith("# ") and not line[2].isupper() else line for line in examples.splitlines()[1:]
    ]
    return head + "\n".join(line for line in lines if not line.startswith("the program itself")) + "\n"
