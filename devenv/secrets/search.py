"""Whether a file may leave: by its path first, else by its content."""

from __future__ import annotations

from collections.abc import Iterable

from devenv.secrets.both import FileScanner
from devenv.secrets.finding import Finding
from devenv.secrets.paths import LEFT_OUT, by_path


def secret_path(path: str, kind_of_file: str = "file") -> Finding | None:
    """The rule by which a path is secret; None for those of caches and logs too, which are left out and not refused."""
    found = by_path(path, kind_of_file)
    return None if found is None or found.kind in LEFT_OUT else found


def search(
    scanner: FileScanner, path: str, content: Iterable[bytes], kind_of_file: str = "file"
) -> tuple[Finding, ...]:
    """The findings in one path; content is read only where the path does not decide, and only of files and of symbolic
    links, whose content is where they lead to."""
    if found := secret_path(path, kind_of_file):
        return (found,)
    return scanner.file(path, content) if kind_of_file in ("file", "symlink") else ()


def as_bytes(target: str) -> bytes:
    """Where a symbolic link leads to, as it is in the file system."""
    return target.encode("utf-8", "surrogateescape")
