"""All findings about one machine and one preset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from devenv.doctor import gpu, host, network
from devenv.doctor.finding import Finding, Needs, ok, warning
from devenv.preset.sizes import bytes_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devenv.compat.matrix import Matrix
    from devenv.doors.machine.model import Machine
    from devenv.lock.model import Artifact, Lock
    from devenv.preset.model import Preset

_UNPACKED = 3.2
"""Image bytes for each byte of a Debian package or npm tarball, as measured on the shipped presets."""
_UNPACKED_WHEEL = 3.0
"""The same for wheels, their bytecode included; large ones, which are mostly compiled code, pack less well."""
_UNPACKED_LARGE = 2.3
_LARGE_BYTES = 50_000_000
_LIKE = {"source": "wheel"}
"""Kinds of files that come from the same servers."""
_EDITOR_BYTES = 420_000_000
_CUDA_WHEEL = re.compile(r"nvidia-cuda-runtime(-cu\d+)?")


def needs(lock: Lock, missing: Iterable[Artifact], *, image_here: bool, weights_bytes: int = 0) -> Needs:
    """The downloads and builds that a lock still needs. `missing`: its artifacts that the store lacks."""
    absent = () if image_here else tuple(missing)
    kind: dict[str, str] = {}
    if absent:
        from devenv.fetch.sources import kinds

        kind = kinds(lock)
    weights = {"weights"} if weights_bytes or lock.open else set()
    return Needs(
        download_bytes=sum(one.size for one in absent),
        image_bytes=0 if image_here else image_bytes(lock),
        weights_bytes=weights_bytes,
        weights_known=not lock.open,
        cuda=locked_cuda(lock),
        kinds=frozenset({*(_LIKE.get(kind[one.sha256], kind[one.sha256]) for one in absent), *weights}),
    )


def image_bytes(lock: Lock) -> int:
    """The estimated size of the image: the packages unpacked."""
    packed = sum(artifact.size for artifact in (*lock.base.packages, *lock.apt, *lock.npm.packages))
    wheels = [wheel.size for wheel in (*lock.installed, *((lock.node,) if lock.node else ()))]
    unpacked = sum(size * (_UNPACKED_LARGE if size >= _LARGE_BYTES else _UNPACKED_WHEEL) for size in wheels)
    return int(packed * _UNPACKED + unpacked + (_EDITOR_BYTES if lock.editor else 0))


def locked_cuda(lock: Lock) -> str:
    """MAJOR.MINOR of the CUDA runtime among the lock's wheels; empty without one."""
    for wheel in lock.wheels:
        if _CUDA_WHEEL.fullmatch(wheel.name):
            return ".".join(wheel.version.split(".")[:2])
    return ""


def examine(
    machine: Machine,
    preset: Preset | None,
    needed: Needs,
    matrix: Matrix | None,
    *,
    gpus: str | None = None,
    mode: str = "auto",
    full: bool = True,
    own_gpu: bool = False,
) -> tuple[Finding, ...]:
    """Everything, in the order in which it is read. `matrix` may be None where neither preset nor `gpus` name a version
    or a GPU. Without `full`, only cheap findings that can stop `up`. `own_gpu`: the wish for one stands in the user's
    own preset."""
    return tuple(_examine(machine, preset, needed, matrix, gpus=gpus, mode=mode, full=full, own_gpu=own_gpu))


def _examine(
    machine: Machine,
    preset: Preset | None,
    needed: Needs,
    matrix: Matrix | None,
    *,
    gpus: str | None,
    mode: str,
    full: bool,
    own_gpu: bool,
) -> Iterator[Finding]:
    yield from host.engine(machine, full=full)
    yield from host.disk(machine, needed)
    if not needed.weights_known and full:
        yield ok(
            "weights",
            "the size of the weights is not recorded yet: the first 'devenv up' or 'devenv prefetch' asks their hub",
        )
    yield host.memory(machine, bytes_of(preset.memory) if preset and preset.memory else 0)
    wish = preset.gpu if preset else None
    if wish or gpus is not None or full:
        cuda: str | None = needed.cuda
        if not cuda and preset and matrix:
            from devenv.compat.verdict import cuda_of

            cuda = cuda_of(preset, matrix)
        yield from gpu.examine(machine, wish, matrix, cuda=cuda, gpus=gpus, mode=mode, own=own_gpu)
    said = ".".join(preset.cuda.split(".")[:2]) if preset and preset.cuda else ""
    if said and needed.cuda and said != needed.cuda:
        yield warning(
            "compat.lock",
            f"the preset has CUDA {said}, but its lock has CUDA {needed.cuda}",
            "name the index that has PyTorch for it (PIP_EXTRA_INDEX_URL), then: devenv lock --upgrade torch",
        )
    if not full:
        return
    if preset is not None and matrix is not None:
        from devenv.compat.verdict import clashes

        for clash in clashes(preset, matrix):
            yield warning(f"compat.{clash.key}", clash.message, clash.hint)
    yield from host.system(machine)
    yield from host.ports(machine)
    yield from network.examine(machine, needed)
