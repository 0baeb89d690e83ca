"""npm packages that are installed globally in a container, editor extensions and Jupyter kernels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from devenv.doors.untrusted import from_json
from devenv.drift.items import Item, Pool, total_bytes
from devenv.drift.observe import Observed

_GLOBAL = re.compile(
    r"^(?P<folder>(?P<prefix>/(?:(?!node_modules/)[^/]+/)*?)(?:lib/)?node_modules/(?P<name>(?:@[^/]+/)?[^/@.][^/]*))(?:/|$)"
)
_KERNEL = re.compile(r"^(?P<folder>.*/jupyter/kernels/(?P<name>[^/]+))(?:/|$)")
_PREFIXES = re.compile(
    r"^(?:/opt/node/|/opt/npm/|/usr/local/|/usr/|/(?:home/[^/]+|root)/\.?(?:npm|node)[^/]*/|/(?:home/[^/]+|root)/\.local/|/(?:home/[^/]+|root)/\.nvm/.*)$"
)


def npm_packages(observed: Observed, pool: Pool) -> list[Item]:
    """The changed global packages, each with all that is in its folder and the links to its programs."""
    folders = {
        match["folder"]: match["name"]
        for one in pool
        if (match := _GLOBAL.match(one.path)) and _PREFIXES.match(match["prefix"])
    }
    items = []
    for folder, name in sorted(folders.items()):
        taken = pool.below(folder)
        if not taken:
            continue
        one = pool.get(folder)
        was = "" if one and one.before is None else _version(observed.image.text(f"{folder}/package.json"))
        manifest = pool.get(f"{folder}/package.json")
        now = (
            was
            if manifest is None and not (one and one.after is None)
            else _version(observed.contents.get(f"{folder}/package.json", b""))
        )
        link = one.after if one and one.after and one.after.kind == "symlink" else None
        taken += tuple(each for each in pool if _links_to(each.after or each.before, folder))
        pool.drop(taken)
        change = "edited" if was == now else "removed" if not now else "changed" if was else "added"
        items.append(Item(
            kind="npm", change="editable" if link else change, name=name, was="" if change == "edited" else was,
            now="" if change == "edited" else now, paths=tuple(sorted({each.path for each in taken})),
            bytes=total_bytes(taken), asked_for=True, origin=link.target if link else "",
        ))  # fmt: skip
    return items


def kernels(observed: Observed, pool: Pool) -> list[Item]:
    """The kernels that no package brought."""
    folders = {match["folder"]: match["name"] for one in pool if (match := _KERNEL.match(one.path))}
    items = []
    for folder, name in sorted(folders.items()):
        taken = pool.below(folder)
        one = pool.get(folder)
        change = one.change if one and one.change != "changed" else "edited"
        value = _object(observed.contents.get(f"{folder}/kernel.json", b""))
        pool.drop(taken)
        items.append(Item(
            kind="kernel", change=change, name=name, paths=tuple(each.path for each in taken), bytes=total_bytes(taken),
            now=value.get("display_name", "") if isinstance(value.get("display_name"), str) else "",
        ))  # fmt: skip
    return items


def extensions(text: str, folder: str) -> list[Item]:
    """The extensions that the editor's list (`extensions.json`) in its own `folder` names."""
    try:
        rows = from_json(text) if text else []
    except ValueError:
        rows = []
    found = {}
    for row in rows if isinstance(rows, list) else ():
        identifier = row.get("identifier") if isinstance(row, dict) else None
        if isinstance(identifier, dict) and isinstance(identifier.get("id"), str):
            found[identifier["id"]] = str(row.get("version") or "?")
    return [
        Item(kind="extension", change="added", name=name, now=version, asked_for=True, note=f"in {folder}")
        for name, version in sorted(found.items())
    ]


def _links_to(entry: Any, folder: str) -> bool:
    """Whether it is a program's link into the package."""
    if entry is None or entry.kind != "symlink":
        return False
    tail = "/".join(folder.rsplit("/node_modules/", 1)[1:])
    return f"/node_modules/{tail}/" in f"/{entry.target}"


def _version(content: bytes | str) -> str:
    version = _object(content).get("version")
    return version if isinstance(version, str) else ""


def _object(content: bytes | str) -> Mapping[str, Any]:
    try:
        value = from_json(content) if content else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
