"""The compatibility matrix: read, the user's own rows laid over it, and looked up by version."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from devenv.compat.versions import allows, numbers
from devenv.doors import files
from devenv.doors.untrusted import from_yaml
from devenv.errors import UsageError

USER_FILE = "compatibility.yaml"
"""In devenv's configuration folder."""
_SHIPPED = Path(__file__).with_name("matrix.yaml")


def _specifier(text: str) -> str:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError("not a version specifier, such as '>=0.9,<0.10'") from None
    return text


_Specifier = Annotated[str, AfterValidator(_specifier)]
_Cuda = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")]
_Capability = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]$")]
_Driver = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+){0,2}$")]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    source: Annotated[str, Field(min_length=1)]
    """Where the row's facts come from."""


class _Versions(_Row):
    versions: _Specifier

    def holds(self, version: str) -> bool:
        """Whether the row is about that version (pre-releases and local parts such as `+cu128` too)."""
        return allows(self.versions, version)


class TorchRow(_Versions):
    """A range of PyTorch versions: the CUDA of the default wheel, that of others, and the Pythons."""

    cuda: _Cuda
    variants: Annotated[tuple[_Cuda, ...], Field(strict=False)] = ()
    python: _Specifier
    open: bool = False
    """There may be further variants: one that is not listed warns."""


class VllmRow(_Versions):
    """A range of vLLM versions: the one PyTorch that its wheels pin, its CUDA, and the Pythons."""

    torch: str
    cuda: _Cuda
    python: _Specifier


class CudaRow(_Versions):
    """A range of CUDA versions: the oldest Linux driver, and the GPUs' compute capabilities from, to."""

    driver: _Driver
    capability: Annotated[tuple[_Capability, _Capability], Field(strict=False)]


class GpuRow(_Row):
    """GPUs from a compute capability on: the oldest driver that supports them."""

    capability: _Capability
    driver: _Driver
    name: str


class Matrix(BaseModel):
    """All rows, in order of preference. A user's file may hold any of the four lists."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    torch: Annotated[tuple[TorchRow, ...], Field(strict=False)] = ()
    vllm: Annotated[tuple[VllmRow, ...], Field(strict=False)] = ()
    cuda: Annotated[tuple[CudaRow, ...], Field(strict=False)] = ()
    gpu: Annotated[tuple[GpuRow, ...], Field(strict=False)] = ()

    def over(self, other: Matrix) -> Matrix:
        """These rows before those of `other`."""
        return Matrix(
            torch=self.torch + other.torch,
            vllm=self.vllm + other.vllm,
            cuda=self.cuda + other.cuda,
            gpu=self.gpu + other.gpu,
        )

    def for_torch(self, version: str) -> TorchRow | None:
        """The row of a PyTorch version; None when it is unknown."""
        return _first(self.torch, version)

    def for_vllm(self, version: str) -> VllmRow | None:
        """The row of a vLLM version."""
        return _first(self.vllm, version)

    def for_cuda(self, version: str) -> CudaRow | None:
        """The row of a CUDA version."""
        return _first(self.cuda, version)

    def driver_for(self, capability: str) -> GpuRow | None:
        """The row of the newest generation that a GPU of that capability belongs to."""
        rows = [one for one in self.gpu if numbers(one.capability) <= numbers(capability)]
        return max(rows, key=lambda one: numbers(one.capability), default=None)


_R = TypeVar("_R", bound=_Versions)


def _first(rows: Sequence[_R], version: str) -> _R | None:
    return next((row for row in rows if row.holds(version)), None)


def read(config: Path | None = None) -> Matrix:
    """The shipped matrix with the user's rows, from `config` (devenv's configuration folder), before it.

    Raises UsageError for a user's file that is not a matrix.
    """
    shipped = _parse(_SHIPPED)
    path = config / USER_FILE if config else None
    return _parse(path).over(shipped) if path and files.is_there(path) else shipped


@functools.cache
def _parse(path: Path) -> Matrix:
    from pydantic import ValidationError

    hint = "see 'The compatibility matrix' in docs/how-to/doctor.md"
    try:
        data = from_yaml(files.read_text(path)) or {}
    except (OSError, ValueError) as error:
        why = files.reason(error) if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read the compatibility matrix: {why}", where=str(path), hint=hint) from None
    try:
        return Matrix.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"the compatibility matrix, {place}: {reason}", where=str(path), hint=hint) from None
