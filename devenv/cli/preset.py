"""Commands about presets as files: presets, show, validate, schema. None needs an engine or a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli.app import App, json_option, pass_app
from devenv.errors import PresetError

if TYPE_CHECKING:
    from devenv.preset.load import LoadedPreset
    from devenv.preset.yaml.nodes import Mark
    from devenv.resolve.validate import Validated


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
