from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devenv.drift.diff import Drift, VolumeSize, without_own_project
from devenv.drift.items import Item
from devenv.drift.patch import Left, patch
from devenv.drift.report import as_json, patch_json, row
from devenv.drift.write_patch import Written


def item(**changes: Any) -> Item:
    return Item(**{"kind": "python", "change": "added", "name": "x", **changes})


@pytest.mark.parametrize(("one", "told"), [
    (item(now="1", asked_for=True), ("+", "x", "1", "")),
    (item(now="1"), ("+", "x", "1", "dependency")),
    (item(change="changed", was="1", now="2"), ("~", "x", "1 → 2", "")),
    (item(change="removed", was="1"), ("-", "x", "1", "")),
    (item(change="editable", now="1", origin="file:///x"), ("+", "x", "1", "editable, file:///x")),
    (item(change="edited", paths=("/a",)), ("~", "x", "", "/a inside it is changed")),
    (item(change="edited", paths=("/a", "/b", "/c")), ("~", "x", "", "/a and 2 more inside it are changed")),
    (item(kind="file", bytes=2000, note="mode 4755"), ("+", "x", "", "mode 4755, 2.0 kB")),
    (item(kind="npm", now="1"), ("+", "x", "1", "")),
])  # fmt: skip
def test_a_row_of_the_table(one: Item, told: tuple[str, ...]) -> None:
    assert row(one) == told


def drift(*items: Item) -> Drift:
    return Drift(
        environment="t", image="i", lock=cast("Any", SimpleNamespace(digest="l")), preset={}, items=items, noise=3,
        volumes=(VolumeSize(name="v", mount="/v", bytes=-1),),
    )  # fmt: skip


def test_the_document() -> None:
    told = json.loads(json.dumps(as_json(drift(item(paths=("/a",))))))
    assert told == {
        "environment": "t", "image": "i", "lock_digest": "l", "equal": False, "noise": 3,
        "volumes": [{"name": "v", "mount": "/v", "bytes": -1}],
        "items": [{
            "kind": "python", "change": "added", "name": "x", "was": "", "now": "", "paths": ["/a"], "bytes": 0,
            "asked_for": False, "origin": "", "note": "",
        }],
    }  # fmt: skip
    assert as_json(drift())["equal"] is True


def test_the_document_of_a_patch() -> None:
    found = patch([item(name="rich", now="1", asked_for=True), item(kind="secret", name="/s")], {}, {})
    told = patch_json(Written(file=Path("/p/devenv.yaml"), change="+", patch=found, left=found.left))
    assert json.loads(json.dumps(told)) == {
        "file": "/p/devenv.yaml", "change": "+", "add": {"pip": ["rich==1"]}, "replace": {}, "remove": {}, "files": {},
        "refresh": {},
        "left": [{
            "kind": "secret", "name": "/s", "why": "it may be secret, so it is not copied",
            "remedy": "give it to the container on each machine",
        }],
    }  # fmt: skip
    assert isinstance(found.left[0], Left)


def test_what_the_presets_own_setup_step_installs_is_no_difference() -> None:
    own = item(change="editable", name="acme", now="1", origin="file:///workspace")
    others = [
        item(change="editable", name="b", origin="file:///home/dev/b"), item(name="rich", now="1"),
        item(change="editable", name="rich", was="1", now="2", origin="file:///workspace"),
    ]  # fmt: skip
    step = {"run": ["pip", "install", "--no-deps", "--no-build-isolation", "-e", "."], "once": "container"}
    assert without_own_project([own, *others], {"setup": {"project": step}}) == others
    for preset in ({}, {"setup": {"data": {"run": ["make"]}}}, {"setup": 1}):
        assert without_own_project([own], preset) == [own]
