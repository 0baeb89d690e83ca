from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from devenv.build import standalone
from devenv.build.context import assemble
from devenv.build.standalone import differences, folder, free
from devenv.doors.dirs import templates_dir
from devenv.errors import RenderError
from devenv.fetch.sources import kinds
from devenv.lock.model import LockedBase, Vsix
from devenv.plan.plan import Plan, plan
from devenv.preset.model import Archive
from devenv.render import render
from devenv.render.artifacts import artifact_files
from devenv.render.render import Rendered
from tests.unit.examples import deb, extension, loaded, lock, npm
from tests.unit.render.test_render import SCHEMA

SCRIPTS = templates_dir() / "online"


def _plan(lock_changes: dict[str, Any] | None = None, **changes: Any) -> Plan:
    return plan(loaded(**changes), lock(**{"npm": npm(), **(lock_changes or {})}))


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fetch", SCRIPTS / "fetch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _steps(dockerfile: str) -> dict[str, list[str]]:
    """Stage → its RUN lines."""
    found: dict[str, list[str]] = {}
    for line in dockerfile.splitlines():
        if stage := re.match(r"FROM \S+ AS (\S+)$", line):
            found[stage[1]] = steps = []
        elif line.startswith("RUN "):
            steps.append(line)
    return found


# What is rendered.


def test_only_the_first_stages_have_a_network() -> None:
    steps = _steps(folder(_plan(), {}).files["Dockerfile"].decode())
    assert list(steps)[:3] == ["tools", "artifacts", "own"]
    assert {stage for stage, lines in steps.items() if any("--network=none" not in one for one in lines)} == {
        "tools", "artifacts",
    }  # fmt: skip
    assert sum(len(lines) for lines in steps.values()) > 8


def test_what_came_over_the_network_is_mounted_from_its_stage() -> None:
    rendered = folder(_plan({"extensions": (extension(),)}), {})
    text = rendered.files["Dockerfile"].decode()
    later = text.partition("AS bootstrap\n")[2]
    plain = render.render(_plan({"extensions": (extension(),)})).files["Dockerfile"].decode()
    for place in re.findall(r"type=bind,source=(artifacts/[^,]+)", plain):
        assert f"type=bind,from=artifacts,source=/{place},target=" in later
    assert "source=artifacts" not in text.replace("from=artifacts,source=/artifacts", "")
    assert "ADD " not in text
    copies = [line for line in later.splitlines() if line.startswith("COPY ")]
    assert all("--from=" in line for line in copies), "nothing comes from a checkout that was not checked"


def test_without_online_nothing_of_it_is_rendered() -> None:
    text = render.render(_plan(), self_contained=True).files["Dockerfile"].decode()
    assert not re.search(r"--network|from=artifacts|from=own|BASE|secret", text)


@pytest.mark.parametrize(("distribution", "release"), [("debian", "bookworm"), ("ubuntu", "noble")])
def test_the_plain_image_is_of_the_same_release(distribution: str, release: str) -> None:
    base = LockedBase(kind="bootstrap", distribution=distribution, release=release, packages=(deb("dash"),))  # type: ignore[arg-type]
    text = folder(_plan({"base": base}), {}).files["Dockerfile"].decode()
    assert f"\nARG BASE={distribution}:{release}\n" in text
    # Ubuntu packs its packages with zstd, which the first-stage root needs a module for.
    assert ("python3-zstandard" in text) is (distribution == "ubuntu")


def test_an_image_as_base_brings_the_files_itself() -> None:
    base = LockedBase(
        kind="image", distribution="debian", release="trixie", image="registry.example/debian:13",
        digest="sha256:" + "a" * 64, packages=(deb("sudo"),),
    )  # fmt: skip
    text = folder(_plan({"base": base}), {}).files["Dockerfile"].decode()
    assert f"\nARG BASE=registry.example/debian:13@sha256:{'a' * 64}\n" in text
    assert f"FROM registry.example/debian:13@sha256:{'a' * 64} AS base" in text


