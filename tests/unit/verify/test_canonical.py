from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import struct
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from devenv.verify import canonical
from devenv.verify.canonical import Layer
from devenv.verify.tar_entry import EPOCH_S
from devenv.verify.tree import Tree

FILES = {
    "usr/bin/bash": "base", "usr/bin/git": "system", "opt/node/bin/node": "node",
    "opt/code-server/out/a.js": "editor", "opt/venv/lib/python3.11/site-packages/numpy/core.py": "wheels-0",
    "opt/venv/lib/python3.11/site-packages/mine.py": "wheels-1", "opt/npm/bin/tsc": "npm",
    "etc/devenv/environment.json": "own", "usr/local/lib/devenv/entrypoint": "own", "workspace/readme.md": "own",
    "etc/passwd": "system",
}  # fmt: skip
SITE = "opt/venv/lib/python3.11/site-packages"


def layers(root: Path, base: Path | None = None) -> Iterator[Layer]:
    """The canonical layers of folders."""
    return canonical.layers(Tree.of(root), Tree.of(base) if base else None)


def put(root: Path, path: str, text: str | None = None) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(path if text is None else text)
    return file


def made_root(root: Path, names: Iterable[str] = tuple(FILES)) -> Path:
    """A small image: files that dpkg and the wheels' records list, and a lock with the layers."""
    for name in names:
        put(root, name)
    (root / "bin").symlink_to("usr/bin")
    put(root, "var/lib/dpkg/info/bash:amd64.list", "/.\n/bin\n/bin/bash\n")
    put(root, "var/lib/dpkg/info/git.list", "/usr/bin/git\n")
    put(root, f"{SITE}/Numpy-2.0.dist-info/RECORD", "numpy/core.py,sha256=x,1\n")
    put(root, f"{SITE}/mine-1.dist-info/RECORD", 'mine.py,sha256=x,1\n"../../../bin/mine, too",,\n')
    put(root, f"{SITE}/__pycache__/mine.cpython-311.pyc", "bytecode")
    lock = {
        "base": {"packages": [{"name": "bash"}]},
        "wheels": [{"name": "numpy", "layer": 0}, {"name": "mine", "layer": 1}],
    }
    put(root, "etc/devenv/devenv.lock", json.dumps(lock))
    return root


def _places(found: Iterable[Layer]) -> dict[str, str]:
    return {entry.path: layer.name for layer in found for entry in layer.entries}


def _ids(root: Path, base: Path | None = None) -> list[tuple[str, str]]:
    return [(layer.name, layer.diff_id) for layer in layers(root, base)]


def test_paths_lie_in_the_layer_of_what_brought_them(tmp_path: Path) -> None:
    root = made_root(tmp_path)
    put(root, "opt/venv/bin/mine, too")
    places = _places(layers(root))
    assert {path: places[path] for path in FILES} == FILES
    assert places[f"{SITE}/__pycache__/mine.cpython-311.pyc"] == "wheels-1"
    assert places["opt/venv/bin/mine, too"] == "wheels-1"
    assert places["bin"] == "base"


