"""Weights from safetensors files straight into a model's parameters: several threads read, each its own part, and
what was read goes to the device while the next part is read. Nothing is ever there twice."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ocr.errors import BackendError
from ocr.weightnames import Piece, pieces

CHUNK = 32 * 1024 * 1024
_KINDS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64", "I64": "int64", "I32": "int32"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A tensor in a file."""

    name: str
    kind: str
    shape: tuple[int, ...]
    file: Path
    start: int
    size: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """Bytes of a file, and the flat part of a parameter that they belong to."""

    file: Path
    start: int
    size: int
    kind: str
    target: Any


def stored(files: Sequence[Path]) -> Iterator[Stored]:
    """All tensors of safetensors files, in the order in which they lie there."""
    for path in files:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(length))
        entries = [(one["data_offsets"], name, one) for name, one in header.items() if name != "__metadata__"]
        for (start, end), name, one in sorted(entries, key=lambda entry: entry[0]):
            yield Stored(
                name=name, kind=one["dtype"], shape=tuple(one["shape"]), file=path, start=8 + length + start,
                size=end - start,
            )  # fmt: skip


def load(model: Any, files: Sequence[Path], *, threads: int, say: Callable[[str], None]) -> int:
    """Fill every parameter of a model that has its memory already; how many bytes were read. Raises BackendError when
    the files do not fit the model."""
    parameters: Mapping[str, Any] = dict(model.named_parameters())
    filled: dict[str, int] = defaultdict(int)
    copies: list[_Copy] = []
    unknown = []
    for tensor in stored(files):
        parts = pieces(tensor.name)
        if any(piece.parameter not in parameters for piece in parts):
            unknown.append(tensor.name)
            continue
        for piece in parts:
            target = _target(parameters[piece.parameter], piece)
            _fits(tensor, piece, target)
            filled[piece.parameter] += target.numel()
            copies += _split(tensor, piece, target.view(-1))
    empty = [name for name, parameter in parameters.items() if filled[name] != parameter.numel()]
    if empty:
        raise BackendError(
            f"the weights are not those of this model: {empty[0]} is not there, nor are {len(empty) - 1} more",
            hint="check the model that the preset names, and its config.json",
        )
    if unknown:
        say(f"{len(unknown)} tensors that this model does not use were left out, such as {unknown[0]}")
    _run(copies, threads, next(iter(parameters.values())).device)
    return sum(one.size for one in copies)


def _target(parameter: Any, piece: Piece) -> Any:
    part = parameter.data if piece.row is None else parameter.data[piece.row]
    if piece.half is not None:
        rows = part.shape[0] // 2
        part = part[:rows] if piece.half == 0 else part[rows:]
    return part


def _fits(tensor: Stored, piece: Piece, target: Any) -> None:
    rows, *rest = tensor.shape or (1,)
    shape = (rows // piece.parts, *rest) if tensor.shape else ()
    if shape != tuple(target.shape) or tensor.kind not in _KINDS:
        raise BackendError(
            f"{tensor.name} is {tensor.kind} of {list(tensor.shape)}, and {list(target.shape)} is expected",
            hint="the weights and config.json do not belong together",
        )


def _split(tensor: Stored, piece: Piece, target: Any) -> Iterator[_Copy]:
    """One copy for each chunk of a piece."""
    size = tensor.size // piece.parts
    start = tensor.start + piece.part * size
    width = size // max(1, target.numel())
    for at in range(0, size, CHUNK):
        length = min(CHUNK, size - at)
        yield _Copy(
            file=tensor.file, start=start + at, size=length, kind=tensor.kind,
            target=target[at // width : (at + length) // width],
        )  # fmt: skip


def _run(copies: Sequence[_Copy], threads: int, device: Any) -> None:
    """Do all copies: neighbours in a file are read together."""
    import torch

    on_gpu = device.type == "cuda"
    own = threading.local()
    descriptors = {path: os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in {one.file for one in copies}}

    def work(group: Sequence[_Copy]) -> None:
        if not hasattr(own, "buffer"):
            own.buffer = torch.empty(CHUNK, dtype=torch.uint8, pin_memory=on_gpu)
            own.stream = torch.cuda.Stream(device) if on_gpu else None
        start, end = group[0].start, group[-1].start + group[-1].size
        _read(descriptors[group[0].file], memoryview(own.buffer.numpy())[: end - start], start)
        with torch.no_grad(), torch.cuda.stream(own.stream):
            for one in group:
                kind = getattr(torch, _KINDS[one.kind])
                data = own.buffer[one.start - start : one.start - start + one.size]
                if (one.start - start) % kind.itemsize:
                    data = data.clone()  # elements have to lie on multiples of their size
                one.target.copy_(data.view(kind), non_blocking=True)
        if own.stream is not None:
            own.stream.synchronize()  # the buffer is about to be used again

    try:
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(work, group) for group in _groups(copies)]:
                done.result()
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def _groups(copies: Sequence[_Copy]) -> Iterator[list[_Copy]]:
    group: list[_Copy] = []
    for one in sorted(copies, key=lambda copy: (copy.file, copy.start)):
        if group and (one.file != group[0].file or one.start + one.size - group[0].start > CHUNK):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _read(descriptor: int, into: memoryview, start: int) -> None:
    at = 0
    while at < len(into):
        count = os.preadv(descriptor, [into[at:]], start + at)
        if count == 0:
            raise BackendError("the weights end too early", hint="devenv weights verify")
        at += count
