from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import docker.errors
import pytest

from devenv import engine
from devenv.errors import EngineError, UsageError
from devenv.streams import KEPT_BYTES, last, lines


class _Client:
    def __init__(self, version: str) -> None:
        self.api = self
        self._version = version

    def version(self) -> dict[str, str]:
        return {"Version": self._version}


def _clients(monkeypatch: pytest.MonkeyPatch, version: str | Exception) -> None:
    def make(**_: Any) -> _Client:
        if isinstance(version, Exception):
            raise version
        return _Client(version)

    monkeypatch.setattr(docker, "DockerClient", make)


@pytest.mark.parametrize("version", ["23.0.0", "26.1.5+dfsg1", "28.2.2", "29.0.0-rc.1"])
def test_new_engines_are_taken(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _clients(monkeypatch, version)
    assert engine.connect("unix:///x").version == version


@pytest.mark.parametrize("version", ["20.10.24+dfsg1", "19.03.0"])
def test_old_engines_are_refused_with_the_remedy(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _clients(monkeypatch, version)
    with pytest.raises(EngineError, match=r"is (20|19)\.") as told:
        engine.connect(None)
    assert told.value.exit_code == 6
    assert told.value.hint


@pytest.mark.parametrize(
    ("error", "message", "remedy"),
    [
        (
            docker.errors.DockerException("Error while fetching: PermissionError(13, 'Permission denied')"),
            "may not use",
            "usermod",
        ),
        (
            docker.errors.DockerException("Error while fetching: FileNotFoundError(2)"),
            "no Docker Engine answers",
            "start it",
        ),
    ],
)
def test_no_engine_and_no_permission_are_told_apart(
    error: Exception, message: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clients(monkeypatch, error)
    with pytest.raises(EngineError, match=message) as told:
        engine.connect(None)
    assert remedy in (told.value.hint or "")


class _Archives:
    """An engine with one container that never starts, whose every path is `data`."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sending = False

    def create_container(self, **_: Any) -> dict[str, str]:
        return {"Id": "made"}

    def remove_container(self, *_: Any, **__: Any) -> None:
        assert not self.sending, "a real engine waits until all is sent"

    def _send(self, data: bytes) -> Iterator[bytes]:
        self.sending = True
        try:
            yield data
        finally:
            self.sending = False

    def get_archive(self, *_: Any) -> tuple[Iterator[bytes], None]:
        with io.BytesIO() as stream:
            with tarfile.open(fileobj=stream, mode="w") as tar:
                member = tarfile.TarInfo("file")
                member.size = len(self.data)
                tar.addfile(member, io.BytesIO(self.data))
            return self._send(stream.getvalue()), None


def _engine(data: bytes) -> engine.Engine:
    return engine.Engine(SimpleNamespace(api=_Archives(data)), version="26", address="")


def test_what_is_taken_out_of_an_image_has_a_limit(tmp_path: Path) -> None:
    _engine(b"text").take_out("image", {"/etc/x": tmp_path / "x"}, most_bytes=1 << 20)
    assert (tmp_path / "x").read_bytes() == b"text"
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        _engine(bytes(2 << 20)).take_out("image", {"/etc/x": tmp_path / "y"}, most_bytes=1 << 20)
    assert not (tmp_path / "y").exists()


def test_a_file_that_is_read_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _engine(b"text").read_file("made", "/etc/os-release") == "text"
    monkeypatch.setattr(engine, "_READ_BYTES", 1 << 10)
    with pytest.raises(UsageError, match="larger than"):
        _engine(bytes(1 << 20)).read_file("made", "/etc/os-release")


def test_of_what_is_printed_the_end_is_kept() -> None:
    pairs = [(b"out %d\n" % number, None if number % 2 else b"err\n") for number in range(10)]
    assert last(pairs) == ("".join(f"out {number}\n" for number in range(10)), "err\n" * 5)
    out, err = last((b"x" * (1 << 20), None) for _ in range(40))
    assert len(out) == KEPT_BYTES
    assert err == ""


def test_a_line_without_an_end_is_cut() -> None:
    found = list(lines(iter([b"a\nb", b"c\n", *[b"x" * (1 << 20)] * 9])))
    assert found[:2] == ["a", "bc"]
    assert sum(map(len, found[2:])) == 9 << 20
    assert max(map(len, found)) <= KEPT_BYTES + (1 << 20)
