from __future__ import annotations

from typing import Any

import pytest

from devenv.drift.classify import Classified, classify
from devenv.drift.entries import Entry
from devenv.drift.items import Item
from tests.unit.drift.made import Tree, deb, file, folder, link, observed, status
from tests.unit.handmade import lock, preset

STATUS, STATES, NOTES = "/var/lib/dpkg/status", "/var/lib/apt/extended_states", "/var/lib/dpkg/info"
CURL = deb("curl", {"/usr/bin/curl": b"curl"})
IMAGE: dict[str, Any] = {**CURL, STATUS: status(("curl", "1"))}


def found(after: Tree, before: Tree = IMAGE) -> Classified:
    return classify(observed(before, after), lock(preset()))


def only(classified: Classified) -> Item:
    (item,) = classified.items
    return item


def names(classified: Classified) -> dict[str, str]:
    return {one.name: one.change for one in classified.items}


def test_a_new_package_with_its_files() -> None:
    tree = {"/usr/bin/jq": b"jq", "/usr/share/doc/jq/copyright": b"c"}
    after = {
        **IMAGE, **deb("jq", tree, "/usr/share/doc/jq"), STATUS: status(("curl", "1"), ("jq", "2")),
        "/usr/share/doc/jq": folder("/usr/share/doc/jq"),
    }  # fmt: skip
    item = only(found(after))
    assert (item.kind, item.change, item.name, item.now, item.asked_for) == ("apt", "added", "jq", "2", True)
    assert set(tree) <= set(item.paths)
    automatic = {**after, STATES: b"Package: jq\nArchitecture: amd64\nAuto-Installed: 1\n\n"}
    assert not only(found(automatic)).asked_for


def test_a_changed_and_a_removed_package() -> None:
    item = only(found({**deb("curl", {"/usr/bin/curl": b"newer"}), STATUS: status(("curl", "2"))}))
    assert (item.change, item.was, item.now) == ("changed", "1", "2")
    item = only(found({STATUS: b""}))
    assert (item.change, item.was) == ("removed", "1")
    item = only(found({STATUS: status(("curl", "1"), state="deinstall ok config-files")}))
    assert item.change == "removed", "its configuration stays"


@pytest.mark.parametrize("state", ["install ok unpacked", "install ok half-configured", "hold ok triggers-pending"])
def test_a_package_that_is_not_configured_is_named(state: str) -> None:
    after = {**IMAGE, **deb("sl", {"/usr/games/sl": b"sl"})}
    after[STATUS] = IMAGE[STATUS] + b"\n" + status(("sl", "5"), state=state)
    assert names(found(after)) == {"sl": "added"}


def test_paths_below_a_merged_folder_are_found() -> None:
    files = {"/usr/lib/x.so": b"x"}
    notes = {key.replace("/usr/lib", "/lib"): one for key, one in deb("x", {"/lib/x.so": b"x"}).items() if NOTES in key}
    assert names(found({**IMAGE, **files, **notes, STATUS: status(("curl", "1"), ("x", "1"))})) == {"x": "added"}


def test_an_edited_file_is_its_packages() -> None:
    item = only(found({**IMAGE, "/usr/bin/curl": b"evil"}))
    assert (item.kind, item.change, item.name, item.paths) == ("apt", "edited", "curl", ("/usr/bin/curl",))


def test_a_configuration_file_is_explained_by_its_own_hash() -> None:
    text = status(("curl", "1"), ("x", "1")).replace(
        b"Description: x\n long\n", b"Conffiles:\n /etc/x.conf " + file("", b"conf").md5.encode() + b"\n"
    )
    lists = {f"{NOTES}/x.list": b"/etc/x.conf\n"}
    assert names(found({**IMAGE, **lists, STATUS: text, "/etc/x.conf": b"conf"})) == {"x": "added"}
    assert names(found({**IMAGE, **lists, STATUS: text, "/etc/x.conf": b"mine"})) == {"x": "edited"}


# what a list claims


def _lying(*lines: str, sums: str = "") -> dict[str, Any]:
    return {
        **IMAGE, STATUS: status(("curl", "1"), ("liar", "1")), f"{NOTES}/liar.md5sums": sums.encode(),
        f"{NOTES}/liar.list": "".join(f"{one}\n" for one in lines).encode(),
    }  # fmt: skip


