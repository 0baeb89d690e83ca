from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.cli import run

HEAVY = {"docker", "urllib3", "rich"}


@pytest.fixture(autouse=True)
def _short_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bill takes longer than all other files of a context, and tests/golden compares it."""
    monkeypatch.setattr("devenv.render.render.sbom", lambda _: b"{}\n")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))


def test_render_writes_then_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out"
    assert run(["render", "python", "-o", str(target), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changed"] == told["files"] == [".devcontainer/devcontainer.json", "Dockerfile", "compose.yaml"]
    assert told["preset"] == "python"
    assert told["image"] in (target / "compose.yaml").read_text()
    assert run(["render", "python", "-o", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == []


def test_check_is_exit_12_with_a_diff_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "python", "-o", str(tmp_path)]) == 0
    assert run(["render", "python", "-o", str(tmp_path), "--check"]) == 0
    (tmp_path / "compose.yaml").write_text("# devenv render\n")
    capsys.readouterr()
    assert run(["render", "python", "-o", str(tmp_path), "--check"]) == 12
    said = capsys.readouterr()
    assert "--- a/compose.yaml" in said.out
    assert "devenv render" in said.err
    assert (tmp_path / "compose.yaml").read_text() == "# devenv render\n"
    assert run(["render", "python", "-o", str(tmp_path), "--check", "--json"]) == 12
    assert json.loads(capsys.readouterr().out)["matches"] is False


def test_a_file_of_the_users_is_exit_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    assert run(["render", "python", "-o", str(tmp_path)]) == 5
    assert "devenv did not write it" in capsys.readouterr().err


def test_a_preset_without_a_lock_is_exit_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "devenv.yaml").write_text("extends: python\n")
    assert run(["render", str(tmp_path)]) == 4
    assert "devenv lock" in capsys.readouterr().err


def test_a_whole_folder_never_replaces_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert run(["render", "python", "-o", str(tmp_path), "--with-artifacts"]) == 5
    assert "not empty" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


@pytest.fixture
def nothing_imported() -> Iterator[None]:
    """No module of ours or of the heavy libraries is imported; afterwards those of before are, and no others.

    A module left behind would hold a second copy of the classes that other tests put stand-ins in.
    """
    before = dict(sys.modules)
    for name in before:
        if name.startswith("devenv.") or name.split(".")[0] in HEAVY:
            del sys.modules[name]
    yield
    sys.modules.clear()
    sys.modules.update(before)
    for name, module in before.items():
        parent, _, leaf = name.rpartition(".")
        if name.startswith("devenv."):
            setattr(before[parent], leaf, module)


@pytest.mark.usefixtures("nothing_imported")
def test_render_imports_nothing_heavy(tmp_path: Path) -> None:
    assert importlib.import_module("devenv.cli").run(["render", "python", "-o", str(tmp_path)]) == 0
    assert not {one.split(".")[0] for one in sys.modules} & HEAVY


def test_online_writes_one_folder_and_sees_what_was_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["render", "python", "-o", str(tmp_path), "--online"]
    assert run([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(tmp_path / ".devcontainer")
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == {".devcontainer"}
    assert {"devcontainer.json", "Dockerfile", "image/etc/devenv/devenv.lock"} <= set(told["changed"])
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == []
    assert run([*command, "--check"]) == 0
    (tmp_path / ".devcontainer/build/npm.sh").write_text("echo\n")
    (tmp_path / ".devcontainer/image/planted").touch()
    assert run([*command, "--check"]) == 12
    assert "image/planted" in capsys.readouterr().out
    assert run(command) == 0
    assert not (tmp_path / ".devcontainer/image/planted").exists()
    assert run([*command, "--check"]) == 0


def test_online_takes_the_place_of_a_plain_rendering_and_of_nothing_else(tmp_path: Path) -> None:
    assert run(["render", "python", "-o", str(tmp_path)]) == 0
    assert run(["render", "python", "-o", str(tmp_path), "--online"]) == 0
    (tmp_path / "mine/.devcontainer").mkdir(parents=True)
    (tmp_path / "mine/.devcontainer/devcontainer.json").write_text("{}")
    assert run(["render", "python", "-o", str(tmp_path / "mine"), "--online"]) == 5
    assert (tmp_path / "mine/.devcontainer/devcontainer.json").read_text() == "{}"


def test_online_and_with_artifacts_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "python", "-o", str(tmp_path), "--online", "--with-artifacts"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("target", "says"), [("/dev/zero", "a link that leads out of"), (None, "it is a pipe")])
@pytest.mark.parametrize("name", ["compose.yaml", "Dockerfile", ".devcontainer/devcontainer.json"])
@pytest.mark.parametrize("check", [(), ("--check",)])
def test_what_is_no_file_in_a_rendered_files_place_is_exit_5(
    name: str, target: str | None, says: str, check: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "project" / name
    path.parent.mkdir(parents=True)
    path.symlink_to(target) if target else os.mkfifo(path)
    assert run(["render", "python", "-o", str(tmp_path / "project"), *check]) == 5
    assert says in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("option", [(), ("--online",), ("--online", "--check")])
def test_render_does_not_follow_a_link_out_of_the_project(
    option: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / ".devcontainer").symlink_to("../outside")
    assert run(["render", "python", "-o", str(tmp_path / "project"), *option]) == 5
    assert "is a link that leads out of" in " ".join(capsys.readouterr().err.split())
    assert list((tmp_path / "outside").iterdir()) == []
    assert [one.name for one in (tmp_path / "project").iterdir()] == [".devcontainer"]


def test_a_link_inside_the_project_is_followed(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / ".devcontainer").symlink_to("config")
    assert run(["render", "python", "-o", str(tmp_path)]) == 0
    assert (tmp_path / "config" / "devcontainer.json").is_file()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("target", "says"), [("/dev/zero", "a link that leads out of"), (None, "it is a pipe")])
def test_a_lock_that_is_no_file_is_exit_4(
    target: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "devenv.yaml").write_text("extends: python\n")
    lock = tmp_path / "devenv.lock"
    lock.symlink_to(target) if target else os.mkfifo(lock)
    assert run(["render", str(tmp_path)]) == 4
    assert says in " ".join(capsys.readouterr().err.split())


def test_one_of_several_configurations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of devenv's beside one of somebody else's."""
    (tmp_path / ".devcontainer.json").write_text("{}\n")
    assert run(["render", "python", "-o", str(tmp_path)]) == 5
    assert "dev container clients would no longer use it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".devcontainer.json"]
    given = ["render", "python", "-o", str(tmp_path), "--configuration", "cpu"]
    assert run([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [".devcontainer/cpu/devcontainer.json"]
    assert run([*given, "--check"]) == 0
    file = tmp_path / ".devcontainer/cpu/devcontainer.json"
    file.write_text(file.read_text().replace('"init": true', '"init": false'))
    assert run([*given, "--check"]) == 12
    assert '-  "init": false' in capsys.readouterr().out


def test_a_dockerfile_of_ones_own_builds_on_the_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "docker" / "Dockerfile"
    given = ["render", "python", "-o", str(tmp_path), "--configuration", "mine", "--dockerfile", str(own)]
    assert run(given) == 5
    assert "beginning with the two lines 'ARG ENVIRONMENT' and 'FROM ${ENVIRONMENT}'" in capsys.readouterr().err
    own.parent.mkdir()
    own.write_text("ARG ENVIRONMENT\nFROM ${ENVIRONMENT}\nRUN true\n")
    assert run([*given, "--json"]) == 0
    image = json.loads(capsys.readouterr().out)["image"]
    document = json.loads((tmp_path / ".devcontainer/mine/devcontainer.json").read_text())
    assert document["build"] == {"args": {"ENVIRONMENT": image}, "dockerfile": "../../docker/Dockerfile"}
    assert "image" not in document
    assert image in document["initializeCommand"]
    assert run([*given, "--check"]) == 0


@pytest.mark.parametrize(("arguments", "said"), [
    (["--dockerfile", "Dockerfile"], "--dockerfile is for one of several configurations"),
    (["--configuration", "../x"], "'../x' is not a name for a configuration"),
    (["--configuration", ""], "'' is not a name for a configuration"),
    (["--configuration", "x", "--online"], "--configuration goes with neither"),
    (["--configuration", "x", "--with-artifacts"], "--configuration goes with neither"),
])  # fmt: skip
def test_names_of_configurations(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "python", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_preset_s_file_is_named_as_the_client_finds_it(tmp_path: Path) -> None:
    from devenv.build.rendered_folder import Kind, render_folder
    from tests.unit.examples import loaded, lock

    for path, named in ((tmp_path / "a b" / "gpu.yaml", "'a b/gpu.yaml'"), (Path("/else/gpu.yaml"), "/else/gpu.yaml")):
        of = loaded(shipped=False, path=path)
        folder = render_folder(of, lock(), tmp_path, Kind.CONFIGURATION, configuration="gpu")
        document = json.loads(folder.rendered.files[".devcontainer/gpu/devcontainer.json"])
        assert document["initializeCommand"].endswith(f"|| devenv build {named}")


@pytest.mark.parametrize("name", [".devcontainer/devcontainer.json", ".devcontainer.json", "compose.yaml"])
@pytest.mark.parametrize("target", ["missing", "empty", "theirs"])
def test_a_link_to_no_file_of_devenvs_is_somebody_elses(
    name: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    (project / name).parent.mkdir(parents=True)
    (project / "empty").touch()
    (project / "theirs").write_text("{}")
    link = project / name
    link.symlink_to(project / target)
    assert run(["render", "python", "-o", str(project)]) == 5
    assert "devenv did not write it" in " ".join(capsys.readouterr().err.split())
    assert link.readlink() == project / target
    assert not (project / "Dockerfile").exists()


def test_a_link_to_a_file_of_devenvs_is_devenvs(tmp_path: Path) -> None:
    assert run(["render", "python", "-o", str(tmp_path)]) == 0
    file = tmp_path / ".devcontainer/devcontainer.json"
    text = file.read_text()
    file.rename(tmp_path / "kept.json")
    (tmp_path / "kept.json").write_text(text.replace('"init": true', '"init": false'))
    file.symlink_to("../kept.json")
    assert run(["render", "python", "-o", str(tmp_path)]) == 0
    assert file.read_text() == text


@pytest.mark.parametrize(("option", "name", "words"), [
    ((), ".devcontainer.json", "clients would no longer use it; render one beside it"),
    ((), ".devcontainer/devcontainer.json", "did not write it; render one beside it"),
    ((), "compose.yaml", "did not write it; move it away"),
    (("--online",), ".devcontainer/devcontainer.json", "it is not empty; choose another folder"),
    (("--with-artifacts",), "thesis.txt", "it is not empty; choose another folder"),
])  # fmt: skip
def test_check_says_when_render_would_refuse(
    option: tuple[str, ...], name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    (project / name).parent.mkdir(parents=True)
    (project / name).write_text("{}\n")
    assert run(["render", "python", "-o", str(project), *option, "--check"]) == 12
    told = " ".join(capsys.readouterr().err.split())
    assert "hint: 'devenv render' cannot write them: " in told
    assert words in told
    assert "write them again" not in told
