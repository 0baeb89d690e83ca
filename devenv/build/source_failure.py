"""Why a package could not be built from its source: whose file failed, and what to do, from the end of its output."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

from devenv.errors import BuildError
from devenv.lock.model import Lock, Source

_AT = (
    re.compile(r'File "/build/src/([^"\n]+)", line (\d+)'),
    re.compile(r'File "(<string>)", line (\d+)'),
    re.compile(r"^(?:/build/src/)?([\w./+-]+\.(?:c|cc|cpp|cxx|h|hpp|pyx|f|f90|rs)):(\d+):", re.MULTILINE),
)
_HEADER = re.compile(r"fatal error: ([\w./+-]+): No such file")
_PROGRAM = re.compile(
    r"command '([\w.+-]+)' failed: No such file|No such file or directory: '([\w.+-]+)'|sh: \d+: ([\w.+-]+): not"
)
_OTHER = re.compile(r"devenv: the build of \S+ \S+ made the wheel of (\S+)")
_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_NETWORK = re.compile(
    r"(?i)temporary failure in name resolution|name or service not known|network is unreachable|failed to resolve"
    r"|could not resolve host|urlopen error|connection refused|NewConnectionError"
)
_HINTS = (
    (_NETWORK, "its build asks for the network, which no build gets: take a version or a wheel that needs none"),
    (
        re.compile(r"Error: .*/build/home"),
        "its build reads the home folder, which is empty in a build: take another version",
    ),
    (re.compile(r"stopped after \d+ minutes"), "its build takes too long, or waits for input: take another version"),
    (
        re.compile(r"(?i)no space left|errno 28"),
        "a build gets 4 GiB for its files: take another version; or free the engine's disk",
    ),
    (re.compile(r"(?i)resource temporarily unavailable"), "a build gets 512 processes: take another version"),
)


def explained(error: BuildError, source: Source) -> BuildError:
    """The failure of that source's build, in its own words: `detail` is the end of its output."""
    text = error.detail or ""
    places = [match for pattern in _AT for match in pattern.finditer(text)]
    last = max(places, key=lambda match: match.start(), default=None)
    file = last[1].replace("<string>", "setup.py") if last else ""  # as setuptools runs it
    at = f": {file}:{last[2]} failed" if last else ""
    return BuildError(
        f"{source.name} {source.version} cannot be built from {source.file}{at}",
        detail=error.detail, hint=_hint(text, source) or error.hint,
    )  # fmt: skip


def of_image(error: BuildError, lock: Lock) -> BuildError:
    """The failure of an image's build, explained where it is that of one of its sources."""
    found = next((source for source in lock.sourced if f"make-{source.stage}" in error.message), None)
    return explained(error, found) if found else error


def _hint(text: str, source: Source) -> str | None:
    if (other := _OTHER.search(text)) and canonicalize_name(other[1]) != source.name:
        return f"the package there is {other[1]}: name it {other[1]} in the place of {source.name}"
    if header := _HEADER.search(text):
        return f"add the Debian package with {header[1]} to 'apt:' (its name ends with -dev): builds get it, too"
    if program := _PROGRAM.search(text):
        name = program[1] or program[2] or program[3]
        return f"its build runs {name!r}: add the Debian package of that program to 'apt:'"
    for pattern, hint in _HINTS:
        if pattern.search(text):
            return hint
    if module := _MODULE.search(text):
        return f"its build needs {module[1]!r} and does not say so in its pyproject.toml: take another version"
    return None
