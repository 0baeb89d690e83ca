"""The command `init`: a devenv.yaml of a preset, of a project's own files, or of a model on a hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli.app import App, json_option, pass_app
from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.checkpoint.offer import Asked


@click.command("init")
@click.argument("preset", required=False)
@click.option(
    "--from", "source", metavar="FILE|DIR", type=click.Path(path_type=Path),
    help="Make it of a project's own files: requirements.txt, pyproject.toml, Dockerfile and others.",
)  # fmt: skip
@click.option(
    "--model", metavar="ID[@REVISION]",
    help="Make it serve this model of Hugging Face or ModelScope: by vLLM, or without a GPU by Transformers.",
)  # fmt: skip
@click.option(
    "--source", "hubs", multiple=True, type=click.Choice(["huggingface", "modelscope"]),
    help="Look for the model on this hub only. Without it: in the order of your settings.",
)  # fmt: skip
@click.option(
    "--trust-remote-code", "trust_code", is_flag=True,
    help="Let the server run the code in the model's repository, in the container. The lock pins it.",
)  # fmt: skip
@click.option("--base", metavar="IMAGE", help="Start from this image of Debian's family instead of the preset's base.")
@click.option("--force", is_flag=True, help="Overwrite an existing devenv.yaml.")
@json_option
@pass_app
def init(
    app: App, preset: str | None, source: Path | None, model: str | None, hubs: tuple[str, ...], trust_code: bool,
    base: str | None, force: bool,
) -> None:  # fmt: skip
    """Write a devenv.yaml: one that extends PRESET, that is made of a project's own files, or that serves a model.

    Without PRESET and options: of the files in this folder, where there are such files; else one that extends rapidocr,
    with examples to uncomment. Nothing of a project or a model is executed. Of a model only the hub's metadata and
    small JSON files are read; nothing else is downloaded.
    """
    from devenv.preset import scaffold

    folder = Path.cwd()
    apart = {"PRESET": preset, "--model": model, "--base": base}
    if source is not None and (given := [name for name, value in apart.items() if value is not None]):
        raise UsageError(f"{given[0]} and --from exclude each other", hint="give one of them")
    if model is None and (hubs or trust_code):
        raise UsageError(f"{'--source' if hubs else '--trust-remote-code'} goes with --model", hint="--model ID")
    scaffold.require_free(folder, force=force)
    if model is not None:
        from devenv.checkpoint.look import Named
        from devenv.checkpoint.offer import Asked

        named = Named.parse(model)
        _serve(app, Asked(named=named, preset=preset, base=base, hubs=hubs, trust_code=trust_code), folder, force)
        return
    if source is None and preset is None and base is None:
        from devenv.adopt.discover import is_there

        source = folder if is_there(folder) else None
    if source is not None:
        _adopt(app, folder / source, folder, force)
        return
    written = scaffold.write(folder, preset or "rapidocr", base=base, force=force)
    _wrote(app, written, {})


def _serve(app: App, asked: Asked, folder: Path, force: bool) -> None:
    """Make a devenv.yaml that serves a model, and say before that what it takes."""
    from devenv.checkpoint import offer, report
    from devenv.compat.matrix import read
    from devenv.doors.http.web import Web
    from devenv.doors.machine.engine_facts import EngineFacts
    from devenv.doors.machine.gather import quick
    from devenv.doors.machine.model import Machine
    from devenv.doors.once import Once

    looked = Once[str, Machine]()
    with Web(app.settings) as web:
        around = offer.Surroundings(
            folder=folder, settings=app.settings, web=web, matrix=read(app.dirs.config),
            machine=lambda: looked.get("machine", lambda: quick(app.settings, EngineFacts(), with_gpu=True)),
        )  # fmt: skip
        made = offer.offer(asked, around, app.console.note)
        for line in report.lines(made):
            app.console.note(line)
        if words := report.here(made, around.machine()):
            app.console.note(words)
        for words in report.warnings(made, around.machine()):
            app.console.warn(words)
        written = offer.write(made, around, force=force)
    _wrote(app, written, report.document(made, around.machine()))


def _adopt(app: App, source: Path, folder: Path, force: bool) -> None:
    """Make a devenv.yaml of a project's files, and report what was taken, changed and left out."""
    from devenv.adopt import report
    from devenv.adopt.adopt import adopt
    from devenv.compat.matrix import read
    from devenv.preset import scaffold

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
    *first, last = map(display, written)
    app.console.note(f"wrote {', '.join(first)} and {last}; start it with 'devenv up'")
    if app.json:
        files = [str(path) for path in written]
        app.console.json({"name": loaded.preset.name, "path": str(written[0]), "files": files, **further})
