"""Requirements files as pip reads them: to entries with their places. Nothing of the project is executed.

The format: pip's documentation, "Requirements File Format".
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from devenv.preset.repository import repository
from devenv.preset.requirement import parsed
from devenv.preset.yaml.nodes import Mark, display
from devenv.preset.yaml.problems import Problems, quote

MOST_BYTES = 1 << 20
"""The size limit of one file."""
MOST_FILES = 32
"""The number of files that may name one another."""
MOST_ENTRIES = 20_000

Kind = Literal["requirement", "constraint", "index", "project", "refused"]
Follow = Callable[[str, Mark], tuple[Path, str] | None]
"""The real path and the text of the file that a line names, relative to the line's own file; None after adding a
problem."""

_LOGIN = re.compile(r"(?<=://)(?:[^\s/:@\"'<>]*:(?![0-9]+[/\"'\s])[^\s@\"'<>]+|[^\s/@\"'<>]+)@")
_QUERY = re.compile(r"(?i)([?&](?:[a-z_-]*(?:token|secret|key|passw(?:or)?d|sig(?:nature)?|auth)[a-z_-]*)=)[^&#\s\"']+")
_COMMENT = re.compile(r"(^|[ \t])#.*$")
_OPTION = re.compile(r"[ \t]+--?[a-z]")
_HASH = re.compile(r"--hash[= ]sha256:(?P<sha256>[0-9a-f]{64})(?![0-9a-f])")
_VCS = re.compile(r"(git|hg|svn|bzr)\+")
_INDEXES = {
    "-i": "index", "--index-url": "index", "--extra-index-url": "index", "-f": "links", "--find-links": "links",
    "--trusted-host": "host", "--no-index": "none", "--pypi-url": "index",
}  # fmt: skip
_HARMLESS = frozenset({"--prefer-binary", "--only-binary", "--require-hashes", "--use-feature", "--use-pep517"})
_ARCHIVES = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz")
_WHEEL_URL = "write it as NAME @ ADDRESS#sha256=HASH, with the sha256 of the file"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one line asks for. `text`: a requirement as `pip` in a preset takes it, an index's address, or (refused)
    the line itself; `why` and `remedy` go with the last."""

    kind: Kind
    text: str
    mark: Mark
    why: str = ""
    remedy: str = ""


def entries(path: Path, text: str, follow: Follow, problems: Problems) -> tuple[Entry, ...]:
    """Every entry of a file and of the files that it names with `-r` and `-c`. Mistakes go to `problems`."""
    return tuple(_Walk(follow, problems).file(path, text, constraint=False))


def without_logins(text: str) -> str:
    """The text with logins and tokens in addresses replaced, before anything else sees it."""
    return _QUERY.sub(r"\1***", _LOGIN.sub("***@", text))


def line(text: str, mark: Mark) -> Entry:
    """The entry of one line, without a comment, that is no option. A mistake is an entry of its own, refused with an
    empty remedy."""
    body, options = _parted(text)
    hashes = [found["sha256"] for found in _HASH.finditer(options)]
    if _VCS.match(body.partition("@")[2].strip()) or _VCS.match(body):
        return _repository(body, mark)
    if body in {".", "./"} or re.match(r"\.(/)?\[", body):
        return Entry(kind="project", text=body, mark=mark)
    if "://" in body or body.startswith("file:"):
        return _address(body, hashes, mark)
    if _is_path(body):
        return _path(body, mark)
    try:
        return Entry(kind="requirement", text=str(parsed(body)), mark=mark)
    except InvalidRequirement as error:
        return Entry(kind="refused", text=body, mark=mark, why=f"not a PEP 508 requirement: {_first(error)}")


