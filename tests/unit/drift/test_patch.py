from __future__ import annotations

from typing import Any

import pytest
import yaml

from devenv.drift.items import Item
from devenv.drift.patch import MOST_FILE_BYTES, Patch, patch
from devenv.errors import PresetError


def item(kind: str, name: str, change: str = "added", **changes: Any) -> Item:
    return Item(kind=kind, change=change, name=name, **changes)


def made(*items: Item, own: Any = None, **composed: Any) -> Patch:
    own = own or {}
    return patch(items, {"node": "24", **own, **composed}, own)


def why(found: Patch) -> str:
    (left,) = found.left
    assert left.remedy
    return left.why


def test_what_a_person_asked_for_is_added() -> None:
    found = made(
        item("python", "rich", now="14.0", asked_for=True), item("python", "pygments", now="2.0"),
        item("apt", "jq", now="1.6", asked_for=True), item("apt", "libjq1", now="1.6"),
        item("npm", "@x/tool", now="1.0.0", asked_for=True),
    )  # fmt: skip
    assert found.add == {"pip": ("rich==14.0",), "apt": ("jq",), "npm": ("@x/tool@1.0.0",)}
    assert found.left == ()


def test_a_version_of_an_entry_is_replaced_where_the_file_has_it() -> None:
    own = {"pip": ["Rich>=13", "six"], "apt": ["jq=1.5"], "npm": ["tool@1.0.0"]}
    found = made(
        item("python", "rich", "changed", was="13.0", now="14.0"),
        item("apt", "jq", "changed", was="1.5", now="1.6"), item("npm", "tool", "changed", was="1.0.0", now="2.0.0"),
        own=own,
    )  # fmt: skip
    assert found.replace == {
        "pip": {"Rich>=13": "rich==14.0"}, "apt": {"jq=1.5": "jq=1.6"}, "npm": {"tool@1.0.0": "tool@2.0.0"}
    }  # fmt: skip
    assert found.add == {}
    inherited = made(item("python", "rich", "changed", was="13.0", now="14.0"), pip=["rich==13.0"])
    assert inherited.add == {"pip": ("rich==14.0",)}, "an inherited entry gives way"
    assert made(item("python", "urllib3", "changed", was="1", now="2")).is_empty, "the lock resolves dependencies"


def test_what_is_gone_is_removed_where_the_file_has_it() -> None:
    own = {"pip": ["rich"], "apt": ["jq"], "npm": ["tool@1.0.0"]}
    items = [item("python", "rich", "removed"), item("apt", "jq", "removed"), item("npm", "tool", "removed")]
    assert made(*items, own=own).remove == {"pip": ("rich",), "apt": ("jq",), "npm": ("tool@1.0.0",)}
    assert len(made(*items).left) == 3
    assert "does not name it" in why(made(items[0]))


@pytest.mark.parametrize(("one", "reason"), [
    (item("python", "attrs", "edited"), "edited"),
    (item("python", "mine", "editable", origin="file:///x"), "editable install of file:///x"),
    (item("python", "six", now="1", origin="git+https://h/six", asked_for=True), "not from an index"),
    (item("python", "six", now="1", note="in /usr/local/x", asked_for=True), "in /usr/local/x"),
    (item("python", "x @ http://1", now="1", asked_for=True), "none of a Python package"),
    (item("python", "-/-/etc", now="1", asked_for=True), "none of a Python package"),
    (item("python", "six", now="1 @ https://h/a.whl", asked_for=True), "none of a Python package"),
    (item("python", "six", now="1\n  - y", asked_for=True), "none of a Python package"),
    (item("python", "six", now="?", asked_for=True), "none of a Python package"),
    (item("python", "x\n- y", "removed"), "none of a Python package"),
    (item("apt", "curl", "edited"), "changed"),
    (item("apt", "curl", "changed", was="1", now="2"), "upgraded to 2"),
    (item("apt", "../x", asked_for=True), "none of a Debian package"),
    (item("apt", "x\n- y", asked_for=True), "none of a Debian package"),
    (item("npm", "tool", "edited"), "edited"),
    (item("npm", "tool", "editable", origin="/home/dev/tool"), "link to /home/dev/tool"),
    (item("npm", "tool", now="latest; x"), "no package with an exact version"),
    (item("extension", "a.b", now="1"), "a registry of extensions has it"),
    (item("settings", "/mnt/t/.code-server/User/settings.json", "changed"), "volume"),
    (item("file", "/x", "removed", paths=("/x",)), "cannot remove"),
    (item("kernel", "k", "removed", paths=("/x",)), "cannot remove"),
    (item("file", "/x", "changed", paths=("/x",), note="mode 0644 → 0755"), "only its mode"),
    (item("file", "/x", "changed", paths=("/x",), note="owner 0:0 → 5:0"), "only its owner"),
    (item("file", "/x", paths=("/x",), note="mode 4755, capabilities"), "it has mode 4755, capabilities"),
    (item("file", "/x", paths=("/x",), bytes=MOST_FILE_BYTES + 1), "larger than 1 MiB"),
    (item("file", "/x\ny", paths=("/x\ny",)), "cannot name the path"),
    (item("file", "/x\udcff", paths=("/x\udcff",)), "cannot name the path"),
    (item("container", "variable TOKEN"), "given to the container"),
    (item("container", "Privileged", "changed", now="True"), "given to the container"),
    (item("secret", "/home/dev/.ssh/id_rsa", paths=("/home/dev/.ssh/id_rsa",)), "secret"),
])  # fmt: skip
def test_what_a_preset_cannot_say_is_left_with_the_reason(one: Item, reason: str) -> None:
    found = made(one)
    assert found.is_empty
    assert reason in why(found)


