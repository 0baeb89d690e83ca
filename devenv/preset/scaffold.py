"""The files of `devenv init`: a short preset that extends another, with examples to uncomment."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from devenv.doors import files
from devenv.errors import PresetError
from devenv.preset import load
from devenv.preset.base_option import other_base
from devenv.preset.project_root import PROJECT_FILE
from devenv.preset.schema import schema_text
from devenv.preset.yaml.nodes import display

SCHEMA_FILE = Path(".devenv") / "preset.schema.json"
"""Beside the project's devenv.yaml: editors read it without asking any server."""

_TEXT = """\
# yaml-language-server: $schema={schema}
#
# This project's environment: what is written here is laid over the preset that it extends.
#   devenv validate   checks this file        devenv show   what it all adds up to
#   devenv up         makes it and starts it

extends: {extends}
name: {name}

# Remove the '# ' in front of what you need; a list is added to what is inherited.

# Python packages. Exact versions are fixed in devenv.lock.
# pip:
#   - humanize>=4
#   - rich==13.9.4

# Packages of the base system.
# apt:
#   - tree

# Environment variables. null drops one that is inherited.
# env:
#   LOG_LEVEL: "debug"

# Persistent volumes besides /mnt/{name}, by where they are mounted.
# volumes:
#   models: /data/models

# Programs that are kept running. devenv publishes 'port' on this machine only and asks for the token;
# the program itself listens on 'listen'.
# services:
#   web:
#     command: [python, -m, http.server, --bind, 127.0.0.1, "9001"]
#     port: 9000
#     listen: 127.0.0.1:9001
#     health:
#       path: /

# Commands that have to pass before the environment counts as up.
# smoke:
#   imports:
#     run: [python, -c, "import sys; print(sys.version)"]
"""


def text(extends: str, name: str) -> str:
    """The content of a new devenv.yaml."""
    return _TEXT.format(schema=SCHEMA_FILE.as_posix(), extends=scalar(extends), name=scalar(name))


def write(folder: Path, preset: str, *, base: str | None = None, force: bool) -> tuple[Path, ...]:
    """Writes devenv.yaml and its schema into `folder`; the files written, devenv.yaml first. `base`: an image to start
    from. Raises PresetError when `preset` is not valid, or devenv.yaml exists already and `force` is not given;
    UsageError for a base that cannot work."""
    require_free(folder, force=force)
    parent = load.load(load.find(preset, folder)).preset
    content = text(extends(preset, folder), load.default_name(folder / PROJECT_FILE))
    if base is not None:
        content += "\n" + "\n".join(other_base(base, parent).lines()) + "\n"
        try:
            checked(folder, content)
        except PresetError as error:
            raise in_new_file(error) from None
    return write_text(folder, content, force=force)


def require_free(folder: Path, *, force: bool) -> None:
    """Raises PresetError where a devenv.yaml in `folder` may not be written."""
    target = folder / PROJECT_FILE
    if os.path.lexists(target) and not force:
        raise PresetError(
            f"{display(target)} exists already", hint="edit it, or overwrite it with 'devenv init --force'"
        )
    if target.is_dir():
        raise PresetError(f"{display(target)} is a folder", hint="move it away")


def checked(folder: Path, content: str) -> load.LoadedPreset:
    """The preset that `content` would be as `folder`'s devenv.yaml. Raises PresetError."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".devenv-", suffix=".yaml", dir=folder)
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        return load.load(Path(temporary))
    finally:
        Path(temporary).unlink(missing_ok=True)


def in_new_file(error: PresetError) -> PresetError:
    """The mistakes of a preset that is not written yet, without the name that its file has meanwhile."""
    problems = tuple(
        PresetError(f"in the new devenv.yaml: {one.message}", detail=one.detail, hint=one.hint)
        for one in error.problems or (error,)
    )
    first = problems[0]
    if len(problems) == 1:
        return PresetError(first.message, detail=first.detail, hint=first.hint, problems=problems)
    return PresetError(f"{len(problems)} mistakes in the new devenv.yaml", problems=problems)


def write_text(folder: Path, content: str, *, force: bool) -> tuple[Path, ...]:
    """Writes a devenv.yaml with this content, and its schema; the files written. Raises PresetError."""
    require_free(folder, force=force)
    target = folder / PROJECT_FILE
    try:
        files.write_below(folder, SCHEMA_FILE.as_posix(), schema_text().encode())
        _put(target, content, force=force)
    except FileExistsError:
        raise PresetError(f"{display(target)} has just been written by another program") from None
    except OSError as error:
        raise unwritable(folder, error) from None
    return target, folder / SCHEMA_FILE


def unwritable(folder: Path, error: OSError) -> PresetError:
    return PresetError(
        f"cannot write in {display(folder)}: {(error.strerror or str(error)).lower()}",
        hint=files.hint(error) or "check the folder's permissions and free space",
    )


def extends(preset: str, folder: Path) -> str:
    """The value of `extends` for the preset in a devenv.yaml in `folder`."""
    path = load.find(preset, folder)
    if load.is_shipped(path):
        return path.parent.name
    real, here = path.resolve(), folder.resolve()
    if not real.is_relative_to(here) or real == (here / PROJECT_FILE):
        raise PresetError(
            f"{display(path)} cannot be extended from here: it lies outside the project",
            hint="copy it into the project, or name a shipped preset: " + ", ".join(load.shipped()),
        )
    return f"./{real.relative_to(here)}"


def _put(target: Path, content: str, *, force: bool) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=".devenv-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        Path(temporary).chmod(0o666 & ~_umask())
        if force:
            Path(temporary).replace(target)
        else:
            os.link(temporary, target)  # unlike a rename, never overwrites
    finally:
        Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def scalar(value: str) -> str:
    """A YAML scalar that loads as this text."""
    plain = value.replace("-", "a").replace("_", "a").replace("/", "a").replace(".", "a")
    safe = plain.isascii() and plain.isalnum() and not value[0].isdigit()
    return value if safe and value not in {"null", "true", "false"} else json.dumps(value, ensure_ascii=False)
