from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.errors import LockError
from devenv.lock.model import Lock, read
from tests.unit.handmade import deb, lock, preset, tarball, wheel


def test_a_lock_survives_its_file_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "devenv.lock"
    one = lock(preset())
    path.write_text(one.dump())
    assert read(path) == one
    assert read(path).dump() == one.dump()
    assert read(path).digest == one.digest


def test_the_text_is_sorted_has_an_artifact_a_line_and_no_host(tmp_path: Path) -> None:
    text = lock(preset()).dump()
    lines = text.splitlines()
    for artifact in lock(preset()).artifacts():
        assert sum(f'"{artifact.sha256}"' in line for line in lines) == 1
    assert "://" not in text
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_every_artifact_once() -> None:
    twice = lock(preset(), apt=(deb("libc6", "2.36-9+deb12u14"), deb("git")))
    found = [one.sha256 for one in twice.artifacts()]
    assert len(found) == len(set(found))
    assert {one.name for one in twice.artifacts()} >= {"libc6", "git", "uv", "code-server", "@types/node", "g++"}


def test_a_missing_lock_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path / "devenv.lock")
    assert "devenv lock" in (caught.value.hint or "")


EDITS: list[tuple[str, str]] = [
    ('"file": "git_1_amd64.deb"', '"file": "../git_1_amd64.deb"'),
    ('"file": "git_1_amd64.deb"', '"file": "/etc/passwd"'),
    ('"path": "pool/main/git_1_amd64.deb"', '"path": "pool/../../git_1_amd64.deb"'),
    ('"path": "pool/main/git_1_amd64.deb"', '"path": "https://host/x.deb"'),
    ('"name": "git"', '"name": "git; rm -rf /"'),
    ('"name": "git"', '"name": "git\\nRUN x"'),
    ('"file": "git_1_amd64.deb"', '"file": "curl_1_amd64.deb"'),
]


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_a_lock_edited_to_nonsense_is_refused_with_the_line(old: str, new: str, tmp_path: Path) -> None:
    path, text = tmp_path / "devenv.lock", lock(preset()).dump()
    assert old in text
    path.write_text(text.replace(old, new))
    expected = next(number for number, line in enumerate(text.splitlines(), 1) if old in line)
    with pytest.raises(LockError) as caught:
        read(path)
    where = int((caught.value.where or "").rpartition(":")[2])
    assert where == expected or "two files" in caught.value.message
    assert caught.value.hint


def test_sizes_hashes_and_kinds_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "devenv.lock"
    for change in ({"size": -1}, {"size": "many"}, {"sha256": "abc"}, {"sha256": None}, {"arch": 3}, {"suite": "a b"}):
        data = json.loads(lock(preset()).dump())
        data["apt"][0].update(change)
        path.write_text(json.dumps(data))
        with pytest.raises(LockError, match=r"apt\.0"):
            read(path)


@pytest.mark.parametrize(
    "change",
    [
        {"node": None},
        {"base": {"kind": "image", "distribution": "debian", "release": "bookworm"}},
        {"base": {"kind": "bootstrap", "distribution": "debian", "release": "bookworm"}},
        {"platform": "windows"},
        {"format": 2},
        {"preset": "../x"},
    ],
)
def test_parts_that_do_not_go_together_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    data = json.loads(lock(preset()).dump())
    data.update(change)
    (tmp_path / "devenv.lock").write_text(json.dumps(data))
    with pytest.raises(LockError):
        read(tmp_path / "devenv.lock")


def test_keys_of_a_newer_devenv_are_ignored(tmp_path: Path) -> None:
    data = json.loads(lock(preset()).dump())
    data["later"] = 1
    data["apt"][0]["later"] = 1
    (tmp_path / "devenv.lock").write_text(json.dumps(data))
    assert read(tmp_path / "devenv.lock") == lock(preset())


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200), st.integers(0, 4000)))
def test_no_file_makes_a_traceback(garbage: str | bytes | int) -> None:
    import tempfile

    text = lock(preset()).dump().encode()
    match garbage:
        case int():
            content = text[:garbage] + text[garbage + 1 :]
        case str():
            content = garbage.encode(errors="surrogatepass")
        case _:
            content = garbage
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "devenv.lock"
        path.write_bytes(content)
        with contextlib.suppress(LockError):
            assert isinstance(read(path), Lock)


def test_deep_nesting_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "devenv.lock").write_text("[" * 100_000)
    with pytest.raises(LockError):
        read(tmp_path / "devenv.lock")


def test_names_with_scopes_and_epochs_are_fine() -> None:
    assert tarball("@scope/name").file == "scope+name-1.0.0.tgz"
    assert deb("a", "1:2.3~rc1-4+b1").version == "1:2.3~rc1-4+b1"
    assert wheel("torch", "2.13.0+cpu").version == "2.13.0+cpu"
