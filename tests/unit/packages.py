"""Package files made in memory, small and readable: they hold their name and version, and nothing else."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import zstandard


def tar(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return made.getvalue()


def pax(size_bytes: int) -> bytes:
    """A PAX header that claims so many bytes, and has them."""
    header = tarfile.TarInfo("./PaxHeaders/x")
    header.type, header.size = tarfile.XHDTYPE, size_bytes
    return header.tobuf(tarfile.USTAR_FORMAT) + bytes(size_bytes + -size_bytes % 512)


def deb(control: str, how: str = ".xz") -> bytes:
    packed = tar(**{"./md5sums": b"", "./control": control.encode()})
    packed = {
        ".xz": lzma.compress,
        ".gz": lambda data: gzip.compress(data, mtime=0),
        ".zst": zstandard.compress,
        "": bytes,
    }[how](packed)
    found = b"!<arch>\n"
    for name, body in (("debian-binary", b"2.0\n"), (f"control.tar{how}", packed), ("data.tar", b"")):
        found += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
    return found


def packed(**files: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return made.getvalue()


def wheel(name: str, version: str) -> bytes:
    return packed(**{"x.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText\n"})


def tarball(name: str, version: str, folder: str = "package") -> bytes:
    return gzip.compress(
        tar(**{f"{folder}/package.json": json.dumps({"name": name, "version": version}).encode()}), mtime=0
    )


def vsix(
    publisher: str, name: str, version: str, files: Mapping[str, str] = MappingProxyType({}), **more: Any
) -> bytes:
    told = {"publisher": publisher, "name": name, "version": version, **more}
    inner = {f"extension/{path}": text for path, text in files.items()}
    return packed(**{"extension/package.json": json.dumps(told), **inner})
