"""Facts from the kernel's own files: memory, disk, security modules, WSL. `root` is the file system's top."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from devenv.doors.debian_text import os_release
from devenv.doors.machine.model import Disk


def text(path: Path) -> str:
    """A small file's text; empty when it does not exist or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def memory(root: Path) -> tuple[int, int]:
    """(all, available) bytes of main memory."""
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", text(root / "proc/meminfo"), re.MULTILINE))
    return int(fields.get("MemTotal", 0)) * 1024, int(fields.get("MemAvailable", 0)) * 1024


def disk(path: Path) -> Disk | None:
    """The disk of `path`, which need not exist yet."""
    for place in (path, *path.parents):
        try:
            if not place.exists():
                continue
            space, device = os.statvfs(place), place.stat().st_dev
        except OSError:
            continue
        return Disk(
            path=str(place),
            free_bytes=space.f_bavail * space.f_frsize,
            total_bytes=space.f_blocks * space.f_frsize,
            device=device,
        )
    return None


def system() -> str:
    """`Linux`, `Darwin`, …"""
    return platform.system()


def distribution(root: Path) -> str:
    """The distribution's name for people."""
    return os_release(text(root / "etc/os-release")).get("PRETTY_NAME", "")


def kernel(root: Path) -> str:
    """The kernel's release."""
    return text(root / "proc/sys/kernel/osrelease").strip()


def is_wsl(root: Path) -> bool:
    """Whether this is Linux inside Windows."""
    return "microsoft" in kernel(root).lower()


def in_container(root: Path) -> bool:
    """Whether this process runs in a container itself."""
    return any((root / one).exists() for one in (".dockerenv", "run/.containerenv"))


def selinux(root: Path) -> str:
    """`enforcing`, `permissive`; empty without SELinux."""
    return {"1": "enforcing", "0": "permissive"}.get(text(root / "sys/fs/selinux/enforce").strip(), "")


def apparmor(root: Path) -> bool:
    """Whether AppArmor is on."""
    return text(root / "sys/module/apparmor/parameters/enabled").strip() == "Y"


_VENDORS = {"0x1002": "AMD", "0x8086": "Intel"}
NVIDIA_VENDOR = "0x10de"


def pci_displays(root: Path) -> tuple[str, ...]:
    """The vendor numbers of the bus's display controllers and accelerators."""
    folder = root / "sys/bus/pci/devices"
    devices = sorted(folder.iterdir()) if folder.is_dir() else ()
    # 03: display controllers (compute-only ones are 0302); 12: processing accelerators.
    kinds = {"0x03", "0x12"}
    return tuple(text(device / "vendor").strip() for device in devices if text(device / "class").strip()[:4] in kinds)


def other_gpus(root: Path, machine: str) -> tuple[str, ...]:
    """Makers of GPUs that devenv recognises but cannot use: `AMD`, `Apple`, `Intel`."""
    found = {_VENDORS[one] for one in pci_displays(root) if one in _VENDORS}
    if (root / "dev/kfd").exists():
        found.add("AMD")
    apple = "apple," in text(root / "proc/device-tree/compatible")
    if apple or (system() == "Darwin" and machine == "arm64"):
        found.add("Apple")
    return tuple(sorted(found))
