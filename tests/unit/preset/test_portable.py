from __future__ import annotations

import re
from pathlib import Path

import pytest

from devenv.errors import PresetError
from devenv.preset.load import load
from devenv.preset.portable import carried, portable

PRESET = """\
base: {bootstrap: debian/bookworm}
python: "3.11"
node: 24.19.0
code_server: {version: 4.139.1}
extensions:
  - {id: acme.tool, version: 1.2.3, archive: {path: tool.vsix, sha256: %s}}
  - acme.named@1.0.0
files:
  /usr/share/b: b
  /usr/share/a.txt: a.txt
workspace: start
env: {A: "yes"}
"""
SHA = "ab" * 32


def _project(folder: Path) -> Path:
    for name in ("b/inner.txt", "a.txt", "start/readme.md", "tool.vsix"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "preset.yaml").write_text(PRESET % SHA)
    return folder / "preset.yaml"


def test_nothing_of_this_machine_is_in_it(tmp_path: Path) -> None:
    text = portable(load(_project(tmp_path)).preset)
    assert str(tmp_path) not in text
    assert "files/0" in text


def test_it_loads_beside_the_files_that_it_names(tmp_path: Path) -> None:
    preset = load(_project(tmp_path / "here")).preset
    text = portable(preset)
    named = carried(text)
    assert named.files == {"/usr/share/a.txt": "files/0", "/usr/share/b": "files/1"}
    assert (named.workspace, named.archives) == (True, (SHA,))
    there = tmp_path / "there"
    for name in ("files/0", "files/1/inner.txt", "workspace/readme.md", f"archives/{SHA}"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text("x")
    (there / "preset.yaml").write_text(text)
    again = load(there / "preset.yaml").preset
    # The same wherever it is loaded: so an image's own preset gives the same image.
    assert portable(again) == text
    assert again.model_dump(exclude={"files", "workspace", "extensions"}) == preset.model_dump(
        exclude={"files", "workspace", "extensions"}
    )


def test_a_wheel_of_ones_own_lies_beside_it_by_its_hash(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    (tmp_path / "here" / "acme-1.2-py3-none-any.whl").write_text("x")
    (tmp_path / "here" / "preset.yaml").write_text(
        'name: one\nbase: {bootstrap: debian/bookworm}\npython: "3.11"\npip: [acme-1.2-py3-none-any.whl]\n'
    )
    text = portable(load(tmp_path / "here" / "preset.yaml").preset)
    assert str(tmp_path) not in text
    (name,) = carried(text).wheels
    assert re.fullmatch(r"[0-9a-f]{64}/acme-1\.2-py3-none-any\.whl", name)
    place = tmp_path / "there" / "archives" / name
    place.parent.mkdir(parents=True)
    place.write_text("x")
    (tmp_path / "there" / "preset.yaml").write_text(text)
    assert portable(load(tmp_path / "there" / "preset.yaml").preset) == text


@pytest.mark.parametrize(
    "text",
    [
        "pip: [/etc/acme-1.2-py3-none-any.whl]", "pip: ['acme @ file:///etc/acme-1.2-py3-none-any.whl']",
        f"pip: [archives/{SHA}/../acme-1.2-py3-none-any.whl]", "pip: [3]",
        "files: {/a: ../../etc/shadow}", "files: {/a: /etc/shadow}", "workspace: /root", "files: [a]", "- a", "{", "3",
        "extensions: [{archive: {path: ../x}}]", "code_server: {archive: {path: archives/../../x}}",
        "files: {/a: files/0/../../x}", "extensions: 3",
    ],
)  # fmt: skip
def test_an_image_cannot_name_files_of_this_machine(text: str) -> None:
    with pytest.raises(PresetError):
        carried(text)


@pytest.mark.parametrize(
    "bomb", ["[*a, *a, *a, *a, *a, *a, *a]", "{x: *a, y: *a, z: [*a, *a, *a]}", "{<<: *a, x: [*a, *a]}"]
)
def test_a_carried_preset_that_is_an_alias_bomb(bomb: str) -> None:
    lines = ["a0: &a0 {x: x}", *(f"a{n}: &a{n} {bomb}".replace("*a", f"*a{n - 1}") for n in range(1, 40))]
    with pytest.raises(PresetError, match="cannot read") as caught:
        carried("\n".join([*lines, "files: {/x: *a39}"]))
    assert "aliases expanded" in str(caught.value.detail)


def test_a_carried_preset_that_names_one_file_twice() -> None:
    with pytest.raises(PresetError, match="files/0"):
        carried("files: {/a: files/0, /b: files/0}")
