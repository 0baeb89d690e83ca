from __future__ import annotations

import contextlib
import gzip
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.errors import LockError
from devenv.resolve.source_facts import SourceFacts, facts
from tests.unit.sdists import PLAIN, sdist

STATIC = "Metadata-Version: 2.2\nName: {name}\nVersion: {version}\nRequires-Dist: b>1\n"


def read(tmp_path: Path, files: dict[str, str], info: str = PLAIN) -> SourceFacts:
    return facts(sdist(tmp_path, "a", "1", files, info), "a-1.tar.gz")


def test_without_a_pyproject_it_is_setuptools(tmp_path: Path) -> None:
    found = read(tmp_path, {"setup.py": "pass"})
    assert found.requires == ("setuptools>=40.8.0", "wheel")
    assert (found.backend, found.backend_path) == ("setuptools.build_meta:__legacy__", ())
    assert found.metadata is None


def test_a_pyproject_names_backend_and_requirements(tmp_path: Path) -> None:
    text = '[build-system]\nrequires = ["x>1"]\nbuild-backend = "own:api.Backend"\nbackend-path = ["tools"]\n'
    found = read(tmp_path, {"pyproject.toml": text})
    assert (found.requires, found.backend, found.backend_path) == (("x>1",), "own:api.Backend", ("tools",))


def test_setuptools_gets_the_wheel_package_that_older_releases_need(tmp_path: Path) -> None:
    text = '[build-system]\nrequires = ["Setuptools==60"]\nbuild-backend = "setuptools.build_meta"\n'
    assert read(tmp_path, {"pyproject.toml": text}).requires == ("Setuptools==60", "wheel")


@pytest.mark.parametrize(
    "text",
    [
        "[build-system",
        "build-system = 1",
        '[build-system]\nrequires = "x"',
        "[build-system]\nrequires = []\nbuild-backend = 'a b; c'",
        "[build-system]\nrequires = []\nbackend-path = [1]",
    ],
)
def test_a_damaged_pyproject_is_one_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(LockError, match=r"a-1\.tar\.gz cannot be read as the source of a Python package"):
        read(tmp_path, {"pyproject.toml": text})


@pytest.mark.parametrize(
    ("files", "native"),
    [
        ({"setup.py": "", "a/x.py": ""}, False),
        ({"setup.py": "", "a/_x.c": ""}, True),
        ({"setup.py": "", "a/_x.pyx": ""}, True),
        ({"setup.py": "", "tests/x.c": "", "docs/x.c": ""}, False),
        ({"pyproject.toml": '[build-system]\nrequires = ["cffi>=1.1"]\nbuild-backend = "setuptools.build_meta"'}, True),
        (
            {"pyproject.toml": '[build-system]\nrequires = ["cython-like"]\nbuild-backend = "setuptools.build_meta"'},
            False,
        ),
    ],
)
def test_what_is_compiled_is_known_by_its_files_and_build_requirements(
    files: dict[str, str], native: bool, tmp_path: Path
) -> None:
    assert read(tmp_path, files).is_native is native


@pytest.mark.parametrize(
    ("files", "info", "certain"),
    [
        ({"setup.py": "setup(name='a')"}, STATIC, True),
        ({"setup.py": "setup(name='a')"}, PLAIN, False),
        ({"setup.py": "setup(name='a')"}, STATIC + "Dynamic: Requires-Dist\n", False),
        ({"setup.py": "setup(name='a')"}, STATIC + "Dynamic: description\n", True),
        ({"setup.py": "setup(setup_requires=['x'])"}, STATIC, False),
        ({"setup.py": "setup(**kwargs)"}, STATIC, False),
        ({"setup.py": "setup("}, STATIC, False),
        ({"setup.py": "setup()", "setup.cfg": "[options]\nsetup_requires = x\n"}, STATIC, False),
        ({"pyproject.toml": '[build-system]\nrequires=["flit_core"]\nbuild-backend="flit_core.buildapi"'}, STATIC, True),
        ({"pyproject.toml": '[build-system]\nrequires=["x"]\nbuild-backend="own.backend"'}, STATIC, False),
        (
            {"pyproject.toml": '[build-system]\nrequires=["x"]\nbuild-backend="flit_core.buildapi"\nbackend-path=["."]'},
            STATIC, False,
        ),
        (
            {"pyproject.toml": '[build-system]\nrequires=["hatchling"]\nbuild-backend="hatchling.build"\n'
             "[tool.hatch.build.hooks.custom]\ndependencies=['x']"},
            STATIC, False,
        ),
    ],
)  # fmt: skip
def test_metadata_count_only_where_a_build_cannot_change_them(
    files: dict[str, str], info: str, certain: bool, tmp_path: Path
) -> None:
    found = read(tmp_path, files, info)
    assert (found.metadata is not None) is certain
    if found.metadata:
        assert "Requires-Dist: b>1" in found.metadata


@given(st.data())
def test_a_damaged_archive_is_one_error(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = sdist(Path(folder), "a", "1", {"setup.py": "setup()", "pyproject.toml": "[x]\n", "b.c": ""}, STATIC)
        kind = data.draw(st.sampled_from(["packed", "plain", "zip"]))
        raw = gzip.decompress(whole.read_bytes()) if kind == "plain" else whole.read_bytes()
        if kind == "zip":
            with zipfile.ZipFile(whole, "w") as archive:
                archive.writestr("a-1/PKG-INFO", STATIC)
                archive.writestr("a-1/setup.py", "setup()")
            raw = whole.read_bytes()
        at = data.draw(st.integers(0, len(raw) - 1))
        cut = data.draw(st.integers(0, len(raw)))
        whole.write_bytes((raw[:at] + bytes([data.draw(st.integers(0, 255))]) + raw[at + 1 :])[:cut])
        with contextlib.suppress(LockError):
            facts(whole, "a-1.tar.gz")


@pytest.mark.parametrize(
    ("pyproject", "info"),
    [
        ("", "Metadata-Version: " + "1" * 5000 + ".2\nName: a\nVersion: 1\n"),
        ("tool = 3\n[build-system]\nrequires = []\nbuild-backend = 'hatchling.build'\n", STATIC),
        ("[tool]\nhatch = 3\n[build-system]\nrequires = []\nbuild-backend = 'hatchling.build'\n", STATIC),
    ],
)
def test_values_of_other_kinds_are_no_crash(pyproject: str, info: str, tmp_path: Path) -> None:
    assert read(tmp_path, {"pyproject.toml": pyproject}, info).requires is not None


def test_a_key_of_many_parts_is_refused_before_it_takes_the_memory(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path, {"pyproject.toml": "a" + ".a" * 2000 + " = 1"})
    assert "dots" in (caught.value.detail or "")


def test_a_setup_script_is_parsed_without_its_warnings_and_only_up_to_a_size(tmp_path: Path) -> None:
    pyproject = "[build-system]\nrequires = []\nbuild-backend = 'setuptools.build_meta'\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read(tmp_path, {"pyproject.toml": pyproject, "setup.py": "1if 2 else 3\n'\\d'"}, STATIC)
    assert found.metadata
    large = "x\n" * (200 << 10)
    assert read(tmp_path, {"pyproject.toml": pyproject, "setup.py": large}, STATIC).metadata is None
