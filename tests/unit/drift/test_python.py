from __future__ import annotations

import json
from typing import Any

import pytest

from devenv.drift.classify import Classified, classify
from devenv.drift.items import Item
from devenv.lock.model import LockedSources, Source
from tests.unit import handmade
from tests.unit.drift.made import SITE, Tree, file, folder, observed, row, wheel
from tests.unit.handmade import lock, preset

LOCK = lock(preset(), wheels=(handmade.wheel("six", "1.17.0"), handmade.wheel("attrs", "26.1.0")))
SIX = wheel("six", "1.17.0", {"six.py": b"six"}, more=row("__pycache__/six.cpython-311.pyc"))
ATTRS = wheel("attrs", "26.1.0", {"attr/__init__.py": b"a", "attr/_make.py": b"b"})
IMAGE: Tree = {**SIX, **ATTRS, "/usr/bin/x": b"the system's"}


def found(after: Tree, before: Tree = IMAGE) -> Classified:
    return classify(observed(before, {**before, **after}), LOCK)


def less(*paths: str) -> dict[str, Any]:
    return {path: one for path, one in IMAGE.items() if path not in paths}


def only(classified: Classified) -> Item:
    (item,) = classified.items
    return item


def test_a_new_package_is_one_item_with_all_its_files() -> None:
    item = only(found(wheel("rich", "14.0", {"rich/a.py": b"1", "rich/b.py": b"2", "../../../bin/rich": b"#!"})))
    assert (item.kind, item.change, item.name, item.now, item.asked_for) == ("python", "added", "rich", "14.0", False)
    assert f"{SITE}/rich/a.py" in item.paths
    assert item.bytes > 4


def test_a_package_that_a_person_named_is_asked_for() -> None:
    assert only(found(wheel("rich", "14.0", {"r.py": b"1"}, requested=True))).asked_for
    no_record = {f"{SITE}/old.egg-info": b"Name: Old_One\nVersion: 3\n"}
    item = only(found(no_record))
    assert (item.name, item.now, item.asked_for) == ("old-one", "3", True), "nothing tells that it is a dependency"


def test_a_changed_and_a_removed_package() -> None:
    rest = less(*SIX)
    after = {**rest, **wheel("six", "1.16.0", {"six.py": b"older"})}
    item = only(classify(observed(IMAGE, after), LOCK))
    assert (item.change, item.was, item.now) == ("changed", "1.17.0", "1.16.0")
    item = only(classify(observed(IMAGE, rest), LOCK))
    assert (item.change, item.was, item.now) == ("removed", "1.17.0", "")


def test_a_package_installed_again_is_no_difference() -> None:
    info = f"{SITE}/six-1.17.0.dist-info"
    again = {
        f"{SITE}/six.py": file(f"{SITE}/six.py", b"six", uid=1000, mode=0o664),
        info: folder(info, uid=1000, mode=0o775), f"{info}/INSTALLER": b"uv\n", f"{info}/REQUESTED": b"",
    }  # fmt: skip
    assert found(again).items == ()
    assert only(found({**again, f"{SITE}/six.py": file(f"{SITE}/six.py", b"six", mode=0o4755)})).change == "edited", (
        "rights count"
    )
    assert only(found({**again, f"{SITE}/six.py": file(f"{SITE}/six.py", b"six", uid=33)})).change == "edited"
    assert only(found({f"{SITE}/six.py": file(f"{SITE}/six.py", b"six", uid=1000)})).change == "edited", (
        "nobody installed it"
    )


def test_the_same_version_from_another_place_is_named_with_the_place() -> None:
    info = f"{SITE}/six-1.17.0.dist-info"
    url = {"url": "https://x/six.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    record = row("six.py", b"six, but ours").encode()
    item = only(found({
        f"{info}/direct_url.json": json.dumps(url).encode(), f"{SITE}/six.py": b"six, but ours",
        f"{info}/RECORD": record,
    }))  # fmt: skip
    assert (item.change, item.was, item.now) == ("changed", "1.17.0", "1.17.0")
    assert item.origin == "git+https://x/six.git@abc"
    assert f"{SITE}/six.py" in item.paths


@pytest.mark.parametrize("address", [
    "https://user:hunter2@h/x.whl", "https://u:p@hunter2@h/x.whl", "https://h/x.whl?token=hunter2",
    "https://h/x.whl#hunter2",
])  # fmt: skip
def test_a_login_in_an_address_is_left_out(address: str) -> None:
    package = wheel("rich", "1", {"r.py": b"1"})
    package[f"{SITE}/rich-1.dist-info/direct_url.json"] = json.dumps({"url": address}).encode()
    assert only(found(package)).origin == "https://h/x.whl"


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"url": 3}', b'{"url": null, "dir_info": 1}', b"\xff"])
def test_an_address_that_is_none(text: bytes) -> None:
    package = wheel("rich", "1", {"r.py": b"1"})
    package[f"{SITE}/rich-1.dist-info/direct_url.json"] = text
    assert only(found(package)).origin == ""


def test_an_editable_install() -> None:
    package = wheel("mine", "0.1", {"__editable__.mine.pth": b"/home/dev/mine\n"}, requested=True)
    url = {"url": "file:///home/dev/mine", "dir_info": {"editable": True}}
    package[f"{SITE}/mine-0.1.dist-info/direct_url.json"] = json.dumps(url).encode()
    item = only(found(package))
    assert (item.change, item.origin) == ("editable", "file:///home/dev/mine")


