"""Which releases of often pinned packages have wheels for which Python, and what they need besides. Data, not code."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from devenv.compat.versions import allows
from devenv.doors import files
from devenv.doors.untrusted import from_yaml

_FOLDER = Path(__file__).parent


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    versions: str
    python: str = ""
    needs: str = ""
    source: str = ""


class _Rows(BaseModel):
    model_config = ConfigDict(strict=True)

    packages: dict[str, Annotated[tuple[_Row, ...], Field(strict=False)]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wheels:
    """The releases `versions` of one package, and the Pythons (a specifier) that they have wheels for."""

    versions: str
    python: str

    def words(self) -> str:
        """The releases for people: `1.23.2 to 1.24.4`, `1.9.0`, `before 1.17.3`."""
        low, _, high = self.versions.partition(",")
        if low.startswith("<"):
            return f"before {low[1:]}"
        return low.lstrip(">=") + (f" to {high.lstrip('<=')}" if high else "")


def wheels_of(name: str, version: str) -> Wheels | None:
    """The row of a release; None for one that is unknown. `name` is canonical."""
    row = next((row for row in _read("wheels.yaml").get(name, ()) if allows(row.versions, version)), None)
    return Wheels(versions=row.versions, python=row.python) if row else None


def nearest(name: str, version: str, python: str) -> Wheels | None:
    """The releases of a package nearest to `version` that have wheels for a Python, MAJOR.MINOR."""
    rows = _read("wheels.yaml").get(name, ())
    own = next((at for at, row in enumerate(rows) if allows(row.versions, version)), len(rows))
    fitting = [at for at, row in enumerate(rows) if allows(row.python, f"{python}.0")]
    if not fitting:
        return None
    row = rows[min(fitting, key=lambda at: (at < own, abs(at - own)))]  # a newer one before an older one
    return Wheels(versions=row.versions, python=row.python)


def needs(name: str, version: str) -> str | None:
    """A requirement of a release that its own metadata lack, such as `numpy<2`."""
    return next((row.needs for row in _read("needs.yaml").get(name, ()) if allows(row.versions, version)), None)


@functools.cache
def _read(name: str) -> dict[str, tuple[_Row, ...]]:
    return _Rows.model_validate({"packages": from_yaml(files.read_text(_FOLDER / name))}).packages
