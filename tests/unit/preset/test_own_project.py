"""`project: editable`: the package of the preset's folder."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devenv.errors import PresetError
from devenv.lock import drift
from devenv.preset.load import LoadedPreset, dump, load
from devenv.preset.own_project import build_requirements
from tests.unit.preset.conftest import Write

Loads = Callable[[str], LoadedPreset]
Mistakes = Callable[[str], list[PresetError]]

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.20"]
build-backend = "hatchling.build"

[project]
name = "acme"
dependencies = ["httpx>=0.27", "tomli; python_version < '3.11'"]

[project.optional-dependencies]
web = ["starlette"]

[dependency-groups]
test = ["pytest>=8"]
dev = ["ruff", {include-group = "test"}]
round = [{include-group = "about"}]
about = [{include-group = "round"}]
"""


def test_what_the_package_and_its_build_require_is_locked_and_it_is_installed_at_the_start(
    write: Write, loads: Loads
) -> None:
    write("pyproject.toml", PYPROJECT)
    loaded = loads("extends: root\nproject: editable\npip: [rich, httpx==0.28.1]\nsetup:\n  data: {run: [make]}\n")
    assert loaded.preset.pip == (
        "rich", "httpx==0.28.1", 'tomli; python_version < "3.11"', "hatchling>=1.20", "editables",
    )  # fmt: skip
    assert [*loaded.preset.setup] == ["project", "data"]
    step = loaded.preset.setup["project"]
    assert step.run == ("pip", "install", "--no-deps", "--no-build-isolation", "-e", ".")
    assert step.once == "container"
    assert loaded.origins["pip", 2].where == "devenv.yaml:2:10"
    assert load(write("devenv.yaml", dump(loaded.preset))).preset == loaded.preset, "a dump loads again"


def test_extras_and_groups_come_along_when_asked_for(write: Write, loads: Loads) -> None:
    write("pyproject.toml", PYPROJECT)
    loaded = loads("extends: root\nproject: {extras: [web], groups: [dev]}\n")
    assert {"starlette", "ruff", "pytest>=8"} <= {*loaded.preset.pip}


def test_a_changed_requirement_makes_the_lock_stale(write: Write, loads: Loads) -> None:
    write("pyproject.toml", PYPROJECT)
    before = drift.inputs(loads("extends: root\nproject: editable\n").preset)
    write("pyproject.toml", f"{PYPROJECT}# a comment\n")
    assert drift.inputs(loads("extends: root\nproject: editable\n").preset) == before
    write("pyproject.toml", PYPROJECT.replace("0.27", "0.28"))
    assert drift.inputs(loads("extends: root\nproject: editable\n").preset) != before


def test_a_setup_py_alone_is_built_by_setuptools(write: Write, loads: Loads) -> None:
    write("setup.py", "raise SystemExit('nobody runs it here')\n")
    assert loads("extends: root\nproject: editable\n").preset.pip == ("setuptools",)


@pytest.mark.parametrize(
    ("preset", "pyproject", "message"),
    [
        ("project: installed", PYPROJECT, "'project' takes the word 'editable', or a mapping"),
        ("project: {extra: [web]}", PYPROJECT, "unknown key 'extra' in 'project'"),
        ("project: {extras: web}", PYPROJECT, "'extras' takes a list of names"),
        ("project: {extras: [no]}", PYPROJECT, "pyproject.toml has no extra 'no'"),
        ("project: {groups: [no]}", PYPROJECT, "pyproject.toml has no dependency group 'no'"),
        ("project: {groups: [round]}", PYPROJECT, "the dependency group 'round' of pyproject.toml includes itself"),
        ("project: editable", None, "there is no pyproject.toml and no setup.py beside this file, so it is no package"),
        ("project: editable", "x =", "is not valid TOML"),
        ("project: editable", "[project]\ndependencies = ['a b']", "dependencies: 'a b' is not a requirement"),
        ("project: editable", "[project]\ndynamic = ['dependencies']", "does not list the project's dependencies"),
        ("project: editable", "[tool.poetry.dependencies]\npython = '^3.11'\nrich = '*'", "in Poetry's own table"),
        ("project: editable", "[build-system]\nrequires = ['maturin']\nbuild-backend = 'maturin'", "compiles"),
        ("project: editable", "[build-system]\nrequires = []\nbuild-backend = 'own'", "its build backend is own"),
    ],
)
def test_mistakes_have_their_place(
    write: Write, mistakes: Mistakes, preset: str, pyproject: str | None, message: str
) -> None:
    if pyproject is not None:
        write("pyproject.toml", pyproject)
    (found,) = mistakes(f"extends: root\n{preset}\n")
    assert message in found.message
    assert (found.where or "").startswith("devenv.yaml:2:")


def test_nothing_above_the_folder_is_read(write: Write, mistakes: Mistakes) -> None:
    write("../pyproject.toml", PYPROJECT)
    write("pyproject.toml", "").unlink()
    (found,) = mistakes("extends: root\nproject: editable\n")
    assert "no pyproject.toml" in found.message


def test_a_build_without_a_table_is_one_of_setuptools() -> None:
    assert build_requirements({}) == ("setuptools",)
    assert build_requirements({"requires": ["poetry>=1"], "build-backend": "poetry.core.masonry.api"}) == (
        "poetry-core",
    )


def test_groups_that_include_each_earlier_one_twice_are_read_once(write: Write, loads: Loads) -> None:
    twice = (f'a{n} = [{{include-group = "a{n - 1}"}}, {{include-group = "a{n - 1}"}}]' for n in range(1, 60))
    write("pyproject.toml", "\n".join(("[project]", "name = 'a'", "[dependency-groups]", "a0 = ['rich']", *twice)))
    assert loads("extends: root\nproject: {groups: [a59]}\n").preset.pip[0] == "rich"


@pytest.mark.parametrize(
    "text",
    [
        "project = {dependencies = ['a; " + "(" * 20_000 + "']}",
        "build-system = {requires = ['a; " + "(" * 20_000 + "']}\nproject = {dependencies = ['?']}",
        "project = {}\n[dependency-groups]\n"
        + "".join(f"g{n} = [{{include-group = 'g{n + 1}'}}]\n" for n in range(5000)),
    ],
)
def test_what_is_nested_too_deep_is_a_mistake(text: str, write: Write, mistakes: Mistakes) -> None:
    write("pyproject.toml", text)
    assert mistakes("extends: root\nproject: {groups: [g0]}\n")
