from __future__ import annotations

import hashlib
import json
import runpy
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.dirs import templates_dir
from tests.unit.sdists import link, sdist, tar, wheel_file

SOURCE = runpy.run_path(str(templates_dir() / "build/source.py"))


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a backend of the package's own; the process's path stays as it was."""
    (tmp_path / "src").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["source.py"])
    yield tmp_path / "src"
    sys.modules.pop("own_backend", None)


def take(root: Path, name: str, version: str) -> None:
    (root / "wheel").mkdir(exist_ok=True)
    SOURCE["take"](str(root / "out"), str(root / "wheel"), name, version)


def test_an_archive_is_unpacked_without_its_folder(tmp_path: Path) -> None:
    SOURCE["unpack"](str(sdist(tmp_path, "a", "1", {"d/x.py": "1"})), str(tmp_path / "src"))
    assert (tmp_path / "src/d/x.py").read_text() == "1"
    assert (tmp_path / "src/d/x.py").stat().st_mtime == 1_700_000_000


@pytest.mark.parametrize("name", ["a-1/../../x", "/x"])
def test_nothing_is_unpacked_outside(name: str, tmp_path: Path) -> None:
    member = SOURCE["tarfile"].TarInfo(name)
    with pytest.raises(SystemExit, match="leaves the archive's folder"):
        SOURCE["unpack"](str(tar(tmp_path / "a.tar.gz", member)), str(tmp_path / "src"))


def test_links_inside_are_unpacked(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar.gz", SOURCE["tarfile"].TarInfo("a/y"), link("a/x", "y"), link("a/z", "a/y", hard=True))
    SOURCE["unpack"](str(path), str(tmp_path / "src"))
    assert (tmp_path / "src/x").readlink() == Path("y")
    assert (tmp_path / "src/z").samefile(tmp_path / "src/y")


def test_the_backend_is_called_with_its_own_folder_only(backend: Path, tmp_path: Path) -> None:
    (backend / "tools").mkdir()
    (backend / "tools/own_backend.py").write_text(
        "class api:\n"
        "  class Backend:\n"
        "    @staticmethod\n"
        "    def build_wheel(out, settings, metadata):\n"
        "        open(out + '/made', 'w').close()\n"
    )
    SOURCE["build"](str(tmp_path / "out"), "own_backend:api.Backend", "tools")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["made"]


def test_a_backend_that_needs_more_says_what_and_makes_nothing(backend: Path, tmp_path: Path) -> None:
    (backend / "own_backend.py").write_text(
        "def get_requires_for_build_wheel(settings): return ['pytest>1', 'no-such-package-of-all>=2']\n"
        "def build_wheel(out, settings, metadata): raise SystemError\n"
    )
    SOURCE["build"](str(tmp_path / "out"), "own_backend", ".")
    take(tmp_path, "a", "1")
    assert json.loads((tmp_path / "wheel/requires.json").read_text()) == ["no-such-package-of-all>=2"]


def test_two_builds_in_another_order_and_at_another_time_give_one_wheel(tmp_path: Path) -> None:
    digests = set()
    for number, names in enumerate((("a.py", "b.py"), ("b.py", "a.py"))):
        root = tmp_path / str(number)
        (root / "out").mkdir(parents=True)
        with zipfile.ZipFile(root / "out/a-1-py3-none-any.whl", "w") as wheel:
            for name in names:
                wheel.writestr(zipfile.ZipInfo(name, (2000 + number, 1, 1, 0, 0, 0)), "x")
            wheel.writestr("a-1.dist-info/METADATA", "Name: a\nVersion: 1\n")
            wheel.writestr("a-1.dist-info/RECORD", "".join(f"{name},,\n" for name in names))
        take(root, "a", "1")
        digests.add(hashlib.sha256((root / "wheel/a-1-py3-none-any.whl").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_programs_stay_programs(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with zipfile.ZipFile(tmp_path / "out/a-1-py3-none-any.whl", "w") as wheel:
        program = zipfile.ZipInfo("a-1.data/scripts/run")
        program.external_attr = 0o100700 << 16
        wheel.writestr(program, "x")
        wheel.writestr("a-1.dist-info/METADATA", "Name: a\nVersion: 1\n")
        wheel.writestr("a-1.dist-info/RECORD", "")
    take(tmp_path, "a", "1")
    with zipfile.ZipFile(tmp_path / "wheel/a-1-py3-none-any.whl") as made:
        assert made.getinfo("a-1.data/scripts/run").external_attr >> 16 == 0o100755
        assert made.namelist()[-1] == "a-1.dist-info/RECORD"


def test_another_packages_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    wheel_file(tmp_path / "out", "a", "1", says="numpy")
    with pytest.raises(SystemExit, match="the build of a 1 made the wheel of numpy 1"):
        take(tmp_path, "a", "1")
    with pytest.raises(SystemExit, match="the build of numpy 2 made the wheel of numpy 1"):
        take(tmp_path, "numpy", "2")


def test_a_result_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    secret = wheel_file(tmp_path, "a", "1")
    (tmp_path / "out/a-1-py3-none-any.whl").symlink_to(secret)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        take(tmp_path, "a", "1")


@pytest.mark.parametrize("names", [(), ("a-1-py3-none-any.whl", "b-1-py3-none-any.whl")])
def test_a_build_makes_one_wheel(names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in names:
        wheel_file(tmp_path / "out", name[0], "1")
    with pytest.raises(SystemExit, match=f"made {len(names)} wheels"):
        take(tmp_path, "a", "1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1", "1.0.0", True), ("2014.4.1.b", "2014.4.1b0", True), ("1.0-1", "1.post1", True), ("1.0.dev", "1.dev0", True),
        ("v1.2.0RC1", "1.2rc1", True), ("1+cu-12", "1+cu.12", True), ("1.0", "1.0.1", False), ("10", "1", False),
        ("1.0a1", "1.0b1", False), ("1+a", "1", False),
    ],
)  # fmt: skip
def test_versions_are_compared_as_versions(one: str, other: str, same: bool) -> None:
    says: dict[str, Any] = {"Name": "A_b", "Version": one}
    assert SOURCE["same"](says, "a-B", other) is same


def test_a_commit_may_have_any_version(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    wheel_file(tmp_path / "out", "a", "7")
    take(tmp_path, "a", "@abababababab")
    assert (tmp_path / "wheel/a-7-py3-none-any.whl").is_file()
    with pytest.raises(SystemExit, match="made the wheel of a 7"):
        take(tmp_path, "b", "@abababababab")


def test_of_a_failure_the_packages_own_frames_and_output_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text(
        "y" * 50_000 + "\nchecking for gmp... no\nTraceback (most recent call last):\n"
        '  File "/opt/build/lib/x.py", line 3, in run\n    self.run()\n    ^^^^\n'
        '  File "/build/src/setup.py", line 12\n    raise RuntimeError\nRuntimeError: autoconf error\n'
    )
    SOURCE["end"](str(tmp_path / "log"))
    assert capsys.readouterr().out.splitlines()[1:] == [
        "checking for gmp... no", "Traceback (most recent call last):", '  File "/build/src/setup.py", line 12',
        "    raise RuntimeError", "RuntimeError: autoconf error",
    ]  # fmt: skip