def test_every_file_lies_in_one_layer_and_every_layer_brings_its_folders(tmp_path: Path) -> None:
    root = made_root(tmp_path)
    found = list(layers(root))
    files = [entry.path for layer in found for entry in layer.entries if entry.kind != "folder"]
    assert len(files) == len(set(files))
    assert set(_places(found)) == {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert [layer.name for layer in found] == [
        "base", "node", "editor", "wheels-0", "wheels-1", "system", "npm", "own"
    ]  # fmt: skip
    facts = {entry.path: entry for layer in found for entry in layer.entries}
    for layer in found:
        own = {entry.path for entry in layer.entries}
        for entry in layer.entries:
            parent = entry.path.rpartition("/")[0]
            assert not parent or parent in own, f"an engine would make {parent} with a mode of its own"
            assert entry.kind != "folder" or entry == facts[entry.path]


def test_order_of_making_and_times_leave_no_trace(tmp_path: Path) -> None:
    one, other = made_root(tmp_path / "one"), made_root(tmp_path / "other", reversed(FILES))
    for path in other.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert _ids(one) == _ids(other)


def _mode(root: Path) -> None:
    (root / "usr/bin/git").chmod(0o4755)


def _content(root: Path) -> None:
    (root / "usr/bin/git").write_text("usr/bin/giT")


def _extra(root: Path) -> None:
    put(root, "usr/bin/new")


def _gone(root: Path) -> None:
    (root / "usr/bin/git").unlink()


def _link(root: Path) -> None:
    (root / "usr/bin/git").unlink()
    (root / "usr/bin/git").symlink_to("bash")


def _owner(root: Path) -> None:
    os.chown(root / "usr/bin/git", 12, 34)


def _folder(root: Path) -> None:
    (root / "usr/bin").chmod(0o700)


def _hard_link(root: Path) -> None:
    (root / "etc/passwd").unlink()
    os.link(root / "usr/bin/git", root / "etc/passwd")


def _xattr(root: Path) -> None:
    os.setxattr(root / "usr/bin/git", "user.note", b"\x01\xff")


def _access_list(root: Path) -> None:
    # Version 2; user:: rw-, user:1000 rw-, group:: r--, mask:: rw-, other:: --- (linux/posix_acl_xattr.h).
    rows = [(1, 6, 0xFFFFFFFF), (2, 6, 1000), (4, 4, 0xFFFFFFFF), (16, 6, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
    os.setxattr(root / "usr/bin/git", "system.posix_acl_access", value)


@pytest.mark.parametrize(
    "change", [_mode, _content, _extra, _gone, _link, _owner, _folder, _hard_link, _xattr, _access_list]
)
def test_whatever_counts_changes_the_digest(tmp_path: Path, change: Callable[[Path], None]) -> None:
    if change is _owner and os.getuid() != 0:
        pytest.skip("only root gives files away")
    before, root = _ids(made_root(tmp_path / "one")), made_root(tmp_path / "other")
    change(root)
    assert dict(_ids(root)) != dict(before)


def test_a_changed_wheel_changes_only_its_own_layer(tmp_path: Path) -> None:
    before, root = dict(_ids(made_root(tmp_path / "one"))), made_root(tmp_path / "other")
    put(root, f"{SITE}/mine.py", "another version")
    after = dict(_ids(root))
    assert {name for name in after if after[name] != before[name]} == {"wheels-1"}


def test_names_of_one_file_stay_one_file(tmp_path: Path) -> None:
    root = made_root(tmp_path)
    os.link(root / "usr/bin/git", root / "usr/bin/git-receive-pack")
    (layer,) = (one for one in layers(root) if one.name == "system")
    entry = next(one for one in layer.entries if one.path == "usr/bin/git-receive-pack")
    assert (entry.kind, entry.target, entry.size_bytes) == ("hardlink", "usr/bin/git", 0)


def test_the_diff_id_is_that_of_a_tar_that_holds_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = made_root(tmp_path)
    os.link(root / "usr/bin/git", root / "usr/bin/git-receive-pack")
    put(root, "usr/share/" + "long/" * 60 + "naïve name")
    (root / "usr/bin/git").chmod(0o2711)
    written: list[bytes] = []
    real = hashlib.sha256

    class Recording:
        """Keeps what the layer's digest is fed with, which is the layer's tar."""

        def __init__(self) -> None:
            self.inner, self.parts = real(), bytearray()
            written.append(b"")
            self.place = len(written) - 1

        def update(self, data: bytes) -> None:
            self.inner.update(data)
            self.parts += data
            written[self.place] = bytes(self.parts)

        def hexdigest(self) -> str:
            return self.inner.hexdigest()

    monkeypatch.setattr(canonical.hashlib, "sha256", Recording)
    found = list(layers(root))
    tars = {f"sha256:{real(data).hexdigest()}": data for data in written}
    for layer in found:
        data = tars[layer.diff_id]
        assert len(data) == layer.size_bytes
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = {member.name: member for member in archive}
            assert list(members) == [entry.path for entry in layer.entries]
            for entry in layer.entries:
                member = members[entry.path]
                assert (member.mode, member.uid, member.mtime) == (entry.mode, entry.uid, EPOCH_S)
                if entry.kind == "file":
                    content = archive.extractfile(member)
                    assert content is not None
                    assert content.read() == (root / entry.path).read_bytes()


def test_only_what_differs_from_the_base_counts(tmp_path: Path) -> None:
    base, root = made_root(tmp_path / "base"), made_root(tmp_path / "root")
    for path in base.rglob("*"):
        os.utime(path, (5, 5), follow_symlinks=False)
    put(root, "usr/bin/new")
    put(root, "usr/bin/git", "patched")
    (root / "opt/npm/bin/tsc").unlink()
    (root / "opt/npm/bin").rmdir()
    (root / "opt/npm").rmdir()
    assert _places(layers(root, base)) == {
        "usr": "system", "usr/bin": "system", "usr/bin/new": "system", "usr/bin/git": "system",
        "opt/.wh.npm": canonical.REMOVED,
    }  # fmt: skip
    assert _ids(root, root) == []


def test_over_a_base_names_of_one_file_count(tmp_path: Path) -> None:
    base, root = made_root(tmp_path / "base"), made_root(tmp_path / "root")
    put(root, "usr/bin/copy", "usr/bin/git")
    os.link(base / "usr/bin/git", base / "usr/bin/copy")
    assert {"usr/bin/git", "usr/bin/copy"} <= set(_places(layers(root, base)))


def test_what_a_folder_had_goes_with_it_and_not_after_it(tmp_path: Path) -> None:
    base, root = made_root(tmp_path / "base"), made_root(tmp_path / "root")
    for name in ("data/old", "lib/so"):
        put(base, name)
    put(root, "data")
    (root / "lib").symlink_to("usr")
    put(base, "srv/gone")
    found = list(layers(root, base))
    assert found[0].name == canonical.REMOVED
    assert [entry.path for entry in found[0].entries] == [".wh.srv"]


def test_a_tampered_image_is_described_all_the_same(tmp_path: Path) -> None:
    root = made_root(tmp_path)
    (root / "etc/devenv/devenv.lock").write_text("{")
    os.mkfifo(root / "var/lib/dpkg/info/x.list")
    assert "usr/bin/git" in _places(layers(root))
    (root / "etc/devenv/devenv.lock").unlink()
    os.mkfifo(root / "etc/devenv/devenv.lock")
    assert "usr/bin/git" in _places(layers(root))


def test_what_main_writes_reads_back(tmp_path: Path) -> None:
    root = made_root(tmp_path / "root")
    canonical.main([str(root), str(tmp_path / "out")])
    told = json.loads((tmp_path / "out/canonical.json").read_text())
    expected = [json.loads(json.dumps(dataclasses.asdict(layer))) for layer in layers(root)]
    assert [one["diff_id"] for one in told] == [one["diff_id"] for one in expected]
    assert [len(one["entries"]) for one in told] == [len(one["entries"]) for one in expected]
