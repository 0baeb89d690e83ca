"""What holds for every input."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from devenv.errors import PresetError
from devenv.preset import checks, model
from devenv.preset.load import LoadedPreset, dump, load
from devenv.preset.model import Preset

# Texts: anything that YAML can carry, the model's patterns where it has them.
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff\ufffe\uffff"))
lines = words.map(lambda text: text[:100])
slugs = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12).map(lambda s: s.replace("--", "-"))
versions = st.tuples(*[st.integers(0, 40)] * 3).map(lambda v: ".".join(map(str, v)))
env = st.dictionaries(
    st.from_regex(re.compile(model.ENV_NAME, re.ASCII), fullmatch=True).filter(
        lambda name: name not in checks.RESERVED_ENV and not name.startswith(checks.ENV_PREFIX)
    ),
    lines,
    max_size=4,
)
names = st.sampled_from(["requests", "numpy", "Foo_Bar", "zope.interface", "x1"])
requirements = st.tuples(
    names, st.sampled_from(["", "==1.0", ">=2,<3", "[extra]==1.2", "~=1.4; python_version > '3.8'"])
)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
arguments = lines.filter(bool)
archives = st.one_of(
    st.fixed_dictionaries({"path": st.sampled_from(["a file", "folder/x", "./folder/../a file"]), "sha256": hashes}),
    st.fixed_dictionaries({"url": st.just("https://example.invalid/x?y=z"), "sha256": hashes}),
)
editors = st.one_of(
    st.fixed_dictionaries({"version": versions}, optional={"source": st.just("npm")}),
    st.fixed_dictionaries({"version": versions, "source": st.just("release"), "archive": archives}),
)
services = st.fixed_dictionaries(
    {"command": st.lists(arguments, min_size=1, max_size=3)},
    optional={"env": env, "timeout_s": st.integers(1, 3600), "auth": st.sampled_from(["token", "own", "none"])},
)
parts: dict[str, st.SearchStrategy[Any]] = {
    "name": slugs,
    "description": words.map(lambda text: text[:300]) | st.text("\n a:#-'\"|>", max_size=40),
    "cuda": versions,
    "pip": st.lists(requirements, max_size=4, unique_by=lambda r: r[0]).map(lambda rs: ["".join(r) for r in rs]),
    "apt": st.lists(st.sampled_from(["git", "g++", "libc6=2.36-9+deb12u7", "x.y"]), unique=True),
    "npm": st.lists(st.sampled_from(["typescript@5.6.3", "@a/b@1.0.0-rc.1"]), unique=True),
    "node": versions,
    "code_server": editors,
    "extensions": st.lists(
        st.fixed_dictionaries({"id": st.sampled_from(["a.b", "C.d_e"]), "version": versions, "archive": archives}),
        unique_by=lambda one: one["id"],
    )
    | st.just(["a.b", "c.d@1.0.0-rc.1"]),
    "jupyter": st.fixed_dictionaries({"version": versions}),
    "services": st.dictionaries(slugs.filter(lambda name: name not in checks.RESERVED_NAMES), services, max_size=3),
    "volumes": st.sampled_from([{}, {"a": "/data"}, {"a": "/data/a", "b": "/data/b"}]),
    "env": env,
    "files": st.dictionaries(st.sampled_from(["/opt/x", "/srv/a.b_c+d"]), st.sampled_from(["a file", "folder", "."])),
    "workspace": st.sampled_from(["folder", "."]),
    "smoke": st.dictionaries(
        slugs, st.fixed_dictionaries({"run": st.lists(arguments, min_size=1, max_size=3)}), max_size=2
    ),
    "shm_size": st.from_regex(re.compile(model.SIZE, re.ASCII), fullmatch=True),
}
root = {
    "base": st.just({"bootstrap": "debian/bookworm"}),
    "python": st.sampled_from(["3.11", "3.10", "3.9"]),
    "node": versions,
}


def complete(whole: dict[str, Any]) -> dict[str, Any]:
    """Extensions by name need an editor."""
    if "code_server" in whole or not any(isinstance(one, str) for one in whole.get("extensions", ())):
        return whole
    return {key: value for key, value in whole.items() if key != "extensions"}


wholes = st.fixed_dictionaries(root, optional={key: value for key, value in parts.items() if key != "node"}).map(
    complete
)
layers = st.fixed_dictionaries({"extends": st.just("root.yaml")}, optional={**parts, "cuda": st.none() | versions})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("properties")
    (made / "a file").touch()
    (made / "folder").mkdir()
    (made / "folder" / "x").touch()
    return made


def stable(folder: Path, preset: Preset) -> None:
    text = dump(preset)
    again = folder / "again.yaml"
    again.write_text(text, encoding="utf-8")
    loaded = load(again).preset
    assert loaded == preset
    assert dump(loaded) == text


def attempt(path: Path) -> tuple[LoadedPreset | None, tuple[PresetError, ...]]:
    try:
        return load(path), ()
    except PresetError as error:
        return None, error.problems


def emitted(data: object, style: bool | None) -> str:
    return yaml.dump(data, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=True, default_flow_style=style)


@given(whole=wholes, style=st.sampled_from([True, False, None]))
def test_load_dump_load_is_stable(folder: Path, whole: dict[str, Any], style: bool | None) -> None:
    path = folder / "devenv.yaml"
    path.write_text(emitted(whole, style), encoding="utf-8")
    preset = load(path).preset
    assert preset.description == whole.get("description", "")
    assert preset.env == whole.get("env", {})
    assert list(preset.pip) == whole.get("pip", [])
    assert {name: list(one.command) for name, one in preset.services.items()} == {
        name: one["command"] for name, one in whole.get("services", {}).items()
    }
    stable(folder, preset)


@given(parent=wholes, child=layers)
def test_composed_presets_are_stable_too(folder: Path, parent: dict[str, Any], child: dict[str, Any]) -> None:
    (folder / "root.yaml").write_text(emitted(parent, None), encoding="utf-8")
    leaf = folder / "devenv.yaml"
    leaf.write_text(emitted(child, False), encoding="utf-8")
    loaded, problems = attempt(leaf)
    if loaded is None:
        # Only what the two say together can be wrong: an archive merged into an editor from npm, a nested volume.
        allowed = ("code_server", "nested", "same folder")
        assert [one.message for one in problems if not any(word in one.message for word in allowed)] == []
        return
    assert {key: loaded.preset.env[key] for key in child.get("env", {})} == child.get("env", {})
    assert set(parent.get("pip", ())) <= set(loaded.preset.pip) or "pip" in child
    for place, mark in loaded.origins.items():
        if len(place) == 1 and place[0] in child and place[0] != "name":
            assert mark.path == leaf
    stable(folder, loaded.preset)


def harmless(path: Path) -> None:
    """Loading gives a preset, or a PresetError that has the place of each mistake."""
    loaded, problems = attempt(path)
    assert (loaded is None) == bool(problems)
    for problem in problems:
        assert problem.message
        assert str(problem.where).startswith(str(path))
        shown = f"{problem.message}{problem.hint}{problem.detail}"
        assert all(character == "\n" or character.isprintable() for character in shown)
        assert "Input should" not in shown


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes(folder: Path, data: bytes) -> None:
    path = folder / "any.yaml"
    path.write_bytes(data)
    harmless(path)


@given(text=st.text("abx:-[]{},&*!|>'\"%@`#?~. \n\t0\\\r\u2028é文", max_size=60))
def test_any_mixture_of_yamls_own_signs(folder: Path, text: str) -> None:
    path = folder / "signs.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    harmless(path)


keys = st.sampled_from([*Preset.model_fields, *model.Service.model_fields, "extends", "archive", "path", "a", "!"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.text(max_size=12)
    | st.sampled_from(["/x", "..", "root.yaml", "a.yaml"])
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5), max_leaves=20
)


@given(data=st.dictionaries(keys, trees, max_size=8))
def test_any_tree(folder: Path, data: dict[str, Any]) -> None:
    path = folder / "a.yaml"
    path.write_text(emitted(data, None), encoding="utf-8")
    harmless(path)


@given(whole=wholes, at=st.floats(0, 1), cut=st.integers(0, 6), put=st.text("ab:-[]{}&*!'\"\n\t ~5", max_size=4))
def test_any_slip_of_the_pen(folder: Path, whole: dict[str, Any], at: float, cut: int, put: str) -> None:
    text = emitted(whole, None)
    place = int(at * len(text))
    path = folder / "slip.yaml"
    path.write_text(text[:place] + put + text[place + cut :], encoding="utf-8")
    harmless(path)
