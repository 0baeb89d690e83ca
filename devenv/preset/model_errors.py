"""pydantic's errors in plain words, with their line and column."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from devenv.preset import model
from devenv.preset.extension import FILE_ENTRY, NAME_ENTRY, NAMED
from devenv.preset.yaml.nodes import Node, Place
from devenv.preset.yaml.problems import Problems, given, nearest, quote

EXPECTED: Mapping[str, str] = {
    model.SLUG: "lower-case letters, digits and '-', at most 40, such as 'my-env'",
    model.BOOTSTRAP: "a distribution and its release, such as 'debian/bookworm'",
    model.IMAGE: "an image's name, such as 'debian:bookworm-slim'; a digest has 64 hexadecimal digits",
    model.APT: "an apt package, such as 'git' or 'git=1:2.39.5-0+deb12u2'",
    model.NPM: "an npm package with its exact version, such as 'typescript@5.6.3'",
    model.VERSION: "an exact version, such as '4.3.1'",
    model.MINOR: "a Python version as MAJOR.MINOR, such as '3.11'",
    model.ENV_NAME: "a variable's name: letters, digits and '_', not beginning with a digit",
    model.ENV_VALUE: "text on one line",
    model.CONTAINER_PATH: "an absolute path in the container, such as '/opt/data', of letters, digits and . _ + -",
    model.URL_PATH: "the path part of an address, beginning with '/', such as '/health'",
    model.URL: "an http or https address",
    model.SHA256: "a sha256: 64 hexadecimal digits, lower-case",
    model.HOST_NAME: "a host name in lower case, such as 'dev.example.org' or '*.lab.example.org', or 'any'",
    model.ARGUMENT: "one argument, on one line and not empty",
    model.LISTEN: "'127.0.0.1:PORT' or 'unix:/run/devenv/NAME'",
    model.EXTENSION: "an extension's id, PUBLISHER.NAME",
    NAMED: "an extension's name, PUBLISHER.NAME or PUBLISHER.NAME@1.2.3, or a mapping with 'id', 'version', 'archive'",
    model.REPOSITORY: "a repository of a hub, OWNER/NAME, such as 'acme/tiny-1.0'",
    model.COMMIT: "a commit: 40 hexadecimal digits, lower-case; the hub's page of the model's history shows it",
    model.REVISION: "a commit or a tag: letters, digits and . _ -",
    model.TIMEZONE: "a time zone's name, such as 'Europe/Berlin' or 'UTC'",
    model.FILE_PATTERN: "a pattern of file names, such as '*.safetensors' or 'tokenizer/*'",
    model.SIZE: "a size in megabytes or gigabytes, such as '512m' or '2g'",
    model.CAPABILITY: "a compute capability, such as '8.0'",
}
"""Each pattern of the model, in words."""

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def explain(error: ValidationError, top: Node, problems: Problems, *, without_top: bool) -> None:
    """Adds each finding to `problems`; `without_top` leaves out the model's errors about the preset as a whole,
    because devenv.preset.checks reports it at a better place."""
    for finding in error.errors(include_url=False):
        if not (without_top and not finding["loc"]):
            _explain(finding, top, problems)


def _explain(finding: ErrorDetails, top: Node, problems: Problems) -> None:
    place: Place = tuple(step for step in finding["loc"] if step not in (FILE_ENTRY, NAME_ENTRY))
    kind, context, value = finding["type"], finding.get("ctx", {}), finding["input"]
    is_key = bool(place) and place[-1] == "[key]"
    if is_key:
        place = place[:-1]
    node, rest = top.at(place)
    name = label(_in_file(place, top))
    if place[:1] == ("pip",) and len(place) == 2 and not rest and isinstance(node.value, str) and node.number is None:
        name = quote(node.value)  # of a file that 'pip' or 'project' follows, where it is no entry of a list
    if kind == "missing":
        where = f" in {label(_in_file(place[:-1], top))}" if len(place) > 1 else ""
        hint = _needed(place) or ("or begin with 'extends: NAME'" if len(place) == 1 else None)
        problems.add(f"{quote(str(place[-1]))} is missing{where}", node.place, hint=hint)
        return
    whole = kind == "value_error" and isinstance(node.value, dict)
    mark = node.place if is_key or kind == "extra_forbidden" or rest or whole else node.mark
    if kind == "extra_forbidden":
        known = fields(place[:-1])
        hint = None if problems.full else nearest(str(place[-1]), known)
        problems.add(f"unknown key {quote(str(place[-1]))}", mark, hint=hint or _choices(known))
    elif kind == "value_error":
        text = str(context.get("error", ""))
        # The models' own messages name their keys; at the top and for list entries they need no place.
        problems.add(f"{name}: {text}" if place else text, mark)
    elif is_key:
        problems.add(f"{quote(str(place[-1]))} cannot be a key of {label(place[:-1])}", mark, hint=_expects(context))
    elif kind in _TYPES:
        problems.add(f"{name} takes {_TYPES[kind]}, not {given(value)}", mark, hint=_conversion(kind, value, place))
    elif kind == "literal_error":
        choices = [choice for choice in get_args(inner_type(_annotation(place))) if isinstance(choice, str)]
        hint = nearest(value, choices) if isinstance(value, str) else None
        problems.add(f"{name} is one of {', '.join(map(quote, choices))}, not {given(value)}", mark, hint=hint)
    else:
        problems.add(_limit(kind, context, value, name), mark, hint=_expects(context))


def _limit(kind: str, context: Mapping[str, Any], value: object, name: str) -> str:
    match kind:
        case "string_pattern_mismatch":
            return f"{name} cannot be {given(value)}"
        case "greater_than_equal":
            return f"{name} is at least {context['ge']}, not {value}"
        case "less_than_equal":
            return f"{name} is at most {context['le']}, not {value}"
        case "string_too_long":
            return f"{name} is longer than {context['max_length']} characters"
        case "string_too_short" | "too_short":
            return f"{name} is empty"
        case _:
            return f"{name} cannot be {given(value)}"


def _expects(context: Mapping[str, Any]) -> str | None:
    words = EXPECTED.get(str(context.get("pattern")))
    return f"it takes {words}" if words else None


def _conversion(kind: str, value: object, place: Place) -> str | None:
    if kind == "string_type" and isinstance(value, bool | int):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        patterns = list(_patterns(_annotation(place)))
        if all(re.search(pattern, text) for pattern in patterns):
            return f"put it in quotes: '{text}'"
        return _needed(place)
    if kind == "int_type" and isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return f"without quotes: {int(value)}"
    if kind == "tuple_type" and not isinstance(value, dict):
        return "begin each entry with '- ' on a line of its own"
    if kind == "model_type":
        entry = len(place) == 2 and place[0] == "extensions"
        return f"it takes {EXPECTED[NAMED]}" if entry else _choices(fields(place))
    return "write 'key: value' lines below it, indented" if kind == "dict_type" else None


def _needed(place: Place) -> str | None:
    """The values that a missing key takes."""
    for pattern in _patterns(_annotation(place)):
        return f"it takes {EXPECTED[pattern]}" if pattern in EXPECTED else None
    return None


def _patterns(annotation: object) -> Iterable[str]:
    for meta in getattr(annotation, "__metadata__", ()):
        for inner in (meta, *getattr(meta, "metadata", ())):
            if pattern := getattr(inner, "pattern", None):
                yield pattern
    if get_origin(annotation) in {Annotated, Union, types.UnionType}:
        for inside in get_args(annotation)[: 1 if get_origin(annotation) is Annotated else None]:
            yield from _patterns(inside)


def _choices(known: Iterable[str]) -> str | None:
    names = sorted(known)
    return f"known keys: {', '.join(names)}" if names else None


def label(place: Place) -> str:
    """A place in words: `'services.web.port'`, `entry 2 of 'pip'`."""
    keys = [part for part in place if isinstance(part, str)]
    name = quote(".".join(keys)) if keys else "the preset"
    if place and isinstance(place[-1], int):
        return f"entry {place[-1] + 1} of {name}"
    indices = [part for part in place if isinstance(part, int)]
    if indices:
        head = place[: place.index(indices[-1]) + 1]
        tail = ".".join(str(part) for part in place[len(head) :])
        return f"{quote(tail)} in {label(head)}"
    return name


def _in_file(place: Place, top: Node) -> Place:
    """The place with list entries numbered as in the file that has them: an inherited list comes before it."""
    steps = list(place)
    for depth, step in enumerate(place):
        node, rest = top.at(place[: depth + 1])
        if isinstance(step, int) and node.number and not rest:
            steps[depth] = node.number - 1
    return tuple(steps)


def fields(place: Place) -> tuple[str, ...]:
    """The keys that the model knows at a place; empty where any name is allowed."""
    annotation = inner_type(_annotation(place))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (*annotation.model_fields, *(("extends",) if not place else ()))
    return ()


def _annotation(place: Place) -> object:
    annotation: object = model.Preset
    for part in place:
        bare = inner_type(annotation)
        if isinstance(bare, type) and issubclass(bare, BaseModel):
            field = bare.model_fields.get(str(part))
            if field is None:
                return None
            annotation = Annotated[field.annotation, field] if field.annotation else None  # keeps the patterns
        else:
            arguments = [one for one in get_args(bare) if one is not Ellipsis]
            annotation = arguments[-1] if arguments else None
    return inner_type(annotation) if not hasattr(annotation, "__metadata__") else annotation


def inner_type(annotation: Any) -> object:
    """Less `Annotated` and `| None`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in {Union, types.UnionType}:
            annotation = next(one for one in get_args(annotation) if one is not type(None))
        else:
            return annotation