def test_editors_find_it_in_the_project_and_need_no_devenv() -> None:
    rendered = folder(_plan(), {})
    document = json.loads(rendered.files["devcontainer.json"])
    jsonschema.Draft201909Validator(SCHEMA).validate(document)
    command = f"docker buildx build --load --tag {document['image']} .devcontainer"
    assert document["initializeCommand"].endswith(f"|| {command}")
    service = yaml.safe_load(rendered.files["compose.yaml"])["services"]["environment"]
    assert service["build"] == {"context": "."}
    assert "..:/workspace" in service["volumes"]
    assert "* -text" in rendered.files[".gitattributes"].decode()


def test_no_file_names_a_public_host() -> None:
    rendered = folder(_plan(), {})
    own = r"https?://(127\.0\.0\.1|localhost|\$?devenv_|HOST\b|\*)"
    for name, data in (*rendered.files.items(), *rendered.context.items()):
        if not name.endswith("devenv.lock"):
            assert not re.search(r"https?://", re.sub(own, "", data.decode(errors="replace"))), name


def test_every_artifact_is_listed_with_its_place_and_none_is_there() -> None:
    decided = _plan({"extensions": (extension(),)})
    rendered = folder(decided, {})
    listed = [line.split("  ") for line in rendered.context["artifacts/SHA256SUMS"].decode().splitlines()]
    assert {(f"artifacts/{place}", sha256) for sha256, place in listed} == {
        (place, one.sha256) for place, one in artifact_files(decided)
    }
    assert not {place for place, _ in artifact_files(decided)} & rendered.context.keys()


def test_a_file_pinned_by_path_goes_along_and_one_by_address_is_fetched(tmp_path: Path) -> None:
    vsix = tmp_path / "tool.vsix"
    vsix.write_bytes(b"\x00\xffzip")
    sha256 = hashlib.sha256(b"\x00\xffzip").hexdigest()
    here = Vsix(name="Acme.Tool", version="1.2.3", file="Acme.Tool-1.2.3.vsix", size=5, sha256=sha256)
    there = Vsix(name="Acme.Far", version="1.0", file="Acme.Far-1.0.vsix", size=5, sha256="e" * 64)
    named = {
        sha256: Archive(path=str(vsix), sha256=sha256),
        "e" * 64: Archive(url="https://example.org/far.vsix", sha256="e" * 64),
    }
    context = folder(_plan({"extensions": (here, there)}), named).context
    assert context["artifacts/extensions/Acme.Tool-1.2.3.vsix"] == b"\x00\xffzip"
    assert json.loads(context["online/addresses.json"]) == {"e" * 64: "https://example.org/far.vsix"}
    vsix.write_bytes(b"another")
    with pytest.raises(RenderError, match="is not the file that the preset pins"):
        folder(_plan({"extensions": (here, there)}), named)
    vsix.unlink()
    with pytest.raises(RenderError, match="cannot be read"):
        folder(_plan({"extensions": (here, there)}), named)


# The folder, and the check that the build makes of it.


@pytest.fixture
def written(tmp_path: Path) -> tuple[Rendered, Path]:
    decided = _plan()
    rendered = folder(decided, {})
    return rendered, assemble(decided, rendered, None, tmp_path / ".devcontainer", with_files=True)


