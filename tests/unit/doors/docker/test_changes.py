from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import requests
import requests.exceptions

from devenv.doors.docker import changes
from devenv.doors.docker.changes import Change, Changes
from devenv.errors import EngineError

WHITEOUT = "whiteout"


class Layers:
    """Layers of an overlay in folders. A whiteout is a file of that content here, and marks are kept beside, because
    the real ones need root."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self._root, self._marks = root, dict[str, dict[str, bytes]]()
        self.engine = _Engine(str(root / "upper" / "diff"), f"{root / 'l1'}:{root / 'l2'}")
        for name in ("upper/diff", "l1", "l2"):
            (root / name).mkdir(parents=True)
        patch.setattr(changes, "_sees_marks", lambda _: True)
        patch.setattr(
            changes, "_is_whiteout", lambda facts: facts.st_size == len(WHITEOUT) and stat.S_ISREG(facts.st_mode)
        )
        patch.setattr(os, "listxattr", lambda path, **_: list(self._of(path)))
        patch.setattr(os, "getxattr", lambda path, name: self._of(path)[name])

    def _of(self, path: Any) -> dict[str, bytes]:
        return self._marks.get(os.path.realpath(path), {}) if self._marks else {}

    def mark(self, path: str, name: str, value: bytes) -> None:
        self._marks[str(self._root / path)] = {f"trusted.overlay.{name}": value}

    def write(self, layer: str, **files: str) -> None:
        for name, content in files.items():
            path = self._root / layer / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    @property
    def upper(self) -> Path:
        return self._root / "upper" / "diff"

    def found(self) -> list[tuple[str, str]]:
        return [(one.path, one.kind) for one in Changes.changes(self.engine, "c").changes]  # type: ignore[arg-type]


class _Engine(Changes):
    def __init__(self, upper: str, lower: str) -> None:
        self._connected = self.api = self
        self.data: Any = {"Data": {"UpperDir": upper, "LowerDir": lower}}
        self.rows: Any = [{"Path": "/told", "Kind": 1}]

    def inspect_container(self, _: str) -> Any:
        return {"GraphDriver": self.data}

    def diff(self, _: str) -> Any:
        return self.rows


TOLD = [("/told", "added")]


@pytest.fixture
def layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layers:
    return Layers(tmp_path.resolve(), monkeypatch)


def test_new_and_changed_files(layers: Layers) -> None:
    layers.write("l1", etc__a="1", usr__b="1")
    layers.write("l2", usr__c="1")
    layers.write("upper/diff", etc__a="2", usr__c="2", usr__d="3", srv__x__y="4")
    assert layers.found() == [
        ("/etc/a", "changed"), ("/srv", "added"), ("/srv/x", "added"), ("/srv/x/y", "added"), ("/usr/c", "changed"),
        ("/usr/d", "added"),
    ]  # fmt: skip


def test_removed_files_and_what_was_hidden_already(layers: Layers) -> None:
    layers.write("l2", a="1", b="1", d__x="1")
    layers.write("l1", b=WHITEOUT, d=WHITEOUT)
    layers.write("upper/diff", a=WHITEOUT, b="new", never=WHITEOUT)
    (layers.upper / "d").mkdir()
    assert layers.found() == [("/a", "removed"), ("/b", "added"), ("/d", "added")]


def test_a_folder_made_again_hides_what_was_in_it(layers: Layers) -> None:
    layers.write("l1", d__x="1", d__y="1")
    layers.write("upper/diff", d__x="2")
    layers.mark("upper/diff/d", "opaque", b"y")
    assert layers.found() == [("/d", "removed"), ("/d", "added"), ("/d/x", "added")]


def test_an_opaque_folder_of_the_image_hides_what_is_below_it(layers: Layers) -> None:
    layers.write("l1", d__x="1")
    layers.write("l2", d__y="1")
    layers.mark("l1/d", "opaque", b"y")
    layers.write("upper/diff", d__x="2", d__y="2")
    assert layers.found() == [("/d/x", "changed"), ("/d/y", "added")]


def test_a_folder_in_the_place_of_a_file_and_the_other_way_round(layers: Layers) -> None:
    layers.write("l1", a="1", b__x="1")
    layers.write("l2", a__below="1")
    layers.write("upper/diff", a__x="1", b="1")
    assert layers.found() == [("/a", "removed"), ("/a", "added"), ("/a/x", "added"), ("/b", "changed")]


def test_a_folder_changed_only_when_its_owner_or_mode_did(layers: Layers) -> None:
    layers.write("l1", d__x="1", e__x="1")
    layers.write("upper/diff", d__new="1", e__new="1")
    (layers.upper / "e").chmod(0o700)
    assert layers.found() == [("/d/new", "added"), ("/e", "changed"), ("/e/new", "added")]


def test_links_are_not_followed(layers: Layers, tmp_path: Path) -> None:
    layers.write("l1", d__x="1")
    (layers.upper / "d").symlink_to("/")
    (layers.upper / "new").symlink_to(tmp_path)
    assert layers.found() == [("/d", "changed"), ("/new", "added")]


def test_a_folder_that_becomes_a_link_meanwhile_is_not_entered(
    layers: Layers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers.write("upper/diff", a__b__c="1")
    (tmp_path / "secret" / "b").mkdir(parents=True)
    (tmp_path / "secret" / "b" / "name").touch()
    really = changes._listed

    def swapping(upper: str, folder: str) -> Any:
        if folder == "/a/b":
            (layers.upper / "a").rename(layers.upper / "moved")
            (layers.upper / "a").symlink_to(tmp_path / "secret")
        return really(upper, folder)

    monkeypatch.setattr(changes, "_listed", swapping)
    assert layers.found() == [("/a", "added"), ("/a/b", "added")]


def test_what_goes_meanwhile_is_left_out(layers: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    layers.write("upper/diff", a__b="1", c="1")
    really = changes._listed

    def removing(upper: str, folder: str) -> Any:
        if folder == "/a":
            (layers.upper / "a" / "b").unlink()
            (layers.upper / "a").rmdir()
        return really(upper, folder)

    monkeypatch.setattr(changes, "_listed", removing)
    assert layers.found() == [("/a", "added"), ("/c", "added")]


def test_odd_names(layers: Layers) -> None:
    for name in (b"new\nline", b"bad\xff", b"-", b"\x1b[31m"):
        Path(os.fsdecode(os.fsencode(layers.upper) + b"/" + name)).write_text("1")
    assert {path for path, _ in layers.found()} == {"/new\nline", "/bad\udcff", "/-", "/\x1b[31m"}


def test_a_deep_tree(layers: Layers) -> None:
    path = layers.upper
    for _ in range(1200):
        path = path / "d"
        path.mkdir()
    found = layers.found()
    while path != layers.upper:  # pytest would go down by recursion to remove them
        path.rmdir()
        path = path.parent
    assert len(found) == 1200


@pytest.mark.parametrize("place", ["upper/diff/d", "upper/diff/e", "l1/d"])
def test_a_renamed_folder_is_left_to_the_engine(place: str, layers: Layers) -> None:
    layers.write("l1", d__x="1")
    layers.write("upper/diff", d__y="1", e__z="1")
    layers.mark(place, "redirect", b"/elsewhere")
    assert layers.found() == TOLD


def test_the_engine_is_asked_where_its_layers_cannot_be_read(
    layers: Layers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers.write("upper/diff", a="1")
    assert layers.found() == [("/a", "added")]
    good = layers.engine.data
    for data in (None, {}, {"Data": None}, {"Data": {}}, {"Data": {"UpperDir": str(tmp_path), "LowerDir": ""}},
                 {"Data": {"UpperDir": "/none", "LowerDir": "/none"}}):  # fmt: skip
        layers.engine.data = data
        assert layers.found() == TOLD
    layers.engine.data = good
    monkeypatch.setattr(changes, "_listed", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert layers.found() == TOLD
    layers.engine.rows = None
    assert layers.found() == []


def test_only_who_sees_an_overlays_marks_reads_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upper = tmp_path / "upper" / "diff"
    upper.mkdir(parents=True)
    real = Path.read_text

    def told(rights: str, owner: int) -> bool:
        facts = os.stat_result((0o755, 0, 0, 0, owner, 0, 0, 0, 0, 0))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", lambda path: rights if path.name == "status" else real(path))
            patch.setattr(Path, "stat", lambda _: facts)
            return changes._sees_marks(upper)

    assert told("Name:\tx\nCapEff:\t000001ffffffffff\n", 0)
    assert not told("Name:\tx\nCapEff:\t0000000000000000\n", 0)
    assert not told("Name:\tx\nCapEff:\t00000000a80425fb\n", 0), "root in a container"
    assert not told("Name:\tx\nCapEff:\t000001ffffffffff\n", 1000), "an engine without root"
    assert not told("", 0)


def test_own_files_are_read_only_where_their_owners_are_the_containers(
    layers: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stat_of(owner: int) -> os.stat_result:
        return os.stat_result((0o755, 0, 0, 0, owner, 0, 0, 0, 0, 0))

    layers.write("upper/diff", a="1")
    real = Path.stat
    for owner, is_read in ((0, True), (231_072, False)):
        with monkeypatch.context() as patch:
            patch.setattr(
                Path, "stat",
                lambda path, owner=owner, **how: stat_of(owner) if path == layers.upper else real(path, **how),
            )  # fmt: skip
            listed = Changes.changes(layers.engine, "c")
            assert (listed.own is not None, listed.changes) == (is_read, (Change("/a", "added"),))
    layers.engine.data = {"Data": {}}
    assert Changes.changes(layers.engine, "c").own is None, "as the engine compares"


# the tars


def _tar(**files: bytes) -> bytes:
    spool = io.BytesIO()
    with tarfile.open(fileobj=spool, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return spool.getvalue()


class _Sender(Changes):
    """An engine that answers with these chunks, then with the error; `missing`: with status 404 and these words."""

    base_url, api_version = "http://x", "1.44"

    def __init__(self, *chunks: bytes, error: Exception | None = None, missing: str = "") -> None:
        self._connected, self.api, self.raw = self, self, self
        self._chunks, self._error, self._missing = list(chunks), error, missing
        self.is_closed = False

    def get(self, address: str, **options: Any) -> Any:
        asked = {"http://x/v1.44/containers/c/archive": {"path": "/x"}, "http://x/v1.44/images/devenv/a:1/get": {}}
        assert (options["params"], options["stream"]) == (asked[address], True)
        if self._error and not self._chunks:
            raise self._error
        return self

    def raise_for_status(self) -> None:
        if self._missing:
            answer = requests.Response()
            answer.status_code, answer.raw = 404, io.BytesIO(json.dumps({"message": self._missing}).encode())
            raise requests.exceptions.HTTPError("404", response=answer)

    def read(self, size: int, *, decode_content: bool) -> bytes:
        assert not decode_content
        data = b"".join(self._chunks)
        given, self._chunks = data[:size], [data[size:]]
        if self._error and len(given) < size:
            raise self._error
        return given

    def close(self) -> None:
        self.is_closed = True


def _names(sender: _Sender) -> list[tuple[str, bytes | None]]:
    with sender.members("c", "/x") as members:
        return [(one.name, content and content.read()) for one, content in members]


def _saved(sender: _Sender) -> list[tuple[str, bytes | None]]:
    with sender.saved("devenv/a:1") as members:
        return [(one.name, content and content.read()) for one, content in members]


def test_an_image_comes_in_the_same_way() -> None:
    content = bytes(range(256)) * 12_000
    sender = _Sender(_tar(a=content, b=b"2"))
    assert _saved(sender) == [("a", content), ("b", b"2")]
    assert sender.is_closed
    with pytest.raises(EngineError, match="an image is no longer on the engine"):
        _saved(_Sender(missing="No such image: devenv/a:1"))


def test_members_come_one_by_one_whatever_is_read_of_them() -> None:
    content = bytes(range(256)) * 12_000  # of several pieces
    sender = _Sender(_tar(a=b"1" * 3000, b=content, c=b"", d=b"2"))
    assert _names(sender) == [("a", b"1" * 3000), ("b", content), ("c", b""), ("d", b"2")]
    assert sender.is_closed
    with _Sender(_tar(a=b"1" * 3000, b=content, c=b"3")).members("c", "/x") as members:
        assert [(one.name, file and file.read(700)) for one, file in members] == [
            ("a", b"1" * 700), ("b", content[:700]), ("c", b"3"),
        ]  # fmt: skip


def test_a_path_that_does_not_exist_has_none() -> None:
    assert _names(_Sender(missing="Could not find the file /x in container c")) == []


def test_a_container_that_is_gone_is_not_an_empty_one() -> None:
    with pytest.raises(EngineError, match="no longer exists"):
        _names(_Sender(missing="No such container: c"))


def test_the_request_is_closed_when_only_the_first_is_wanted() -> None:
    sender = _Sender(_tar(a=b"1", b=b"2"))
    with sender.members("c", "/x") as members:
        next(members)
    assert sender.is_closed


@pytest.mark.parametrize("sender", [
    _Sender(_tar(a=b"1" * 3000)[:2000]), _Sender(b"no tar" * 1000), _Sender(b""),
    _Sender(error=docker.errors.APIError("it is busy")),
    _Sender(_tar(a=b"1" * 3000)[:2000], error=requests.exceptions.ConnectionError("gone")),
])  # fmt: skip
def test_what_breaks_off_is_an_error_with_a_remedy(sender: _Sender) -> None:
    with pytest.raises(EngineError):
        _names(sender)


@pytest.mark.parametrize("sender", [
    _Sender(_tar(a=b"1" * 3000)[:2000]), _Sender(b"no tar" * 1000), _Sender(b""),
    _Sender(_tar(a=b"1" * 3000)[:2000], error=requests.exceptions.ConnectionError("gone")),
])  # fmt: skip
def test_an_image_that_breaks_off_is_an_error_with_a_remedy(sender: _Sender) -> None:
    with pytest.raises(EngineError):
        _saved(sender)


class _Sizes(Changes):
    base_url, api_version = "http://x", "1.44"

    def __init__(self, answer: Any) -> None:
        self._connected, self.api, self._answer = self, self, answer

    def get(self, address: str, **options: Any) -> Any:
        assert options["timeout"] < 60
        if isinstance(self._answer, Exception):
            raise self._answer
        return self

    def raise_for_status(self) -> None:
        pass

    def json(self) -> Any:
        return self._answer


def test_sizes_of_volumes_are_told_where_the_engine_has_counted() -> None:
    rows = [{"Name": "a", "UsageData": {"Size": 5}}, {"Name": "b", "UsageData": None}, {"Name": "c"}]
    assert _Sizes({"Volumes": rows}).volume_sizes() == {"a": 5, "b": -1, "c": -1}
    assert _Sizes({"Volumes": None}).volume_sizes() == {}
    assert _Sizes(requests.exceptions.ReadTimeout("still counting")).volume_sizes() == {}
    with pytest.raises(EngineError):
        _Sizes(requests.exceptions.ConnectionError("gone")).volume_sizes()
