"""VS Code's own rules for extensions: which version of it a code-server is, what it brings, what fits it."""

from __future__ import annotations

import dataclasses
import json
import re
import tarfile
import zlib
from itertools import islice
from pathlib import Path
from typing import Any

from devenv.doors import files
from devenv.doors.untrusted import from_json
from devenv.errors import LockError
from devenv.fetch.store import Store
from devenv.lock.model import LockedEditor
from devenv.preset.extension import is_id

_PACKAGE = re.compile(r"[^/]+/lib/vscode/(package\.json|extensions/[^/]+/package\.json)")
_MOST_BYTES = 16 << 20
_MOST_MEMBERS = 200_000
_ENGINE = re.compile(r"(?P<sign>\^|>=)?(?P<numbers>(?:[0-9]{1,9}|x)(?:\.(?:[0-9]{1,9}|x)){2})(?:-.*)?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Editor:
    """A code-server: its version, that of its VS Code, and the ids of its own extensions in lower case."""

    version: str
    vscode: str
    built_in: frozenset[str]

    def runs(self, engine: str) -> bool:
        """Whether it fulfils an extension's `engines.vscode`."""
        return fits(engine, self.vscode)


def fits(engine: str, version: str) -> bool:
    """Whether a version of VS Code fulfils `engines.vscode` (extensionValidator.ts): `*`, `^1.90.0`, `>=1.2.3`,
    `1.139.x`, `1.139.1`. What has another form fits nothing."""
    text = engine.strip()
    if text == "*":
        return True
    form = _ENGINE.fullmatch(text)
    if form is None:
        return False
    wanted = form["numbers"].split(".")
    has = [int(part) for part in version.partition("-")[0].split(".")]
    least = [0 if part == "x" else int(part) for part in wanted]
    if form["sign"] == ">=":
        return has >= least
    if form["sign"] == "^":
        same = 1 if least[0] else 2  # below 1.0.0 the second number breaks
        return has >= least and has[:same] == least[:same]
    for mine, asked in zip(has, wanted, strict=True):
        if asked == "x":
            return True
        if mine != int(asked):
            return False
    return True


def editor(locked: LockedEditor, store: Store) -> Editor:
    """The facts of a locked code-server, whose archive is in the store. Raises LockError."""

    def read(note: Path) -> None:
        note.write_text(json.dumps(_facts(locked, store)))

    note = store.derive("vscode", locked.archive.sha256, read)
    try:
        facts = json.loads(files.read_text(note))
        return Editor(version=locked.version, vscode=facts["vscode"], built_in=frozenset(facts["built_in"]))
    except (OSError, ValueError, LookupError, TypeError):
        found = _facts(locked, store)
        return Editor(version=locked.version, vscode=found["vscode"], built_in=frozenset(found["built_in"]))


def _facts(locked: LockedEditor, store: Store) -> dict[str, Any]:
    version, ids = "", set()
    try:
        with tarfile.open(store.path(locked.archive.sha256), "r|gz") as tar:
            for member in islice(tar, _MOST_MEMBERS):
                place = _PACKAGE.fullmatch(member.name)
                if place is None or member.size > _MOST_BYTES or (content := tar.extractfile(member)) is None:
                    continue
                package = from_json(content.read())
                if not isinstance(package, dict):
                    continue
                if place[1] == "package.json":
                    version = str(package.get("version"))
                elif is_id(id_ := f"{package.get('publisher')}.{package.get('name')}"):
                    ids.add(id_.lower())
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError) as error:
        raise LockError(f"{locked.archive.file} cannot be read: {error}") from None
    if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}(-.*)?", version):
        raise LockError(
            f"{locked.archive.file} does not state its version of VS Code",
            hint="take another version in 'code_server', or pin the extensions' .vsix files",
        )
    return {"vscode": version, "built_in": sorted(ids)}
