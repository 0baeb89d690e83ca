"""Messages: bounded, and whole or an error."""

from __future__ import annotations

import io
import json
import struct

import pytest

from devenv.remote.talk import wire


def test_a_message_arrives_with_its_bytes() -> None:
    stream = io.BytesIO()
    wire.send(stream, {"op": "put"}, [b"ab", b"c"], 3)
    stream.seek(0)
    assert wire.receive(stream) == ({"op": "put", "bytes": 3}, 3)
    assert wire.whole(stream, 3, most=3) == b"abc"
    assert wire.receive(stream) is None


@pytest.mark.parametrize("chunks", [[], [b"a"], [b"abcdef"]])
def test_a_file_that_changed_meanwhile_keeps_the_messages_apart(chunks: list[bytes]) -> None:
    stream = io.BytesIO()
    wire.send(stream, {}, chunks, 4)
    wire.send(stream, {"op": "next"})
    stream.seek(0)
    _, size = wire.receive(stream) or ({}, 0)
    assert len(wire.whole(stream, size, most=10)) == 4
    assert wire.receive(stream) == ({"op": "next", "bytes": 0}, 0)


@pytest.mark.parametrize(
    "header",
    [b"[]", b"{}", b'{"bytes": -1}', b'{"bytes": true}', b'{"bytes": "1"}', b'{"bytes": 1e3}', b"{", b"[" * 999, json.dumps({"bytes": 1 << 60}).encode()],
)  # fmt: skip
def test_a_strange_header_is_an_error(header: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.receive(io.BytesIO(struct.pack(">I", len(header)) + header))


def test_a_long_one_is_not_read() -> None:
    with pytest.raises(wire.WireError, match="too long"):
        wire.receive(io.BytesIO(struct.pack(">I", 1 << 30)))
    with pytest.raises(wire.WireError, match="too long"):
        wire.whole(io.BytesIO(b"x" * 100), 100, most=99)


def test_what_a_login_prints_is_passed_over_and_bounded() -> None:
    assert wire.begin(io.BytesIO(b"motd\nmore\n" + wire.MAGIC))
    assert not wire.begin(io.BytesIO(b"motd\n" * 100_000))
    assert not wire.begin(io.BytesIO(b""))
