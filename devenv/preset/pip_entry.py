"""An entry of `pip`: what devenv can lock of what PEP 508 allows."""

from __future__ import annotations

from devenv.preset.own_wheel import own_wheel
from devenv.preset.repository import repository
from devenv.preset.requirement import parsed


def checked(text: str) -> str:
    """The entry itself. Raises ValueError, in words for users, for one that cannot be locked."""
    try:
        asked = parsed(text)
    except ValueError as error:
        raise ValueError(f"not a PEP 508 requirement: {str(error).splitlines()[0]}") from None
    if asked.url and own_wheel(text) is None and repository(text) is None:
        raise ValueError(
            "direct references (name @ url) cannot be locked, except a git repository by http or https (git+https://…@"
            "REVISION) and the address of a wheel with its hash (https://…/FILE.whl#sha256=…), both without a login; "
            "name a version, or the path of a wheel"
        )
    return text
