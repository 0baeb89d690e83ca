"""What a file is: by its name, and by how it begins."""

from __future__ import annotations

from pathlib import Path

PDF = ".pdf"
IMAGES = frozenset(
    {
        ".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".pbm", ".pgm",
        ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
    }
)  # fmt: skip
FOREIGN = frozenset({"DjVu", "HEIC", "JPEG XL"})
"""Kinds that hold pages, and that nothing here can read."""
_HEAD = 256
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS\0\x01", "PSD"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"AT&TFORM", "DjVu"),
)
_BITMAP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_BRANDS = (
    (frozenset({b"avif", b"avis"}), "AVIF"),
    (frozenset({b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1"}), "HEIC"),
)


def kind(path: Path) -> str | None:
    """What a file is by its first bytes; None for what is no picture and no PDF. Raises OSError."""
    with path.open("rb") as file:
        return of(file.read(_HEAD))


def of(head: bytes) -> str | None:
    """The kind of a file that begins like this."""
    for beginning, name in _BEGINNINGS:
        if head.startswith(beginning):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace() and head[3:4] in b"#0123456789":
        return "PNM"
    # A mark of the byte order and empty lines may come before it.
    return "PDF" if head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\0\t\n\r ").startswith(b"%PDF-") else None


def _of_brands(head: bytes) -> str | None:
    """The kind of a file whose first box lists what it is compatible with."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    return next((name for own, name in _BRANDS if own & brands), None)
