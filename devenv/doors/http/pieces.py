"""A file that arrives in pieces, from several connections and sources: its bytes so far and their sources."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Self

PIECE_BYTES = 16 << 20
_WRITE_BYTES = 1 << 18
"""Bytes to write at once; for more, the kernel searches long for contiguous memory."""
_HEAD = struct.Struct("<8sQQ")
_ROW = struct.Struct("<QQ")
_MAGIC = b"devenvw1"


class Part:
    """`PATH` for `size` bytes, `PATH.map` with a row for each piece: how many of its bytes have arrived, and a bit for
    each source they came from. A row is written after the bytes, so a kill loses only unwritten bytes. A file of one
    piece has no map: it grows from its beginning, and its length is the number of its bytes, without their sources.

    A piece has one owner at a time; rows of different pieces are written by different threads.
    """

    def __init__(self, size: int, path: Path, *, piece_bytes: int = PIECE_BYTES) -> None:
        self.size = size
        self.path = path
        self._map = path.with_name(path.name + ".map")
        self._wished = piece_bytes
        self._piece = max(1, min(piece_bytes, size))
        self._done: list[int] = []
        self._masks: list[int] = []
        self._fd = self._map_fd = -1
        self._mapped = True

    def __enter__(self) -> Self:
        """Open, and continue an unfinished file."""
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            known = self._map.exists()
            self._mapped = known or self.count > 1
            if self._mapped:
                self._map_fd = os.open(self._map, os.O_RDWR | os.O_CREAT, 0o644)
            if known:
                self._load()
            else:
                self._measure()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; their content stays."""
        for fd in (self._fd, self._map_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._map_fd = -1

    def _measure(self) -> None:
        there = os.fstat(self._fd).st_size
        if there > self.size:  # devenv did not write it
            os.ftruncate(self._fd, there := 0)
        self._done = [max(0, min(self.length(i), there - self.start(i))) for i in range(self.count)]
        self._masks = [0] * self.count
        if self._mapped:
            os.pwrite(self._map_fd, _HEAD.pack(_MAGIC, self._piece, self.size), 0)
            for piece, done in enumerate(self._done):
                if done:
                    self._row(piece)

    def _load(self) -> None:
        size = self.size
        raw = os.pread(self._map_fd, _HEAD.size + _ROW.size * (1 << 20), 0)
        known = len(raw) >= _HEAD.size and _HEAD.unpack_from(raw)
        if known and known[0] == _MAGIC and known[2] == size and known[1] > 0 and os.fstat(self._fd).st_size <= size:
            self._piece = known[1]
            rows = raw[_HEAD.size :]
            count = self.count
            pairs = [_ROW.unpack_from(rows, i * _ROW.size) if (i + 1) * _ROW.size <= len(rows) else (0, 0)
                     for i in range(count)]  # fmt: skip
            self._done = [min(done, self.length(i)) for i, (done, _) in enumerate(pairs)]
            self._masks = [mask for _, mask in pairs]
            ends = [self.start(i) + done for i, done in enumerate(self._done) if done]
            if max(ends, default=0) <= os.fstat(self._fd).st_size:
                return
            self._piece = max(1, min(self._wished, size))  # the file was cut, so its map is wrong
        for fd in (self._fd, self._map_fd):
            if os.fstat(fd).st_size:  # closing a truncated file writes it to disk, even an empty one
                os.ftruncate(fd, 0)
        os.pwrite(self._map_fd, _HEAD.pack(_MAGIC, self._piece, size), 0)
        self._done, self._masks = [0] * self.count, [0] * self.count

    @property
    def count(self) -> int:
        """The number of pieces."""
        return max(1, -(-self.size // self._piece))

    def start(self, piece: int) -> int:
        """The first byte of a piece."""
        return piece * self._piece

    def length(self, piece: int) -> int:
        """The size of a piece in bytes."""
        return min(self._piece, self.size - self.start(piece))

    def have(self, piece: int) -> int:
        """The number of received bytes of a piece."""
        return self._done[piece]

    def full(self, piece: int) -> bool:
        """Whether a piece is complete."""
        return self._done[piece] >= self.length(piece)

    @property
    def total(self) -> int:
        """The number of received bytes of the file."""
        return sum(self._done)

    @property
    def complete(self) -> bool:
        """Whether all bytes have arrived; they are not verified yet."""
        return self.total == self.size

    def contiguous(self) -> int:
        """How many bytes the file has from its beginning without a gap."""
        total = 0
        for piece, done in enumerate(self._done):
            total += done
            if done < self.length(piece):
                break
        return total

    def write(self, offset: int, chunk: bytes, bit: int) -> int:
        """Take bytes that came from source number `bit`; returns how many of them were new.

        Bytes may span pieces (a source that sends whole files); what exists already is skipped.
        """
        new, view = 0, memoryview(chunk)
        end = offset + len(chunk)
        for piece in range(offset // self._piece, min(self.count, -(-end // self._piece))):
            at = self.start(piece) + self._done[piece]
            stop = min(end, self.start(piece) + self.length(piece))
            if not offset <= at < stop:
                continue
            data = view[at - offset : stop - offset]
            written = 0
            while written < len(data):
                written += os.pwrite(self._fd, data[written : written + _WRITE_BYTES], at + written)
            self._done[piece] += len(data)
            self._masks[piece] |= 1 << bit
            self._row(piece)
            new += len(data)
        return new

    def read(self, offset: int, buffer: memoryview) -> int:
        """Existing bytes, read back from the page cache."""
        return os.preadv(self._fd, [buffer], offset)

    def bytes_by_source(self) -> dict[int, int]:
        """Bytes by source number; those of a piece from several sources count for each."""
        found: dict[int, int] = {}
        for done, mask in zip(self._done, self._masks, strict=True):
            for bit in range(mask.bit_length()):
                if mask >> bit & 1:
                    found[bit] = found.get(bit, 0) + done
        return found

    def drop(self, *, keep: int | None) -> int:
        """Remove bytes from other sources than number `keep` (None: all); returns how many bytes."""
        lost = 0
        for piece, mask in enumerate(self._masks):
            if self._done[piece] and (keep is None or mask != 1 << keep):
                lost += self._done[piece]
                self._done[piece] = self._masks[piece] = 0
                self._row(piece)
        return lost

    def discard(self) -> None:
        """Remove the map, when the file is in the store or is useless."""
        if self._mapped:
            self._map.unlink(missing_ok=True)

    def _row(self, piece: int) -> None:
        if self._mapped:
            row = _ROW.pack(self._done[piece], self._masks[piece])
            os.pwrite(self._map_fd, row, _HEAD.size + _ROW.size * piece)
        elif not self._done[piece]:
            os.ftruncate(self._fd, 0)
