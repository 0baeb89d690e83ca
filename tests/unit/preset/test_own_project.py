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
    assert loaded.origins["pip", 2].where == "pyproject.toml:7:32"
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
        ("project: {install: 1}", PYPROJECT, "'install' takes true or false"),
        ("project: {without: httpx}", PYPROJECT, "'without' takes a list of names"),
        ("project: editable", None, "there is no pyproject.toml and no setup.py beside this file, so it is no package"),
        ("project: editable", "x =", "is not valid TOML"),
        ("project: editable", "[build-system]\nrequires = ['maturin']\nbuild-backend = 'maturin'", "compiles"),
        ("project: editable", "[build-system]\nrequires = []\nbuild-backend = 'own'", "its build backend is 'own'"),
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


@pytest.mark.parametrize(
    ("pyproject", "line", "message"),
    [
        ("dependencies = [\n  'rich',\n  'a b',\n]", 4, "dependencies: 'a b' is not a requirement"),
        ("dependencies = ['rich', 'a @ git+ssh://git@example.org/a.git']", 2, "'a @ git+ssh://***@example.org/a.git'"),
        ("dependencies = ['rich', 'a @ ../a']", 2, "'a @ ../a'"),
        ("dynamic = ['dependencies']", 2, "does not list the project's dependencies"),
        ("[dependency-groups]\ndev = [{include-group = 'dev'}]", 3, "the dependency group 'dev'"),
        ("[tool.poetry.dependencies]\nrich = 'new'", 3, "'rich': 'new' is not a version range of Poetry"),
        (
            "dependencies = ['helper']\n[tool.uv.sources]\nhelper = {path = '../helper'}", 2,
            "'helper' comes from a path source, which a lock cannot fix",
        ),
        ("requires-python = '>=3.12'", 2, "the project's package needs Python >=3.12, and the preset has 3.11"),
        (
            "[tool.poetry.dependencies]\npython = '^2.7 || ~3.9'", 3,
            "the project's package needs Python >=2.7,<3 || >=3.9,<3.10, and the preset has 3.11",
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_the_packages_file_has_its_place_there(
    write: Write, mistakes: Mistakes, pyproject: str, line: int, message: str
) -> None:
    write("pyproject.toml", f"[project]\n{pyproject}\n")
    (found,) = mistakes(
        "extends: root\nproject: {groups: [dev]}\n" if "dev" in pyproject else "extends: root\nproject: editable\n"
    )
    assert message in found.message
    assert (found.where or "").startswith(f"pyproject.toml:{line}:"), found.where


@pytest.mark.parametrize("python", ["^3.9", "~3.9 || ^3.11", "*", ">=3.11.4"])
def test_a_python_that_the_preset_has(write: Write, loads: Loads, python: str) -> None:
    write("pyproject.toml", f"[tool.poetry.dependencies]\npython = '{python}'\nrich = '^13'\n")
    assert loads("extends: root\nproject: editable\n").preset.pip[0] == "rich<14,>=13"


def test_a_project_that_is_not_installed(write: Write, loads: Loads) -> None:
    write("pyproject.toml", PYPROJECT.replace("[project]", "[project]\nrequires-python = '>=3.12'"))
    loaded = loads("extends: root\nproject: {install: false, without: [Tomli]}\n")
    assert (loaded.preset.pip, dict(loaded.preset.setup)) == (("httpx>=0.27",), {})


def test_tables_of_poetry_and_uv(write: Write, loads: Loads) -> None:
    write("pyproject.toml", """\
[tool.poetry]
name = "Acme"
[tool.poetry.dependencies]
python = "^3.11"
rich = "^13.7"
web = {version = "^1", optional = true}
[tool.poetry.extras]
ui = ["web"]
[tool.poetry.group.test.dependencies]
pytest = "*"
[dependency-groups]
dev = ["acme[ui]", "rich[jupyter]<13.9", "helper", "own"]
[tool.uv]
dev-dependencies = ["ruff"]
[tool.uv.sources]
own = {git = "https://example.org/o/own", rev = "v1"}
helper = {path = "../helper"}
""")  # fmt: skip
    write("helper-1-py3-none-any.whl", "")
    loaded = loads("extends: root\nproject: {groups: [dev, test], install: false}\npip: [helper-1-py3-none-any.whl]\n")
    assert loaded.preset.pip[1:] == (
        "rich[jupyter]<13.9,<14,>=13.7", "web<2,>=1", "own @ git+https://example.org/o/own@v1", "ruff", "pytest",
    )  # fmt: skip


def test_an_entry_that_the_package_excludes(write: Write, mistakes: Mistakes, loads: Loads) -> None:
    write("pyproject.toml", PYPROJECT)
    (found,) = mistakes("extends: root\nproject: editable\npip: [rich, httpx==0.20]\n")
    assert (found.where, found.message) == (
        "devenv.yaml:3:13", "'httpx==0.20' is not what pyproject.toml:7:17 asks for: httpx>=0.27",
    )  # fmt: skip
    assert "project: {without: [httpx]}" in str(found.hint)
    loads("extends: root\nproject: {without: [httpx]}\npip: [rich, httpx==0.20]\n")


def test_a_pinned_package_that_the_package_asks_for_as_a_range(write: Write, loads: Loads, mistakes: Mistakes) -> None:
    write("pyproject.toml", "[project]\nname = 'a'\ndependencies = ['torch>=2.4']\n")
    loaded = loads("extends: root\ntorch: 2.10.0\nproject: editable\n")
    assert load(write("devenv.yaml", dump(loaded.preset))).preset == loaded.preset, "a dump loads again"
    (found,) = mistakes("extends: root\ntorch: 2.2.0\nproject: editable\n")
    assert found.where == "pyproject.toml:3:17"


def test_more_requirements_than_anyone_has_are_a_mistake(write: Write, mistakes: Mistakes) -> None:
    write("pyproject.toml", f"[project]\ndependencies = {[f'a{number}' for number in range(5001)]}\n")
    (found,) = mistakes("extends: root\nproject: editable\n")
    assert found.message == "more than 5,000 requirements, groups and extras"


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
        "dependency-groups = {g0 = ['x[e0]']}\n[project.optional-dependencies]\n"
        + "".join(f"e{n} = ['x[e{n + 1}]']\n" for n in range(2000))
        + "[project]\nname = 'x'\n",
    ],
)
def test_what_is_nested_too_deep_is_a_mistake(text: str, write: Write, mistakes: Mistakes) -> None:
    write("pyproject.toml", text)
    assert mistakes("extends: root\nproject: {groups: [g0]}\n")


def test_names_of_groups_are_compared_as_those_of_packages_are(write: Write, loads: Loads) -> None:
    groups = "dev-Tools = [{include-group = 'My_Lint'}]\nmy-lint = ['rich']\nempty = []\n"
    write("pyproject.toml", f"[project]\nname = 'a'\n[dependency-groups]\n{groups}")
    assert loads("extends: root\nproject: {groups: [Dev_tools, empty], install: false}\n").preset.pip[-1] == "rich"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[project]\nname = 'a'\ndependencies = 'rich'", "dependencies: it takes a list of requirements"),
        ("[project]\nname = 'a'\ndependencies = [true]", "'True' is not a requirement"),
        (f"[project]\nname = 'a'\ndependencies = ['rich=={'9' * 5000}']", "is not a requirement"),
        (f"[project]\nname = 'a'\nrequires-python = '>={'9' * 5000}'", "range of Pythons"),
        (f"[project]\nname = 'a'\nrequires-python = '{'>=4||' * 1000}>=4'", "range of Pythons"),
        (f"[build-system]\nrequires = {[f'a{number}' for number in range(101)]}", "more than 100 packages"),
        ("[build-system]\nrequires = []\nbuild-backend = '" + "x" * 1000 + "'", "its build backend is 'xxx"),
        ("[project]\nname = 'a'\ndependencies = [\"b @ https://me:secret\\u0040h/b.whl\"]", "https://***@h/b.whl"),
    ],
)
def test_a_hostile_file_has_a_short_mistake(text: str, message: str, write: Write, mistakes: Mistakes) -> None:
    write("pyproject.toml", f"{text}\n")
    (found,) = mistakes("extends: root\npip: [rich==14.1.0]\nproject: editable\n")
    assert message in found.message
    assert len(found.message) < 400


