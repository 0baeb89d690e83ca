"""A loaded preset as YAML lines, each with the origin of its value."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from devenv.preset.load import LoadedPreset
from devenv.preset.yaml.nodes import Place

_COLUMN = 70


def outline(loaded: LoadedPreset) -> str:
    """The resolved preset; every line that holds a value ends with `# file:line`, or `# default`."""
    rows = list(_mapping(loaded, (), loaded.preset.model_dump(mode="json", exclude_none=True)))
    column = min(_COLUMN, max(len(text) for text, origin in rows if origin))
    return "".join(f"{text:<{column}}  # {origin}\n" if origin else f"{text}\n" for text, origin in rows)


def _mapping(loaded: LoadedPreset, at: Place, values: dict[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if not at and value in ([], {}, ""):
            continue
        yield from _value(loaded, (*at, key), f"{'  ' * len(at)}{_scalar(key)}:", value)


def _value(loaded: LoadedPreset, at: Place, head: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        yield head, ""
        yield from _mapping(loaded, at, value)
    elif isinstance(value, list) and len(at) == 1:
        yield head, ""
        for index, item in enumerate(value):
            yield from _item(loaded, (*at, index), item)
    else:
        yield f"{head} {_scalar(value)}", _origin(loaded, at)


def _item(loaded: LoadedPreset, at: Place, item: object) -> Iterator[tuple[str, str]]:
    if not isinstance(item, dict):
        yield f"  - {_scalar(item)}", _origin(loaded, at)
        return
    for number, (text, origin) in enumerate(_mapping(loaded, at, item)):
        yield (f"  - {text[4:]}" if number == 0 else text), origin


def _origin(loaded: LoadedPreset, at: Place) -> str:
    mark = loaded.origins.get(at)
    if mark is None:
        return "default"
    # A name that no file gives is the folder's: it has the top's mark.
    return "from the file's place" if at == ("name",) and mark == loaded.origins.get(()) else f"{mark.file}:{mark.line}"


def _scalar(value: object) -> str:
    """On one line, quoted where YAML needs it."""
    text = yaml.dump([value], Dumper=yaml.SafeDumper, default_flow_style=True, allow_unicode=True, width=1_000_000)
    return text.strip()[1:-1]