def _sent(target: Path) -> None:
    """Leave what Docker gets: the rest is kept back by .dockerignore."""
    allowed = [line[1:] for line in (target / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert "online" in allowed
    for path in target.iterdir():
        if path.name not in allowed:
            path.unlink()


def _check(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["check.py", str(target)])
    runpy.run_path(str(SCRIPTS / "check.py"))


def test_a_checkout_gets_its_modes_back(written: tuple[Rendered, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    rendered, target = written
    _sent(target)
    for path in target.rglob("*"):
        path.chmod(0o700)
    _check(target, monkeypatch)
    assert rendered.modes
    for name in rendered.context.keys() - {"Dockerfile", "online/SHA256SUMS"}:
        assert (target / name).stat().st_mode & 0o777 == rendered.modes.get(name, 0o644), name
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_dir()} == {0o755}


def test_a_checkout_that_differs_is_refused(written: tuple[Rendered, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, target = written
    _sent(target)
    (target / "build/npm.sh").write_bytes((target / "build/npm.sh").read_bytes().replace(b"\n", b"\r\n"))
    (target / "image/etc/profile.d/devenv.sh").unlink()
    (target / "image/etc/planted").touch()
    with pytest.raises(SystemExit) as ended:
        _check(target, monkeypatch)
    assert "build/npm.sh: was changed" in str(ended.value)
    assert "image/etc/profile.d/devenv.sh: is missing" in str(ended.value)
    assert "image/etc/planted: is not devenv's" in str(ended.value)
    assert "devenv render --online" in str(ended.value)


def test_differences_of_the_whole_folder(written: tuple[Rendered, Path]) -> None:
    rendered, target = written
    assert differences(rendered, target) == ""
    (target / "planted").touch()
    assert differences(rendered, target) == f"Only in {target}: planted\n"
    (target / "build/npm.sh").write_text("echo\n")
    assert "+++ b/build/npm.sh" in differences(rendered, target)


def test_a_folder_of_the_users_is_not_replaced(written: tuple[Rendered, Path], tmp_path: Path) -> None:
    rendered, target = written
    assert free(rendered, target)
    assert free(rendered, tmp_path / "none")
    other = tmp_path / "other"
    other.mkdir()
    (other / "devcontainer.json").write_text('{"madeBy": "devenv render"}')
    assert free(rendered, other), "a plain 'devenv render' wrote that"
    (other / "devcontainer.json").write_text('{"name": "mine"}')
    assert not free(rendered, other)


# What runs in the first stage.


def test_the_script_reads_the_lock_as_devenv_does() -> None:
    full = lock(npm=npm(), extensions=(extension(),))
    found = _script().locked(json.loads(full.dump()))
    assert {sha256: one["kind"] for sha256, one in found.items()} == kinds(full)
    assert found.keys() == {one.sha256 for one in full.artifacts()}


def test_only_files_with_a_locked_hash_are_kept(tmp_path: Path) -> None:
    script = _script()
    good, bad = hashlib.sha256(b"good").hexdigest(), hashlib.sha256(b"bad").hexdigest()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / bad).write_bytes(b"rotten")
    kept = script.Kept(str(tmp_path / "kept"), {good: ["base/good"], bad: ["base/bad"]})
    kept.look([])
    assert kept.held == set(), "what the cache has under a wrong name is no file of ours"
    for name in ("good", "stranger"):
        (tmp_path / name).write_bytes(name.encode())
        kept.take(str(tmp_path / name))
    assert kept.held == {good}
    kept.put(good, str(tmp_path / "out/base/good"))
    assert (tmp_path / "out/base/good").read_bytes() == b"good"
    kept.forget()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [good]


def test_lists_that_installers_copy_have_plain_modes(tmp_path: Path) -> None:
    (tmp_path / "npm").mkdir(mode=0o700)
    (tmp_path / "npm/package.json").touch(0o600)
    _script().plain_modes(str(tmp_path))
    assert (tmp_path / "npm").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "npm/package.json").stat().st_mode & 0o777 == 0o644


def test_the_archives_of_the_suite_are_asked_first() -> None:
    archives = [("bookworm", "a/"), ("bookworm-security", "s/"), ("bookworm-updates", "a/")]
    assert _script().nearest(archives, "bookworm-security") == ["s/", "a/"]
    assert _script().nearest(archives, "bookworm") == ["a/", "s/"]


def test_the_modules_that_go_along_need_no_other() -> None:
    for module in standalone._MODULES:
        tree = ast.parse(Path(str(module.__file__)).read_text())
        names = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        along = {str(one.__name__) for one in standalone._MODULES} | {"zstandard"}
        assert {name for name in names - along if name.split(".")[0] not in sys.stdlib_module_names} == set()
