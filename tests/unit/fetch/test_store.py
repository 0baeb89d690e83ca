from __future__ import annotations

import hashlib
import os
import random
import threading
from pathlib import Path

import pytest

from devenv.errors import FetchError
from devenv.fetch import store as artifacts
from devenv.fetch.store import Store, hash_file
from devenv.lock.model import Artifact

BODY = b"some bytes"
SHA = hashlib.sha256(BODY).hexdigest()
ONE = Artifact(name="one", version="1", file="one.bin", size=len(BODY), sha256=SHA)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(BODY)
    return path


def test_an_adopted_file_is_a_read_only_copy_under_its_hash(store: Store, source: Path) -> None:
    assert store.adopt(source, SHA) == SHA
    assert store.path(SHA).read_bytes() == BODY
    assert store.path(SHA).stat().st_mode & 0o777 == 0o444
    assert store.path(SHA).stat().st_ino != source.stat().st_ino
    assert store.has(ONE)
    source.unlink()
    assert store.adopt(source, SHA) == SHA, "it is here; the source is not needed"


def test_a_wrong_file_is_refused_and_leaves_nothing(store: Store, source: Path) -> None:
    with pytest.raises(FetchError, match="not the file that was pinned"):
        store.adopt(source, "0" * 64)
    assert not store.holds("0" * 64)
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_a_source_that_cannot_be_read_is_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="No such file"):
        store.adopt(tmp_path / "missing", SHA)


def test_a_file_of_another_size_does_not_count(store: Store, source: Path) -> None:
    store.adopt(source)
    assert not store.has(ONE.model_copy(update={"size": 3}))


def _overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_file_that_was_written_to_is_read_again_and_thrown_out(store: Store, source: Path) -> None:
    store.adopt(source)
    _overwrite(store.path(SHA), b"some byteX")
    assert not store.has(ONE)
    assert not store.path(SHA).exists()


def test_a_file_that_was_only_touched_is_read_again_once(
    store: Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(artifacts, "hash_file", lambda path: read.append(path) or hash_file(path))
    store.adopt(source)
    store.path(SHA).touch()
    assert store.has(ONE)
    assert store.has(ONE)
    assert read == [store.path(SHA)]


def test_whoever_hides_the_time_of_a_change_does_not_hide_it_from_a_full_check(store: Store, source: Path) -> None:
    store.adopt(source)
    assert store.sound(ONE)
    path = store.path(SHA)
    time_ns = path.stat().st_mtime_ns
    _overwrite(path, b"some byteX")
    os.utime(path, ns=(time_ns, time_ns))
    assert store.has(ONE), "its time is that of its name, so it is not read"
    assert not store.sound(ONE)
    assert not store.has(ONE)


def test_what_was_derived_and_then_written_to_is_made_again(store: Store) -> None:
    def folder(path: Path) -> None:
        (path / "in").mkdir(parents=True)
        (path / "in/file").write_text("x")

    for key, make in (("a", lambda path: path.write_text("x")), ("b", folder)):
        made = store.derive("kind", key, make)
        assert store.kept("kind", key) == made
        file = made / "in/file" if made.is_dir() else made
        file.write_text("y")
        assert store.kept("kind", key) is None
        store.derive("kind", key, make)
        assert file.read_text() == "x"
        file.write_text("z")
        store.derive("kind", key, make, anew=True)
        assert file.read_text() == "x"


def test_something_derived_is_made_once(store: Store) -> None:
    made = []

    def make(path: Path) -> None:
        made.append(1)
        path.write_text("x")

    threads = [threading.Thread(target=store.derive, args=("kind", "key", make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert store.derived("kind", "key").read_text() == "x"


def test_something_derived_that_fails_is_not_there(store: Store) -> None:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "half").touch()
        raise FetchError("no")

    with pytest.raises(FetchError):
        store.derive("kind", "key", make)
    assert not store.derived("kind", "key").exists()
    assert list((store.root / "tmp").iterdir()) == [] or all(
        path.suffix == ".lock" for path in (store.root / "tmp").iterdir()
    )


def test_only_one_at_a_time(store: Store) -> None:
    inside, most = [0], [0]
    guard = threading.Lock()

    def work() -> None:
        with store.only("key"):
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0.005)
            with guard:
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_a_store_that_cannot_be_written_is_an_error(tmp_path: Path, source: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match="cannot write to the artifact store"):
        Store(tmp_path / "file").adopt(source)


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 700_000])
def test_a_files_hash_is_that_of_all_its_bytes(size: int, tmp_path: Path) -> None:
    body = random.Random(size).randbytes(size)
    (tmp_path / "x").write_bytes(body)
    assert hash_file(tmp_path / "x") == hashlib.sha256(body).hexdigest()
    assert hash_file(tmp_path / "x", "sha512") == hashlib.sha512(body).hexdigest()
