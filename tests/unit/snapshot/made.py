"""Differences and their content, made by hand."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterable, Mapping
from typing import Any, cast

from devenv.drift.entries import Entry, Spool
from devenv.drift.observe import Difference, Observed


def entry(path: str, kind: str = "file", content: bytes = b"", **values: Any) -> Entry:
    facts: dict[str, Any] = {"mode": 0o644, "uid": 1000, "gid": 1000, "mtime": 1_700_000_000, **values}
    sha256 = hashlib.sha256(content).hexdigest() if kind == "file" else ""
    return Entry(path=path, kind=kind, size=len(content), sha256=sha256, **facts)


def added(path: str, kind: str = "file", content: bytes = b"", **values: Any) -> Difference:
    return Difference(path, None, entry(path, kind, content, **values))


def changed(path: str, kind: str = "file", content: bytes = b"", *, was: str = "file", **values: Any) -> Difference:
    return Difference(path, entry(path, was), entry(path, kind, content, **values))


def removed(path: str, kind: str = "file") -> Difference:
    return Difference(path, entry(path, kind), None)


def spooled(contents: Mapping[str, bytes]) -> Spool:
    spool = Spool(io.BytesIO())
    for path, content in contents.items():
        for _ in spool.put(path, [content]):
            pass
    return spool


def observation(differences: Iterable[Difference], unread: Iterable[str] = ()) -> Observed:
    return Observed(
        differences={one.path: one for one in differences}, contents={}, unread=tuple(unread), image_id="sha256:1",
        image=cast("Any", None),
    )  # fmt: skip


def at(one: Difference, **values: Any) -> Difference:
    """The same with other facts of what is there now."""
    assert one.after
    return dataclasses.replace(one, after=dataclasses.replace(one.after, **values))
