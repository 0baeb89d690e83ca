"""An index's address: what it says about CUDA, and that it belongs to each machine's own settings."""

from __future__ import annotations

import re

from devenv.adopt.facts.facts import Kind, Reading
from devenv.preset.yaml.nodes import Mark

_VARIANT = re.compile(r"(?:^|[/_-])(?:cu(?P<cuda>[0-9]{3})|(?P<cpu>cpu))(?=$|[/_.-])")
_DEFAULT = re.compile(r"https?://(pypi\.org|pypi\.python\.org)/simple/?")


def read(address: str, mark: Mark, reading: Reading) -> None:
    """Take what the address of an index says about PyTorch's builds; the index itself is left out."""
    if _DEFAULT.fullmatch(address):
        return
    if found := _VARIANT.search(address):
        reading.take(Kind.CUDA, "cpu" if found["cpu"] else dotted(found["cuda"]), mark)
    reading.leave(
        f"index {address}" if address else "no index", "indexes come from the settings of pip on each machine", mark,
        remedy="if packages are missing without it: pip config set global.extra-index-url ADDRESS",
    )  # fmt: skip


def dotted(digits: str) -> str:
    """`121` → `12.1`."""
    return f"{digits[:-1]}.{digits[-1]}"
