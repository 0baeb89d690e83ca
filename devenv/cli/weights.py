"""`devenv prefetch` and `devenv weights …`: fetch model weights, and manage their store."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli.app import App, json_option, pass_app, source_option, weights_dir_option
from devenv.doors.terminal.console import bytes_text
from devenv.errors import DriftError, FetchError, UsageError

if TYPE_CHECKING:
    from devenv.doors.terminal.stages import Stages
    from devenv.lock.model import LockedModel
    from devenv.weights.store import Stored, Weights

__all__ = ["prefetch", "weights"]


@click.command()
@click.argument("preset", required=False)
@source_option
@weights_dir_option
@json_option
@pass_app
def prefetch(app: App, preset: str | None, sources: tuple[str, ...]) -> None:
    """Fetch the model weights of PRESET to this machine's store, and verify them. 'up' then fetches nothing.

    Files in a hub's own cache on this machine are used, not downloaded. A run that was stopped resumes.
    """
    from devenv.weights.download.prefetch import prefetch as bring

    store = _store(app)
    with app.console.stages() as stages:
        model, recorded = _model(app, preset, stages, sources)
        with stages.stage("weights") as stage:
            done = bring(
                model, store=store, settings=app.settings, sources=sources, progress=stage,
                waiting=lambda: stage.message("another devenv command is fetching this model; waiting"),
            )  # fmt: skip
            stage.cached = done.files == 0
    folder = store.folder(model.key)
    for remark in done.remarks:
        app.console.warn(remark)
    if app.json:
        app.console.json({
            "model": model.key, "digest": model.digest, "folder": str(folder), "files": done.files,
            "bytes": done.bytes, "linked": done.linked, "here": done.here, "by_source": dict(done.by_source),
            "seconds": round(done.seconds, 3), "recorded": recorded,
        })  # fmt: skip
        return
    told = ", ".join(f"{bytes_text(count)} from {name}" for name, count in done.by_source)
    app.console.note(
        f"{model.key}: {done.files} files downloaded ({told or 'nothing'}), {done.linked} taken from this machine, "
        f"{done.here} were here: {folder}"
    )


@click.group()
def weights() -> None:
    """Manage the store of model weights: list, check, remove, import, export, serve.

    MODEL is a key that 'devenv weights list' shows, a model's name, or its id on a hub.
    """


@weights.command(name="list")
@weights_dir_option
@json_option
@pass_app
def list_(app: App) -> None:
    """List the models of the store: their size, their hubs, and the environments that use them."""
    store = _store(app)
    every = store.every()
    users = {one.model.key: _users(app, one.model.key) for one in every}
    if app.json:
        app.console.json([
            {"model": one.model.key, "digest": one.model.digest, "complete": one.complete, "bytes": one.bytes,
             "size": one.model.size, "files": len(one.model.files), "folder": str(one.folder),
             "sources": [source.model_dump() for source in one.model.sources], "used_by": users[one.model.key]}
            for one in every
        ])  # fmt: skip
        return
    if not every:
        app.console.note(f"no weights in {store.root}; fetch those of a preset with 'model': devenv prefetch PRESET")
        return
    rows = [
        (
            one.model.key,
            bytes_text(one.model.size) if one.complete else f"{bytes_text(one.bytes)} of {bytes_text(one.model.size)}",
            ", ".join(f"{source.hub}:{source.id}" for source in one.model.sources),
            "?" if (used := users[one.model.key]) is None else ", ".join(used) or "-",
        )
        for one in every
    ]  # fmt: skip
    app.console.table("", ("MODEL", "SIZE", "FROM", "USED BY"), rows, stdout=True)


@weights.command()
@click.argument("model", required=False)
@weights_dir_option
@json_option
@pass_app
def verify(app: App, model: str | None) -> None:
    """Read every file again and compare its hash. The next 'up' or 'prefetch' downloads wrong files again."""
    store = _store(app)
    chosen = [store.named(model)] if model else list(store.every())
    told: list[dict[str, Any]] = []
    with app.console.stages() as stages:
        for one in chosen:
            with stages.stage("verify") as stage:
                stage.message(one.model.key)
                stage.start("verify", one.model.size)
                with store.only(one.model.key, lambda: None):
                    wrong = store.rehash(one.model, lambda count, stage=stage: stage.advance("verify", count))  # type: ignore[misc]
                stage.failed = bool(wrong)
            told += [{"model": one.model.key, "file": file.path, "why": why} for file, why in wrong]
    if app.json:
        app.console.json({"models": [one.model.key for one in chosen], "wrong": told})
    if told:
        rows = "\n".join(f"{row['model']}: {row['file']}: {row['why']}" for row in told)
        raise DriftError(
            f"{len(told)} files do not match the lock", detail=rows,
            hint="fetch them again: devenv prefetch",
        )  # fmt: skip
    app.console.note(f"{sum(len(one.model.files) for one in chosen)} files are right")


@weights.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@weights_dir_option
@json_option
@pass_app
def rm(app: App, models: tuple[str, ...]) -> None:
    """Remove models from the store, and their volumes. Models that an environment uses are kept."""
    from devenv.weights import volume

    store = _store(app)
    chosen = {one.model.key: one for one in map(store.named, models)}
    for key in chosen:
        if users := volume.users_of(key, app.engine):
            raise UsageError(f"{key} is in use by {', '.join(users)}", hint=f"devenv down {users[0]}, then again")
    for key in chosen:
        waiting = partial(app.console.note, "another devenv command is using it; waiting")
        with store.only(key, waiting), store.unused(key):
            if volume.users_of(key, app.engine):
                raise UsageError(f"{key} is in use now", hint="devenv weights list")
            volume.remove(key, app.engine)
            store.remove(key)
        app.console.note(f"{key} is removed")
    if app.json:
        app.console.json(sorted(chosen))


@weights.command(name="import")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("preset", required=False)
@weights_dir_option
@json_option
@pass_app
def import_(app: App, folder: Path, preset: str | None) -> None:
    """Import the model of PRESET from FOLDER (an export, a clone, a download), and verify it, without a download."""
    from devenv.weights import local_copies

    store = _store(app)
    with app.console.stages() as stages:
        model, _ = _model(app, preset, stages)
        with stages.stage("import") as stage, store.only(model.key, lambda: None):
            store.begin(model)
            taken = local_copies.take(model, folder.resolve(), store=store, progress=stage)
    missing = store.missing(model)
    if app.json:
        app.console.json({"model": model.key, "folder": str(store.folder(model.key)), "files": len(taken),
                          "missing": [one.path for one in missing]})  # fmt: skip
    if missing:
        names = "\n".join(one.path for one in missing[:12]) + ("\n…" if missing[12:] else "")
        raise FetchError(
            f"{folder} lacks {len(missing)} of {len(model.files)} files of {model.key}, "
            "or has different files under these names",
            detail=names, hint="the matching files were imported; download the rest: devenv prefetch",
        )  # fmt: skip
    app.console.note(f"{model.key}: {len(taken)} files imported; complete: {store.folder(model.key)}")


@weights.command()
@click.argument("model")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@weights_dir_option
@json_option
@pass_app
def export(app: App, model: str, folder: Path) -> None:
    """Copy a model's files to FOLDER, for another machine. Run there: devenv weights import FOLDER PRESET."""
    from devenv.weights import local_copies

    one = _store(app).named(model)
    _complete(one)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", hint="name a new folder")
    with app.console.stages() as stages, stages.stage("export") as stage:
        stage.start("export", one.model.size)
        for file in one.model.files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            local_copies.copy(one.folder / file.path, target)
            stage.advance("export", file.size)
    if app.json:
        app.console.json({"model": one.model.key, "folder": str(folder), "files": len(one.model.files),
                          "bytes": one.model.size})  # fmt: skip
    app.console.note(f"{one.model.key} is in {folder}")


