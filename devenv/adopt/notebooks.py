"""JupyterLab beside a project's own packages: the shipped one where they allow it, else the project's, else none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from packaging.specifiers import SpecifierSet

from devenv.adopt.packages import Change, Wish
from devenv.preset.model import VERSION

_NEEDS = {
    "anyio": ">=3.1", "argon2-cffi": ">=21.1", "async-lru": ">=1", "attrs": ">=22.2", "babel": ">=2.10",
    "comm": ">=0.1.1", "debugpy": ">=1.6.5", "httpcore": ">=1,<2", "httpx": ">=0.25,<1", "ipykernel": ">=6.5",
    "ipython": ">=7.23.1", "jinja2": ">=3.0.3", "json5": ">=0.9", "jsonschema": ">=4.18", "jupyter-client": ">=8.9",
    "jupyter-core": ">=5.1", "jupyter-events": ">=0.11", "jupyter-lsp": ">=2", "jupyter-server": ">=2.19,<3",
    "jupyterlab-server": ">=2.28,<3", "markupsafe": ">=2", "mistune": ">=2.0.3,<4", "nbconvert": ">=6.4.4",
    "nbformat": ">=5.3", "notebook": ">=7", "notebook-shim": ">=0.2", "packaging": ">=23.2",
    "prometheus-client": ">=0.9", "pygments": ">=2.14", "python-dateutil": ">=2.8.2", "python-json-logger": ">=2.0.4",
    "pyyaml": ">=5.3", "pyzmq": ">=25", "referencing": ">=0.28.4", "requests": ">=2.31", "send2trash": ">=1.8.2",
    "terminado": ">=0.8.3", "tornado": ">=6.5.7", "traitlets": ">=5.6", "typing-extensions": ">=4.13",
    "urllib3": ">=1.21.1,<3", "websocket-client": ">=1.7",
}  # fmt: skip
"""What the shipped JupyterLab and ipykernel need, and what these need: their wheels' metadata, 2026-11."""
_OLD_KERNEL = 11
"""The lowest minor of Python that the shipped ipykernel takes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notebooks:
    """`jupyter`: its version, empty for the inherited one, None for none. `kernel`: why ipykernel gets no pin."""

    jupyter: str | None = ""
    comment: str = ""
    kernel: str = ""
    changes: tuple[Change, ...] = ()


def decide(wishes: Mapping[str, Wish], python: str, shipped: str) -> Notebooks:
    """Pure. JupyterLab stays unless a package of the project excludes it. `shipped`: the version of the preset's."""
    import re

    minor = int(python.partition(".")[2])
    kernel = f"the one for Python {python}" if minor < _OLD_KERNEL else ""
    excluded = [wish for name, limits in _NEEDS.items() if (wish := wishes.get(name)) and _excludes(wish, limits)]
    lab = wishes.get("jupyterlab")
    version = _own(lab, shipped) if lab is not None else None
    if lab is not None and version is not None and re.fullmatch(VERSION, version):
        return Notebooks(jupyter=version, comment=lab.mark.where, kernel=kernel or "one that this JupyterLab takes")
    if excluded:
        first = excluded[0]
        why = f"the shipped JupyterLab needs {first.name}{_NEEDS[first.name]}"
        change = Change(asked=first.text, written="jupyter: null", why=why, mark=first.mark)
        return Notebooks(
            jupyter=None, comment=f"{first.text} excludes it", kernel=kernel or "one that fits", changes=(change,)
        )
    return Notebooks(kernel=kernel)


def _own(wish: Wish, shipped: str) -> str | None:
    """The JupyterLab that a project pins, or the lowest that it allows where it excludes the shipped one."""
    if wish.version:
        return wish.version
    if wish.specifier.contains(shipped):
        return None
    lowest = [one.version for one in wish.specifier if one.operator in {"~=", ">="}]
    return lowest[0] if lowest else None


def _excludes(wish: Wish, limits: str) -> bool:
    """Whether no release that a package's wish allows is one that JupyterLab takes."""
    needed = SpecifierSet(limits)
    if wish.version:
        return not needed.contains(wish.version, prereleases=True)
    highest = [one for one in wish.specifier if one.operator in {"<", "<=", "~=", "=="}]
    lowest = next(one.version for one in needed if one.operator == ">=")
    return any(not SpecifierSet(str(one)).contains(lowest) and _below(one.version, lowest) for one in highest)


def _below(one: str, other: str) -> bool:
    from packaging.version import Version

    return Version(one.removesuffix(".*")) <= Version(other)
