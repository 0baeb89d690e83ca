"""A Dockerfile's plain lines: FROM, RUN with apt, pip and conda, ENV, EXPOSE."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Reading
from devenv.adopt.readers import base_image, shell
from devenv.adopt.readers.values import environment, port
from devenv.preset.yaml.nodes import Mark

_VARIABLE = re.compile(r"\$(?:\{(?P<long>\w+)(?::?-(?P<default>[^}]*))?\}|(?P<short>\w+))", re.ASCII)
_HEREDOC = re.compile(r"<<-?[\"']?(?P<word>\w+)[\"']?", re.ASCII)
_SERVICE = ("devenv starts its own services", "describe it under 'services' if it is to keep running")
_UNSAFE = ("it has no counterpart that is safe to guess", "see 'volumes' and 'services' in docs/reference/preset.md")
_LEFT = {"CMD": _SERVICE, "ENTRYPOINT": _SERVICE, "VOLUME": _UNSAFE, "HEALTHCHECK": _UNSAFE, "ONBUILD": _UNSAFE}
"""Instructions that are left out: why, and the remedy. COPY, WORKDIR and USER need nothing: the project's folder is
mounted at /workspace, and devenv makes the user."""


def read(document: Document, reading: Reading) -> None:
    """The lines of the last stage, and of the stages that it is made from."""
    arguments: dict[str, str] = {}
    stages: list[tuple[str, str, list[tuple[str, str, Mark]]]] = []
    for name, value, mark in _instructions(document):
        if name == "FROM":
            words = [word for word in _filled(value, arguments).split() if not word.startswith("--")]
            alias = words[2].lower() if len(words) > 2 and words[1].lower() == "as" else ""
            stages.append((alias, words[0] if words else "", [("FROM", words[0] if words else "", mark)]))
        elif name == "ARG" and not stages:
            key, _, said = value.partition("=")
            arguments[key.strip()] = said.strip().strip("\"'")
        elif stages:
            stages[-1][2].append((name, value, mark))
    wanted, chosen = len(stages) - 1, []
    while wanted >= 0:
        alias, base, lines = stages[wanted]
        chosen.append(lines)
        wanted = next((at for at in range(wanted - 1, -1, -1) if base and stages[at][0] == base.lower()), -1)
    for number, lines in enumerate(reversed(chosen)):
        _stage(lines, dict(arguments), reading, first=number == 0)


def _instructions(document: Document) -> Iterator[tuple[str, str, Mark]]:
    """Each instruction's name, its text with continued lines and here-documents joined, and its place."""
    lines, at = document.lines, 0
    while at < len(lines):
        start, text = at, lines[at].strip()
        at += 1
        if not text or text.startswith("#"):
            continue
        parts = [text.removesuffix("\\")]
        while text.endswith("\\") and at < len(lines):
            text = lines[at].strip()
            at += 1
            if not text.startswith("#"):
                parts.append(text.removesuffix("\\"))
            elif at < len(lines):
                text = "\\"  # a comment between continued lines
        whole = " ".join(parts)
        name, _, value = whole.partition(" ")
        column = len(lines[start]) - len(lines[start].lstrip()) + 1
        if name.upper() == "RUN" and (opened := _HEREDOC.search(value)):
            body = []
            while at < len(lines) and lines[at].strip() != opened["word"]:
                body.append(lines[at])
                at += 1
            at += 1
            value = "\n".join(body)
        yield name.upper(), value.strip(), document.at(start + 1, column)


def _stage(lines: list[tuple[str, str, Mark]], values: dict[str, str], reading: Reading, *, first: bool) -> None:
    for name, value, mark in lines:
        match name:
            case "FROM":
                if first and value and value.lower() != "scratch":
                    base_image.read(value, mark, reading)
            case "ARG":
                key, sign, said = value.partition("=")
                if sign or key.strip() not in values:
                    values[key.strip()] = _filled(said.strip().strip("\"'"), values)
            case "ENV":
                _variables(value, values, mark, reading)
            case "EXPOSE":
                for word in _filled(value, values).split():
                    port(word, mark, reading)
            case "RUN":
                _run(value, values, mark, reading)
            case _ if name in _LEFT:
                why, remedy = _LEFT[name]
                reading.leave(f"{name} {value[:80]}", why, mark, remedy=remedy)


def _variables(value: str, values: dict[str, str], mark: Mark, reading: Reading) -> None:
    for key, said in _pairs(value):
        values[key] = _filled(said, values)
        environment(key, values[key], mark, reading)


def _run(value: str, values: dict[str, str], mark: Mark, reading: Reading) -> None:
    value = re.sub(r"^(--\w+(=\S+)?\s+)+", "", value)
    if value.startswith("["):
        try:
            value = shlex.join(re.findall(r'"((?:[^"\\]|\\.)*)"', value))
        except ValueError:
            value = ""
    shell.read(_filled(value, values), mark, reading)


def _filled(text: str, values: dict[str, str]) -> str:
    """Variables replaced where a line above gives them a value."""

    def one(found: re.Match[str]) -> str:
        value = values.get(found["long"] or found["short"]) or found["default"]
        return found[0] if value is None else value

    return _VARIABLE.sub(one, text)[:100_000]


def _pairs(value: str) -> Iterator[tuple[str, str]]:
    """`A=1 B="two words"`, or the old form `A 1`."""
    if not re.match(r"\w+=", value, re.ASCII):
        key, _, rest = value.partition(" ")
        yield key, rest.strip()
        return
    try:
        words = shlex.split(value)
    except ValueError:
        words = value.split()
    for word in words:
        key, sign, rest = word.partition("=")
        if sign:
            yield key, rest
