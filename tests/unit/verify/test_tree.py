"""A root that is partly covered is described as it is without that."""

from __future__ import annotations

import os
from pathlib import Path

from devenv.verify import canonical
from devenv.verify.tree import Tree
from tests.unit.verify.test_canonical import made_root, put


def test_covered_folders_are_read_beside_the_root(tmp_path: Path) -> None:
    root, beside = made_root(tmp_path / "root"), tmp_path / "beside"
    (root / "proc").mkdir(mode=0o700)
    os.link(root / "etc/passwd", root / "usr/bin/second-name")
    expected = [*canonical.layers(Tree.of(root))]
    for name in ("etc", "proc"):
        beside.mkdir(exist_ok=True)
        (root / name).rename(beside / name)
        put(root, f"{name}/of-the-engine")
    assert [*canonical.layers(Tree.of(root, beside))] == expected
    assert [*canonical.layers(Tree.of(root))] != expected


def test_names_on_two_mounts_of_one_tree_are_one_file(tmp_path: Path) -> None:
    facts = (tmp_path / "x", tmp_path / "y")
    facts[0].touch()
    os.link(*facts)
    one, other = (path.stat() for path in facts)
    mounted = os.stat_result((*other[:2], other.st_dev + 1, *other[3:]))
    assert Tree("").inode(mounted) != Tree("").inode(one)
    assert Tree("", devices={mounted.st_dev: one.st_dev}).inode(mounted) == Tree("").inode(one)


def test_the_top_of_all_is_read_without_a_second_slash() -> None:
    assert Tree.of(Path("/")).at("etc/x") == "/etc/x"
    assert Tree.of(Path("/")).at("") == "/"
