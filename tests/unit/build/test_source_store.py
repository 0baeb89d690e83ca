"""Wheels made from source: what is kept of a build's result, and where."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from devenv.build.source_failure import explained, of_image
from devenv.build.source_store import keep, kept, kept_wheels
from devenv.build.source_wheel import make
from devenv.doors.cancellation import Cancellation
from devenv.doors.docker.engine import Engine
from devenv.doors.terminal.progress import Silent
from devenv.errors import BuildError, EngineError
from devenv.fetch.store import Store
from devenv.lock.model import Lock, LockedSources, Source
from devenv.plan.cache_keys import source_key
from devenv.resolve.context import Built
from tests.unit.handmade import lock, preset, sha, wheel
from tests.unit.sdists import link, wheel_file
from tests.unit.share.exported import tar

A = Source(
    name="a",
    version="1",
    file="a-1.tar.gz",
    size=9,
    sha256=sha("a"),
    layer=0,
    backend="x",
    requires=(wheel("setuptools"),),
)
LOCK: Lock = lock(preset(), sources=LockedSources(packages=(A,)))


def result(root: Path, files: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    return tar(root / "result.tar", files, *more)


def made(root: Path, name: str, version: str, says: str | None = None) -> bytes:
    return wheel_file(root, name, version, says=says).read_bytes()


def test_a_wheel_is_kept_by_its_inputs_and_takes_its_stages_place(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert list(kept_wheels(LOCK, store)) == []
    data = made(tmp_path, "a", "1")
    built = keep(result(tmp_path, {"a-1-py3-none-any.whl": data}), LOCK, A, store)
    assert built.wheel is not None
    assert built.wheel.read_bytes() == data
    assert kept(store, source_key(LOCK, A)) == built.wheel
    assert list(kept_wheels(LOCK, store)) == ["--build-context", f"{A.stage}={built.wheel.parent}"]
    other = lock(preset(name="other"), sources=LockedSources(packages=(A,)))
    assert list(kept_wheels(other, store)) == list(kept_wheels(LOCK, store))


def test_a_folder_that_lost_its_wheel_gets_it_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    made_one = result(tmp_path, {"a-1-py3-none-any.whl": made(tmp_path, "a", "1")})
    first = keep(made_one, LOCK, A, store).wheel
    assert first is not None
    first.unlink()
    assert kept(store, source_key(LOCK, A)) is None
    assert keep(made_one, LOCK, A, store).wheel == first
    assert first.is_file()


def test_what_was_changed_in_the_store_is_not_used(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    built = keep(result(tmp_path, {"a-1-py3-none-any.whl": made(tmp_path, "a", "1")}), LOCK, A, store)
    assert built.wheel is not None
    built.wheel.write_bytes(b"other")
    assert list(kept_wheels(LOCK, store)) == []


def test_further_requirements_are_no_wheel_and_are_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    built = keep(result(tmp_path, {"requires.json": json.dumps(["cython"]).encode()}), LOCK, A, store)
    assert (built.wheel, built.asked) == (None, ("cython",))
    assert kept(store, source_key(LOCK, A)) is None


@pytest.mark.parametrize("text", ["{}", "[1]", "[", json.dumps(["x"] * 101)])
def test_odd_requirements_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="asks for requirements in an unknown form"):
        keep(result(tmp_path, {"requires.json": text.encode()}), LOCK, A, Store(tmp_path / "store"))


@pytest.mark.parametrize(
    ("name", "version", "says"), [("numpy", "1", None), ("a", "2", None), ("a", "1", "numpy")],
    ids=["another file", "another version", "another package inside"],
)  # fmt: skip
def test_a_build_cannot_give_another_packages_wheel(name: str, version: str, says: str | None, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    data = made(tmp_path, name, version, says)
    if (name, version, says) == ("numpy", "1", None):
        with pytest.raises(BuildError, match="made another package's wheel"):
            keep(result(tmp_path, {"numpy-1-py3-none-any.whl": data}), LOCK, A, store)
    else:
        with pytest.raises(BuildError, match="made another package's wheel"):
            keep(result(tmp_path, {f"{name}-{version}-py3-none-any.whl": data}), LOCK, A, store)
    assert kept(store, source_key(LOCK, A)) is None


@pytest.mark.parametrize(
    "path",
    [{}, {"../a-1-py3-none-any.whl": b"x"}, {"x/a-1-py3-none-any.whl": b"x"}, {"a-1-py3-none-any.whl": b"x", "b": b""}],
    ids=["nothing", "above", "below", "more"],
)
def test_a_result_is_one_wheel(path: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="made no wheel"):
        keep(result(tmp_path, path), LOCK, A, Store(tmp_path / "store"))
    with pytest.raises(BuildError, match="made no wheel"):
        keep(result(tmp_path, {}, link("a-1-py3-none-any.whl", "/etc/passwd")), LOCK, A, Store(tmp_path / "store"))


def failure(text: str) -> BuildError:
    return explained(BuildError("the image build failed", detail=text, hint="run again"), A)


@pytest.mark.parametrize(
    ("text", "at", "hint"),
    [
        (
            'File "/opt/x.py", line 3\nFile "/build/src/setup.py", line 12, in <module>\nImportError',
            "setup.py:12",
            "run again",
        ),
        ('File "/opt/build/x.py", line 3\nFile "<string>", line 2, in <module>', "setup.py:2", "run again"),
        (
            "src/_ldap.c:8:10: fatal error: ldap.h: No such file or directory",
            "src/_ldap.c:8",
            "package with ldap.h to 'apt:'",
        ),
        (
            "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
            "",
            "for the network",
        ),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/build/home/.ssh/id_rsa'", "", "home folder"),
        ("devenv: the build was stopped after 30 minutes", "", "takes too long"),
        ("OSError: [Errno 28] No space left on device", "", "4 GiB"),
        ("BlockingIOError: [Errno 11] Resource temporarily unavailable", "", "512 processes"),
        ("error: command 'swig' failed: No such file or directory", "", "runs 'swig': add the Debian package"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", "", "runs 'cmake'"),
        ("/bin/sh: 1: pg_config: not found", "", "runs 'pg_config'"),
        ("devenv: the build of a @7747368 made the wheel of acme 1.2", "", "the package there is acme: name it acme"),
        ("devenv: the build of a 1 made the wheel of A 2", "", "run again"),
        ("ModuleNotFoundError: No module named 'torch'", "", "its build needs 'torch' and does not say so"),
    ],
)
def test_a_failure_says_whose_file_failed_and_what_to_do(text: str, at: str, hint: str) -> None:
    told = failure(text)
    assert told.message == "a 1 cannot be built from a-1.tar.gz" + (f": {at} failed" if at else "")
    assert told.detail == text
    assert hint in (told.hint or "")


def test_in_an_images_build_the_stage_tells_whose_it_is() -> None:
    error = BuildError(f"the image build failed at [make-{A.stage} 2/2]", detail="x")
    assert of_image(error, LOCK).message == "a 1 cannot be built from a-1.tar.gz"
    other = BuildError("the image build failed at [environment 2/8]", detail="x")
    assert of_image(other, LOCK) is other


def test_the_version_of_a_commit_is_what_its_wheel_says_and_the_name_is_not(tmp_path: Path) -> None:
    store, one = Store(tmp_path / "store"), A.model_copy(update={"commit": "ab" * 20, "version": "0"})
    made_lock = LOCK.model_copy(update={"sources": LockedSources(packages=(one,))})
    built = keep(result(tmp_path, {"a-7-py3-none-any.whl": made(tmp_path, "a", "7")}), made_lock, one, store)
    assert built.wheel is not None
    other = one.model_copy(update={"sha256": "1" * 64})
    with pytest.raises(BuildError, match="made another package's wheel"):
        keep(result(tmp_path, {"b-7-py3-none-any.whl": made(tmp_path, "b", "7")}), made_lock, other, store)


def test_a_kept_wheel_needs_no_engine_and_another_one_does(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    built = keep(result(tmp_path, {"a-1-py3-none-any.whl": made(tmp_path, "a", "1")}), LOCK, A, store)

    def engine() -> Engine:
        raise EngineError("there is none")

    def run(source: Source) -> Built:
        locked = LOCK.model_copy(update={"sources": LockedSources(packages=(source,))})
        return make(
            locked, source, engine=engine, store=store, folder=tmp_path / "context", progress=Silent(),
            cancel=Cancellation(),
        )  # fmt: skip

    assert run(A) == built
    with pytest.raises(EngineError):
        run(A.model_copy(update={"sha256": "1" * 64}))


@pytest.mark.parametrize("version", ["", "1 \x1b[31m", "1" * 5000])
def test_a_commits_wheel_whose_version_cannot_be_kept_is_refused(version: str, tmp_path: Path) -> None:
    source = A.model_copy(update={"commit": "c" * 40, "file": "a-cccccccccccc.tar", "version": "0"})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        wheel.writestr("a-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: a\nVersion: {version}\n")
    with pytest.raises(BuildError, match="has the version"):
        keep(result(tmp_path, {"a-1-py3-none-any.whl": content.getvalue()}), LOCK, source, Store(tmp_path / "store"))


@pytest.mark.parametrize("file", ["numpy-1-py3-none-any.whl", "a.whl"])
def test_a_wheel_that_nothing_could_install_is_not_kept(file: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(BuildError, match="made a wheel called"):
        keep(result(tmp_path, {file: made(tmp_path, "a", "1")}), LOCK, A, store)
    assert list(kept_wheels(LOCK, store)) == []
