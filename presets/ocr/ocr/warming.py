"""Files that other processes read into the page cache while Python imports, so that a cold start does not wait for the
disk twice. Threads of this process would make the imports slower."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import sysconfig
import time
import types
from collections.abc import Sequence
from pathlib import Path

_LARGE = 32 * 1024 * 1024
_LIBRARIES = ("torch/lib/*.so", "nvidia/*/lib/libcublas*.so*", "vllm/*.so", "vllm/vllm_flash_attn/*.so")
_LIST = "ocr-imports.txt"
_SAMPLES, _PAGE = 8, 4096
_HIT_S = 30e-6
"""A page from the cache takes some microseconds, one from a disk at least a hundred."""


class Warming:
    """Reads those of the files that are not in the page cache, in their order. Not on a machine that has no processors
    to spare."""

    def __init__(self, files: Sequence[Path], *, imports: Path | None = None) -> None:
        self._readers: list[subprocess.Popen[bytes]] = []
        missing = [] if len(os.sched_getaffinity(0)) < 4 else [path for path in files if not cached(path)]
        if not missing:
            return
        if imports is not None and imports.is_file():  # thousands of small ones, so several at once
            self._read("xargs", "-d", "\n", "-P", "4", "-n", "200", "-a", str(imports), "cat")
        self._read("cat", *map(str, missing))

    def _read(self, *command: str) -> None:
        with contextlib.suppress(OSError):  # of a system without these commands: then nothing is read ahead
            self._readers.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )

    def stop(self) -> None:
        """End it: from now on the files are read for good."""
        for reader in self._readers:
            reader.terminate()
            reader.wait()
        self._readers.clear()


def cached(path: Path) -> bool:
    """Whether samples of a file come as fast as they do from the page cache: file systems of containers do not tell."""
    try:
        size = path.stat().st_size
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True  # the code that reads it reports the fault
    try:
        took = []
        for sample in range(_SAMPLES):
            began = time.perf_counter()
            os.pread(descriptor, _PAGE, size * sample // _SAMPLES // _PAGE * _PAGE)
            took.append(time.perf_counter() - began)
        return sorted(took)[_SAMPLES * 3 // 4] < _HIT_S
    finally:
        os.close(descriptor)


def libraries() -> list[Path]:
    """The large shared libraries that PyTorch and vLLM load, in their order."""
    site = Path(sysconfig.get_path("platlib"))
    return [path for pattern in _LIBRARIES for path in sorted(site.glob(pattern)) if path.stat().st_size > _LARGE]


def imports() -> Path | None:
    """The list of the files that the last start imported; None where it has no place."""
    folder = os.environ.get("VLLM_CACHE_ROOT")
    return Path(folder) / _LIST if folder else None


def note_imports() -> None:
    """Write down what this process has imported, for the next start, if that is not done."""
    path = imports()
    if path is None or path.exists():
        return
    modules = [vars(module) for module in [*sys.modules.values()] if isinstance(module, types.ModuleType)]
    names = {module.get("__cached__") or module.get("__file__") for module in modules}
    lines = sorted(name for name in names if isinstance(name, str) and "\n" not in name)
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    with contextlib.suppress(OSError):  # a full disk makes the next start slower, nothing else
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
        fresh.replace(path)
