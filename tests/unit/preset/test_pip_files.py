"""`pip: {file: requirements.txt}`, and wheels by address."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devenv.compat.verdict import pinned
from devenv.errors import PresetError
from devenv.fetch.sources import archives
from devenv.lock import drift
from devenv.preset.load import LoadedPreset, dump, load
from devenv.preset.own_wheel import own_wheel
from devenv.preset.portable import portable
from devenv.preset.yaml import edit
from tests.unit.preset.conftest import Write

Loads = Callable[[str], LoadedPreset]
Mistakes = Callable[[str], list[PresetError]]
HASH = "a" * 64
ADDRESS = f"https://files.example.org/a%2Bb/acme-1.2-py3-none-any.whl#sha256={HASH}"


@pytest.mark.parametrize("value", ["{file: requirements.txt}", "[{file: requirements.txt}]"])
def test_a_files_requirements_stand_in_its_place(write: Write, loads: Loads, value: str) -> None:
    write(
        "requirements.txt",
        "# ours\nrich[jupyter]>=13 \\\n  --hash=sha256:" + HASH + "\n-r more/base.txt\n-c limits.txt\n",
    )
    write(
        "more/base.txt",
        "click==8.1.7 ; python_version >= '3.9'\nclick==8.1.7 ; python_version >= '3.9'\nacme-1-py3-none-any.whl\n",
    )
    write("limits.txt", "rich<14\n")
    write("more/acme-1-py3-none-any.whl", "x")
    loaded = loads(f"extends: root\npip: {value}\n")
    assert loaded.preset.pip[:2] == ("rich[jupyter]<14,>=13", 'click==8.1.7; python_version >= "3.9"')
    own = own_wheel(loaded.preset.pip[2])
    assert own is not None
    assert (own.name, own.version) == ("acme", "1")
    assert [loaded.origins["pip", number].where for number in range(3)] == [
        "requirements.txt:2:1", "more/base.txt:1:1", "more/base.txt:3:1",
    ]  # fmt: skip
    assert load(write("devenv.yaml", dump(loaded.preset))).preset == loaded.preset, "a dump loads again"


def test_it_goes_with_entries_and_with_what_is_inherited(write: Write, loads: Loads, shipped: Path) -> None:
    (shipped / "root" / "preset.yaml").write_text(
        "base: {bootstrap: debian/bookworm}\npython: '3.11'\npip: [rich==1, click]\n"
    )
    write("requirements.txt", "rich==13\n")
    assert loads("extends: root\npip: [httpx, {file: requirements.txt}]\n").preset.pip == ("rich==13", "click", "httpx")


def test_a_changed_file_makes_the_lock_stale(write: Write, loads: Loads) -> None:
    write("requirements.txt", "rich==13\n")
    before = drift.inputs(loads("extends: root\npip: {file: requirements.txt}\n").preset)
    write("requirements.txt", "rich==13 # a comment changes nothing\n\n")
    assert drift.inputs(loads("extends: root\npip: {file: requirements.txt}\n").preset) == before
    write("requirements.txt", "rich==14\n")
    assert drift.inputs(loads("extends: root\npip: {file: requirements.txt}\n").preset)["pip"] == ["rich==14"]


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("git+https://me:s3cr3t-w0rd@github.com/a/b", "requirements.txt:2:1", "repository's address"),
        (
            "--index-url https://me:s3cr3t-w0rd@example.org",
            "requirements.txt:2:1",
            "indexes come from the settings of pip",
        ),
        ("-e .", "requirements.txt:2:1", "the project's own folder cannot be locked"),
        ("-r ../out.txt", "requirements.txt:2:1", "lies outside the preset's folder"),
        ("-r requirements.txt", "requirements.txt:2:1", "forms a circle"),
        ("-r gone.txt", "requirements.txt:2:1", "the file does not exist"),
        ("-c other.txt", "other.txt:1:1", "limits a package that the file does not ask for"),
        ("not one", "requirements.txt:2:1", "not a PEP 508 requirement"),
        ("rich==2", "requirements.txt:2:1", "'rich' is given twice in 'pip'"),
    ],
)
def test_lines_that_a_lock_cannot_fix(write: Write, mistakes: Mistakes, line: str, where: str, message: str) -> None:
    write("requirements.txt", f"rich==1\n{line}\n")
    write("other.txt", "click<8\n")
    (only,) = mistakes("extends: root\npip: {file: requirements.txt}\n")
    assert (only.where, message in only.message) == (where, True)
    assert only.hint
    assert "s3cr3t" not in f"{only.message}{only.detail}{only.hint}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{file: ../out.txt}", "'../out.txt' lies outside the preset's folder"), ("{file: 3}", "'file' takes the path"),
        ("{}", "'pip' takes a list, not a mapping"), ("{file: gone.txt}", "the file does not exist"), ("{file: gone.txt, x: 1}", "unknown key 'x' beside 'file'"), ("{file: folder}", "it is a folder"),
        ("[{files: a}]", "takes text, not a mapping"), ("{file: '~/x'}", "lies outside"),
    ],
)  # fmt: skip
def test_mappings_that_name_no_file(write: Write, project: Path, mistakes: Mistakes, value: str, message: str) -> None:
    (project / "folder").mkdir()
    found = mistakes(f"extends: root\npip: {value}\n")
    assert any(message in one.message for one in found)
    assert all(str(one.where).startswith("devenv.yaml:2:") for one in found)


def test_a_patch_cannot_be_put_into_a_mapping() -> None:
    with pytest.raises(edit.CannotEditError):
        edit.add("pip: {file: requirements.txt}\n", "pip", ("rich==13",))
    text = edit.add("pip:\n  - file: requirements.txt\n", "pip", ("rich==13",))
    assert text == "pip:\n  - file: requirements.txt\n  - rich==13\n"


def test_a_wheel_by_address(loads: Loads, write: Write) -> None:
    loaded = loads(f"extends: root\npip: ['Acme @ {ADDRESS} ; python_version > \"3.8\"']\n")
    own = own_wheel(loaded.preset.pip[0])
    assert own is not None
    assert (own.path, own.url, own.file) == (None, ADDRESS.partition("#")[0], "acme-1.2-py3-none-any.whl")
    assert (own.name, own.version, own.sha256) == ("acme", "1.2", HASH)
    (archive,) = archives(loaded.preset).values()
    assert (archive.path, archive.url, archive.sha256) == (None, ADDRESS.partition("#")[0], HASH)
    assert drift.inputs(loaded.preset)["pip"] == [f"acme==1.2 sha256 {HASH}"], "independent of the address"
    assert ADDRESS in portable(loaded.preset)
    assert load(write("devenv.yaml", dump(loaded.preset))).preset == loaded.preset
    torch = loads(f"extends: root\npip: ['torch @ https://h/torch-2.6.0-cp311-cp311-linux_x86_64.whl#sha256={HASH}']\n")
    assert pinned(torch.preset, "torch") == "2.6.0"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (f"acme @ {ADDRESS.partition('#')[0]}", "with its hash"),
        (f"acme @ {ADDRESS.replace('https://', 'https://me:pw@')}", "without a login"),
        (f"acme @ {ADDRESS.replace('#', '?token=x#')}", "without a login"),
        (f"acme @ {ADDRESS.replace('https', 'ftp')}", "cannot be locked"),
        (f"other @ {ADDRESS}", "the address is that of acme, not of other"),
        (f"acme @ https://h/acme.whl#sha256={HASH}", "Invalid wheel filename"),
    ],
)
def test_addresses_that_cannot_be_locked(mistakes: Mistakes, entry: str, message: str) -> None:
    (only,) = mistakes(f"extends: root\npip: ['{entry}']\n")
    assert message in only.message
    assert only.where == "devenv.yaml:2:7"
