from __future__ import annotations

import json
from typing import Any

import pytest

from devenv.drift import node
from devenv.drift.classify import classify
from devenv.drift.items import Item
from tests.unit.drift.made import Tree, folder, link, observed
from tests.unit.handmade import lock, preset

LIB = "/opt/node/lib/node_modules"
NPM: dict[str, Any] = {f"{LIB}/npm/package.json": b'{"version": "11.0.0"}', f"{LIB}/npm/index.js": b"1"}


def found(after: Tree, before: Tree = NPM) -> tuple[Item, ...]:
    return classify(observed(before, after), lock(preset())).items


def only(items: tuple[Item, ...]) -> Item:
    (item,) = items
    return item


def test_a_new_global_package_with_what_came_with_it() -> None:
    top = f"{LIB}/@scope/tool"
    item = only(found({
        **NPM, top: folder(top), f"{top}/package.json": b'{"version": "2.0.0"}',
        f"{top}/node_modules/dep/package.json": b'{"version": "9.9.9"}',
        "/opt/node/bin/tool": link("/opt/node/bin/tool", "../lib/node_modules/@scope/tool/cli.js"),
    }))  # fmt: skip
    assert (item.kind, item.change, item.name, item.now, item.asked_for) == (
        "npm",
        "added",
        "@scope/tool",
        "2.0.0",
        True,
    )
    assert "/opt/node/bin/tool" in item.paths


def test_a_changed_an_edited_and_a_removed_package() -> None:
    item = only(found({**NPM, f"{LIB}/npm/package.json": b'{"version": "11.1.0"}'}))
    assert (item.change, item.was, item.now) == ("changed", "11.0.0", "11.1.0")
    item = only(found({**NPM, f"{LIB}/npm/index.js": b"2"}))
    assert (item.change, item.was, item.now) == ("edited", "", "")
    before = {**NPM, f"{LIB}/npm": folder(f"{LIB}/npm")}
    item = only(found({}, before))
    assert (item.change, item.was) == ("removed", "11.0.0")


def test_a_linked_package_is_editable() -> None:
    item = only(found({**NPM, f"{LIB}/mine": link(f"{LIB}/mine", "/home/dev/mine")}))
    assert (item.change, item.name, item.origin) == ("editable", "mine", "/home/dev/mine")


def test_a_projects_own_packages_are_its_files() -> None:
    item = only(found({**NPM, "/home/dev/app/node_modules/x/package.json": b'{"version": "1"}'}))
    assert item.kind == "file"


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"version": 3}', b"\xff"])
def test_an_odd_manifest(text: bytes) -> None:
    before = {**NPM, f"{LIB}/x": folder(f"{LIB}/x")}
    assert only(found({**before, f"{LIB}/x/package.json": text}, before)).name == "x"


def test_kernels() -> None:
    top = "/home/dev/.local/share/jupyter/kernels/mine"
    new = {top: folder(top), f"{top}/kernel.json": json.dumps({"display_name": "Mine"}).encode(), f"{top}/logo": b"1"}
    item = only(found({**NPM, **new}))
    assert (item.kind, item.change, item.name, item.now) == ("kernel", "added", "mine", "Mine")
    item = only(found({**NPM, **new, f"{top}/kernel.json": b'{"display_name": 3}'}, {**NPM, **new}))
    assert (item.change, item.now) == ("edited", "")
    assert only(found(NPM, {**NPM, **new})).change == "removed"
    assert only(found({**NPM, "/home/dev/linux/kernels/six/x.c": b"1"})).kind == "file", "not every kernel is Jupyter's"


def test_extensions_of_the_editors_list() -> None:
    rows = [{"identifier": {"id": "a.b"}, "version": "1"}, {"identifier": {"id": "c.d"}}]
    items = node.extensions(json.dumps(rows), "/mnt/x")
    assert [(one.name, one.now) for one in items] == [("a.b", "1"), ("c.d", "?")]
    for text in ("", "{", "3", '[3, null, {}, {"identifier": 3}, {"identifier": {"id": 3}}]'):
        assert node.extensions(text, "/mnt/x") == []
