"""A layer laid over a tree gives the other tree, and nothing outside of the tree changes."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.build import apply_delta, delta, own_images
from devenv.build.delta import Delta
from devenv.build.image import Image
from devenv.doors.docker.local_tag import BELOW_TAG
from devenv.drift.entries import Entry
from devenv.drift.observe import Difference
from devenv.errors import ShareError
from devenv.plan.plan import Plan, plan
from devenv.snapshot import layer
from tests.unit import examples
from tests.unit.snapshot.made import spooled

NON_UTF_8 = b"\xff".decode(errors="surrogateescape")
NAMES = ("a", "b", "c", "ä", "n\nl", NON_UTF_8)
UID, GID = os.getuid(), os.getgid()
Tree = dict[str, tuple[str, Any, int]]  # path → (kind, content or target, mode)


def _tree(draw: Any) -> Tree:
    """A small tree: names are few, so that two trees have the same names for other kinds."""
    tree: Tree = {}
    folders = [""]
    for _ in range(draw(st.integers(0, 10))):
        path = f"{draw(st.sampled_from(folders))}/{draw(st.sampled_from(NAMES))}"
        if path in tree:
            continue
        kind = draw(st.sampled_from(["file", "folder", "folder", "symlink", "fifo"]))
        mode = draw(st.sampled_from([0o600, 0o644, 0o755, 0o4755])) | (0o700 if kind == "folder" else 0)
        content = draw(st.binary(max_size=600)) if kind == "file" else draw(st.sampled_from(["a", "../b", "/nowhere"]))
        tree[path] = (kind, content if kind in ("file", "symlink") else None, 0o777 if kind == "symlink" else mode)
        if kind == "folder":
            folders.append(path)
    return tree


trees = st.composite(_tree)()


def _make(tree: Tree, root: Path) -> None:
    root.mkdir()
    for path, (kind, content, mode) in tree.items():
        place = root / path[1:]
        match kind:
            case "file":
                place.write_bytes(content)
            case "folder":
                place.mkdir()
            case "symlink":
                place.symlink_to(content)
            case "fifo":
                os.mkfifo(place)
        if kind != "symlink":
            place.chmod(mode)


def _look(root: Path) -> Tree:
    found: Tree = {}
    for place in root.rglob("*"):
        mode = place.lstat().st_mode
        path = f"/{place.relative_to(root)}"
        if place.is_symlink():
            found[path] = ("symlink", str(place.readlink()), 0o777)
        elif stat.S_ISFIFO(mode):
            found[path] = ("fifo", None, stat.S_IMODE(mode))
        elif place.is_dir():
            found[path] = ("folder", None, stat.S_IMODE(mode))
        else:
            found[path] = ("file", place.read_bytes(), stat.S_IMODE(mode))
    return found


def _entry(path: str, facts: tuple[str, Any, int] | None) -> Entry | None:
    if facts is None:
        return None
    kind, content, mode = facts
    return Entry(
        path=path, kind=kind, mode=mode, uid=UID, gid=GID, mtime=1000, size=len(content) if kind == "file" else 0,
        target=content if kind == "symlink" else "", sha256=str(content),
    )  # fmt: skip


def _layer(before: Tree, after: Tree, place: Path) -> None:
    differences = [
        Difference(path, _entry(path, before.get(path)), _entry(path, after.get(path)))
        for path in {*before, *after} if before.get(path) != after.get(path)
    ]  # fmt: skip
    spool = spooled({path: content for path, (kind, content, _) in after.items() if kind == "file"})
    held, left = layer.writable(differences, spool)
    assert left == []
    with place.open("wb") as file:
        layer.write(held, spool, file)


@given(before=trees, after=trees)
def test_a_tree_and_the_layer_of_its_differences_give_the_other_tree(
    before: Tree, after: Tree, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("trees")
    _make(before, folder / "root")
    _layer(before, after, folder / "layer.tar")
    rows = apply_delta.apply(folder / "layer.tar", folder / "root")
    assert _look(folder / "root") == after
    told = dict(rows)
    assert len(told) == len(rows)
    for path, change in told.items():
        assert change == ("removed" if path not in after else "changed" if path in before else "added")


@pytest.mark.parametrize("kind", ["symlink", "fifo", "file"])
def test_nothing_outside_of_a_folder_that_became_a_link_is_removed(tmp_path: Path, kind: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/b").write_text("precious")
    before: Tree = {"/a": ("folder", None, 0o755), "/a/b": ("file", b"1", 0o644)}
    content = {"symlink": str(tmp_path / "outside"), "file": b"2"}.get(kind)
    after: Tree = {"/a": (kind, content, 0o777 if kind == "symlink" else 0o644)}
    _make(before, tmp_path / "root")
    _layer(before, after, tmp_path / "layer.tar")
    apply_delta.apply(tmp_path / "layer.tar", tmp_path / "root")
    assert _look(tmp_path / "root") == after
    assert (tmp_path / "outside/b").read_text() == "precious"


def _tar(*members: tarfile.TarInfo, place: Path) -> Path:
    with tarfile.open(place, "w") as archive:
        for one in members:
            one.uid, one.gid = UID, GID
            archive.addfile(one, io.BytesIO(b"x" * one.size))
    return place


def _member(name: str, **values: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(member, key, value)
    return member


def test_times_are_those_of_the_layer(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    members = [_member("a", type=tarfile.DIRTYPE, mode=0o755, mtime=5), _member("a/b", size=3, mtime=7)]
    members.append(_member("a/c", type=tarfile.SYMTYPE, linkname="b", mtime=9))
    apply_delta.apply(_tar(*members, place=tmp_path / "layer.tar"), tmp_path / "root")
    assert [(tmp_path / "root" / name).lstat().st_mtime for name in ("a", "a/b", "a/c")] == [5, 7, 9]


def test_extended_attributes_are_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, bytes]] = []
    monkeypatch.setattr(os, "setxattr", lambda _, name, value: given.append((name, value)))
    (tmp_path / "root").mkdir()
    value = b"\x01\x00\x00\x02\x00\xff\x80"
    member = _member("a", pax_headers={"SCHILY.xattr.security.capability": value.decode(errors="surrogateescape")})
    apply_delta.apply(_tar(member, place=tmp_path / "layer.tar"), tmp_path / "root")
    assert given == [("security.capability", value)]


def test_devices_and_hard_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    for kind in (tarfile.CHRTYPE, tarfile.LNKTYPE):
        with pytest.raises(tarfile.TarError):
            apply_delta.apply(_tar(_member("a", type=kind), place=tmp_path / "layer.tar"), tmp_path / "root")


def test_the_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/old").touch()
    names = ["ä", "n\nl", NON_UTF_8, "q\"'", "u\u2028"]
    place = _tar(*map(_member, names), _member(".wh.old"), place=tmp_path / "layer.tar")
    apply_delta.main([str(place), str(tmp_path / "root"), str(tmp_path / "list")])
    rows = delta.rows((tmp_path / "list").read_text(encoding="ascii"))
    assert rows == (*((f"/{name}", "added") for name in names), ("/old", "removed"))


def test_a_list_of_many_paths_is_read() -> None:
    text = "".join(f'added "/home/dev/{number}"\n' for number in range(150_000))
    assert len(delta.rows(text)) == 150_000


@pytest.mark.parametrize(
    "text", ["[]", "added", 'added "a"', 'gone "/a"', 'added ["/a"]', 'added "/a', "added /a", "\n", 'added {"a":'],
)  # fmt: skip
def test_garbage_is_no_list(text: str) -> None:
    with pytest.raises(ValueError):
        delta.rows(text)


# The build.


class Engine:
    """Keeps tags; a build makes what it is told to."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {"devenv/demo:1": "sha256:below"}
        self.ever: list[str] = []

    def tag(self, reference: str, name: str) -> None:
        self.tags[name] = reference
        self.ever.append(name)

    def image_id(self, reference: str) -> str | None:
        return self.tags.get(reference)

    def remove_image(self, reference: str) -> None:
        del self.tags[reference]


