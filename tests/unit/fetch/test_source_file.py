from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from devenv.errors import LockError
from devenv.fetch import declared, source_file
from devenv.lock.model import Source
from tests.unit.sdists import link, sdist, tar


def source(name: str, version: str) -> Source:
    return Source(name=name, version=version, file=f"{name}-{version}.tar.gz", size=1, sha256="0" * 64, backend="x")


def test_names_and_texts_are_read_without_the_archives_folder(tmp_path: Path) -> None:
    found = source_file.read(
        sdist(tmp_path, "a", "1", {"src/a.c": "int", "pyproject.toml": "[x]"}), ("pyproject.toml", "no")
    )
    assert found.names == ("PKG-INFO", "src/a.c", "pyproject.toml")
    assert dict(found.texts) == {"pyproject.toml": "[x]"}


def test_a_zip_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "a-1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a-1/setup.py", "pass")
    assert source_file.read(path, ("setup.py",)).texts == {"setup.py": "pass"}


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("a-1/../../etc/x"),
        tarfile.TarInfo("/etc/x"),
        link("a-1/x", "../../etc/passwd"),
        link("a-1/x", "/etc/passwd"),
        link("a-1/x", "a-2/x", hard=True),
    ],
    ids=["above", "absolute", "link out", "absolute link", "hard link out"],
)
def test_what_leaves_the_archives_folder_is_refused(member: tarfile.TarInfo, tmp_path: Path) -> None:
    path = tar(tmp_path / "a-1.tar.gz", tarfile.TarInfo("a-1/y"), member)
    with pytest.raises(ValueError, match="leaves its folder"):
        source_file.read(path, ())


def test_devices_and_second_folders_are_refused(tmp_path: Path) -> None:
    device = tarfile.TarInfo("a-1/null")
    device.type = tarfile.CHRTYPE
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        source_file.read(tar(tmp_path / "device.tar.gz", device), ())
    with pytest.raises(ValueError, match="more than one folder"):
        source_file.read(tar(tmp_path / "two.tar.gz", tarfile.TarInfo("a/x"), tarfile.TarInfo("b/x")), ())


def test_links_inside_are_no_fault(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "a-1.tar.gz", tarfile.TarInfo("a-1/y"), link("a-1/d/x", "../y"), link("a-1/z", "a-1/y", hard=True)
    )
    assert source_file.read(path, ()).names == ("y",)


def test_a_text_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_file, "_MOST_TEXT_BYTES", 10)
    with pytest.raises(ValueError, match=r"setup\.py is larger"):
        source_file.read(sdist(tmp_path, "a", "1", {"setup.py": "x" * 11}), ("setup.py",))


def test_an_archive_of_another_package_is_refused(tmp_path: Path) -> None:
    declared.check(source("Foo_Bar", "1.0"), "source", sdist(tmp_path, "foo-bar", "1"))
    for name, version in (("other", "1.0"), ("foo-bar", "2")):
        with pytest.raises(LockError, match=f"is {name} {version}, and not Foo_Bar 1.0"):
            declared.check(source("Foo_Bar", "1.0"), "source", sdist(tmp_path, name, version))


def test_what_is_no_archive_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"<html>")
    with pytest.raises(LockError, match="cannot be read as the source of a Python package"):
        declared.check(source("a", "1"), "source", tmp_path / "x")


def test_names_that_need_more_memory_than_they_took_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_file, "_MOST_NAMES", 2000)
    path = tar(tmp_path / "a-1.tar.gz", *(tarfile.TarInfo(f"a-1/{number}{'n' * 900}") for number in range(3)))
    with pytest.raises(ValueError, match="more than the source of a package"):
        source_file.read(path, ())


def test_headers_for_all_files_are_not_given_to_each_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a-1.tar.gz"
    seen: list[int] = []

    def issym(member: tarfile.TarInfo) -> bool:
        seen.append(len(member.pax_headers))
        return False

    with tarfile.open(path, "w:gz") as archive:
        for number in range(3):
            header = tarfile.TarInfo.create_pax_global_header({f"k{number}": "v"})
            archive.fileobj.write(header)
            archive.offset += len(header)
            archive.addfile(tarfile.TarInfo(f"a-1/{number}"))
    monkeypatch.setattr("devenv.fetch.source_file.Member.issym", issym)
    source_file.read(path, ())
    assert seen == [1, 1, 1]


def test_a_sources_version_with_too_many_digits_is_one_error(tmp_path: Path) -> None:
    path = sdist(tmp_path, "a", "1", {}, "Metadata-Version: 2.1\nName: a\nVersion: " + "1" * 5000 + "\n")
    with pytest.raises(LockError, match="cannot be read as the source"):
        declared.check(source("a", "1"), "source", path)
