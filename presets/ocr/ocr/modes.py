"""How much of a picture the model sees, by name."""

from __future__ import annotations

import dataclasses

from ocr.errors import UsageError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """A picture is fitted into `base` × `base` pixels. With `crop`, tiles of `tile` × `tile` show details as well."""

    name: str
    base: int
    tile: int
    crop: bool


MODES = {
    mode.name: mode
    for mode in (
        Mode(name="tiny", base=512, tile=512, crop=False),
        Mode(name="small", base=640, tile=640, crop=False),
        Mode(name="base", base=1024, tile=1024, crop=False),
        Mode(name="large", base=1280, tile=1280, crop=False),
        Mode(name="gundam", base=1024, tile=640, crop=True),
    )
}
DEFAULT = "gundam"


def mode(name: str) -> Mode:
    """The mode of that name, in any case. Raises UsageError."""
    try:
        return MODES[name.lower()]
    except KeyError:
        raise UsageError(f"there is no mode {name!r}", hint=f"modes: {', '.join(MODES)}") from None
