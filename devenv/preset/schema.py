"""The JSON Schema of preset files, for editors: completion, hover texts and red lines while typing."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import re
from typing import Any

from devenv.preset import model, own_project

_EXTENDS = {
    "description": "The preset that this one is laid over: a shipped preset's name, or a relative path of a file.",
    "type": "string",
    "minLength": 1,
}
_PIP_FILE = {
    "description": "A requirements file, relative to this file's folder and inside it.",
    "type": "object",
    "properties": {"file": {"type": "string", "minLength": 1}},
    "required": ["file"],
    "additionalProperties": False,
}
_PROJECT = {
    "description": "The package of this file's folder, installed editable at the start. What its pyproject.toml "
    "requires is added to 'pip'; with `extras` and `groups` also what these require, less the packages `without`. "
    "`install: false`: its requirements alone, of a project that is no package.",
    "anyOf": [
        {"const": "editable"},
        {
            "type": "object",
            "properties": {
                "extras": {"type": "array", "items": {"type": "string", "minLength": 1}},
                "groups": {"type": "array", "items": {"type": "string", "minLength": 1}},
                "without": {"type": "array", "items": {"type": "string", "minLength": 1}},
                "install": {"type": "boolean"},
            },
            "additionalProperties": False,
        },
    ],
}
_WHOLE = ("Archive", "Base", "Extension")
"""Never merged with what is inherited, so their keys are required here."""
_EITHER = {"Base": ("bootstrap", "image"), "Archive": ("path", "url")}


def schema() -> dict[str, Any]:
    """The schema of a file. It differs from the model's own schema in what `extends` allows: any key may be missing
    because it is inherited, and null removes what is inherited."""
    made = copy.deepcopy(model.Preset.model_json_schema())
    definitions: dict[str, Any] = made.pop("$defs")
    described = _descriptions()
    for name, definition in (*definitions.items(), ("Preset", made)):
        for key, value in definition["properties"].items():
            definition["properties"][key] = _property(value, described.get((name, key)), name not in _WHOLE)
        definition.pop("title", None)
        if name not in _WHOLE:
            definition.pop("required", None)
        if name in _EITHER:
            definition["oneOf"] = [{"required": [key]} for key in _EITHER[name]]
    made["properties"] = {"extends": _EXTENDS, **made["properties"], own_project.KEY: _PROJECT}
    _with_files(made["properties"]["pip"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "devenv preset",
        "description": made["description"],
        "type": "object",
        "anyOf": [{"required": ["extends"]}, {"required": ["base", "python"]}],
        "properties": made["properties"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _with_files(pip: dict[str, Any]) -> None:
    """Let `pip` also be, or have among its entries, a mapping that names a requirements file."""
    every = next(choice for choice in pip["anyOf"] if choice.get("type") == "array")
    every["items"] = {"anyOf": [every["items"], _PIP_FILE]}
    pip["anyOf"].insert(1, _PIP_FILE)


def schema_text() -> str:
    """The schema as the text of docs/preset.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _property(value: dict[str, Any], description: str | None, nullable: bool) -> dict[str, Any]:
    value.pop("title", None)
    default = value.pop("default", None)
    for pattern, inner in value.get("patternProperties", {}).items():
        value["patternProperties"][pattern] = _or_null(inner)
        value["additionalProperties"] = False
    if value.get("anyOf", [None])[-1] == {"type": "null"} and not nullable:
        (value,) = value["anyOf"][:-1]
    elif nullable:
        value = _or_null(value)
    if description:
        value = {"description": description, **value}
    return {**value, "default": default} if default else value


def _or_null(value: dict[str, Any]) -> dict[str, Any]:
    return value if "anyOf" in value else {"anyOf": [value, {"type": "null"}]}


def _descriptions() -> dict[tuple[str, str], str]:
    """Class and field → the text below the field in the model's source. (pydantic would read it at every import.)"""
    found: dict[tuple[str, str], str] = {}
    for cls in ast.parse(inspect.getsource(model)).body:
        if not isinstance(cls, ast.ClassDef):
            continue
        for field, text in zip(cls.body, cls.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                words = re.sub(r"\s+", " ", str(text.value.value)).strip()
                found[cls.name, field.target.id] = words
    return found
