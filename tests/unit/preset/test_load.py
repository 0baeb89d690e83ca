"""Finding presets, following `extends`, names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.errors import PresetError
from devenv.preset.load import default_name, dump, find, load, shipped

from .conftest import ROOT, Write


def test_find(write: Write, project: Path, shipped: Path) -> None:
    leaf = write("devenv.yaml", "extends: root\n")
    other = write("sub/other.yaml", ROOT)
    assert find(None, project) == leaf
    assert find(".", project) == leaf
    assert find("..", project / "sub") == leaf
    assert find("devenv.yaml", project) == leaf
    assert find("sub/other.yaml", project) == other
    assert find(str(other), Path("/")) == other
    assert find("root", project) == shipped / "root" / "preset.yaml"
    assert find(str(shipped / "root"), project) == shipped / "root" / "preset.yaml"


def test_from_a_subfolder_the_nearest_project_above_is_found(write: Write, project: Path) -> None:
    leaf = write("devenv.yaml", "extends: root\n")
    below = project / "a" / "b"
    below.mkdir(parents=True)
    assert find(None, below) == leaf
    nearer = write("a/devenv.yaml", "extends: root\n")
    assert find(None, below) == nearer
    (below / "devenv.yml").write_text(ROOT)
    with pytest.raises(PresetError) as caught:
        find(None, below)
    assert caught.value.hint == "rename devenv.yml to devenv.yaml"


def test_a_project_above_that_is_another_users_is_not_taken(
    write: Write, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("devenv.yaml", "extends: root\n")
    below = project / "a"
    below.mkdir()
    own, real = os.getuid(), Path.lstat

    def lstat(path: Path) -> os.stat_result:
        facts = real(path)
        return os.stat_result((*facts[:4], own + 1, *facts[5:10])) if path.name == "devenv.yaml" else facts

    monkeypatch.setattr(Path, "lstat", lstat)
    with pytest.raises(PresetError, match=f"belongs to another user \\(uid {own + 1}\\)") as caught:
        find(None, below)
    assert f"cd {project}" in (caught.value.hint or "")
    assert find(None, project) == project / "devenv.yaml", "who stands there has chosen it"


def test_a_path_that_is_not_utf8_is_refused_by_its_name(project: Path) -> None:
    folder = project / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "devenv.yaml").write_text(ROOT)
    with pytest.raises(PresetError, match="is not UTF-8 text"):
        load(find(None, folder))


def test_a_shipped_name_comes_before_a_folder(project: Path, shipped: Path) -> None:
    (project / "root").mkdir()
    assert find("root", project) == shipped / "root" / "preset.yaml"


@pytest.mark.parametrize(
    ("argument", "message", "hint"),
    [
        (None, "no devenv.yaml in ", "devenv init"),
        ("rooot", "unknown preset 'rooot'", "did you mean 'root'? shipped presets: root"),
        ("zzz", "unknown preset 'zzz'", "shipped presets: root"),
        ("./zzz.yaml", "the file './zzz.yaml' does not exist", "shipped presets: root"),
        ("a\0b", "unknown preset 'a\\x00b'", "shipped"),
        ("x" * 5000, "is not a usable name or path", "shipped"),
        ("", "no devenv.yaml in ", "devenv init"),
        ("\x1b[31m", "unknown preset '\\x1b[31m'", "shipped"),
    ],
)
def test_find_says_what_there_is(project: Path, argument: str | None, message: str, hint: str) -> None:
    with pytest.raises(PresetError) as caught:
        find(argument, project)
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_devenv_yml_is_noticed(write: Write, project: Path) -> None:
    write("devenv.yml", ROOT)
    with pytest.raises(PresetError) as caught:
        find(None, project)
    assert caught.value.hint == "rename devenv.yml to devenv.yaml"


def test_a_broken_link_is_found_and_explained(project: Path) -> None:
    (project / "devenv.yaml").symlink_to("gone.yaml")
    with pytest.raises(PresetError, match="the file does not exist"):
        load(find(None, project))


def test_loaded(write: Write, project: Path, shipped: Path) -> None:
    leaf = load(write("devenv.yaml", "extends: root\n"))
    assert (leaf.project, leaf.shipped, leaf.preset.name) == (project, False, "my-project")
    ours = load(find("root", project))
    assert (ours.project, ours.shipped, ours.preset.name) == (None, True, "root")
    other = load(write("gpu_box.yaml", "extends: root\n"))
    assert (other.project, other.preset.name) == (None, "gpu-box")


def test_a_name_is_not_inherited(write: Write) -> None:
    write("parent.yaml", f"name: parent\n{ROOT}")
    assert load(write("devenv.yaml", "extends: parent.yaml\n")).preset.name == "my-project"
    assert load(write("devenv.yaml", "extends: parent.yaml\nname: own\n")).preset.name == "own"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My Project", "my-project"), ("a_b.c", "a-b-c"), ("--x--", "x"), ("x" * 60, "x" * 40),
        ("x" * 39 + "-y", "x" * 39),
    ],
)  # fmt: skip
def test_default_names(folder: str, name: str) -> None:
    assert default_name(Path("/", folder, "devenv.yaml")) == name


def test_a_folder_without_any_usable_letter_gets_a_stable_name() -> None:
    first, second = (default_name(Path("/", folder, "devenv.yaml")) for folder in ("项目", "工程"))
    assert first.startswith("env-")
    assert first != second
    assert first == default_name(Path("/项目/devenv.yaml"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("rooot", "unknown preset 'rooot'"),
        ("[root]", "'extends' takes a shipped preset's name or a path, not a list"),
        ("3", "'extends' takes a shipped preset's name or a path, not the number 3"),
        ("''", "'extends' takes a shipped preset's name or a path, not nothing"),
        ("/etc/passwd", "'extends' takes a path relative to this file"),
        ("../outside.yaml", "'../outside.yaml' lies outside the preset's folder"),
        ("./sub/../../outside.yaml", "'./sub/../../outside.yaml' lies outside the preset's folder"),
        ("./gone.yaml", "'./gone.yaml' does not exist"),
        ("./link.yaml", "'./link.yaml' lies outside the preset's folder"),
        ("./loop.yaml", "'./loop.yaml' cannot be used: "),
        ("./loop.yaml/../x.yaml", "'./loop.yaml/../x.yaml' "),
        ("./none/../loop.yaml", "'./none/../loop.yaml' does not exist"),
        ("~/x.yaml", "'~/x.yaml': '~' is not expanded in a preset"),
        ("./sub", "'./sub' is not a file"),
        ('"./a\\u0085b.yaml"', "the character U+0085 cannot be in a value"),
    ],
)
def test_extends_that_leads_nowhere(write: Write, project: Path, value: str, message: str) -> None:
    (project.parent / "outside.yaml").write_text(ROOT)
    (project / "link.yaml").symlink_to("../outside.yaml")
    (project / "loop.yaml").symlink_to("loop.yaml")
    (project / "sub").mkdir()
    with pytest.raises(PresetError) as caught:
        load(write("devenv.yaml", f"name: x\nextends: {value}\n"))
    problem = caught.value.problems[0]
    assert problem.message.startswith(message)
    assert str(problem.where).startswith("devenv.yaml:2:10")


def test_a_cycle_is_shown(write: Write) -> None:
    write("a.yaml", "extends: ./b.yaml\n")
    write("b.yaml", "extends: ./a.yaml\n")
    with pytest.raises(PresetError) as caught:
        load(write("devenv.yaml", "extends: ./a.yaml\n"))
    assert caught.value.message == "'extends' forms a circle: a.yaml → b.yaml → a.yaml"
    assert caught.value.where == "b.yaml:1:10"


def test_a_preset_that_extends_itself(write: Write) -> None:
    with pytest.raises(PresetError, match=r"circle: devenv\.yaml → devenv\.yaml"):
        load(write("devenv.yaml", "extends: devenv.yaml\n"))


def test_a_chain_has_an_end(write: Write) -> None:
    for number in range(20):
        write(f"p{number}.yaml", f"extends: p{number + 1}.yaml\n")
    with pytest.raises(PresetError, match="more than 16 presets extend one another"):
        load(write("devenv.yaml", "extends: p0.yaml\n"))
    write("p14.yaml", ROOT)
    assert len(load(write("devenv.yaml", "extends: p0.yaml\n")).chain) == 16


def test_a_missing_parent_does_not_hide_earlier_mistakes(write: Write) -> None:
    with pytest.raises(PresetError) as caught:
        load(write("devenv.yaml", "apt: [a, a]\nenv: {}\nenv: {}\nextends: nonesuch\n"))
    assert [one.where for one in caught.value.problems] == ["devenv.yaml:1:10", "devenv.yaml:3:1", "devenv.yaml:4:10"]


def test_one_mistake_has_the_same_form_as_many(write: Write) -> None:
    with pytest.raises(PresetError) as caught:
        load(write("devenv.yaml", "extends: root\n\n    \nrevison: abc\npython: '3.11'\n"))
    (only,) = caught.value.problems
    assert (only.message, only.where, only.detail) == (
        "unknown key 'revison'", "devenv.yaml:4:1", "4 | revison: abc\n  | ^",
    )  # fmt: skip
    assert str(caught.value) == only.message


def test_dump_is_short(write: Write) -> None:
    assert dump(load(write("devenv.yaml", "extends: root\npip: [x]\n")).preset) == (
        "name: my-project\ndescription: the root\nbase:\n  bootstrap: debian/bookworm\npython: '3.11'\npip:\n- x\n"
    )


# The presets of this checkout.


@pytest.mark.parametrize("name", shipped())
def test_shipped_presets_are_valid(name: str, tmp_path: Path) -> None:
    path = find(name, tmp_path)
    loaded = load(path)
    assert loaded.preset.name == name
    assert loaded.shipped
    assert loaded.preset.description


@pytest.mark.parametrize("name", shipped())
def test_a_project_that_extends_a_shipped_preset(name: str, tmp_path: Path) -> None:
    leaf = tmp_path / "devenv.yaml"
    leaf.write_text(f"extends: {name}\nname: x\npip: [humanize]\n")
    loaded = load(leaf)
    parent = load(find(name, tmp_path)).preset
    assert loaded.preset == parent.model_copy(update={"name": "x", "pip": (*parent.pip, "humanize")})
    # A dump names the shipped preset's files by their absolute paths and still loads, anywhere.
    again = tmp_path / "elsewhere" / "dumped.yaml"
    again.parent.mkdir()
    again.write_text(dump(loaded.preset))
    assert load(again).preset == loaded.preset
