"""The online build's own way to sources of Python packages."""

from __future__ import annotations

import runpy

import pytest

from devenv.doors.dirs import templates_dir

FETCH = runpy.run_path(str(templates_dir() / "online/fetch.py"))


def test_the_addresses_of_a_file_are_read_from_an_index_page() -> None:
    page = (
        '<a class="x" href="../../files/a-1.tar.gz#sha256=00">a-1.tar.gz</a>\n<A HREF=\'https://f/x/a-1.tar.gz?x=1&amp;y\'>'
        '<a href="a-1.tar.gz.asc"></a><a href="a%2D1.tar.gz">'
    )
    assert FETCH["linked"](page, "https://i/simple/a/", "a-1.tar.gz") == [
        "https://i/files/a-1.tar.gz", "https://f/x/a-1.tar.gz?x=1&y", "https://i/simple/a/a%2D1.tar.gz",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://me:word@h:1/x", ("https://h:1/x", "me:word")), ("https://h/x", ("https://h/x", "")),
    ],
)  # fmt: skip
def test_a_login_is_not_in_the_address(url: str, found: tuple[str, str]) -> None:
    assert FETCH["without_login"](url) == found


def test_every_file_of_a_lock_with_sources_has_a_kind() -> None:
    def one(sha256: str) -> dict[str, str]:
        return {"sha256": sha256, "file": sha256}

    lock = {
        "base": {"packages": [one("1")]}, "uv": one("2"), "wheels": [one("3")],
        "sources": {"packages": [{**one("4"), "requires": [one("5"), one("3")]}], "toolchain": [one("6")]},
    }  # fmt: skip
    kinds = {sha256: record["kind"] for sha256, record in FETCH["locked"](lock).items()}
    assert kinds == {"1": "deb", "2": "wheel", "3": "wheel", "4": "source", "5": "wheel", "6": "deb"}
