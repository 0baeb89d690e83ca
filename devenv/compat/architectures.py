"""Which architectures and formats of quantised weights a release of vLLM or Transformers knows. Data, not code."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from devenv.compat.versions import allows
from devenv.doors import files
from devenv.doors.untrusted import from_yaml

Engine = Literal["vllm", "transformers"]
_FOLDER = Path(__file__).parent
_Names = Annotated[frozenset[str], Field(strict=False)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    versions: str


class Architectures(_Row):
    """The architectures of one release by what they give, and the values of `model_type` that it reads by itself."""

    text: _Names
    picture: _Names
    pooling: _Names = frozenset()
    types: _Names


class Format(BaseModel):
    """A format of quantised weights: the oldest compute capability, and a package that it needs besides."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    capability: str
    package: str | None = None


class Formats(_Row):
    """The formats of one release by `quant_method`."""

    methods: dict[str, Format]


class _Architectures(BaseModel):
    rows: dict[Engine, tuple[Architectures, ...]]


class _Formats(BaseModel):
    rows: dict[Engine, tuple[Formats, ...]]


def architectures(engine: Engine, version: str | None) -> Architectures | None:
    """What a release knows; None for a release that has no row."""
    return next((row for row in _architectures()[engine] if version and allows(row.versions, version)), None)


def formats(engine: Engine, version: str | None) -> Formats | None:
    """The formats that a release reads; None for a release that has no row."""
    return next((row for row in _formats().get(engine, ()) if version and allows(row.versions, version)), None)


@functools.cache
def _architectures() -> dict[Engine, tuple[Architectures, ...]]:
    return _Architectures.model_validate({"rows": _data("architectures.yaml")}).rows


@functools.cache
def _formats() -> dict[Engine, tuple[Formats, ...]]:
    return _Formats.model_validate({"rows": _data("quantisations.yaml")}).rows


def _data(name: str) -> object:
    return from_yaml(files.read_text(_FOLDER / name))