@weights.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=8898, show_default=True, type=click.IntRange(0, 65535))
@click.option("--no-token", is_flag=True, help="Serve every client that can reach it, without a token.")
@click.option("--unconfirmed", is_flag=True, help="Serve models also under names that no hub has confirmed.")
@weights_dir_option
@json_option
@pass_app
def serve(app: App, host: str, port: int, no_token: bool, unconfirmed: bool) -> None:
    """Serve the store with the Hugging Face hub's protocol, until Ctrl-C. Clients set HF_ENDPOINT to its address.

    Clients set HF_TOKEN to the printed token, which devenv keeps in a file of yours. The connection is not encrypted. A
    model is served under the names that its hub has confirmed, because the names in a lock prove nothing.
    """
    from devenv.weights.confirm import confirm
    from devenv.weights.serve.hub_api import serving

    store = _store(app)
    for remark in () if unconfirmed else confirm(store, app.settings.hubs):
        app.console.warn(f"{remark}; devenv does not serve it under that name (--unconfirmed does)")
    token = None if no_token else _serve_token(app)
    told = app.console.note if app.options.verbose else None
    with serving(store, host=host, port=port, token=token, told=told, unconfirmed=unconfirmed) as server:
        name = _reachable(host)
        address = f"http://{name}:{server.port}"
        models = [one.model.key for one in store.every() if one.complete]
        if app.json:
            app.console.json({"url": address, "token": token, "models": models})
        else:
            app.console.note(f"serving {len(models)} models: {', '.join(models) or 'none yet'}")
            app.console.data(f"export HF_ENDPOINT={address}" + (f" HF_TOKEN={token}" if token else ""))
        server.wait()


def _serve_token(app: App) -> str:
    from devenv.doors.secret_file import secret

    return secret(app.dirs.state / "weights-token")


def _reachable(host: str) -> str:
    """An address for other machines."""
    import socket

    if host in ("0.0.0.0", "::"):  # noqa: S104
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _store(app: App) -> Weights:
    from devenv.weights.store import Weights

    return Weights(app.settings.hubs.dir)


def _model(
    app: App, preset: str | None, stages: Stages, sources: tuple[str, ...] = ()
) -> tuple[LockedModel, dict[str, Any] | None]:
    """The preset's locked model, after locking or recording it where needed; and what was recorded now."""
    from devenv.preset.load import find, load
    from devenv.resolve import ensure
    from devenv.up.decide import complete
    from devenv.up.report import recorded_json

    loaded = load(find(preset, Path.cwd()))
    if loaded.preset.model is None:
        raise UsageError(
            f"the preset {loaded.preset.name} names no model", where=str(loaded.path),
            hint="'model: {huggingface: {id: …, revision: …}}' in the preset names one",
        )  # fmt: skip
    session = app.session(stages, sources)
    with stages.stage("lock") as stage:
        locked, stage.cached = ensure.locked(loaded, lambda: session.resolving(stage), app.settings)
    locked, recorded, where = complete(loaded, locked, session)
    assert locked.model is not None
    return locked.model, recorded_json(recorded, where)


def _complete(one: Stored) -> None:
    if not one.complete:
        raise UsageError(f"{one.model.key} is not complete", hint="devenv prefetch, or devenv weights verify")


def _users(app: App, key: str) -> list[str] | None:
    """The containers that use it; None where no engine answers."""
    from devenv.errors import EngineError
    from devenv.weights import volume

    try:
        return list(volume.users_of(key, app.engine))
    except EngineError:
        return None
