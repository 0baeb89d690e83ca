"""What `extends` does to values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devenv.errors import PresetError
from devenv.preset.load import LoadedPreset, load

from .conftest import ROOT, Write

PARENT = """\
description: what it was
base: {bootstrap: debian/bookworm}
python: "3.11"
node: 22.20.0
cuda: "12.4"
pip: [Requests==2.31, "numpy>=1", "uvicorn[standard]"]
apt: [git, "curl=7.88"]
npm: ["@scope/tool@1.0.0", typescript@5.0.0]
env: {A: one, B: two}
services:
  web: {command: [serve, --old], port: 9000, listen: "127.0.0.1:9001", env: {X: "1", Y: "2"}, health: {path: /old}}
smoke:
  first: {run: [a, b]}
"""


@pytest.fixture
def child(write: Write) -> Callable[[str], LoadedPreset]:
    write("parent.yaml", PARENT)
    return lambda text: load(write("devenv.yaml", f"extends: ./parent.yaml\n{text}"))


def test_nothing_added(child: Callable[[str], LoadedPreset], project: Path) -> None:
    loaded = child("")
    assert loaded.preset.model_dump() == {**load(project / "parent.yaml").preset.model_dump(), "name": "my-project"}
    assert loaded.preset.description == "what it was"


def test_packages_append_and_replace_by_identity(child: Callable[[str], LoadedPreset]) -> None:
    preset = child(
        'pip: [requests>=2.32, "UVICORN", new_one]\napt: [curl=8, jq]\n'
        'npm: [typescript@5.6.3, "@scope/tool@2.0.0", x@1.0.0]\n'
    ).preset
    assert preset.pip == ("requests>=2.32", "numpy>=1", "UVICORN", "new_one")
    assert preset.apt == ("git", "curl=8", "jq")
    assert preset.npm == ("@scope/tool@2.0.0", "typescript@5.6.3", "x@1.0.0")


def test_extensions_are_replaced_by_id(write: Write, project: Path) -> None:
    for name in ("one.vsix", "two.vsix", "new.vsix"):
        write(name, name)
    archive = "{{path: {}, sha256: {}}}"
    hash_ = "0" * 64

    def extension(id_: str, version: str, file: str) -> str:
        return f"{{id: {id_}, version: {version}, archive: {archive.format(file, hash_)}}}"

    write(
        "p.yaml",
        f"{ROOT}extensions: [{extension('a.one', '1.0.0', 'one.vsix')}, {extension('a.two', '1.0.0', 'two.vsix')}]",
    )
    leaf = write("devenv.yaml", f"extends: p.yaml\nextensions: [{extension('A.One', '2.0.0', 'new.vsix')}]")
    found = load(leaf).preset.extensions
    assert [(one.id, one.version) for one in found] == [("A.One", "2.0.0"), ("a.two", "1.0.0")]
    assert found[0].archive.path == str(project / "new.vsix")


def test_extensions_by_name_and_by_file_are_one_list(write: Write, project: Path) -> None:
    write("one.vsix", "x")
    file = f"{{id: A.One, version: 2.0.0, archive: {{path: one.vsix, sha256: {'0' * 64}}}}}"
    write(
        "p.yaml", f"{ROOT}code_server: {{version: 4.139.1}}\nnode: 24.19.0\nextensions: [a.one, a.two@1.0.0, a.three]\n"
    )
    leaf = write("devenv.yaml", f"extends: p.yaml\nextensions: [{file}, A.TWO, a.four@1.2.3]\n")
    first, *others = load(leaf).preset.extensions
    assert not isinstance(first, str)
    assert first.id == "A.One"
    assert others == ["A.TWO", "a.three", "a.four@1.2.3"]


@pytest.mark.parametrize("again", ["A.B", "a.b@1.0.0", "{id: a.B, version: 1.0.0}"])
def test_an_extension_is_given_once(write: Write, again: str) -> None:
    with pytest.raises(PresetError) as caught:
        load(write("devenv.yaml", f"{ROOT}code_server: {{version: 4.139.1}}\nextensions: [a.b, {again}]\n"))
    assert "'a.b' is given twice in 'extensions'" in [one.message for one in caught.value.problems]


def test_mappings_merge_deeply_and_command_lines_are_replaced(child: Callable[[str], LoadedPreset]) -> None:
    preset = child("services: {web: {command: [serve, --new], env: {Y: '3'}}}\nsmoke: {first: {run: [c]}}\n").preset
    web = preset.services["web"]
    assert (web.command, web.port, web.env) == (("serve", "--new"), 9000, {"X": "1", "Y": "3"})
    assert web.health is not None
    assert web.health.path == "/old"
    assert preset.smoke["first"].run == ("c",)


def test_null_removes(child: Callable[[str], LoadedPreset]) -> None:
    preset = child("env: {A: null}\ncuda: null\npip: null\nservices: {web: {health: null}}\nvllm: null\n").preset
    assert (preset.env, preset.cuda, preset.pip, preset.vllm) == ({"B": "two"}, None, (), None)
    assert preset.services["web"].health is None


def test_base_is_replaced_as_a_whole(child: Callable[[str], LoadedPreset]) -> None:
    base = child("base: {image: 'ubuntu:24.04'}\n").preset.base
    assert (base.bootstrap, base.image) == (None, "ubuntu:24.04")


def test_three_generations(write: Write, shipped: Path) -> None:
    write("middle.yaml", "name: middle\nextends: root\npip: [a==1, b]\nenv: {A: middle}\n")
    leaf = write("devenv.yaml", "extends: ./middle.yaml\npip: [a==2]\n")
    loaded = load(leaf)
    assert loaded.preset.pip == ("a==2", "b")
    assert loaded.preset.env == {"A": "middle"}
    assert loaded.preset.description == "the root"
    assert loaded.chain == (shipped / "root" / "preset.yaml", leaf.parent / "middle.yaml", leaf)


def test_positions_survive(child: Callable[[str], LoadedPreset], project: Path) -> None:
    origins = child("pip: [requests>=2.32, new]\nenv: {B: mine}\n").origins
    found = {at: (mark.path.name, mark.line) for at, mark in origins.items()}
    assert found["pip", 0] == ("devenv.yaml", 2)
    assert found["pip", 1] == ("parent.yaml", 6)
    assert found["pip", 3] == ("devenv.yaml", 2)
    assert found["env", "A"] == ("parent.yaml", 9)
    assert found["env", "B"] == ("devenv.yaml", 3)
    assert found["python",] == ("parent.yaml", 3)


def test_a_mistake_that_is_inherited_points_to_its_file(write: Write) -> None:
    write("parent.yaml", f"{ROOT}\napt: ['rm -rf /']\nenv: {{PATH: /x}}\n")
    with pytest.raises(PresetError) as caught:
        load(write("devenv.yaml", "extends: parent.yaml\nrevison: 1\n"))
    assert [one.where for one in caught.value.problems] == ["devenv.yaml:2:1", "parent.yaml:4:7", "parent.yaml:5:7"]


def test_a_package_may_have_an_entry_for_each_marker(child: Callable[[str], LoadedPreset], write: Write) -> None:
    old, new = "numpy==1; python_version < '3.12'", "numpy==2; python_version >= '3.12'"
    loaded = child(f'pip: [new, "{old}", "{new}"]\n')
    assert loaded.preset.pip == ("Requests==2.31", old, new, "uvicorn[standard]", "new")
    path = write("more.yaml", "extends: ./devenv.yaml\npip: [numpy==3]\n")
    assert load(path).preset.pip == ("Requests==2.31", "numpy==3", "uvicorn[standard]", "new"), (
        "all of them are replaced"
    )


@pytest.mark.parametrize("second", ["a==2", "a==2; python_version<'3.12'"])
def test_one_marker_twice_or_none_beside_one_is_a_mistake(second: str, write: Write) -> None:
    path = write("devenv.yaml", f"""extends: root\npip: ["a==1; python_version < '3.12'", "{second}"]\n""")
    with pytest.raises(PresetError, match="'a' is given twice in 'pip'") as caught:
        load(path)
    assert "a marker of its own" in (caught.value.problems[0].hint or "")


def test_twice_in_one_file_is_a_mistake_though_overriding_is_not(write: Write) -> None:
    path = write("devenv.yaml", "extends: root\npip: [Foo.Bar==1, foo_bar==2]\napt: [git, git=1]\n")
    with pytest.raises(PresetError) as caught:
        load(path)
    assert [(one.where, one.message) for one in caught.value.problems] == [
        ("devenv.yaml:2:19", "'foo-bar' is given twice in 'pip'"),
        ("devenv.yaml:3:12", "'git' is given twice in 'apt'"),
    ]