def logical_lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Line and column (from 1) where each logical line begins, and its text without comment: continued lines joined."""
    parts: list[str] = []
    start = 0
    for number, raw in enumerate(text.splitlines(), 1):
        start = start if parts else number
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            parts.append(raw[:-1])
            continue
        whole = _COMMENT.sub("", "".join((*parts, raw)))
        column = len(whole) - len(whole.lstrip()) + 1
        parts = []
        if whole.strip():
            yield start, column, whole.strip()
    if whole := _COMMENT.sub("", "".join(parts)).strip():
        yield start, 1, whole


class _Walk:
    def __init__(self, follow: Follow, problems: Problems) -> None:
        self._follow = follow
        self._problems = problems
        self._open: list[Path] = []
        self._read: set[tuple[Path, bool]] = set()
        self._count = 0

    def file(self, path: Path, text: str, *, constraint: bool) -> Iterator[Entry]:
        lines = text.splitlines()
        self._open.append(path)
        self._read.add((path, constraint))
        for number, column, content in logical_lines(text):
            mark = Mark(path=path, line=number, column=column, text=lines[number - 1])
            self._count += 1
            if self._count > MOST_ENTRIES:
                self._problems.stop(f"more than {MOST_ENTRIES:,} requirements", mark, hint="split the project")
            if content.startswith("-"):
                yield from self._option(content, mark, constraint)
                continue
            entry = line(content, mark)
            if entry.kind == "refused" and not entry.remedy:
                self._problems.add(f"{quote(entry.text)} is {entry.why}", mark, hint="correct the line, or remove it")
            elif constraint and entry.kind == "requirement":
                yield dataclasses.replace(entry, kind="constraint")
            else:
                yield entry
        self._open.pop()

    def _option(self, content: str, mark: Mark, constraint: bool) -> Iterator[Entry]:
        name, value = _named(content)
        if name in {"-r", "--requirement", "-c", "--constraint"}:
            yield from self._named(value, mark, constraint or name in {"-c", "--constraint"})
        elif name in {"-e", "--editable"}:
            entry = line(value, mark)
            if not _VCS.search(value) and (entry.kind == "requirement" or not entry.remedy):
                remedy = "install it in a setup step: pip install -e PATH"
                entry = Entry(kind="refused", text=content, mark=mark, why="an editable folder", remedy=remedy)
            yield entry if value not in {".", "./"} else Entry(kind="project", text=value, mark=mark)
        elif name in _INDEXES:
            yield Entry(
                kind="index", text=value, mark=mark, why="indexes come from the settings of pip on each machine",
                remedy=f"set it there: pip config set global.{_setting(name)} ADDRESS",
            )  # fmt: skip
        elif name not in _HARMLESS:
            yield Entry(
                kind="refused", text=content, mark=mark, why="an option that has no counterpart in a lock",
                remedy="remove it, or set it in pip's own settings",
            )  # fmt: skip

    def _named(self, value: str, mark: Mark, constraint: bool) -> Iterator[Entry]:
        if "://" in value:
            yield Entry(
                kind="refused", text=value, mark=mark, why="the content of an address changes",
                remedy="copy the file into the project, and name it by its path",
            )  # fmt: skip
            return
        if len(self._read) >= MOST_FILES:
            self._problems.stop(f"more than {MOST_FILES} requirements files name one another", mark)
        found = self._follow(value, mark)
        if found is None:
            return
        path, text = found
        if path in self._open:
            circle = " → ".join(display(each) for each in (*self._open[self._open.index(path) :], path))
            self._problems.add(f"'-r' forms a circle: {circle}", mark, hint="remove one of them")
        elif (path, constraint) not in self._read:
            yield from self.file(path, text, constraint=constraint)


def _parted(text: str) -> tuple[str, str]:
    """The requirement, and its options (`--hash=…`)."""
    found = _OPTION.search(text)
    return (text[: found.start()].strip(), text[found.start() :]) if found else (text.strip(), "")


def _named(content: str) -> tuple[str, str]:
    """An option's name and value, in any of pip's spellings."""
    short = re.match(r"-[rceif](?=[^-])", content)
    name = short[0] if short else re.split(r"[= \t]", content, maxsplit=1)[0]
    value = content[len(name) :].lstrip("= \t")
    try:
        words = shlex.split(value)
    except ValueError:
        words = [value]
    return name, " ".join(words)


def _setting(option: str) -> str:
    return {"-i": "index-url", "-f": "find-links"}.get(option, option.lstrip("-"))


def _address(body: str, hashes: list[str], mark: Mark) -> Entry:
    """`https://…/NAME-1-py3-none-any.whl`, or `NAME @ …`, with a hash."""
    named, sign, rest = body.partition("@")
    name, url = (named.strip(), rest.strip()) if sign and "://" not in named else ("", body)
    url, _, marker = (part.strip() for part in url.partition(" ;"))
    parts = urlsplit(url.partition("#")[0])
    file = unquote(parts.path).rpartition("/")[2]
    said = re.search(r"[#&]sha256=(?P<sha256>[0-9a-f]{64})(?![0-9a-f])", url)
    sha256 = said["sha256"] if said else next(iter(hashes), None)
    try:
        found = parse_wheel_filename(file)[0]
    except InvalidWheelFilename:
        why = "a source archive is not a wheel" if file.endswith(_ARCHIVES) else "not the address of a wheel"
        remedy = "make a wheel of it, and name the wheel's path"
        return Entry(kind="refused", text=body, mark=mark, why=why, remedy=remedy)
    if parts.scheme not in {"http", "https"}:
        remedy = "name the wheel's path, relative to the file"
        return Entry(kind="refused", text=body, mark=mark, why="not an http or https address", remedy=remedy)
    if "@" in parts.netloc or parts.query:
        remedy = "name its address without a login; logins come from netrc and pip's own settings"
        return Entry(kind="refused", text=body, mark=mark, why="an address with a login or a query", remedy=remedy)
    if sha256 is None:
        return Entry(kind="refused", text=body, mark=mark, why="the address has no hash", remedy=_WHEEL_URL)
    text = f"{name or found} @ {url.partition('#')[0]}#sha256={sha256}" + (f" ; {marker}" if marker else "")
    return Entry(kind="requirement", text=text, mark=mark)


def _repository(body: str, mark: Mark) -> Entry:
    """`NAME @ git+https://…`, or `git+https://…#egg=NAME`."""
    egg = re.search(r"#(?:.*&)?egg=([A-Za-z0-9._-]+)(\[[A-Za-z0-9._,-]+\])?", body)
    text = f"{egg[1]}{egg[2] or ''} @ {body.replace(egg[2] or '[]', '')}" if egg and _VCS.match(body) else body
    try:
        if repository(text):
            return Entry(kind="requirement", text=str(parsed(text)), mark=mark)
    except InvalidRequirement:
        pass
    why = "a repository's address that cannot be locked"
    if _VCS.match(text):
        why = "a repository's address without the name of a package"
    return Entry(
        kind="refused", text=body, mark=mark, why=why,
        remedy="write it as NAME @ git+https://HOST/PATH@REVISION, without a login",
    )  # fmt: skip


def _is_path(body: str) -> bool:
    return body.startswith((".", "/", "~")) or body.endswith((".whl", *_ARCHIVES))


def _path(body: str, mark: Mark) -> Entry:
    if body.endswith(".whl"):
        return Entry(kind="requirement", text=body, mark=mark)
    return Entry(
        kind="refused", text=body, mark=mark, why="a folder or source archive is not a wheel",
        remedy="make a wheel of it and name the wheel's path, or install it in a setup step: pip install -e PATH",
    )  # fmt: skip


def _first(error: Exception) -> str:
    return (str(error).splitlines() or ["unknown"])[0]
