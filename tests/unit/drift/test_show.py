"""One text file against the image's."""

from __future__ import annotations

import tarfile
from typing import Any

import pytest

from devenv.drift import show
from devenv.drift.show import changed_text
from devenv.errors import ShareError, UsageError
from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import Scanner
from tests.unit.drift.made import member
from tests.unit.drift.test_container import running
from tests.unit.drift.test_observe import Engine

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4xZ7cF0rL3yU6"


def _shown(path: str, container: Any, image: Any) -> str:
    return changed_text(running(), path, Engine(container, image, []), Scanner(KnownValues()))  # type: ignore[arg-type]


def test_changed_new_removed_and_equal_files() -> None:
    assert _shown("/a", {"/a": b"1\n2\n"}, {"/a": b"1\n3\n"}) == (
        "--- image/a\n+++ container/a\n@@ -1,2 +1,2 @@\n 1\n-3\n+2\n"
    )
    assert _shown("/d/../a", {"/a": b"1\n"}, {}).endswith("@@ -0,0 +1 @@\n+1\n")
    assert _shown("/a", {}, {"/a": b"1\n"}).endswith("@@ -1 +0,0 @@\n-1\n")
    assert _shown("/a", {"/a": b"1"}, {"/a": b"1"}) == ""
    assert _shown("/a", {"/a": b"1"}, {"/a": b"2"}).endswith(
        "-2\n\\ No newline at end of file\n+1\n\\ No newline at end of file\n"
    )


@pytest.mark.parametrize(("path", "now", "was"), [
    ("/home/dev/.netrc", b"machine x", b""), ("/a", f"x = '{TOKEN}'".encode(), b""),
    ("/a", b"", f"x = '{TOKEN}'".encode()),
])  # fmt: skip
def test_what_may_be_secret_is_not_shown(path: str, now: bytes, was: bytes) -> None:
    with pytest.raises(ShareError, match="its content is not shown") as caught:
        _shown(path, {path: now}, {path: was})
    assert TOKEN not in str(caught.value)


def test_what_is_no_text_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "MOST_BYTES", 10)
    tree = {
        "/binary": b"a\0b", "/latin": b"\xe4", "/large": b"x" * 11, "/link": member(tarfile.SYMTYPE, linkname="/etc/shadow"),
    }  # fmt: skip
    tree["/name\udcff"] = b"x"
    for path, told in (
        ("/binary", "no text"), ("/latin", "no text"), ("/large", "larger than"), ("/link", "no file but a symlink"),
        ("/none", "neither t nor its image"), ("rel", "not a path in the container"), ("/name\udcff", "no UTF-8"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=told):
            _shown(path, tree, {})


def test_a_path_through_a_link_is_refused() -> None:
    """The engine follows it, and the rules of secret paths would judge another name than the file has."""
    tree = {"/x": member(tarfile.SYMTYPE, linkname="/etc"), "/x/shadow": b"root:!:1\n"}
    with pytest.raises(UsageError, match="/x is a link to /etc"):
        _shown("/x/shadow", tree, {})