def test_versions_that_have_a_key_of_their_own_are_left() -> None:
    found = made(item("python", "torch", "changed", was="2.0", now="2.1", asked_for=True), torch="2.0")
    assert "'torch:'" in why(found)
    assert found.is_empty
    assert "Node.js" in why(patch([item("npm", "tool", now="1.0.0")], {}, {}))


def test_files_are_copied_beside_the_preset() -> None:
    found = made(
        item("settings", "/home/dev/.gitconfig", paths=("/home/dev/.gitconfig",)),
        item("file", "/srv/x", "changed", paths=("/srv/x",), note="content, mode 0644 → 0755"),
        item("file", "/srv/many/", paths=("/srv/many", "/srv/many/1"), note="30 files"),
        item("kernel", "k", paths=("/share/jupyter/kernels/k", "/share/jupyter/kernels/k/kernel.json")),
    )  # fmt: skip
    assert found.files == {
        path: f"environment-files{path}"
        for path in ("/home/dev/.gitconfig", "/srv/x", "/srv/many", "/share/jupyter/kernels/k")
    }
    inherited = made(item("file", "/x", paths=("/x",)), files={"/x": "x"})
    assert inherited.files == {"/x": "environment-files/x"}, "an inherited file gives way"


def test_a_patch_has_a_limit_of_files() -> None:
    found = made(*(item("file", f"/srv/{number}", paths=(f"/srv/{number}",)) for number in range(210)))
    assert len(found.files) == 200
    assert len(found.left) == 10


@pytest.mark.parametrize(
    "own", [{"pip": 3}, {"pip": "rich"}, {"pip": None}, {"files": ["/x"]}, {"pip": [3, None, "("]}]
)
def test_a_preset_with_mistakes_is_read(own: Any) -> None:
    assert made(item("python", "rich", now="1", asked_for=True), own=own).add == {"pip": ("rich==1",)}


def test_it_is_applied_to_a_preset_with_comments() -> None:
    own = "extends: python  # shipped\npip:\n  # colours\n  - rich==13.0  # why\n  - six\nnpm: [old@1.0.0]\n"
    found = made(
        item("python", "rich", "changed", was="13.0", now="14.0"), item("python", "six", "removed"),
        item("npm", "old", "removed"), item("apt", "jq", asked_for=True), item("file", "/x", paths=("/x",)),
        own=yaml.safe_load(own),
    )  # fmt: skip
    assert found.apply(own) == (
        "extends: python  # shipped\npip:\n  # colours\n  - rich==14.0  # why\nnpm: []\n"
        "\napt:\n  - jq\n\nfiles:\n  /x: environment-files/x\n"
    )
    assert made().apply(own) == own


def test_what_cannot_be_written_in_place_is_told_as_lines() -> None:
    found = made(item("python", "rich", now="14.0", asked_for=True))
    with pytest.raises(PresetError, match="cannot be changed in place") as raised:
        found.apply("{extends: python}\n")
    assert raised.value.detail == "pip:\n  - rich==14.0"


def test_a_second_run_names_no_file_twice_and_copies_what_changed() -> None:
    shell = item("settings", "/home/dev/.bashrc", "changed", paths=("/home/dev/.bashrc",))
    first = made(shell)
    assert first.files == {"/home/dev/.bashrc": "environment-files/home/dev/.bashrc"}
    own = yaml.safe_load(first.apply("extends: python\n"))
    again = made(shell, own=own)
    assert (again.files, again.refresh) == ({}, first.files)
    assert again.apply("extends: python\n") == "extends: python\n"
    assert again.copies == first.files
    own["files"]["/home/dev/.bashrc"] = "mine"
    assert "already puts a file there" in why(made(shell, own=own))


def test_a_file_of_the_preset_that_was_removed_is_removed_there() -> None:
    gone = item("file", "/opt/x", "removed", paths=("/opt/x",))
    assert "puts it there" in why(made(gone, own={"files": {"/opt/x": "x"}}))
