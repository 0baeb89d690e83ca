"""`devenv prefetch` and `devenv weights …`: fetch model weights, and manage their store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devenv.cli.app import App, json_option, pass_app, source_option, weights_dir_option
from devenv.doors.terminal.console import bytes_text
from devenv.errors import DriftError

if TYPE_CHECKING:
    from devenv.weights.inventory import Listed
    from devenv.weights.store import Weights

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
    from devenv.preset.load import find
    from devenv.up.decide import decide_model
    from devenv.up.report import recorded_json
    from devenv.up.weights import fetch_model

    with app.console.stages() as stages:
        session = app.session(stages, sources)
        decided = decide_model(find(preset, Path.cwd()), session)
        model = decided.model
        done = fetch_model(model, session)
    folder = _store(app).folder(model.key)
    for remark in done.remarks:
        app.console.warn(remark)
    if app.json:
        app.console.json({
            "model": model.key, "digest": model.digest, "folder": str(folder), "files": done.files,
            "bytes": done.bytes, "linked": done.linked, "here": done.here, "by_source": dict(done.by_source),
            "seconds": round(done.seconds, 3), "recorded": recorded_json(decided.recorded, decided.place),
        })  # fmt: skip
        return
    sources_text = ", ".join(f"{bytes_text(count)} from {name}" for name, count in done.by_source)
    app.console.note(
        f"{model.key}: {done.files} files downloaded ({sources_text or 'nothing'}), "
        f"{done.linked} taken from this machine, {done.here} were here: {folder}"
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
    from devenv.weights.inventory import listed

    store = _store(app)
    every = listed(store, lambda: app.engine)
    if app.json:
        app.console.json([
            {"model": entry.stored.model.key, "digest": entry.stored.model.digest, "complete": entry.stored.complete,
             "bytes": entry.stored.bytes, "size": entry.stored.model.size, "files": len(entry.stored.model.files),
             "folder": str(entry.stored.folder), "sources": [each.model_dump() for each in entry.stored.model.sources],
             "used_by": None if entry.used_by is None else list(entry.used_by)}
            for entry in every
        ])  # fmt: skip
        return
    if not every:
        app.console.note(f"no weights in {store.root}; fetch those of a preset with 'model': devenv prefetch PRESET")
        return
    app.console.table("", ("MODEL", "SIZE", "FROM", "USED BY"), [_row(entry) for entry in every], stdout=True)


@weights.command()
@click.argument("model", required=False)
@weights_dir_option
@json_option
@pass_app
def verify(app: App, model: str | None) -> None:
    """Read every file again and compare its hash. The next 'up' or 'prefetch' downloads wrong files again."""
    from devenv.weights.inventory import reread

    with app.console.stages() as stages:
        chosen, wrong = reread(_store(app), stages, name=model)
    if app.json:
        rows = [{"model": wrong_file.key, "file": wrong_file.file.path, "why": wrong_file.why} for wrong_file in wrong]
        app.console.json({"models": [stored.model.key for stored in chosen], "wrong": rows})
    if wrong:
        raise DriftError(
            f"{len(wrong)} files do not match the lock",
            detail="\n".join(f"{wrong_file.key}: {wrong_file.file.path}: {wrong_file.why}" for wrong_file in wrong),
            hint="fetch them again: devenv prefetch",
        )
    app.console.note(f"{sum(len(one.model.files) for one in chosen)} files are right")


@weights.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@weights_dir_option
@json_option
@pass_app
def rm(app: App, models: tuple[str, ...]) -> None:
    """Remove models from the store, and their volumes. Models that an environment uses are kept."""
    from devenv.weights.removal import remove

    removed = remove(models, _store(app), lambda: app.engine, note=app.console.note)
    if app.json:
        app.console.json(sorted(removed))


@weights.command(name="import")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("preset", required=False)
@weights_dir_option
@json_option
@pass_app
def import_(app: App, folder: Path, preset: str | None) -> None:
    """Import the model of PRESET from FOLDER (an export, a clone, a download), and verify it, without a download."""
    from devenv.preset.load import find
    from devenv.up.decide import decide_model
    from devenv.weights.plain_folder import import_from

    store = _store(app)
    with app.console.stages() as stages:
        model = decide_model(find(preset, Path.cwd()), app.session(stages)).model
        with stages.stage("import") as stage:
            done = import_from(folder, model, store, progress=stage)
    if app.json:
        app.console.json({"model": model.key, "folder": str(store.folder(model.key)), "files": len(done.taken),
                          "missing": [file.path for file in done.missing]})  # fmt: skip
    done.raise_missing()
    app.console.note(f"{model.key}: {len(done.taken)} files imported; complete: {store.folder(model.key)}")


@weights.command()
@click.argument("model")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@weights_dir_option
@json_option
@pass_app
def export(app: App, model: str, folder: Path) -> None:
    """Copy a model's files to FOLDER, for another machine. Run there: devenv weights import FOLDER PRESET."""
    from devenv.weights.plain_folder import export_to, exportable

    stored = exportable(model, folder, _store(app))
    with app.console.stages() as stages, stages.stage("export") as stage:
        export_to(folder, stored, progress=stage)
    if app.json:
        app.console.json({"model": stored.model.key, "folder": str(folder), "files": len(stored.model.files),
                          "bytes": stored.model.size})  # fmt: skip
    app.console.note(f"{stored.model.key} is in {folder}")


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
    from devenv.doors.secret_file import secret
    from devenv.weights.confirm import confirm
    from devenv.weights.serve.hub_api import serving

    store = _store(app)
    for remark in () if unconfirmed else confirm(store, app.settings.hubs):
        app.console.warn(f"{remark}; devenv does not serve it under that name (--unconfirmed does)")
    token = None if no_token else secret(app.dirs.state / "weights-token")
    on_request = app.console.note if app.options.verbose else None
    with serving(store, host=host, port=port, token=token, on_request=on_request, unconfirmed=unconfirmed) as server:
        models = server.models()
        if app.json:
            app.console.json({"url": server.url, "token": token, "models": list(models)})
        else:
            app.console.note(f"serving {len(models)} models: {', '.join(models) or 'none yet'}")
            app.console.data(f"export HF_ENDPOINT={server.url}" + (f" HF_TOKEN={token}" if token else ""))
        server.wait()


def _store(app: App) -> Weights:
    from devenv.weights.store import Weights

    return Weights(app.settings.hubs.dir)


def _row(listed: Listed) -> tuple[str, str, str, str]:
    model, size = listed.stored.model, bytes_text(listed.stored.model.size)
    return (
        model.key,
        size if listed.stored.complete else f"{bytes_text(listed.stored.bytes)} of {size}",
        ", ".join(f"{source.hub}:{source.id}" for source in model.sources),
        "?" if listed.used_by is None else ", ".join(listed.used_by) or "-",
    )
