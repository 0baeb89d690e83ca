"""`devenv lock` and `devenv fetch`: fix every input, and download it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devenv.cli.app import App, from_option, json_option, pass_app
from devenv.doors.terminal.console import bytes_text
from devenv.errors import DriftError, UsageError
from devenv.lock import drift
from devenv.lock import files as lock_files
from devenv.preset.load import find, load
from devenv.resolve import ensure

if TYPE_CHECKING:
    from devenv.lock.model import Lock
    from devenv.resolve.relock import Relocked

__all__ = ["fetch", "lock", "sbom"]

_OPEN = (
    "its model is not pinned yet (no hub was contacted); "
    "the first 'devenv up' or 'devenv prefetch' records its files by hash"
)


@click.command()
@click.argument("preset", required=False)
@click.option("--check", is_flag=True, help="Only check whether the lock fits the preset; exit 12 when it does not.")
@click.option(
    "--upgrade", multiple=True, is_flag=False, flag_value="*", metavar="[NAME]",
    help="Upgrade NAME (a package, or base, apt, pip, npm, node, code_server, extensions, uv, model); without a NAME "
    "everything. 'parent' follows the lock of the preset that this one extends. Repeat it for several, or separate "
    "by commas.",
)  # fmt: skip
@click.option(
    "--without-model",
    is_flag=True,
    help="Contact no hub: a model that is not pinned yet stays so, and the first 'up' or 'prefetch' records it.",
)
@click.option(
    "--registry", metavar="URL",
    help="Take editor extensions from this registry (a server with Open VSX's API); also DEVENV_EXTENSION_REGISTRY, or "
    "'extension_registry: URL' in config.yaml.",
)  # fmt: skip
@json_option
@pass_app
def lock(app: App, preset: str | None, check: bool, upgrade: tuple[str, ...], without_model: bool) -> None:
    """Resolve PRESET to exact files, by hash, in a lock beside it. Entries that still fit are kept.

    PRESET is a shipped name, a YAML file, a project folder, or nothing: devenv.yaml here or above.
    """
    from devenv.resolve.relock import earlier, relock

    names = tuple(name for option in upgrade for name in option.split(",") if name)
    if check and names:
        raise UsageError("--check changes nothing, but --upgrade does", hint="choose one of them")
    if without_model and "model" in names:
        raise UsageError("--without-model contacts no hub, but --upgrade model needs one", hint="choose one of them")
    loaded = load(find(preset, Path.cwd()))
    if check:
        from devenv.lock.model import read

        path = lock_files.lock_path(loaded, app.dirs)
        locked = read(path)
        _check(app, locked, drift.compare(locked, loaded.preset), path, lock_files.command(loaded))
        return
    before = earlier(loaded, app.dirs.config, warn=app.console.warn)
    with app.console.stages() as stages, stages.stage("lock") as stage:
        done = relock(before, app.session(stages).resolving(stage), upgrade=names, ask_hubs=not without_model)
        stage.cached = done.lock == done.earlier
        stage.message(f"{len(done.lock.artifacts())} files, {bytes_text(_bytes(done.lock))}")
    _print(app, done)


@click.command()
@click.argument("preset", required=False)
@from_option
@json_option
@pass_app
def fetch(app: App, preset: str | None) -> None:
    """Fetch every locked file of PRESET to this machine's store, and verify it; a build then needs no network."""
    from devenv.up.image import bring_files

    loaded = load(find(preset, Path.cwd()))
    with app.console.stages() as stages:
        session = app.session(stages)
        with stages.stage("lock") as stage:
            locked, stage.cached = ensure.locked(loaded, lambda: session.resolving(stage), app.settings)
        report = bring_files(loaded, locked, session)
    store = session.store.root
    if app.json:
        app.console.json({
            "preset": loaded.preset.name, "lock_digest": locked.digest, "files": report.files, "bytes": report.bytes,
            "from_cache": report.from_cache, "seconds": round(report.seconds, 3), "store": str(store),
        })  # fmt: skip
    else:
        app.console.note(
            f"{report.files} files fetched ({bytes_text(report.bytes)}), {report.from_cache} were here: {store}"
        )


@click.command()
@click.argument("preset", required=False)
@pass_app
def sbom(app: App, preset: str | None) -> None:
    """Print the CycloneDX bill of materials of PRESET's image; the image has a copy at /etc/devenv/sbom.cdx.json.

    PRESET is a shipped name, a file, a folder, or nothing: then devenv.yaml here or above. The lock must exist.
    """
    from devenv.render.sbom import sbom as bill

    loaded = load(find(preset, Path.cwd()))
    app.console.document(bill(lock_files.read_fitting(loaded, app.dirs)).decode())


def _check(app: App, locked: Lock, found: tuple[drift.Drift, ...], path: Path, command: str) -> None:
    if app.json:
        rows = [{"section": pin.section, "locked": pin.locked, "wanted": pin.wanted} for pin in found]
        app.console.json({"lock": str(path), "lock_digest": locked.digest, "fits": not found, "drift": rows,
                          "open": list(locked.open or ())})  # fmt: skip
    elif found:
        rows_ = [(pin.section, pin.locked, pin.wanted) for pin in found]
        app.console.table("", ("section", "locked", "preset"), rows_, stdout=True)
    if found:
        many = f"{len(found)} pin{' differs' if len(found) == 1 else 's differ'}"
        raise DriftError(f"the lock does not fit the preset: {many}", where=str(path),
                         hint=f"bring it up to date: {command}")  # fmt: skip
    app.console.note(f"{path} fits" + (f"; {_OPEN}" if locked.open else ""))


def _print(app: App, done: Relocked) -> None:
    new, changed = done.lock, done.changes
    if app.json:
        rows = [{"kind": change.kind, "name": change.name, "old": change.old, "new": change.new} for change in changed]
        app.console.json(
            {"preset": new.preset, "lock": str(done.path), "lock_digest": new.digest, "files": len(new.artifacts()),
             "bytes": _bytes(new), "changes": rows, "open": list(new.open or ())}
        )  # fmt: skip
        return
    old = done.earlier is not None
    for change in changed if old else ():
        app.console.note(f"  {change.kind:<9} {change.name}: {change.old or '—'} → {change.new or '—'}")
    many = f"{len(changed)} change{'s' if len(changed) > 1 else ''}" if changed else "nothing changed"
    app.console.note(f"{done.path}: {many}" if old else str(done.path))
    if new.open:
        app.console.note(_OPEN)


def _bytes(lock: Lock) -> int:
    return sum(artifact.size for artifact in lock.artifacts())
