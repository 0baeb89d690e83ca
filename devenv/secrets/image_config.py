"""What an image's configuration shows every user of it: variables, command, labels and history."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from devenv.secrets.finding import Finding
from devenv.secrets.scanner import Scanner
from devenv.secrets.values import is_placeholder

_SECRET_NAME = re.compile(
    r"(?i)(?:^|_)(?:token|secret|passw(?:or)?d|passphrase|pwd|pat|(?:api|access|secret|auth|private|account|encryption)_?key|credentials?)s?$"
    r"|(?i:apikey)$"
)
_LEAST = 8
_SETTING = re.compile(r"(?:^|\s)(?:ENV|ARG|\|[0-9]+|export)?\s*([A-Za-z_][A-Za-z0-9_]*)=(\"[^\"]*\"|'[^']*'|\S+)")


def image_config(
    scanner: Scanner, *, env: Iterable[str], cmd: Sequence[str], labels: Mapping[str, str], history: Iterable[str]
) -> tuple[Finding, ...]:
    """The findings in an image's Env (`NAME=value`), Cmd or Entrypoint, labels, and commands of its history.

    Their path is `image: Env NAME`, `image: Cmd`, `image: label NAME`, `image: history 3` (counted from 1).
    """
    found: list[Finding] = []
    for variable in env:
        name = variable.partition("=")[0]
        found += _judged(scanner, f"image: Env {name}", variable)
    found += _judged(scanner, "image: Cmd", "\n".join(cmd))
    for name, value in labels.items():
        found += _judged(scanner, f"image: label {name}", f"{name}={value}")
    for number, command in enumerate(history, 1):
        found += _judged(scanner, f"image: history {number}", command)
    return tuple(dict.fromkeys(found))


def _judged(scanner: Scanner, path: str, text: str) -> Iterator[Finding]:
    yield from scanner.text(path, text)
    for name, value in _SETTING.findall(text):
        bare = value.strip("\"'")
        if _SECRET_NAME.search(name) and len(bare) >= _LEAST and not is_placeholder(bare.encode(errors="replace")):
            yield Finding(path=path, kind="secret-variable", reason=f"the variable {name} holds a value")
