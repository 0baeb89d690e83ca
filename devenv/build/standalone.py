"""A preset as a small folder for a project's repository: machines without devenv build its image over the network.

The folder has the rendered build context and no artifacts. The Dockerfile's first stage brings what the lock names with
the apt, pip and npm of a plain image, and every later stage is the one that `devenv build` runs: the same image.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from devenv import errors
from devenv.build import first_stage
from devenv.build.context import own_files
from devenv.doors import files
from devenv.doors.dirs import templates_dir
from devenv.errors import RenderError
from devenv.fetch import deb_file
from devenv.plan.plan import Plan
from devenv.preset.model import Archive
from devenv.render.artifacts import artifact_files
from devenv.render.devcontainer import FOLDER, MARK, is_ours
from devenv.render.render import CONTEXT_MARKER, MAX_BYTES, Rendered, render

# The same module makes the first-stage root here and in the online build.
_MODULES = (errors, deb_file, first_stage)
_IN_CONTEXT = ("artifacts/", "build/", "files/", "image/", "online/", "workspace/")


def folder(plan: Plan, named: Mapping[str, Archive]) -> Rendered:
    """All files of the folder; `named` is what sources.archives(preset) gives. Those that the preset pins by path lie
    in it, those by address are fetched by the build. Raises RenderError for a missing or changed file."""
    rendered = render(plan, self_contained=True, online=True)
    own = dict(own_files(plan))
    modes = {**rendered.modes, **{name: mode for name, (_, mode) in own.items()}}
    context = {**rendered.context, **{name: file.read(MAX_BYTES) for name, (file, _) in own.items()}, **_scripts()}
    sums, addresses = [], {}
    for place, artifact in artifact_files(plan):
        sums.append(f"{artifact.sha256}  {place.removeprefix('artifacts/')}\n")
        archive = named.get(artifact.sha256)
        if archive is not None and archive.path is not None:
            context[place] = _pinned(Path(archive.path), artifact.sha256)
        elif archive is not None:
            addresses[artifact.sha256] = archive.url
    context["artifacts/SHA256SUMS"] = "".join(sums).encode()
    if addresses:
        context["online/addresses.json"] = (json.dumps(addresses, indent=1, sort_keys=True) + "\n").encode()
    context["online/SHA256SUMS"] = "".join(_sums(context, modes)).encode()
    return Rendered(
        files=MappingProxyType({".gitattributes": f"# Written by '{MARK}'.\n* -text\n".encode(), **rendered.files}),
        context=MappingProxyType(dict(sorted(context.items()))),
        modes=MappingProxyType(modes),
    )


def _scripts() -> dict[str, bytes]:
    scripts = {f"online/{path.name}": path.read_bytes() for path in (templates_dir() / "online").glob("*.py")}
    modules = {
        f"online/{module.__name__.replace('.', '/')}.py": Path(str(module.__file__)).read_bytes() for module in _MODULES
    }
    return scripts | modules


def _sums(context: Mapping[str, bytes], modes: Mapping[str, int]) -> Iterator[str]:
    """The list that the build checks the folder against: one line for every file that Docker gets."""
    for name, data in sorted(context.items()):
        if name.startswith(_IN_CONTEXT):
            yield f"{modes.get(name, 0o644):04o} {hashlib.sha256(data).hexdigest()} {name}\n"


def _pinned(path: Path, sha256: str) -> bytes:
    try:
        data = files.read(path, most_bytes=MAX_BYTES, inside=path.parent)
    except OSError as error:
        raise RenderError(
            f"a file that the preset pins cannot be read: {path}: {files.reason(error)}",
            hint=files.hint(error) or "restore that file",
        ) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise RenderError(f"{path} is not the file that the preset pins", hint="restore that file, or pin this one")
    return data


def place(project: Path) -> Path:
    """The folder in `project`. Raises RenderError for a link that leads out of it: all of the folder is replaced."""
    target = project / FOLDER
    if files.leads_out(target, project):
        raise RenderError(
            f"{target} is a link that leads out of {project}",
            hint="remove the link, or choose another folder with -o",
        )
    return target


def differences(rendered: Rendered, target: Path) -> str:
    """A unified diff from what lies in `target` to `rendered`, all of it; extra files by name only."""
    every = dataclasses.replace(rendered, files=MappingProxyType({**rendered.context, **rendered.files}))
    found = (path.relative_to(target).as_posix() for path in sorted(target.rglob("*")) if not path.is_dir())
    more = [f"Only in {target}: {name}\n" for name in found if name not in every.files and name != CONTEXT_MARKER]
    return every.differences(target) + "".join(more)


def changes(rendered: Rendered, target: Path) -> tuple[Path, ...]:
    """The files of the folder that are missing or differ."""
    return tuple(
        target / name for name, data in {**rendered.context, **rendered.files}.items() if _there(target, name) != data
    )


def _there(target: Path, name: str) -> bytes | None:
    try:
        return files.read(target / name, most_bytes=MAX_BYTES, inside=target)
    except OSError:
        return None  # whatever lies there is replaced


def free(rendered: Rendered, target: Path) -> bool:
    """Whether `target` may be replaced: it is empty, devenv's, or has only what a plain `devenv render` wrote."""
    found = [*target.iterdir()] if target.is_dir() else []
    plain = target / "devcontainer.json"
    if not found or rendered.owns(target):
        return True
    return found == [plain] and is_ours(_there(target, plain.name) or b"")
