"""A self-contained preset: an image carries it, so that its user can build the image again.

Its files lie where the build context has them (`files/N`, `workspace`, `archives/SHA256`), not where this machine does.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from devenv.doors.untrusted import from_yaml
from devenv.errors import PresetError
from devenv.preset import own_wheel
from devenv.preset.load import dump
from devenv.preset.model import CONTAINER_PATH, Archive, Preset

WORKSPACE = "workspace"


def numbered(preset: Preset) -> tuple[tuple[str, str, str], ...]:
    """(portable name, path on this machine, path in the image) of each of the preset's `files`."""
    return tuple(
        (f"files/{number}", source, target) for number, (target, source) in enumerate(sorted(preset.files.items()))
    )


def portable(preset: Preset) -> str:
    """The composed preset as YAML, with nothing of this machine in it."""
    editor = preset.code_server
    changes = {
        "files": {target: name for name, _, target in numbered(preset)},
        "workspace": preset.workspace and WORKSPACE,
        "pip": tuple(_wheel(requirement) for requirement in preset.pip),
        "alternatives": (),  # for the choice before there is an image
        "code_server": editor and editor.model_copy(update={"archive": _moved(editor.archive)}),
        "extensions": tuple(
            extension
            if isinstance(extension, str)
            else extension.model_copy(update={"archive": _moved(extension.archive)})
            for extension in preset.extensions
        ),
    }
    return dump(preset.model_copy(update=changes))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The files that a portable preset names: `files` by their path in the image, `archives` by hash, `wheels` as
    HASH/FILE."""

    files: Mapping[str, str]
    workspace: bool
    archives: tuple[str, ...]
    wheels: tuple[str, ...] = ()


def carried(text: str) -> Carried:
    """The files that must lie beside a portable preset. Raises PresetError for a preset that devenv did not write."""
    try:
        data = from_yaml(text)
        editor, extensions = data.get("code_server") or {}, data.get("extensions") or ()
        pinned = (editor, *(entry for entry in extensions if not isinstance(entry, str)))
        found = [(entry.get("archive") or {}).get("path") for entry in pinned]
        names, workspace = dict(data.get("files") or {}), data.get("workspace")
        wheels = [one for one in data.get("pip") or () if own_wheel.named(one)]
    except (AttributeError, TypeError, ValueError) as error:
        raise PresetError(
            "cannot read the preset that the image carries", detail=str(error),
            hint="verify only unchanged images that devenv built",
        ) from None  # fmt: skip
    paths = [*names.values(), *([workspace] if workspace else []), *(one for one in found if one)]
    strange = [path for path in paths if not _NAME.fullmatch(str(path))]
    strange += [wheel for wheel in wheels if not _WHEEL.fullmatch(wheel)]
    strange += [one for one in names if not re.fullmatch(CONTAINER_PATH, str(one)) or ".." in str(one).split("/")]
    strange += [one for one in set(names.values()) if list(names.values()).count(one) > 1]
    if strange:
        raise PresetError(f"the preset that the image carries names {strange[0]!r}, which is not a file of its own")
    return Carried(
        files={str(target): str(name) for target, name in names.items()},
        workspace=bool(workspace),
        archives=tuple(sorted({str(one).removeprefix(_ARCHIVES) for one in found if one})),
        wheels=tuple(sorted({wheel.removeprefix(_ARCHIVES) for wheel in wheels})),
    )


_ARCHIVES = "archives/"
_NAME = re.compile(rf"files/[0-9]{{1,4}}|{WORKSPACE}|{_ARCHIVES}[0-9a-f]{{64}}")
_WHEEL = re.compile(rf"{_ARCHIVES}[0-9a-f]{{64}}/{own_wheel.FILE.pattern}")


def _wheel(requirement: str) -> str:
    own = own_wheel.own_wheel(requirement)
    return f"{_ARCHIVES}{own.sha256}/{own.file}" if own and own.path else requirement


def _moved(archive: Archive | None) -> Archive | None:
    if archive is None or archive.path is None:
        return archive
    return archive.model_copy(update={"path": f"{_ARCHIVES}{archive.sha256}"})