def test_a_list_explains_no_file_of_another_package() -> None:
    sums = f"{file('', b'evil').md5}  usr/bin/curl\n"
    told = found({**_lying("/usr/bin/curl", sums=sums), "/usr/bin/curl": b"evil"})
    changed = [one for one in told.items if "/usr/bin/curl" in one.paths]
    assert [one.change for one in changed] == ["edited"]
    assert "liar" in names(told)


def test_a_file_without_a_hash_that_fits_is_named() -> None:
    for sums in ("", "0  usr/bin/evil\n"):
        told = found({**_lying("/usr/bin/evil", sums=sums), "/usr/bin/evil": b"evil"})
        assert {one.change: one.paths for one in told.items}["edited"] == ("/usr/bin/evil",)


def test_a_changed_list_alone_is_named() -> None:
    told = found({**IMAGE, f"{NOTES}/curl.md5sums": b"0  usr/bin/curl\n"})
    assert [one.paths for one in told.items] == [(f"{NOTES}/curl.md5sums",)]


def test_notes_are_those_of_the_very_package() -> None:
    after = {
        **IMAGE, **deb("python3", {"/usr/bin/python3": b"1"}), **deb("python3.11", {"/usr/bin/python3.11": b"2"}),
        STATUS: status(("curl", "1"), ("python3", "1"), ("python3.11", "1")),
    }  # fmt: skip
    paths = {one.name: one.paths for one in found(after).items}
    assert "/usr/bin/python3.11" in paths["python3.11"]
    assert not [one for one in paths["python3"] if "3.11" in one]


# what packages' own scripts make


NEW: dict[str, Any] = {
    **IMAGE, **deb("jq", {"/usr/bin/jq": b"jq", "/usr/share/empty": b""}), STATUS: status(("curl", "1"), ("jq", "2"))
}  # fmt: skip


@pytest.mark.parametrize(("path", "value", "is_derived"), [
    ("/etc/alternatives/editor", link("", "/usr/bin/jq"), True),
    ("/usr/bin/editor", link("", "/etc/alternatives/editor"), True),
    ("/usr/bin/editor", link("", "/tmp/editor"), False),
    ("/usr/lib/jq/copy", b"jq", True),
    ("/home/dev/copy", b"jq", False),
    ("/usr/bin/set", file("", b"jq", mode=0o4755), False),
    ("/etc/new-and-empty", b"", False),
    ("/etc/sudoers.d/evil", b"dev ALL=(ALL) ALL", False),
    ("/usr/bin/evil", b"evil", False),
])  # fmt: skip
def test_what_scripts_of_packages_make_is_counted_as_theirs(path: str, value: bytes | Entry, is_derived: bool) -> None:
    told = found({**NEW, path: value})
    assert (path in told.derived) is is_derived
    assert (path in {place for one in told.items for place in one.paths}) is not is_derived
    assert path not in found({**IMAGE, path: value}).derived, "no package changed"


@pytest.mark.parametrize("now", [None, b"evil"])
def test_scripts_of_packages_change_no_file_that_a_package_brought(now: bytes | None) -> None:
    path = "/usr/share/perl/5.36/strict.pm"
    before = {**IMAGE, **deb("perl", {path: b"strict"}), STATUS: status(("curl", "1"), ("perl", "1"))}
    after = {**before, **deb("jq", {"/usr/bin/jq": b"jq"}), path: now}
    after[STATUS] = status(("curl", "1"), ("jq", "2"), ("perl", "1"))
    told = found({key: value for key, value in after.items() if value is not None}, before)
    assert names(told) == {"jq": "added", "perl": "edited"}
    assert path not in told.derived


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n\n\n",
        b" x\n",
        b"Package\n",
        b"Package: \nStatus: installed\n",
        b"\xff: \xfe\n",
        b"Package: ../../x\nStatus: install ok installed\n",
    ],
)
def test_odd_status_files_are_read(text: bytes) -> None:
    told = found({**IMAGE, STATUS: text})
    assert "curl" in names(told), "it is not there any more"
