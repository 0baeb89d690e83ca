"""Write devenv/compat/architectures.yaml: the architectures that releases of vLLM and Transformers know.

python tools/architecture_rows.py WHEEL...      reads the registries inside wheels; nothing of them is executed
"""

from __future__ import annotations

import ast
import sys
import textwrap
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename

FILE = Path(__file__).resolve().parent.parent / "devenv" / "compat" / "architectures.yaml"
_REGISTRY = "vllm/model_executor/models/registry.py"
_CONFIGS = "vllm/transformers_utils/config.py"
_AUTO = "transformers/models/auto/modeling_auto.py"
_POOLING = (
    "_EMBEDDING_MODELS", "_LATE_INTERACTION_MODELS", "_REWARD_MODELS", "_TOKEN_CLASSIFICATION_MODELS",
    "_SEQUENCE_CLASSIFICATION_MODELS",
)  # fmt: skip
_HEAD = """\
# The architectures (`architectures` and `model_type` of a config.json) that a release knows, from the registries inside
# its wheel. Written by tools/architecture_rows.py. Of a release that has no row nothing is known.
#   text, picture: give completions; of vLLM's, `picture` has those for sound and film too
#   pooling: give vectors, scores or classes    types: values of model_type whose config.json needs no code to be read
"""


def main(wheels: Sequence[Path]) -> None:
    """Read the wheels, and write the file."""
    rows: dict[str, list[dict[str, Any]]] = {"vllm": [], "transformers": []}
    for wheel in wheels:
        name, version, _, _ = parse_wheel_filename(wheel.name)
        with zipfile.ZipFile(wheel) as archive:
            row = _vllm(archive) if name == "vllm" else _transformers(archive)
        rows[name].append({"versions": f"=={version}", **row})
    lines = [_HEAD.rstrip("\n")]
    for name, found in rows.items():
        lines.append(f"{name}:")
        for row in sorted(found, key=lambda each: str(each["versions"])):
            lines += _text(row)
    FILE.write_text("\n".join(lines) + "\n")


def _vllm(archive: zipfile.ZipFile) -> dict[str, list[str]]:
    tables = _assigned(archive.read(_REGISTRY))
    pooling = {name for table in _POOLING for name in tables.get(table, {})}
    gives = set(tables["_TEXT_GENERATION_MODELS"]) | set(tables["_MULTIMODAL_MODELS"])
    return {
        "text": sorted(tables["_TEXT_GENERATION_MODELS"]),
        "picture": sorted(tables["_MULTIMODAL_MODELS"]),
        "pooling": sorted(pooling - gives),
        "types": sorted(_assigned(archive.read(_CONFIGS))["_CONFIG_REGISTRY"]),
    }


def _transformers(archive: zipfile.ZipFile) -> dict[str, list[str]]:
    tables = _assigned(archive.read(_AUTO))
    text, picture = tables["MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"], tables["MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES"]
    return {
        "text": sorted(set(_classes(text)) - set(_classes(picture))),
        "picture": sorted(set(_classes(picture))),
        "types": sorted({*text, *picture}),
    }


def _classes(table: Mapping[str, str | Sequence[str]]) -> Iterator[str]:
    for value in table.values():
        yield from (value,) if isinstance(value, str) else value


def _assigned(source: bytes) -> dict[str, dict[str, Any]]:
    """The tables at the top of a module: dictionaries, ordered ones, and calls with names."""
    found = {}
    for node in ast.parse(source).body:
        targets = (
            [node.target] if isinstance(node, ast.AnnAssign) else node.targets if isinstance(node, ast.Assign) else []
        )
        if (
            len(targets) != 1
            or not isinstance(targets[0], ast.Name)
            or not isinstance(node, ast.Assign | ast.AnnAssign)
        ):
            continue
        value = node.value
        if isinstance(value, ast.Dict):
            found[targets[0].id] = {key.value: _plain(each) for key, each in zip(value.keys, value.values, strict=True)
                                    if isinstance(key, ast.Constant)}  # fmt: skip
        elif isinstance(value, ast.Call) and value.args and isinstance(value.args[0], ast.List):
            pairs = [each.elts for each in value.args[0].elts if isinstance(each, ast.Tuple)]
            found[targets[0].id] = {
                pair[0].value: _plain(pair[1]) for pair in pairs if isinstance(pair[0], ast.Constant)
            }
        elif isinstance(value, ast.Call):
            named = {word.arg: "" for word in value.keywords if word.arg}
            more = [word.value for word in value.keywords if word.arg is None and isinstance(word.value, ast.Dict)]
            named |= {key.value: "" for table in more for key in table.keys if isinstance(key, ast.Constant)}
            found[targets[0].id] = named
    return found


def _plain(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ""


def _text(row: Mapping[str, Any]) -> Iterator[str]:
    yield f'  - versions: "{row["versions"]}"'
    for key, names in row.items():
        if key != "versions":
            yield f"    {key}: ["
            yield from textwrap.wrap(", ".join(names) + ",", 114, initial_indent="      ", subsequent_indent="      ")
            yield "    ]"


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