def test_edited_files_are_those_of_their_package() -> None:
    after = {f"{SITE}/attr/_make.py": b"B", f"{SITE}/attr/extra.py": b"new"}
    item = only(found(after))
    assert (item.name, item.change) == ("attrs", "edited")
    assert item.paths == (f"{SITE}/attr/_make.py", f"{SITE}/attr/extra.py")
    assert only(found({f"{SITE}/loose.py": b"1"})).kind == "file", "no package's"


def test_a_package_elsewhere_is_named_with_the_place() -> None:
    site = "/usr/local/lib/python3.11/dist-packages"
    assert only(found(wheel("rich", "1", {"r.py": b"1"}, site=site))).note == f"in {site}"


# what a record claims


def names(classified: Classified) -> dict[str, str]:
    return {one.name: one.change for one in classified.items}


def test_a_record_explains_no_file_of_others() -> None:
    lie = wheel("liar", "1", {}, more=row("../../../../../usr/bin/x", b"evil") + row("six.py", b"evil"))
    told = names(found({**lie, "/usr/bin/x": b"evil", f"{SITE}/six.py": b"evil"}))
    assert told == {"liar": "added", "six": "edited", "/usr/bin/x": "changed"}


def test_a_record_explains_nothing_outside_of_the_environment() -> None:
    lie = wheel("liar", "1", {"../../../../../usr/bin/evil": b"evil", "/etc/cron.d/evil": b"evil"})
    told = names(found({**lie, "/usr/bin/evil": b"evil", "/etc/cron.d/evil": b"evil"}))
    assert told == {"liar": "added", "/usr/bin/evil": "added", "/etc/cron.d/evil": "added"}


@pytest.mark.parametrize("line", [
    row("evil.pth", b"something else"), row("evil.pth"), "evil.pth,md5=abc,1\n", "evil.pth,sha256=%%,1\n", "evil.pth\n",
    "evil.pth,sha256=,\n",
])  # fmt: skip
def test_a_hash_that_does_not_fit_or_is_not_there_explains_nothing(line: str) -> None:
    told = found({**wheel("liar", "1", {"l.py": b"1"}, more=line), f"{SITE}/evil.pth": b"import evil"})
    assert f"{SITE}/evil.pth" in {path for one in told.items for path in one.paths if one.change != "added"} | {
        one.name for one in told.items
    }


def test_a_link_in_the_place_of_a_recorded_file_is_named() -> None:
    from tests.unit.drift.made import link

    tree = wheel("liar", "1", {"l.py": b"1"})
    tree[f"{SITE}/l.py"] = link(f"{SITE}/l.py", "/etc/passwd")
    told = found(tree)
    assert any(f"{SITE}/l.py" in one.paths and one.change == "edited" for one in told.items)


@pytest.mark.parametrize(
    "text", ["", "\n\n", '"', '"a\nb",,\n', ",,\n", "a\x00b,,\n", "\x85,\u2028,\x0c\n", ",".join("x" * 300_000)]
)
def test_odd_records_are_read(text: str) -> None:
    package = wheel("rich", "1", {}, more=text)
    assert names(found(package)) == {"rich": "added"}


def test_a_name_with_an_odd_line_break_is_one_row() -> None:
    assert only(found(wheel("rich", "1", {"a\x0bb\u2028c.py": b"1"}))).change == "added"


def test_a_quoted_line_break_is_one_row() -> None:
    package = wheel("rich", "1", {}, more='"a\nb.py"' + row("", b"1"))
    assert only(found({**package, f"{SITE}/a\nb.py": b"1"})).name == "rich"


# bytecode


PYC = f"{SITE}/__pycache__/six.cpython-311.pyc"


def _code(header: bytes, code: bytes) -> Any:
    return file(PYC, header + code, md5=file("", code).md5)


def test_bytecode_that_python_made_is_noise() -> None:
    new = f"{SITE}/attr/__pycache__/_make.cpython-311.pyc"
    assert found({new: b"1"}).items == ()
    assert found({new: b"1"}).noise == 1
    image = {**IMAGE, PYC: _code(b"0" * 16, b"code")}
    assert found({PYC: _code(b"1" * 16, b"code")}, image).items == (), "made again of the same source"
    told = only(found({PYC: _code(b"1" * 16, b"other"), f"{SITE}/six.py": b"other"}, image))
    assert told.paths == (f"{SITE}/six.py",), "of the edited source"


def test_other_bytecode_of_an_unchanged_source_is_named() -> None:
    image = {**IMAGE, PYC: _code(b"0" * 16, b"code")}
    item = only(found({PYC: _code(b"0" * 16, b"evil")}, image))
    assert (item.name, item.change, item.paths) == ("six", "edited", (PYC,))


@pytest.mark.parametrize("info", ["Old.Name-1.0.dist-info", "old_name-1.0.dist-info", "Old.Name-1.dist-info"])
def test_the_files_of_a_package_without_a_wheel_are_its_own(info: str) -> None:
    """Its wheel is called as its build called it, which the lock does not know."""
    source = Source(
        name="old-name", version="1", file="Old.Name-1.0.tar.gz", size=1, sha256="0" * 64, layer=0, backend="x"
    )
    made = LOCK.model_copy(update={"sources": LockedSources(packages=(source,))})
    there: Tree = {
        f"{SITE}/odd.py": b"1", f"{SITE}/{info}/METADATA": b"Name: Old.Name\nVersion: 1.0\n",
        f"{SITE}/{info}/RECORD": row("odd.py").encode(),
    }  # fmt: skip
    image = {**IMAGE, **there}
    item = only(classify(observed(image, {**image, f"{SITE}/odd.py": b"2"}), made))
    assert (item.kind, item.change, item.name) == ("python", "edited", "old-name")
