from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.doors.http.registry.reference import Reference, is_host, is_loopback
from devenv.errors import UsageError

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("r.example/a", "r.example", "a", None, None),
        ("r.example/a/b-c/d__e.f:1.0_x", "r.example", "a/b-c/d__e.f", "1.0_x", None),
        ("localhost/a:1", "localhost", "a", "1", None),
        ("host:5000/a", "host:5000", "a", None, None),
        ("127.0.0.1:5000/a@" + DIGEST, "127.0.0.1:5000", "a", None, DIGEST),
        ("[::1]:5000/a:t@" + DIGEST, "[::1]:5000", "a", "t", DIGEST),
    ],
)  # fmt: skip
def test_a_reference_is_read_and_written_again(
    text: str, host: str, repository: str, tag: str | None, digest: str | None
) -> None:
    found = Reference.parse(text)
    assert found == Reference(host=host, repository=repository, tag=tag, digest=digest)
    assert str(found) == text


@pytest.mark.parametrize(
    ("text", "why", "hint"),
    [
        ("debian", "names no registry", "HOST/debian"),
        ("debian:12", "names no registry", "HOST/debian:12"),
        ("team/image", "names no registry", "HOST/team/image"),
        ("r.example:5000", "names a registry alone", "r.example:5000/NAME:TAG"),
        ("localhost:5000", "names a registry alone", "localhost:5000/NAME:TAG"),
        ("https://r.example/a", "begins with a scheme", "r.example/a"),
        ("docker://r.example/a", "begins with a scheme", "leave"),
        ("r.example/A", "cannot name a repository", "lower-case"),
        ("r.example/a//b", "cannot name a repository", "lower-case"),
        ("r.example/../b", "cannot name a repository", "lower-case"),
        ("r.example/" + "a" * 256, "cannot name a repository", "lower-case"),
        ("r.example/", "cannot name a repository", "lower-case"),
        ("r.example/a:", "cannot be a tag", "128"),
        ("r.example/a:-x", "cannot be a tag", "128"),
        ("r.example/a:" + "x" * 129, "cannot be a tag", "128"),
        ("r.example/a@sha256:0", "its digest", "HOST"),
        ("r.example/a@" + DIGEST.upper(), "its digest", "HOST"),
        ("r.example/a@sha512:" + "0" * 128, "its digest", "HOST"),
        ("r.example:99999/a", "is not a host", "HOST"),
        ("r..example/a", "is not a host", "HOST"),
        ("me:pw@r.example/a", "its digest", "HOST"),
        ("r.exa mple/a", "is not a host", "HOST"),
        ("-r.example/a", "is not a host", "HOST"),
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused_with_what_to_write(text: str, why: str, hint: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        Reference.parse(text)
    assert hint in (caught.value.hint or "")


def test_the_version_is_the_digest_before_the_tag() -> None:
    assert Reference.parse(f"r.example/a:t@{DIGEST}").version == DIGEST
    assert Reference.parse("r.example/a:t").version == "t"
    with pytest.raises(UsageError, match="neither a tag nor a digest"):
        _ = Reference.parse("r.example/a").version


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        found = Reference.parse(text)
    except UsageError:
        return
    assert str(found) == text
    assert is_host(found.host)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost:5000", True), ("127.9.9.9", True), ("[::1]:5", True), ("127.0.0.1.example", False),
     ("localhost.example", False), ("10.0.0.1", False), ("[fe80::1]", False)],
)  # fmt: skip
def test_this_machine_by_its_very_name(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
