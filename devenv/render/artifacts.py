"""The locked files in the build context: the place of each, and the lists of names and hashes that installers read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from devenv.lock.model import Artifact, LockedEditor
from devenv.plan.plan import Plan
from devenv.render.sources import source_files, source_lists

SUMS = "SHA256SUMS"
"""Beside artifacts: their hashes and names, as sha256sum reads them, packages in the order of their unpacking."""


def artifact_files(plan: Plan) -> Iterator[tuple[str, Artifact]]:
    """The path of each locked artifact in the build context."""
    lock = plan.lock
    for deb in lock.base.packages:
        yield f"artifacts/base/{deb.file}", deb
    for deb in lock.apt:
        yield f"artifacts/apt/{deb.layer or 0}/{deb.file}", deb
    for wheel in lock.wheels:
        yield f"artifacts/wheels/{wheel.layer}/{wheel.file}", wheel
    yield from source_files(lock)
    yield f"artifacts/uv/{lock.uv.file}", lock.uv
    if lock.node:
        yield f"artifacts/node/{lock.node.file}", lock.node
    if lock.editor:
        yield f"artifacts/editor/{_archive_name(lock.editor)}", lock.editor.archive
        for deb in lock.editor.toolchain:
            yield f"artifacts/toolchain/{deb.file}", deb
        for tarball in lock.editor.packages:
            yield f"artifacts/editor/npm/{_served(tarball)}", tarball
    for tarball in lock.npm.packages:
        yield f"artifacts/npm/tarballs/{_served(tarball)}", tarball
    for extension in lock.extensions:
        yield f"artifacts/extensions/{extension.file}", extension


def artifact_lists(plan: Plan) -> dict[str, bytes]:
    """The lists that installers read beside the artifacts: names, order and hashes."""
    lock = plan.lock
    # Hashes of files that no installer checks itself: the build checks them again.
    sums: dict[str, list[tuple[str, Artifact]]] = {
        "base": [(deb.file, deb) for deb in lock.base.packages],
        "uv": [(lock.uv.file, lock.uv)],
    }
    if lock.node:
        sums["node"] = [(lock.node.file, lock.node)]
    if lock.editor:
        sums["editor"] = [(_archive_name(lock.editor), lock.editor.archive)]
        sums["toolchain"] = [(deb.file, deb) for deb in lock.editor.toolchain]
    sums["extensions"] = [(extension.file, extension) for extension in lock.extensions]
    sums |= {f"apt/{layer}": [(deb.file, deb) for deb in plan.debs(layer)] for layer in plan.layers}
    lists = {
        f"artifacts/{folder}/{SUMS}": "".join(f"{one.sha256}  {file}\n" for file, one in entries)
        for folder, entries in sums.items() if entries or folder == "base"
    }  # fmt: skip
    for layer in plan.layers:
        if not plan.wheels(layer):
            continue
        lists[f"artifacts/wheels/{layer}/requirements.txt"] = "".join(
            f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in plan.wheels(layer)
        )
    lists |= source_lists(lock)
    if lock.npm.packages:
        wanted = lock.npm.package_lock.get("packages", {}).get("", {}).get("dependencies", {})
        lists["artifacts/npm/package.json"] = json.dumps({"private": True, "dependencies": wanted}, indent=1)
        lists["artifacts/npm/package-lock.json"] = json.dumps(_addressed(lock.npm.package_lock, lock.npm.packages))
    return {name: text.encode() for name, text in lists.items()}


def _addressed(package_lock: Mapping[str, Any], tarballs: tuple[Artifact, ...]) -> dict[str, Any]:
    """npm's lock with a loopback address for every tarball, because the lock itself names no host."""
    served = {(tarball.name, tarball.version): _served(tarball) for tarball in tarballs}
    packages = {}
    for place, entry in package_lock.get("packages", {}).items():
        name = entry.get("name") or place.rpartition("node_modules/")[2]
        path = served.get((name, entry.get("version", "")))
        packages[place] = {**entry, "resolved": f"http://127.0.0.1:4873/{path}"} if place and path else entry
    return {**package_lock, "packages": packages}


def _archive_name(editor: LockedEditor) -> str:
    return "code-server.tgz" if editor.source == "npm" else editor.archive.file


def _served(tarball: Artifact) -> str:
    """A tarball's path at a registry: npm asks for /NAME/-/BASENAME-VERSION.tgz."""
    return f"{tarball.name}/-/{tarball.name.rpartition('/')[2]}-{tarball.version}.tgz"
