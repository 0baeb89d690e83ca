"""`devenv export` and `devenv import`: environments in files and folders."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devenv.cli import complete, references
from devenv.cli.app import App, from_option, json_option, pass_app, weights_dir_option
from devenv.cli.known_secrets import known_secrets
from devenv.cli.share import subject_of
from devenv.doors.terminal.console import bytes_text
from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.share.export import Exported
    from devenv.share.gather import Gathered
    from devenv.share.take_in import TakenIn

__all__ = ["export", "import_"]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LEAST_PART_BYTES = 1 << 20
_SHOWN = 6


@click.command()
@click.argument("name", required=False, metavar="[ENV|SNAPSHOT|PRESET|REF]", shell_complete=complete.names)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR|FILE.tar",
    help="The folder or tar to write. A name that ends with .tar is a tar.",
)  # fmt: skip
@click.option(
    "--recipe", "recipe_only", is_flag=True, help="Export preset, lock and snapshot alone: the receiver builds."
)
@click.option(
    "--sources", "with_sources", is_flag=True,
    help="Export the lock's files too: the receiver can build, verify and extend without a network.",
)  # fmt: skip
@click.option("--weights", "with_weights", is_flag=True, help="Export the model's files too.")
@click.option(
    "--have", type=click.Path(exists=True, path_type=Path), metavar="LOCK|DIR|FILE.tar",
    help="Leave out what the receiver has: the files of a lock, or the layers and files of an earlier export.",
)  # fmt: skip
@click.option("--split", metavar="SIZE", help="Write a tar in parts of this size: 700M, 4G.")
@from_option
@weights_dir_option
@json_option
@pass_app
def export(
    app: App,
    name: str | None,
    output: Path,
    recipe_only: bool,
    with_sources: bool,
    with_weights: bool,
    have: Path | None,
    split: str | None,
) -> None:
    """Write an environment, a snapshot, a preset's image or an image in a registry to a folder or file.

    The format is an OCI image layout: 'devenv import' and 'devenv up' take it without a network, skopeo reads it, and
    'docker load' reads the tar. Files that may hold secrets refuse it.
    """
    from devenv.share.export import Extent, copy
    from devenv.share.export import export as write
    from devenv.share.have import known as known_from
    from devenv.share.layout import InLayout

    part_bytes = None if split is None else _size(split)
    tar = output.suffix == ".tar"
    if split and not tar:
        raise UsageError("only a tar is written in parts", hint=f"-o {output}.tar --split {split}")
    if tar and output.is_dir():
        raise UsageError(f"{output} is a folder", hint="name a new file")
    if not tar and output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file", hint="name a folder, or a file that ends with .tar")
    left_out = known_from(have) if have else frozenset[str]()
    place = InLayout(path=output, tar=tar, part_bytes=part_bytes, left_out=left_out)
    extent = Extent(recipe_only=recipe_only, sources=with_sources, weights=with_weights)
    with app.console.stages() as stages:
        session = app.session(stages)
        if name and references.may_be_reference(name):
            remote = references.remote(name, session)
            done = copy(remote, place, session, extent=extent)
        else:
            known = known_secrets(app)
            message = f"exported to {output.name}"
            with subject_of(name, app, known, session, message=message, weights=with_weights) as found:
                done = write(found, place, known, session, extent=extent)
    if app.json:
        app.console.json(dataclasses.asdict(done))
    else:
        _tell_export(app, done, have)


@click.command(name="import")
@click.argument("paths", nargs=-1, required=True, metavar="DIR|FILE|PART...", type=click.Path(path_type=Path))
@click.option(
    "--with", "others", multiple=True, type=click.Path(exists=True, path_type=Path), metavar="DIR|FILE.tar",
    help="An earlier export, for what an export with --have left out. Repeat it for several.",
)  # fmt: skip
@weights_dir_option
@json_option
@pass_app
def import_(app: App, paths: tuple[Path, ...], others: tuple[Path, ...]) -> None:
    """Bring an exported environment to this machine, without a network; prints the name for 'devenv up'.

    It becomes a snapshot here. Parts can come one by one and in any order: those that are right are kept until all are
    here.
    """
    from devenv.preset.project_root import project_of
    from devenv.share.gather import gathered
    from devenv.share.take_in import take_in

    with app.console.stages() as stages:
        session = app.session(stages)
        with gathered(paths, session, others) as found:
            taken = take_in(found.place, session, project=project_of(Path.cwd())) if found.place else None
    if app.json:
        app.console.json(_import_json(taken, found))
    elif taken is None:
        app.console.note(
            f"{found.count - len(found.missing)} of {found.count} parts of {found.name} are here and right; "
            f"missing: {', '.join(found.missing)}"
        )
    else:
        _tell_import(app, taken)


def _size(text: str) -> int:
    """Bytes of '700M'. Raises UsageError."""
    match = re.fullmatch(r"([1-9][0-9]{0,11})([KMG]?)I?B?", text.upper())
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    if size < _LEAST_PART_BYTES:
        raise UsageError(f"{text!r} is not a size of parts", hint="write it as 700M or 4G; 1M is the least")
    return size


def _tell_export(app: App, done: Exported, have: Path | None) -> None:
    from devenv.share.layout_files import is_layout

    files = f", {done.files} locked files" if done.files else ""
    if done.left_out:
        app.console.note(f"{bytes_text(done.left_out)} are left out, which the receiver has")
    parts = f" in {len(done.parts)} parts" if done.parts else ""
    app.console.note(f"{bytes_text(done.size)}{parts}{files}; the image is {done.identity}")
    others = f" --with {have.name}" if have and done.left_out and is_layout(have) else ""
    app.console.note(f"on the other machine: devenv import {Path(done.path).name}{others}")
    app.console.data(done.path)


def _tell_import(app: App, taken: TakenIn) -> None:
    name = taken.snapshot.name
    if taken.image is None:
        app.console.note("it has no image for this devenv: 'up' builds it from its recipe")
    missing = taken.sources.missing
    if missing and (taken.image is None or taken.sources.offered):
        names = ", ".join(file.file for file in missing[:_SHOWN]) + (" …" if missing[_SHOWN:] else "")
        app.console.warn(
            f"{len(missing)} of the lock's {taken.sources.files} files are not on this machine: {names}; "
            "a build downloads them"
        )
    if taken.weights and taken.weights[1]:
        app.console.warn(f"{taken.weights[1]} of the model's files are not on this machine; 'up' downloads them")
    app.console.note(f"bring it up: devenv up {name}")
    app.console.data(name)


def _import_json(taken: TakenIn | None, found: Gathered) -> dict[str, object]:
    return {
        "name": taken and taken.snapshot.name, "digest": taken and taken.digest, "identity": taken and taken.identity,
        "image": taken and taken.image,
        "parts_missing": list(found.missing),
        "sources": taken and {
            "files": taken.sources.files, "offered": taken.sources.offered, "taken": taken.sources.taken,
            "missing": len(taken.sources.missing),
        },
        "weights": taken and taken.weights and {"offered": taken.weights[0], "missing": taken.weights[1]},
    }  # fmt: skip
