"""The locked files in the build context: the place of each, and the lists of names and hashes that installers read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from devenv.lock.model import Artifact, LockedEditor
from devenv.plan.plan import Plan
from devenv.render.lists import SUMS, first_files, first_lists, pinned, sums
from devenv.render.sources import source_files, source_lists


def artifact_files(plan: Plan) -> Iterator[tuple[str, Artifact]]:
    """The path of each locked artifact in the build context."""
    lock = plan.lock
    yield from first_files(lock)
    for deb in lock.apt:
        yield f"artifacts/apt/{deb.layer or 0}/{deb.file}", deb
    for wheel in lock.wheels:
        yield f"artifacts/wheels/{wheel.layer}/{wheel.file}", wheel
    yield from source_files(lock)
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
    checked: dict[str, list[tuple[str, Artifact]]] = {}
    if lock.node:
        checked["node"] = [(lock.node.file, lock.node)]
    if lock.editor:
        checked["editor"] = [(_archive_name(lock.editor), lock.editor.archive)]
        checked["toolchain"] = [(deb.file, deb) for deb in lock.editor.toolchain]
    checked["extensions"] = [(extension.file, extension) for extension in lock.extensions]
    checked |= {f"apt/{layer}": [(deb.file, deb) for deb in plan.debs(layer)] for layer in plan.layers}
    lists = first_lists(lock)
    lists |= {f"artifacts/{folder}/{SUMS}": sums(entries) for folder, entries in checked.items() if entries}
    lists |= {
        f"artifacts/wheels/{layer}/requirements.txt": pinned(plan.wheels(layer))
        for layer in plan.layers if plan.wheels(layer)
    }  # fmt: skip
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
