"""JSON, YAML and TOML that others wrote, to values: bounded in depth and in number before other code reads them."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pydantic import TypeAdapter

T = TypeVar("T")

MAX_DEPTH = 64
MAX_VALUES = 100_000
MAX_YAML_VALUES = 20_000
"""Aliases expanded: nine lines can stand for more values than there is memory for."""
_MOST_TOML_DOTS = 1000
"""In one line: tomllib needs time and memory by the square of a key's parts."""


def from_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError (json.JSONDecodeError where a line and column are known)."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _bound(value)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (a lone surrogate)") from None
    return value


def value_of(kind: type[T], value: Any) -> T:
    """The dataclass that a JSON value stands for; unknown keys are left out. Raises ValueError."""
    made: T = _adapter(cast("Hashable", kind)).validate_python(value)
    return made


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def last_object(text: str) -> dict[str, Any]:
    """The JSON object on a text's last line; empty when there is none: what a program inside reports."""
    lines = text.strip().splitlines()
    try:
        value = from_json(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def from_yaml(text: str) -> Any:
    """The value of a YAML text; only plain types are made. Raises ValueError."""
    import yaml

    # PyYAML's C parser, where it is available, is six times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        reading = loader(text)
        try:
            node = reading.get_single_node()
            _count(node)
            return reading.construct_document(node) if node is not None else None
        finally:
            reading.dispose()
    except yaml.YAMLError as error:
        raise ValueError((str(error).splitlines() or ["not YAML"])[0]) from None
    except RecursionError:
        raise ValueError(_too_deep()) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        # What PyYAML's constructors raise for a tag whose value does not fit, such as '!!int x'.
        raise ValueError(f"a value that does not fit its tag: {error}") from None


def from_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text. Raises ValueError (tomllib.TOMLDecodeError where a line and column are known)."""
    import tomllib

    if any(line.count(".") > _MOST_TOML_DOTS for line in text.splitlines()):
        raise ValueError(f"a line with more than {_MOST_TOML_DOTS:,} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _bound(value: Any) -> None:
    left, level = MAX_VALUES, [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict | list):
                left -= len(one)
                below += one.values() if isinstance(one, dict) else one
        if left < 0:
            raise ValueError(f"more than {MAX_VALUES:,} values")
        if not below:
            return
        level = below
    raise ValueError(_too_deep())


def _count(top: Any) -> None:
    """Refuse a node tree that is too large once its aliases are expanded, too deep, or a part of itself."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: Any, depth: int) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if depth > MAX_DEPTH or id(node) in open_:
            raise ValueError(_too_deep())
        open_.add(id(node))
        total = 1
        if isinstance(node.value, list):
            for one in node.value:
                total += sum(size(each, depth + 1) for each in (one if isinstance(one, tuple) else (one,)))
        if total > MAX_YAML_VALUES:
            raise ValueError(f"more than {MAX_YAML_VALUES:,} values, aliases expanded")
        open_.discard(id(node))
        sizes[id(node)] = total
        return total

    if top is not None:
        size(top, 0)


def _too_deep() -> str:
    return f"nested more than {MAX_DEPTH} deep"