@pytest.fixture
def made() -> Plan:
    return plan(examples.loaded(), examples.lock())


@pytest.fixture
def kept(tmp_path: Path) -> Delta:
    (tmp_path / "layer.tar").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    return Delta(path=tmp_path / "layer.tar", sha256=sha256, snapshot="before")


BELOW = Image(reference="devenv/demo:1", id="sha256:below", cached=True)


def _build(made: Plan, kept: Delta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def buildx(arguments: list[str], folder: Path, *_: Any, **__: Any) -> tuple[()]:
        seen.update({one.name: one.read_bytes() for one in folder.iterdir()}, arguments=arguments)
        engine.tags[delta.tag(made, kept)] = "sha256:new"
        return ()

    monkeypatch.setattr("devenv.build.build.buildx", buildx)
    engine_: Any = engine
    image = delta.build(made, kept, BELOW, engine_, own=tmp_path / "own", progress=SimpleNamespace())  # type: ignore[arg-type]
    assert (image.id, image.reference) == ("sha256:new", f"{made.image}-ba7816bf8f01cfea")
    return seen


def test_the_build_gets_the_layer_and_what_applies_it(
    made: Plan, kept: Delta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine()
    seen = _build(made, kept, tmp_path, monkeypatch, engine)
    assert seen["delta.tar"] == b"abc"
    assert b"def apply(" in seen["apply_delta.py"]
    assert b'dev.devenv.image.snapshot="before"' in seen["Dockerfile"]
    [held] = engine.ever
    assert f"below=docker-image://{held}" in seen["arguments"]
    assert held.startswith(BELOW_TAG)
    assert held not in engine.tags


def test_both_tags_are_remembered_before_they_are_made(
    made: Plan, kept: Delta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what a killed run left would count as another user's, and 'prune' would keep it."""
    engine = Engine()

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("devenv.build.build.buildx", killed)
    monkeypatch.setattr(engine, "remove_image", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        delta.build(made, kept, BELOW, engine, own=tmp_path / "own", progress=SimpleNamespace())  # type: ignore[arg-type]
    assert all(own_images.is_own(tmp_path / "own", one) for one in (*engine.ever, delta.tag(made, kept)))


def test_a_layer_on_another_file_system_is_copied(
    made: Plan, kept: Delta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert _build(made, kept, tmp_path, monkeypatch, Engine())["delta.tar"] == b"abc"


@pytest.mark.parametrize("damage", ["changed", "missing", "a folder"])
def test_a_damaged_layer_is_refused(
    made: Plan, kept: Delta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    kept.path.unlink()
    if damage == "changed":
        kept.path.write_bytes(b"abd")
    elif damage == "a folder":
        kept.path.mkdir()
    with pytest.raises(ShareError, match="the layer of the snapshot before cannot be used"):
        _build(made, kept, tmp_path, monkeypatch, Engine())


def test_names_of_files_in_the_image_are_quoted(made: Plan, kept: Delta) -> None:
    text = delta._dockerfile(made, kept)
    assert text.startswith("FROM below\n")
    assert '"/usr/bin/python3", "-I", "-S", "-B"' in text
