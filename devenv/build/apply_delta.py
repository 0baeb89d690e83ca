"""A layer laid over a file system, as the OCI image specification says.

    python3 apply_delta.py LAYER ROOT LIST     apply LAYER (a tar) below ROOT, and list its paths in LIST

It runs in a build step, in the image, so it needs only the standard library of Python 3.9.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

_GONE = ".wh."
_XATTR = "SCHILY.xattr."


def apply(layer: Path, root: Path) -> list[tuple[str, str]]:
    """Apply the layer; returns (path, added, changed or removed) of each entry. Raises OSError, tarfile.TarError."""
    done: list[tuple[str, str]] = []
    folders: list[tuple[Path, tarfile.TarInfo]] = []
    with tarfile.open(layer) as archive:
        for member in archive:
            place = root / member.name.strip("/")
            is_gone = place.name.startswith(_GONE)
            if is_gone:
                place = place.with_name(place.name[len(_GONE) :])
            change = "removed" if is_gone else "changed" if os.path.lexists(place) else "added"
            if is_gone:
                _remove(place)
            else:
                _put(archive, member, place)
            if member.isdir():
                folders.append((place, member))
            done.append((f"/{place.relative_to(root)}", change))
    # At last, because what is put into a folder changes its time.
    for place, member in reversed(folders):
        os.utime(place, (member.mtime, member.mtime))
    return done


def _put(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not (member.isdir() and place.is_dir() and not place.is_symlink()):
        _remove(place)
    if member.issym():
        place.symlink_to(member.linkname)
        os.lchown(place, member.uid, member.gid)
        os.utime(place, (member.mtime, member.mtime), follow_symlinks=False)
        return
    if member.isdir():
        place.mkdir(exist_ok=True)
    elif member.isfifo():
        os.mkfifo(place)
    elif member.isreg():
        content = archive.extractfile(member)
        assert content is not None
        with place.open("xb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
    else:
        raise tarfile.TarError(f"{member.name} is of a kind that a layer of devenv's does not hold")
    os.chown(place, member.uid, member.gid)
    place.chmod(member.mode)
    for key, value in member.pax_headers.items():
        if key.startswith(_XATTR):
            os.setxattr(place, key[len(_XATTR) :], value.encode("utf-8", "surrogateescape"))
    os.utime(place, (member.mtime, member.mtime))


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    elif os.path.lexists(place):
        place.unlink()


def main(arguments: Sequence[str]) -> None:
    """Apply, and write the list."""
    layer, root, listing = (Path(one) for one in arguments)
    lines = [f"{change} {json.dumps(path)}\n" for path, change in apply(layer, root)]
    listing.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
