"""What the measurements ran on, in words: no host name, no path."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from devenv import __version__


def describe() -> str:
    """One paragraph: cores, memory, kernel, engine, how busy the machine was when it began."""
    cores = len(os.sched_getaffinity(0))
    memory = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    engine = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return (
        f"devenv {__version__}, {cores} CPU cores, {memory / 1e6:.0f} GB of memory, Linux, "
        f"Docker Engine {engine}, Python {platform.python_version()}; load when it began: {os.getloadavg()[0]:.1f}."
    )
