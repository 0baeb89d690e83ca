"""Files that are there whole or not at all: written beside their place, then moved to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A free path beside `path`, for a file to be written. It takes the place of `path` at the end of the `with`; after
    an error it is removed, and `path` stays as it was. No other thread or process uses the same."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}")
    fresh.unlink(missing_ok=True)
    try:
        yield fresh
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def write(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write UTF-8 text; `mode` without the umask. Raises OSError."""
    with replacing(path) as fresh:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
