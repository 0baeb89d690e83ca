"""Texts of Debian's tools, as dpkg, apt and os-release write them."""

from __future__ import annotations

import pytest

from devenv.doors.debian_text import field, fields, os_release, packages, stanzas

INDEX = """\
Package: git
Version: 1:2.39
Description: fast version control
 Package: none of this
 .
 more

Package: less
Version:590
\t
# Enabled: no
Types: deb
uris: http://a
  http://b

"""


def test_a_text_is_split_at_blank_lines_and_no_stanza_is_empty() -> None:
    first, second, third = stanzas(f"\n\n{INDEX}\n\n")
    assert first.startswith("Package: git\n")
    assert first.endswith("\n more")
    assert second == "Package: less\nVersion:590"
    assert third.startswith("# Enabled")
    assert [*stanzas("")] == []


def test_one_field_is_its_first_line_and_no_further_line_is_one() -> None:
    first, second, _ = stanzas(INDEX)
    assert (field(first, "Package"), field(first, "Description")) == ("git", "fast version control")
    assert (field(second, "Version"), field(second, "Package"), field(second, "Size")) == ("590", "less", "")


def test_all_fields_have_their_further_lines_and_no_comments() -> None:
    first, _, third = stanzas(INDEX)
    assert fields(first)["description"] == "fast version control\nPackage: none of this\n.\nmore"
    assert fields(third) == {"types": "deb", "uris": "http://a\nhttp://b"}


def test_an_os_release_has_variables_with_and_without_quotes() -> None:
    text = (
        'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n# ID=other\nVERSION_CODENAME=bookworm\nnot a line\n'
    )
    assert os_release(text) == {
        "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "ID": "debian", "VERSION_CODENAME": "bookworm"
    }  # fmt: skip


@pytest.mark.parametrize("around", ["", "\n", "\n \t\n\n"])
def test_an_indexs_packages_are_places_in_it(around: str) -> None:
    text = f"{around}Package: dash\nVersion: 1\n\nOrigin: X\nPackage: no\n \t\n\nPackage: zlib1g\nVersion: é{around}"
    index = text.encode()
    found = {name: index[start:end].decode().strip() for name, start, end in packages(index)}
    assert found == {"dash": "Package: dash\nVersion: 1", "zlib1g": "Package: zlib1g\nVersion: é"}


def test_an_empty_index_has_none() -> None:
    assert [*packages(b"")] == []
