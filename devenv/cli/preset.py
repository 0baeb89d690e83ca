"""Commands about presets as files: init, presets, show, validate, schema. None needs an engine or a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli.app import App, json_option, pass_app
from devenv.errors import PresetError, UsageError

if TYPE_CHECKING:
    from devenv.preset.load import LoadedPreset
    from devenv.preset.yaml.nodes import Mark
    from devenv.resolve.validate import Validated


@click.command("init")
@click.argument("preset", required=False)
@click.option(
    "--from", "source", metavar="FILE|DIR", type=click.Path(path_type=Path),
    help="Make it of a project's own files: requirements.txt, pyproject.toml, Dockerfile and others.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite an existing devenv.yaml.")
@json_option
@pass_app
def init(app: App, preset: str | None, source: Path | None, force: bool) -> None:
    """Write a devenv.yaml: one that extends PRESET, or one that is made of a project's own files.

    Without PRESET and --from: of the files in this folder, where there are such files; else one that extends rapidocr,
    with examples to uncomment. Files are only read: nothing of the project is executed, and nothing is downloaded.
    """
    from devenv.preset import scaffold

    folder = Path.cwd()
    if preset is not None and source is not None:
        raise UsageError("PRESET and --from exclude each other", hint="give one of them")
    if source is None and preset is None:
        from devenv.adopt.discover import is_there

        scaffold.require_free(folder, force=force)
        source = folder if is_there(folder) else None
    if source is not None:
        _adopt(app, folder / source, folder, force)
        return
    written = scaffold.write(folder, preset or "rapidocr", force=force)
    _wrote(app, written, {})


def _adopt(app: App, source: Path, folder: Path, force: bool) -> None:
    """Make a devenv.yaml of a project's files, and report what was taken, changed and left out."""
    from devenv.adopt import report
    from devenv.adopt.adopt import adopt
    from devenv.compat.matrix import read
    from devenv.preset import scaffold

    scaffold.require_free(folder, force=force)
    adopted = adopt(source, folder, settings=app.settings, matrix=read(app.dirs.config))
    for words in adopted.warnings:
        app.console.warn(words)
    written = scaffold.write_text(folder, adopted.text, force=force)
    for line in report.lines(adopted):
        app.console.note(line)
    _wrote(app, written, report.document(adopted))


def _wrote(app: App, written: tuple[Path, ...], further: dict[str, Any]) -> None:
    from devenv.preset.load import load
    from devenv.preset.yaml.nodes import display

    loaded = load(written[0])
    app.console.note(f"wrote {' and '.join(display(path) for path in written)}; start it with 'devenv up'")
    if app.json:
        files = [str(path) for path in written]
        app.console.json({"name": loaded.preset.name, "path": str(written[0]), "files": files, **further})


@click.command("presets")
@json_option
@pass_app
def presets(app: App) -> None:
    """List the shipped presets."""
    from devenv.preset.load import find, load, shipped

    every = [load(find(name, Path.cwd())) for name in shipped()]
    if app.json:
        app.console.json({"presets": [_summary(loaded) for loaded in every]})
        return
    rows = [(loaded.path.parent.name, _extended(loaded) or "-", loaded.preset.description) for loaded in every]
    app.console.table("", ("NAME", "EXTENDS", "WHAT IT IS"), rows, stdout=True)


@click.command("show")
@click.argument("preset", required=False)
@json_option
@pass_app
def show(app: App, preset: str | None) -> None:
    """Show a preset as resolved, each value with the file and line it came from.

    PRESET is a shipped name, a file, a folder, or nothing: then devenv.yaml here or above.
    """
    from devenv.preset.load import find, load
    from devenv.preset.show import outline

    loaded = load(find(preset, Path.cwd()))
    if app.json:
        origins = {_pointer(place): _position(mark) for place, mark in loaded.origins.items() if place}
        document = loaded.preset.model_dump(mode="json", exclude_none=True)
        app.console.json({**_summary(loaded), "preset": document, "origins": origins})
        return
    app.console.data(outline(loaded))


@click.command("validate")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@json_option
@pass_app
def validate(app: App, files: tuple[str, ...]) -> None:
    """Check presets and report all their mistakes at once; exit status 3 when there are any.

    FILE is a file, a folder or a shipped preset's name; without one, devenv.yaml here or above.
    """
    from devenv.resolve.validate import validate as check

    found: list[Validated] = []
    for argument in files or (None,):
        validated = check(argument, Path.cwd(), app.dirs.config)
        found.append(validated)
        for words in validated.warnings:
            app.console.warn(f"{validated.name}: {words}")
        if not validated.mistakes:
            app.console.note(f"{validated.name}: valid")
    every = tuple(mistake for file in found for mistake in file.mistakes)
    if app.json:
        rows = [
            {
                "path": file.name,
                "valid": not file.mistakes,
                "problems": list(map(_row, file.mistakes)),
            }
            for file in found
        ]
        app.console.json({"valid": not every, "files": rows})
    if every:
        raise PresetError(f"{len(every)} mistakes", problems=every)


@click.command("schema")
@pass_app
def schema(app: App) -> None:
    """Print the JSON Schema of preset files, for editors."""
    from devenv.preset.schema import schema_text

    app.console.data(schema_text())


def _row(mistake: PresetError) -> dict[str, Any]:
    return {"message": mistake.message, "where": mistake.where, "hint": mistake.hint, "excerpt": mistake.detail}


def _summary(loaded: LoadedPreset) -> dict[str, Any]:
    return {
        "name": loaded.preset.name,
        "description": loaded.preset.description,
        "path": str(loaded.path),
        "extends": _extended(loaded),
        "chain": [str(path) for path in loaded.chain],
        "shipped": loaded.shipped,
    }


def _extended(loaded: LoadedPreset) -> str | None:
    """What the preset extends, by name when it is a shipped one."""
    from devenv.preset.load import is_shipped

    if len(loaded.chain) < 2:
        return None
    parent = loaded.chain[-2]
    return parent.parent.name if is_shipped(parent) else str(parent)


def _pointer(place: tuple[str | int, ...]) -> str:
    """RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)


def _position(mark: Mark) -> dict[str, Any]:
    return {"file": str(mark.path), "line": mark.line, "column": mark.column}
