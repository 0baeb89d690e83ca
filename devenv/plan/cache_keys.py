"""The keys of image parts that are made once and kept. The same key means the same bytes."""

from __future__ import annotations

from typing import Any

from devenv.doors.dirs import RENDERING, templates_dir
from devenv.lock.model import Lock, LockedEditor, Source
from devenv.plan.tree_digest import digest, tree

ROOT_FORMAT = 1
"""Raise it when first_stage.py makes another first-stage root of the same packages."""
SOURCE_FORMAT = 1
"""Raise it when the same inputs give another wheel."""


def root_key(lock: Lock) -> str:
    """The key of the first-stage root: the base's packages, in their order."""
    return digest([ROOT_FORMAT, [deb.sha256 for deb in lock.base.packages]])


def base_key(lock: Lock, *, user: tuple[str, int, str, int]) -> str | None:
    """The key of the finished base: the first-stage root, the scripts that install it, the user (name, uid, group,
    gid). None for a registry image: the engine has that."""
    if lock.base.kind != "bootstrap":
        return None
    return digest([
        RENDERING,
        lock.platform,
        lock.base.distribution,
        lock.base.release,
        root_key(lock),
        user,
        _templates("dockerfile", "bootstrap.j2", "mounts.j2"),
        _templates("build", "policy.sh", "dpkg.sh", "user.sh", "bytecode.sh", "clean.sh", "link.py"),
    ])  # fmt: skip


def editor_key(lock: Lock) -> str | None:
    """The key of the compiled editor: base, compiler and headers, Node, its own sources, how it is made.

    Not apt or pip. All that runs while it is compiled counts, also what compiles nothing into it: a stranger's lock
    names the base's packages and the compiler, and other projects get the editor of the same key.
    """
    if lock.editor is None:
        return None
    editor: LockedEditor = lock.editor
    return digest([
        lock.platform,
        lock.base.distribution,
        lock.base.release,
        lock.base.digest,
        root_key(lock),
        [deb.sha256 for deb in editor.toolchain],
        lock.node.sha256 if lock.node else None,
        [editor.version, editor.source, editor.archive.sha256, [tarball.sha256 for tarball in editor.packages]],
        _templates("dockerfile", "node.j2", "editor.j2"),
        _templates("build", "debs.sh", "editor.sh", "link.py", "node.sh", "parallel.cjs", "registry.mjs", "trim.mjs",
                   "unpack.py"),
    ])  # fmt: skip


def source_key(lock: Lock, source: Source) -> str:
    """The key of a wheel made from source: the archive, its build requirements, compiler and headers, how it is made.

    The base's packages and uv count, because they run as root in the build and a stranger's lock names them. No other
    package does: equal sources are built once for all presets of a base.
    """
    assert lock.sources is not None
    keys: dict[str, str] = {}
    for each in (*lock.sources.chain(source)[:-1], source):  # each one once: a build may need all earlier ones
        keys[each.file] = _source_key(lock, each, [keys[earlier] for earlier in keys if earlier in each.needs])
    return keys[source.file]


def _source_key(lock: Lock, source: Source, needed: list[str]) -> str:
    assert lock.sources is not None
    return digest([
        SOURCE_FORMAT,
        root_key(lock),
        lock.uv.sha256,
        lock.platform,
        lock.base.distribution,
        lock.base.release,
        lock.base.digest,
        str(lock.inputs.get("python")),
        # A commit decides the version, which only its build tells.
        [source.name, source.commit or source.version, source.sha256, source.backend, source.backend_path],
        sorted(wheel.sha256 for wheel in source.requires),
        needed,
        [deb.sha256 for deb in lock.sources.toolchain_of(source)],
        _templates("dockerfile", "source.j2"),
        _templates("build", "debs.sh", "source.sh", "source.py"),
    ])  # fmt: skip


def _templates(folder: str, *names: str) -> dict[str, Any]:
    return {name: tree(templates_dir() / folder / name)["."] for name in names}
