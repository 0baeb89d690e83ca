"""What is brought to a box: fitting its Python and libc, whole, and under one name."""

from __future__ import annotations

import gzip
import io
import platform
import sys
import tarfile
from pathlib import Path

import pytest

from devenv.errors import TargetError
from devenv.remote import parcel
from devenv.remote.parcel import Fit
from devenv.remote.probe import Box, Python, read


def _box(libc: str = "glibc 99.1", machine: str | None = None) -> Box:
    return read(f"devenv-probe\nsystem=Linux {machine or platform.machine()}\nlibc={libc}\n", "box")


def _python(*version: int) -> Python:
    return Python(version=(version[0], version[1], 0), implementation="cpython", path="/usr/bin/python3")


@pytest.mark.parametrize(
    ("libc", "machine", "version", "name"),
    [
        ("glibc 2.35", "x86_64", (3, 12), "x86_64-manylinux_2_35"), ("glibc 2.31", "aarch64", (3, 13), "aarch64-manylinux_2_31"),
        ("glibc 2.20", "x86_64", (3, 11), "x86_64-manylinux_2_17"), ("musl libc", "x86_64", (3, 12), "x86_64-unknown-linux-musl"),
    ],
)  # fmt: skip
def test_the_names_that_uv_has_for_a_box(libc: str, machine: str, version: tuple[int, int], name: str) -> None:
    assert Fit.of(_box(libc, machine), _python(*version)) == Fit(python=f"{version[0]}.{version[1]}", platform=name)


def test_another_processor_is_an_error() -> None:
    with pytest.raises(TargetError, match="does not run on riscv64"):
        Fit.of(_box(machine="riscv64"), _python(3, 12))


def test_only_a_box_of_the_same_kind_gets_what_is_installed_here() -> None:
    here = sys.version_info[:2]
    assert parcel.is_alike(_box(), _python(*here))
    assert not parcel.is_alike(_box(), _python(here[0], here[1] + 1))
    assert not parcel.is_alike(_box("glibc 2.0"), _python(*here))
    assert not parcel.is_alike(_box("musl libc"), _python(*here))
    assert not parcel.is_alike(_box(machine="other"), _python(*here))


def test_a_tar_has_files_and_modes_alone(tmp_path: Path) -> None:
    program = tmp_path / "uv"
    program.write_text("x")
    program.chmod(0o755)
    stream = io.BytesIO()
    assert parcel.write(stream, {"bin/uv": program, "a.py": Path(__file__)}) == 1 + Path(__file__).stat().st_size
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(stream.getvalue()))) as archive:
        members = archive.getmembers()
    assert [(one.name, one.mode, one.uid, one.uname) for one in members] == [
        ("lib/a.py", 0o644, 0, ""),
        ("lib/bin/uv", 0o755, 0, ""),
    ]
