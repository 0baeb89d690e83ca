"""Canonical layers as compressed files: OUT/NAME.tar.zst for each, and OUT/canonical.json about all.

    python3 -m devenv.verify.layer_files ROOT OUT [--base BASE] [--beside DIR]

It runs inside a build, as canonical.py does, with the image's own libzstd: nothing but compressed bytes leaves the
build. Layers are made by as many processes as there are cores. The same image gives the same bytes on every machine,
because libzstd's workers give the same bytes whatever their number.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from devenv.verify import canonical
from devenv.verify.canonical import Layer, Part
from devenv.verify.tree import Tree

LEVEL = 3
_LIBRARY = "libzstd.so.1"
# From zstd.h, which promises to keep these numbers.
_COMPRESSION_LEVEL, _WORKERS, _CONTINUE, _END = 100, 400, 0, 2
_STEP_BYTES = 1 << 20


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer: memory, its size, and how far it was used."""

    _fields_ = (("memory", ctypes.c_void_p), ("size", ctypes.c_size_t), ("used", ctypes.c_size_t))


class Compressed:
    """A file that keeps what is written to it as one zstd frame. Raises OSError where libzstd is missing or fails."""

    def __init__(self, file: BinaryIO, threads: int) -> None:
        self._library = ctypes.CDLL(_LIBRARY)
        self._library.ZSTD_createCCtx.restype = ctypes.c_void_p
        self._library.ZSTD_CCtx_setParameter.restype = ctypes.c_size_t
        self._library.ZSTD_compressStream2.restype = ctypes.c_size_t
        self._library.ZSTD_getErrorName.restype = ctypes.c_char_p
        self._library.ZSTD_getErrorName.argtypes = (ctypes.c_size_t,)
        self._context = ctypes.c_void_p(self._library.ZSTD_createCCtx())
        self._file = file
        self._out = ctypes.create_string_buffer(_STEP_BYTES)
        self._held: list[bytes] = []
        self._held_bytes = 0
        for name, value in ((_COMPRESSION_LEVEL, LEVEL), (_WORKERS, threads)):
            self._checked(self._library.ZSTD_CCtx_setParameter(self._context, name, value))

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _STEP_BYTES:
            self._pass_on()

    def close(self) -> None:
        """End the frame."""
        self._pass_on()
        nothing = _Buffer(None, 0, 0)
        while self._step(nothing, _END):
            pass
        self._library.ZSTD_freeCCtx(self._context)

    def _pass_on(self) -> None:
        data = b"".join(self._held)
        self._held, self._held_bytes = [], 0
        given = _Buffer(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data), 0)
        while given.used < given.size:
            self._step(given, _CONTINUE)

    def _step(self, given: _Buffer, what: int) -> int:
        """Take some of the given bytes; returns how many of the frame's bytes are still to come, at least."""
        made = _Buffer(ctypes.cast(self._out, ctypes.c_void_p), _STEP_BYTES, 0)
        left = self._library.ZSTD_compressStream2(self._context, ctypes.byref(made), ctypes.byref(given), what)
        self._checked(left)
        if made.used:
            self._file.write(memoryview(self._out)[: made.used])
        return int(left)

    def _checked(self, answer: int) -> None:
        if self._library.ZSTD_isError(ctypes.c_size_t(answer)):
            raise OSError(f"{_LIBRARY}: {self._library.ZSTD_getErrorName(answer).decode()}")


def write(root: Tree, out: Path, base: Tree | None = None) -> None:
    """Write the layers of `root` and what is known of them; with `base`, those of the differences from it. Raises
    OSError."""
    parts = [*canonical.parts(root, base, each_file=False)]
    out.mkdir(parents=True, exist_ok=True)
    cores = os.cpu_count() or 1
    # Forked, so that no process has to be told what was found.
    fork = multiprocessing.get_context("fork")
    mine, *others = _shares(parts, cores)
    workers = [fork.Process(target=_make, args=(share, out, cores)) for share in others]
    for worker in workers:
        worker.start()
    _make(mine, out, cores)
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise OSError("a layer could not be written: the reason stands above")
    made = []
    for part in parts:
        about = out / f"{part.name}.json"
        made.append(Layer(**{**json.loads(about.read_text(encoding="utf-8")), "entries": ()}))
        about.unlink()
    canonical.write(made, out)


def _shares(parts: Sequence[Part], most: int) -> Iterator[list[Part]]:
    """The parts in at most so many lists of about the same size."""
    shares: list[list[Part]] = [[] for _ in range(most)]
    for part in sorted(parts, key=lambda one: -one.size_bytes):
        min(shares, key=lambda share: sum(one.size_bytes for one in share)).append(part)
    return (share for share in shares if share or share is shares[0])


def _make(share: Sequence[Part], out: Path, threads: int) -> None:
    for part in share:
        with (out / f"{part.name}.tar.zst").open("xb", buffering=0) as file:
            packed = Compressed(file, threads)
            layer = part.make(packed.write)
            packed.close()
        about = json.dumps(dataclasses.asdict(dataclasses.replace(layer, entries=())))
        (out / f"{part.name}.json").write_text(about, encoding="utf-8")


def main(given: Sequence[str]) -> None:
    """Write the layers of a file system."""
    write(*canonical.arguments(given))


if __name__ == "__main__":
    main(sys.argv[1:])