EXTRAS = [f"e{number}" for number in range(5001)]


@pytest.mark.parametrize(
    "text",
    [
        "[dependency-groups]\ng = [" + "{include-group = 'no'}," * 5001 + "]",
        f"[dependency-groups]\ng = ['a[{','.join(EXTRAS)}]']\n[project.optional-dependencies]\n"
        + "".join(f"{name} = []\n" for name in EXTRAS),
    ],
)
def test_groups_and_extras_count_as_requirements_do(text: str, write: Write, mistakes: Mistakes) -> None:
    write("pyproject.toml", f"[project]\nname = 'a'\n{text}\n")
    assert any("more than 5,000" in one.message for one in mistakes("extends: root\nproject: {groups: [g]}\n"))


def test_ranges_of_many_places_are_joined_at_once(write: Write, loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("packaging.specifiers.SpecifierSet.__and__")
    wanted = [f"rich[e{number % 2}]>={number}" for number in range(3)]
    write("pyproject.toml", f"[project]\nname = 'a'\ndependencies = {[*wanted, 'rich']}\n")
    assert loads("extends: root\nproject: {install: false}\n").preset.pip[-1] == "rich[e0,e1]>=0,>=1,>=2"


def test_a_package_that_the_workspace_does_not_hold(write: Write, mistakes: Mistakes, loads: Loads) -> None:
    write("sub/pyproject.toml", "[project]\nname = 'a'\n")
    write("sub/base.yaml", "extends: root\nproject: editable\n")
    (found,) = mistakes("extends: sub/base.yaml\n")
    assert (found.where, "/workspace" in found.message) == ("sub/base.yaml:2:1", True)
    write("pyproject.toml", "[project]\nname = 'b'\n")
    assert loads("extends: sub/base.yaml\nproject: editable\n")
    write("sub/base.yaml", "extends: root\nproject: {install: false}\n")
    assert loads("extends: sub/base.yaml\n")
