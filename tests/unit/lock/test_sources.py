"""Packages without wheels in a lock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from devenv.errors import LockError
from devenv.lock.diff import changes
from devenv.lock.model import Lock, LockedSources, Source, parse
from devenv.plan.cache_keys import source_key
from tests.unit.handmade import deb, lock, preset, sha, wheel


def source(name: str, version: str = "1", layer: int | None = 0, **more: Any) -> Source:
    file = f"{name}-{version}.tar.gz"
    values = {
        "name": name, "version": version, "file": file, "size": 9, "sha256": sha(file), "layer": layer,
        "backend": "setuptools.build_meta", "requires": (wheel("setuptools"),),
    }  # fmt: skip
    return Source.model_validate(values | more)


def sources(*packages: Source, toolchain: tuple[Any, ...] = ()) -> LockedSources:
    return LockedSources(packages=packages, toolchain=toolchain)


def locked(*packages: Source, toolchain: tuple[Any, ...] = ()) -> Lock:
    return lock(preset(), sources=sources(*packages, toolchain=toolchain))


def test_a_lock_without_sources_has_no_word_of_them() -> None:
    text = lock(preset()).dump()
    assert '"sources"' not in text
    assert parse(text, Path("x")).sources is None


def test_a_lock_with_sources_is_the_same_after_reading() -> None:
    made = locked(
        source("tool", layer=None), source("a", needs=("tool-1.tar.gz",), toolchain=True), toolchain=(deb("gcc"),)
    )
    assert parse(made.dump(), Path("x")) == made


def test_every_file_is_an_artifact() -> None:
    files = {one.file for one in locked(source("a", toolchain=True), toolchain=(deb("gcc"),)).artifacts()}
    assert {"a-1.tar.gz", "setuptools-1-py3-none-any.whl", "gcc_1_amd64.deb"} <= files


def test_what_only_builds_need_is_not_installed() -> None:
    made = locked(source("tool", layer=None), source("a", needs=("tool-1.tar.gz",)))
    names = {one.name for one in made.installed}
    assert "a" in names
    assert not {"tool", "setuptools"} & names


@pytest.mark.parametrize(
    ("packages", "why"),
    [
        ((source("a", needs=("b-1.tar.gz",)), source("b")), "needs b-1.tar.gz, which does not come before it"),
        ((source("a"), source("a")), "listed twice"),
        ((source("a", toolchain=True),), "without a toolchain"),
    ],
)
def test_sources_that_cannot_be_built_are_refused(packages: tuple[Source, ...], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        sources(*packages)


@pytest.mark.parametrize(
    "values",
    [
        {"backend": "a; import os"}, {"backend": "-c"}, {"backend_path": ("../x",)}, {"backend_path": ("/etc",)},
        {"file": "../a-1.tar.gz"}, {"needs": ("../x",)},
    ],
)  # fmt: skip
def test_a_strangers_lock_leaves_no_folder_and_no_argument(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Source.model_validate(source("a").model_dump() | values)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (locked(source("a", file="b-1.tar.gz")), "b-1.tar.gz is not a 1"),
        (locked(source("a", file="a-1.whl")), "a-1.whl is not a 1"),
        (locked(source("rich")), "rich is listed twice"),
        (locked(source("a", requires=(wheel("x"), wheel("x", "2")))), "x is listed twice"),
    ],
)
def test_contradictions_are_refused(made: Lock, why: str) -> None:
    with pytest.raises(LockError, match=why):
        parse(made.dump(), Path("devenv.lock"))


def test_two_builds_may_need_two_versions() -> None:
    made = locked(source("a", requires=(wheel("x"),)), source("b", requires=(wheel("x", "2"),)))
    assert parse(made.dump(), Path("x")) == made


def test_a_pin_is_kept_by_a_source() -> None:
    made = locked(source("odd")).model_copy(update={"inputs": {"pip": ["odd==1"]}})
    assert parse(made.dump(), Path("x")).sourced[0].name == "odd"


def test_changes_are_listed_for_people() -> None:
    rows = {(one.kind, one.name): one.new for one in changes(lock(preset()), locked(source("a")))}
    assert rows["pip", "a"] == "1"
    assert rows["build", "setuptools"] == "1"


def test_the_key_of_a_wheel_is_that_of_its_own_inputs() -> None:
    one = source("a")
    key = source_key(locked(one), one)
    assert key == source_key(locked(one, source("b")), one)
    assert key == source_key(locked(one).model_copy(update={"apt": (deb("other"),), "preset": "another"}), one)
    others = (
        source("a", "2"), source("a", requires=(wheel("setuptools", "2"),)), source("a", backend="other"),
        source("a", sha256="0" * 64),
    )  # fmt: skip
    assert len({key, *(source_key(locked(each), each) for each in others)}) == 5


def test_a_compiled_wheel_depends_on_its_compiler() -> None:
    one = source("a", toolchain=True)
    keys = {source_key(locked(one, toolchain=(deb("gcc", version),)), one) for version in ("1", "2")}
    assert len(keys) == 2


def test_a_wheel_depends_on_the_sources_that_its_build_needs() -> None:
    one = source("a", needs=("tool-1.tar.gz",))
    keys = {
        source_key(locked(source("tool", layer=None, requires=(wheel("x", version),)), one), one)
        for version in ("1", "2")
    }
    assert len(keys) == 2


def test_the_sources_of_a_build_are_those_that_it_needs() -> None:
    every = (
        source("x"),
        source("b", layer=None),
        source("c", needs=("b-1.tar.gz",)),
        source("d", needs=("c-1.tar.gz",)),
    )
    assert [one.name for one in sources(*every).chain(every[3])] == ["b", "c", "d"]
    assert [one.name for one in sources(*every).chain(every[0])] == ["x"]


COMMIT = "ab" * 20


def test_a_source_of_a_repository_is_named_after_its_commit() -> None:
    one = source("a", file="a-abababababab.tar", commit=COMMIT)
    assert parse(locked(one).dump(), Path("x")).sourced == (one,)
    with pytest.raises(LockError, match=r"a-1\.tar\.gz is not a 1"):
        parse(locked(source("a", commit=COMMIT)).dump(), Path("x"))


def test_a_commit_decides_the_key_of_its_wheel_and_not_the_version_that_its_build_tells() -> None:
    one, other = (
        source("a", version, file="a-abababababab.tar", commit=COMMIT, sha256="0" * 64) for version in ("0", "2")
    )
    assert source_key(locked(one), one) == source_key(locked(other), other)


def test_builds_that_all_need_each_earlier_one_have_a_key_at_once() -> None:
    made: list[Source] = []
    for number in range(40):
        made.append(source(f"a{number}", needs=tuple(each.file for each in made)))
    assert len(source_key(locked(*made), made[-1])) == len(source_key(locked(made[0]), made[0]))


def test_what_runs_as_root_in_a_build_is_in_the_key() -> None:
    one = source("a")
    mine = locked(one)
    own_uv = mine.model_copy(update={"uv": mine.uv.model_copy(update={"sha256": "e" * 64})})
    base = mine.base.model_copy(update={"packages": (*mine.base.packages, deb("evil"))})
    keys = [source_key(each, one) for each in (mine, own_uv, mine.model_copy(update={"base": base}))]
    assert len(set(keys)) == len(keys)
