"""Set to zero, in CUDA libraries, the machine code for other GPUs than those named. File sizes and offsets stay, so the
libraries load as before, and an archive of them compresses to a third.

    device_code.py [--dry] [--keep 90,100] FOLDER...

A "fatbin" container begins with the magic 0xBA55ED50 (version u16 = 1, header size u16 = 16, total size u64); its entries have a
header (kind u16: 1 PTX, 2 machine code; version u16; header size u32; payload size u64; the architecture's number at byte 28, u32)
and a payload. PTX above the highest kept architecture goes, too. For trials on a machine to which little can be carried:
a changed file has another hash than the lock's, so nothing of it may be called verified.
"""

import argparse
import mmap
import struct
from pathlib import Path

MAGIC = struct.pack("<I", 0xBA55ED50)
PTX, MACHINE_CODE = 1, 2


def entries(data: mmap.mmap, start: int, end: int):
    """(kind, architecture, payload start, payload size) of a container's entries; None where they make no sense."""
    found, at = [], start
    while at + 64 <= end:
        kind, _, header, size = struct.unpack_from("<HHIQ", data, at)
        if kind == 0 and size == 0:
            break
        if not 32 <= header <= 4096 or at + header + size > end:
            return None
        architecture = struct.unpack_from("<I", data, at + 28)[0] & 0xFFFF
        found.append((kind, architecture, at + header, size))
        at += header + size
    return found


def prune(path: Path, keep: set[int], dry: bool) -> int:
    """How many bytes of `path` are (or would be) zeroed."""
    zeroed = at = 0
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        if data[:4] != b"\x7fELF":
            return 0
        while (at := data.find(MAGIC, at)) >= 0:
            version, header, total = struct.unpack_from("<HHQ", data, at + 4)
            end = at + 16 + total
            if version != 1 or header != 16 or at % 8 or not 0 < total <= len(data) - at - 16:
                at += 4
                continue
            listed = entries(data, at + 16, end)
            if not listed:
                at += 16
                continue
            for kind, architecture, start, size in listed:
                if (kind == MACHINE_CODE and architecture not in keep) or (kind == PTX and architecture > max(keep)):
                    zeroed += size
                    if not dry:
                        data[start : start + size] = bytes(size)
            at = end
    return zeroed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--keep", default="90", help="compute capabilities without the dot, with commas between")
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    keep = {int(part) for part in options.keep.split(",")}
    libraries = sorted(path for folder in options.folders for path in folder.rglob("*.so*")
                       if path.is_file() and not path.is_symlink() and path.stat().st_size > 1 << 16)  # fmt: skip
    total = sum(path.stat().st_size for path in libraries)
    zeroed = sum(prune(path, keep, options.dry) for path in libraries)
    print(f"{len(libraries)} libraries, {total / 1e6:.0f} MB, {zeroed / 1e6:.0f} MB of other GPUs' code zeroed")


if __name__ == "__main__":
    main()
