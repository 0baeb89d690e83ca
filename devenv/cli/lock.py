"""`devenv lock` and `devenv fetch`: fix every input, and bring it here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devenv.cli.app import App, from_option, json_option, pass_app
from devenv.doors import files
from devenv.doors.terminal.console import bytes_text
from devenv.errors import DriftError, LockError, UsageError
from devenv.fetch.store import Store
from devenv.lock import drift
from devenv.lock import files as lock_files
from devenv.preset.load import find, load
from devenv.resolve import ensure

if TYPE_CHECKING:
    from devenv.lock.diff import Change
    from devenv.lock.model import Lock

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
    help="Upgrade NAME (a package, or base, apt, pip, npm, node, code_server, uv, model); without a NAME everything. "
    "'parent' follows the lock of the preset that this one extends. Repeat it for several, or separate by commas.",
)  # fmt: skip
@click.option(
    "--without-model",
    is_flag=True,
    help="Contact no hub: a model that is not pinned yet stays so, and the first 'up' or 'prefetch' records it.",
)
@json_option
@pass_app
def lock(app: App, preset: str | None, check: bool, upgrade: tuple[str, ...], without_model: bool) -> None:
    """Resolve PRESET to exact files, by hash, in a lock beside it. Entries that still fit are kept.

    PRESET is a shipped name, a YAML file, a project folder, or nothing: devenv.yaml here or above.
    """
    from devenv.doors.http.hubs import UnreachedError
    from devenv.lock.diff import changes
    from devenv.lock.model import read
    from devenv.resolve.resolver import resolve

    names = tuple(name for one in upgrade for name in one.split(",") if name)
    if without_model and "model" in names:
        raise UsageError("--without-model contacts no hub, but --upgrade model needs one", hint="choose one of them")
    loaded = load(find(preset, Path.cwd()))
    if check:
        path = lock_files.lock_path(loaded, app.dirs)
        locked = read(path)
        _check(app, locked, drift.compare(locked, loaded.preset), path, lock_files.command(loaded))
        return
    for words in ensure.fits(loaded, app.dirs.config):
        app.console.warn(words)
    path = lock_files.beside(loaded.path)
    try:
        old = read(path) if files.is_there(path) else None
    except LockError as error:
        if path.is_dir():
            raise
        app.console.warn(f"{error.message}; locking again ({error.where})")
        old = None
    with app.console.stages() as stages, stages.stage("lock") as stage:
        try:
            new = resolve(
                loaded, app.session(stages).resolving(stage), upgrade=names, parent=lock_files.parent_lock(loaded),
                previous=old, ask_hubs=not without_model,
            )  # fmt: skip
        except UnreachedError as error:
            command = lock_files.command(loaded)
            error.hint = f"{error.hint}; or lock without the model for now: {command} --without-model"
            raise
        stage.cached = new == old
        stage.message(f"{len(new.artifacts())} files, {bytes_text(sum(one.size for one in new.artifacts()))}")
    lock_files.write(new, path)
    _tell(app, new, changes(old, new), path, old=old is not None)


@click.command()
@click.argument("preset", required=False)
@from_option
@json_option
@pass_app
def fetch(app: App, preset: str | None) -> None:
    """Fetch every locked file of PRESET to this machine's store, and verify it; a build then needs no network."""
    from devenv.fetch import declared
    from devenv.fetch.fetch import fetch as bring
    from devenv.fetch.sources import archives

    loaded = load(find(preset, Path.cwd()))
    store = Store(app.dirs.store)
    with app.console.stages() as stages:
        with stages.stage("lock") as stage:
            session = app.session(stages)
            locked, stage.cached = ensure.locked(loaded, lambda: session.resolving(stage), app.settings)
        with stages.stage("fetch") as stage:
            report = bring(
                locked, store=store, settings=app.settings, progress=stage, files=archives(loaded.preset)
            )  # fmt: skip
            declared.check_all(locked, store)
            stage.cached = report.files == 0
    if app.json:
        app.console.json({
            "preset": loaded.preset.name, "lock_digest": locked.digest, "files": report.files, "bytes": report.bytes,
            "from_cache": report.from_cache, "seconds": round(report.seconds, 3), "store": str(store.root),
        })  # fmt: skip
    else:
        app.console.note(
            f"{report.files} files fetched ({bytes_text(report.bytes)}), {report.from_cache} were here: {store.root}"
        )


@click.command()
@click.argument("preset", required=False)
@pass_app
def sbom(app: App, preset: str | None) -> None:
    """Print the CycloneDX bill of materials of PRESET's image; the image has a copy at /etc/devenv/sbom.cdx.json.

    PRESET is a shipped name, a file, a folder, or nothing: then devenv.yaml here or above. The lock must exist.
    """
    from devenv.lock.model import read
    from devenv.render.sbom import sbom as bill

    loaded = load(find(preset, Path.cwd()))
    path = lock_files.lock_path(loaded, app.dirs)
    locked = read(path)
    drift.require_fit(locked, loaded.preset, where=str(path), command=lock_files.command(loaded))
    app.console.document(bill(locked).decode())


def _check(app: App, locked: Lock, found: tuple[drift.Drift, ...], path: Path, command: str) -> None:
    if app.json:
        rows = [{"section": one.section, "locked": one.locked, "wanted": one.wanted} for one in found]
        app.console.json({"lock": str(path), "lock_digest": locked.digest, "fits": not found, "drift": rows,
                          "open": list(locked.open or ())})  # fmt: skip
    elif found:
        rows_ = [(one.section, one.locked, one.wanted) for one in found]
        app.console.table("", ("section", "locked", "preset"), rows_, stdout=True)
    if found:
        raise DriftError(f"the lock does not fit the preset: {len(found)} pins differ", where=str(path),
                         hint=f"bring it up to date: {command}")  # fmt: skip
    app.console.note(f"{path} fits" + (f"; {_OPEN}" if locked.open else ""))


def _tell(app: App, new: Lock, changed: tuple[Change, ...], path: Path, *, old: bool) -> None:
    if app.json:
        rows = [{"kind": one.kind, "name": one.name, "old": one.old, "new": one.new} for one in changed]
        app.console.json(
            {"preset": new.preset, "lock": str(path), "lock_digest": new.digest, "files": len(new.artifacts()),
             "bytes": sum(one.size for one in new.artifacts()), "changes": rows,
             "open": list(new.open or ())}
        )  # fmt: skip
        return
    for one in changed if old else ():
        app.console.note(f"  {one.kind:<9} {one.name}: {one.old or '—'} → {one.new or '—'}")
    many = f": {len(changed)} changes" if old and changed else ": nothing changed" if old else ""
    app.console.note(f"{path}{many}")
    if new.open:
        app.console.note(_OPEN)
