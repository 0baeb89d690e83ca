"""Packages without wheels, with stand-ins for uv, the index and the builds."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import Origin
from devenv.errors import BuildError, EngineError, LockError
from devenv.fetch.sources import Listed
from devenv.fetch.store import Store
from devenv.lock.model import Source
from devenv.resolve.context import Built
from devenv.resolve.offered import Offering
from devenv.resolve.python_packages import without_extras
from devenv.resolve.wheels import NoWheelError, Offers, Resolved
from devenv.resolve.without_wheels import Tools, Wishes, WithoutWheels
from tests.unit.handmade import wheel
from tests.unit.sdists import sdist, wheel_file

STATIC = "Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"


@dataclasses.dataclass
class World:
    """An index with wheels of every package but those of `archives`; a uv that takes the newest offered version that is
    not `refused`."""

    root: Path
    archives: dict[str, Path] = dataclasses.field(default_factory=dict)
    wheels: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    refused: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    asked: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    made: list[tuple[Source, ...]] = dataclasses.field(default_factory=list)
    answers: list[Any] = dataclasses.field(default_factory=list)
    needs_toolchain: bool = False

    def archive(self, name: str, version: str, files: Mapping[str, str] | None = None, info: str = "") -> None:
        path = sdist(
            self.root, name, version, files, info or "Metadata-Version: 1.1\nName: {name}\nVersion: {version}\n"
        )
        self.archives[path.name] = path

    def listed(self, name: str) -> tuple[Listed, ...]:
        return tuple(
            Listed(file, path.as_uri(), None, ">=3.8")
            for file, path in self.archives.items()
            if file.startswith(f"{name}-")
        ) + tuple(Listed(file, "", None) for file in self.wheels.get(name, ()))

    def resolve(self, wishes: Wishes, offers: Offers) -> Resolved:
        self.asked.append(tuple(wishes.requirements))
        names = [line.split(">")[0].split("=")[0] for line in wishes.requirements]
        bare = {file.rpartition("-")[0] for file in self.archives}
        sources = []
        for name in names:
            if name not in bare:
                continue
            fitting = [one for one in offers.versions.get(name, ()) if (name, one) not in self.refused]
            if not fitting:
                error = NoWheelError("cannot be resolved")
                error.names = (name,)
                raise error
            sources.append((name, max(fitting)))
        return Resolved(wheels=tuple(wheel(name) for name in names if name not in bare), sources=tuple(sources))

    def bring(self, wanted: Wanted, origin: Origin, key: str) -> str:
        return Store(self.root / "store").adopt(self.archives[wanted.name])

    def make(self, sources: tuple[Source, ...]) -> Built:
        self.made.append(sources)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, tuple):
            return Built(asked=answer)
        return Built(wheel=wheel_file(self.root, sources[-1].name, sources[-1].version))

    def tools(self) -> Tools:
        return Tools(
            resolve=self.resolve, make=self.make, store=Store(self.root / "store"), sources=self, bring=self.bring,  # type: ignore[arg-type]
            python="3.11", accepts=lambda file: "none-any" in file, needs_toolchain=self.needs_toolchain,
        )  # fmt: skip

    def run(self, *requirements: str) -> Any:
        return WithoutWheels(self.tools()).resolve(Wishes(requirements=requirements))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_packages_with_wheels_need_one_resolution(world: World) -> None:
    found = world.run("b")
    assert [one.name for one in found.wheels] == ["b"]
    assert (found.sources, world.asked) == ((), [("b",)])


def test_a_source_is_locked_with_what_its_build_requires(world: World) -> None:
    world.archive("a", "1")
    world.archive("a", "2")
    found = world.run("a", "b")
    (source,) = found.sources
    assert (source.name, source.version, source.file, source.layer) == ("a", "2", "a-2.tar.gz", 0)
    assert source.backend == "setuptools.build_meta:__legacy__"
    assert [one.name for one in source.requires] == ["setuptools", "wheel"]
    assert source.toolchain is None
    assert [one.name for one in found.wheels] == ["b"]
    assert [[one.name for one in sources] for sources in world.made] == [["a"]]


def test_certain_metadata_need_no_build(world: World) -> None:
    world.archive("a", "1", {"setup.py": "setup()"}, STATIC)
    assert [one.version for one in world.run("a").sources] == ["1"]
    assert world.made == []


def test_a_version_that_has_a_wheel_is_not_built(world: World) -> None:
    world.archive("a", "1")
    world.archive("a", "2")
    world.wheels["a"] = ["a-2.0-py3-none-any.whl", "a-1-cp27-cp27m-win32.whl"]
    assert [one.version for one in world.run("a").sources] == ["1"]


def test_what_a_build_asks_for_is_locked_and_the_build_is_tried_again(world: World) -> None:
    world.archive("a", "1")
    world.answers = [("cython>3",)]
    (source,) = world.run("a").sources
    assert [one.name for one in source.requires] == ["setuptools", "wheel", "cython"]
    assert len(world.made) == 2


def test_a_build_that_always_asks_for_more_ends(world: World) -> None:
    world.archive("a", "1")
    world.answers = [("x",), ("y",), ("z",)]
    with pytest.raises(LockError, match="the build of a 1 asks for more and more: x, y, z"):
        world.run("a")


def test_build_requirements_may_be_sources_themselves(world: World) -> None:
    world.archive("a", "1", {"pyproject.toml": '[build-system]\nrequires = ["tool"]\nbuild-backend = "tool"\n'})
    world.archive("tool", "3")
    found = world.run("a")
    assert [(one.name, one.layer, one.needs) for one in found.sources] == [
        ("tool", None, ()), ("a", 0, ("tool-3.tar.gz",)),
    ]  # fmt: skip
    assert [[one.name for one in sources] for sources in world.made] == [["tool"], ["tool", "a"]]


def test_a_package_that_is_wanted_and_needed_by_a_build_is_one_source(world: World) -> None:
    world.archive("a", "1", {"pyproject.toml": '[build-system]\nrequires = ["tool"]\nbuild-backend = "tool"\n'})
    world.archive("tool", "3")
    assert [(one.name, one.layer) for one in world.run("a", "tool").sources] == [("tool", 0), ("a", 0)]


def test_builds_that_need_each_other_are_one_error(world: World) -> None:
    for name, other in (("a", "c"), ("c", "a")):
        text = f'[build-system]\nrequires = ["{other}"]\nbuild-backend = "x"\n'
        world.archive(name, "1", {"pyproject.toml": text})
    with pytest.raises(LockError, match=r"the build of a 1 needs itself: a → c → a$"):
        world.run("a")


def test_what_is_compiled_gets_the_toolchain(world: World) -> None:
    world.archive("a", "1", {"setup.py": "", "x.c": ""})
    assert world.run("a").sources[0].toolchain is True


def test_without_the_interpreter_in_the_base_every_build_gets_the_toolchain(world: World) -> None:
    world.archive("a", "1")
    world.needs_toolchain = True
    assert world.run("a").sources[0].toolchain is True


def test_a_build_that_finds_no_compiler_is_tried_again_with_one(world: World) -> None:
    world.archive("a", "1")
    world.answers = [BuildError("a 1 cannot be built", detail="error: command 'gcc' failed: No such file or directory")]
    assert world.run("a").sources[0].toolchain is True
    assert [sources[-1].toolchain for sources in world.made] == [None, True]


def test_a_failed_build_is_an_error_of_the_lock_with_its_output(world: World) -> None:
    world.archive("a", "1")
    world.answers = [BuildError("a 1 cannot be built from a-1.tar.gz", detail="the end", hint="do this")]
    with pytest.raises(LockError) as told:
        world.run("a")
    assert (told.value.message, told.value.detail, told.value.hint) == (
        "a 1 cannot be built from a-1.tar.gz", "the end", "do this",
    )  # fmt: skip


def test_without_an_engine_it_is_said_what_it_is_for(world: World) -> None:
    world.archive("a", "1")
    world.answers = [EngineError("cannot connect", hint="start it")]
    with pytest.raises(EngineError, match="a 1 has no wheel, and only a build in a container can tell") as told:
        world.run("a")
    assert told.value.hint == "start it"


@pytest.mark.parametrize("line", ["x @ https://h/x.whl", "not a requirement !", "x; " + "(" * 20_000])
def test_build_requirements_that_cannot_be_locked_are_refused(line: str, world: World) -> None:
    text = f'[build-system]\nrequires = ["{line}"]\nbuild-backend = "x"\n'
    world.archive("a", "1", {"pyproject.toml": text})
    with pytest.raises(LockError, match=r"the build of a 1 requires .* which cannot be locked"):
        world.run("a")


def test_an_archive_of_another_package_is_refused_before_anything_of_it_runs(world: World) -> None:
    world.archive("a", "1", info="Metadata-Version: 1.1\nName: other\nVersion: 1\n")
    with pytest.raises(LockError, match=r"a-1\.tar\.gz is other 1, and not a 1"):
        world.run("a")
    assert world.made == []


def test_a_package_that_is_nowhere_stays_uvs_error(world: World) -> None:
    world.archive("a", "1")
    world.refused = {("a", "1")}
    with pytest.raises(NoWheelError):
        world.run("a")


def test_an_old_version_without_the_extra_is_no_answer(world: World) -> None:
    world.archive("needed", "1")
    floors: list[dict[str, str]] = []

    def resolve(wishes: Wishes, offers: Offers) -> Resolved:
        floors.append(dict(offers.floors))
        if wishes.building or offers.versions:
            return Resolved(sources=(("needed", "1"),) if not wishes.building else ())
        if offers.floors:
            error = NoWheelError("no")
            error.names = ("needed",)
            raise error
        return Resolved(wheels=(wheel("p", "1"),), lacking=(("p", "1", "x"),))

    world.resolve = resolve  # type: ignore[method-assign]
    assert [one.name for one in world.run("p[x]").sources] == ["needed"]
    assert floors[:3] == [{}, {"p": "1"}, {"p": "1"}]


def test_an_extra_that_no_version_has_stays_as_it_was(world: World) -> None:
    def resolve(wishes: Wishes, offers: Offers) -> Resolved:
        if offers.floors:
            raise NoWheelError("no")
        return Resolved(wheels=(wheel("p", "1"),), lacking=(("p", "1", "typo"),))

    world.resolve = resolve  # type: ignore[method-assign]
    found = world.run("p[typo]")
    assert ([one.version for one in found.wheels], found.lacking) == (["1"], (("p", "1", "typo"),))


def test_an_extra_that_a_package_does_not_have_is_reported() -> None:
    lacking = [("acme", "1.0+devenv.0123456789ab", "nosuch"), ("rich", "14", "no"), ("other", "1", "x")] * 2
    asked = ("Acme[NoSuch] @ git+https://example.org/o/acme@v1", "rich[no,jupyter]>=13", "other")
    assert [*without_extras(lacking, asked)] == [
        "acme 1.0 has no extra 'nosuch', so the lock has the package without it",
        "rich 14 has no extra 'no', so the lock has the package without it",
    ]


def commit(world: World, name: str, metadata: str = "") -> tuple[str, str]:
    path = sdist(world.root, name, "0")
    return "ab" * 20, Store(world.root / "store").adopt(path)


def test_a_package_of_a_repository_is_built_and_stands_for_no_version_of_an_index(world: World) -> None:
    seen: list[Offers] = []
    usual = world.resolve

    def resolve(wishes: Wishes, offers: Offers) -> Resolved:
        if wishes.building:
            return usual(wishes, offers)
        seen.append(offers)
        return Resolved(sources=(("a", "0+devenv.abababababab"),))

    world.resolve = resolve  # type: ignore[method-assign]
    packages = WithoutWheels(world.tools())
    marked = packages.prepare_commit("a", *commit(world, "a"))
    assert marked == "0+devenv.abababababab"
    found = packages.resolve(Wishes(requirements=(f"a=={marked}",), given={"a": marked}))
    (source,) = found.sources
    assert (source.name, source.version, source.commit, source.file) == ("a", "0", "ab" * 20, "a-abababababab.tar")
    assert seen[0].versions == {"a": frozenset({marked})}
    assert len(world.made) == 1


def test_a_release_from_source_is_better_than_an_old_pre_release_with_a_wheel(world: World) -> None:
    world.archive("a", "3")

    def resolve(wishes: Wishes, offers: Offers) -> Resolved:
        if wishes.building:
            return Resolved()
        return Resolved(sources=(("a", "3"),)) if offers.versions else Resolved(wheels=(wheel("a", "0.1.dev5"),))

    world.resolve = resolve  # type: ignore[method-assign]
    assert [one.version for one in world.run("a").sources] == ["3"]


def test_a_pre_release_without_a_source_stays(world: World) -> None:
    world.resolve = lambda wishes, offers: Resolved(wheels=(wheel("a", "2rc1"),))  # type: ignore[method-assign]
    assert [one.version for one in world.run("a").wheels] == ["2rc1"]


def test_a_commit_whose_version_is_none_is_refused(world: World) -> None:
    path = wheel_file(world.root, "a", "1")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a-1.dist-info/METADATA", "Name: a\nVersion: latest\n")
    world.make = lambda sources: Built(wheel=path)  # type: ignore[method-assign]
    with pytest.raises(LockError, match="the version of a is 'latest', which is none"):
        WithoutWheels(world.tools()).prepare_commit("a", *commit(world, "a"))


def test_uv_is_shown_a_version_as_a_wheel_of_metadata(tmp_path: Path) -> None:
    listed = {
        "1.0": Listed("a-b-1.0.tar.gz", "", None, ">=3.8"),
        "0.9": Listed("", "", None, "nonsense\nRequires-Dist: x"),
    }
    offering = Offering(tmp_path, lambda name: listed if name == "a-b" else {})
    missing, other = NoWheelError("no"), NoWheelError("no")
    missing.names, other.names = ("A_b",), ("c",)
    assert offering.offers == Offers()
    assert offering.answers(missing)
    assert not offering.answers(missing), "nothing new"
    assert not offering.answers(other)
    assert offering.offers.versions == {"a-b": {"1.0", "0.9"}}
    with zipfile.ZipFile(tmp_path / "a_b-1.0-py3-none-any.whl") as archive:
        assert b"Requires-Python: >=3.8" in archive.read("a_b-1.0.dist-info/METADATA")
    with zipfile.ZipFile(tmp_path / "a_b-0.9-py3-none-any.whl") as archive:
        assert b"Requires" not in archive.read("a_b-0.9.dist-info/METADATA")
    assert offering.unsettled((("a-b", "1.0"),)) == [("a-b", "1.0")]
    offering.settle("a-b", "1.0", "Name: a-b\nVersion: 1.0\nRequires-Dist: x\n")
    assert offering.unsettled((("a-b", "1.0"),)) == []
    with zipfile.ZipFile(tmp_path / "a_b-1.0-py3-none-any.whl") as archive:
        assert b"Requires-Dist: x" in archive.read("a_b-1.0.dist-info/METADATA")


@pytest.mark.parametrize(
    ("file", "python"),
    [
        (f"a-{'1' * 5000}.tar.gz", ""),
        ("a- 2.tar.gz", ""),
        (f"a-2{'.0' * 200}.tar.gz", ""),
        ("a-1.tar.gz", f">={'1' * 5000}"),
    ],
)
def test_odd_lines_of_an_index_are_no_crash(file: str, python: str, world: World) -> None:
    world.archive("a", "1")
    listed = (Listed(file, "", None, python), *world.listed("a"))
    tools = dataclasses.replace(world.tools(), sources=type("Page", (), {"listed": lambda _, name: listed})())
    assert [source.version for source in WithoutWheels(tools).resolve(Wishes(requirements=["a"])).sources] == ["1"]
