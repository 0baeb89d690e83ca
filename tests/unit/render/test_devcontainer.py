from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devenv.container import labels
from devenv.doors.docker.values import ContainerFacts, Mount
from devenv.errors import RenderError
from devenv.lock.model import LockedModel, ModelFile, ModelSource, files_digest
from devenv.plan.inside import WORKBENCH
from devenv.plan.plan import plan
from devenv.plan.role import in_role
from devenv.render.devcontainer import is_configuration, is_ours, place
from devenv.render.render import Rendered, render, render_configuration
from tests.unit.examples import loaded, lock, sha

SCHEMA = json.loads((Path(__file__).parents[2] / "data" / "devContainer.base.schema.json").read_text())
_FILES = (ModelFile(path="a", size=1, sha256=sha("a")),)
MODEL = LockedModel(
    name="tiny", files=_FILES, digest=files_digest(_FILES),
    sources=(ModelSource(hub="huggingface", id="acme/tiny", revision="a" * 40),),
)  # fmt: skip


def _render(lock_changes: dict[str, Any] | None = None, *, self_contained: bool = False, **changes: Any) -> Rendered:
    return render(
        plan(loaded(**changes), lock(**(lock_changes or {}))), self_contained=self_contained, with_context=False
    )


def _document(lock_changes: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    document = json.loads(_render(lock_changes, **changes).files[place()])
    jsonschema.Draft201909Validator(SCHEMA).validate(document)
    return dict(document)


def _shell(script: str) -> list[str]:
    """The words of a command that a shell is given."""
    import shlex

    return shlex.split(script)


@pytest.mark.parametrize("self_contained", [False, True])
def test_it_satisfies_the_specification(self_contained: bool) -> None:
    document = _document(self_contained=self_contained, volumes={"cache": "/cache"}, ports={"api": 9000})
    assert document["overrideCommand"] is False
    assert document["remoteUser"] == "dev"
    assert set(document["appPort"]) == {f"127.0.0.1::{port}" for port in (8443, 8888, 9000)}
    assert ("docker buildx build" in document["initializeCommand"]) is self_contained
    assert ("devenv build" in document["initializeCommand"]) is not self_contained


def test_the_schema_would_catch_a_mistake() -> None:
    document = _document()
    document["forwardPorts"] = "8443"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft201909Validator(SCHEMA).validate(document)


def test_its_volumes_are_its_own_and_no_other_folder_has_them() -> None:
    assert _document(volumes={"cache": "/cache"})["mounts"] == [
        "source=devenv-demo-data-${devcontainerId},target=/mnt/demo,type=volume",
        "source=devenv-demo-vol-cache-${devcontainerId},target=/cache,type=volume",
    ]


def test_ports_have_names_and_the_editor_does_not_offer_itself() -> None:
    document = _document(ports={"api": 9000})
    assert document["forwardPorts"] == [8443, 8888, 9000]
    assert document["portsAttributes"] == {
        "8443": {"label": "ide", "onAutoForward": "silent"},
        "8888": {"label": "jupyter", "onAutoForward": "notify"},
        "9000": {"label": "api", "onAutoForward": "notify"},
    }


def test_the_setup_runs_before_the_smoke_test_and_services_restart_between() -> None:
    steps = {"data": {"run": ("sh", "-c", "echo 'a b' > x")}, "again": {"run": ("make", "it"), "timeout_s": 7}}
    checks = {"all": {"run": ("true",), "timeout_s": 5}, "more": {"run": ("echo", "it's"), "expect": "plumbing"}}
    services = {"api": {"command": ("serve",), "port": 9000, "listen": "127.0.0.1:9001"}}
    document = _document(setup=steps, smoke=checks, services=services)
    first, second, third = document["updateContentCommand"].split(" && ")
    assert _shell(first)[-3:] == ["sh", "-c", "echo 'a b' > x"]
    assert second == "devenv-exec timeout -k 5 7 make it"
    assert third == "sv -w 10 force-restart /run/devenv/sv/api"
    assert document["postCreateCommand"] == (
        "devenv-exec env DEVENV_SMOKE_EXPECT=result timeout -k 5 5 true"
        """ || { echo 'devenv: smoke check all failed' >&2; exit 10; }; """
        """devenv-exec env DEVENV_SMOKE_EXPECT=plumbing timeout -k 5 """
        f"""{plan(loaded(smoke=checks), lock()).smoke[1].timeout_s} echo 'it'"'"'s'"""
        """ || { echo 'devenv: smoke check more failed' >&2; exit 10; }"""
    )
    assert "updateContentCommand" not in _document()


def test_a_command_of_the_preset_holds_no_variable_of_the_client() -> None:
    given = "echo ${localEnv:HOME} $HOME ${x} '${y}'"
    document = _document(smoke={"all": {"run": ("sh", "-c", given)}}, setup={"data": {"run": ("sh", "-c", given)}})
    assert "${" not in document["postCreateCommand"] + document["updateContentCommand"]
    assert _shell(document["updateContentCommand"])[-1] == given
    assert not [one for one in document["runArgs"] if "${" in one]
    told = dict(one.removeprefix("--label=").split("=", 1) for one in document["runArgs"] if "--label" in one)
    assert json.loads(told["dev.devenv.smoke"])[0]["run"] == ["sh", "-c", given]


def test_its_labels_tell_what_those_of_up_tell() -> None:
    decided = in_role(plan(loaded(ports={"api": 9000}), lock()), WORKBENCH)
    document = _document(ports={"api": 9000})
    told = dict(one.removeprefix("--label=").split("=", 1) for one in document["runArgs"] if "--label" in one)
    facts = ContainerFacts(
        id="1", name="quiet_ada", state="running", exit_code=0, image="i", labels=told, ports=((9000, 49001),),
        mounts=(Mount(kind="bind", source="/home/me/project", target="/workspace"),), started_at="",
    )  # fmt: skip
    running = labels.of_devcontainer(facts)
    assert (running.unreadable, running.is_devcontainer, running.spec_digest) == ("", True, "")
    assert (running.name, running.project, running.preset) == ("quiet_ada", "/home/me/project", "demo")
    assert (running.services, running.checks, running.named_ports) == (decided.services, decided.smoke, decided.ports)
    assert running.lock_digest == decided.lock.digest
    assert running.urls("t")["api"] == "http://127.0.0.1:49001/"
    assert "dev.devenv.name" not in told, "an older devenv would show it as an environment that it cannot read"


def test_weights_come_with_devenv_alone_and_without_them_no_smoke_test_runs() -> None:
    checks: dict[str, Any] = {"smoke": {"all": {"run": ("true",)}}}
    document = _document({"model": MODEL}, **checks)
    volume = f"source=devenv-model-{MODEL.key},target=/mnt/demo/model,type=volume,readonly"
    assert document["mounts"][-1] == volume
    assert document["containerEnv"]["DEVENV_MODEL"] == "/mnt/demo/model"
    assert document["initializeCommand"].startswith("{ docker image inspect ")
    assert document["initializeCommand"].endswith("; } && devenv prefetch demo")
    assert "postCreateCommand" in document
    whole = _document({"model": MODEL}, self_contained=True, **checks)
    assert len(whole["mounts"]) == 1
    assert "DEVENV_MODEL" not in whole["containerEnv"]
    assert "postCreateCommand" not in whole
    not_pinned = _document({"open": ("model",)}, **checks)
    assert "postCreateCommand" not in not_pinned
    assert "prefetch" not in not_pinned["initializeCommand"]


def test_caches_lie_where_up_has_them_under_a_key_of_their_own() -> None:
    variables = _document(caches={"TRITON_CACHE_DIR": "triton"})["containerEnv"]
    decided = plan(loaded(caches={"TRITON_CACHE_DIR": "triton"}), lock())
    top = f"/mnt/demo/.cache/{decided.cache_key}-devcontainer"
    assert (variables["DEVENV_CACHE"], variables["DEVENV_CACHES"]) == (top, "triton")
    assert variables["TRITON_CACHE_DIR"] == f"{top}/triton"


def test_one_of_several_configurations_is_a_file_of_its_own(tmp_path: Path) -> None:
    decided = dataclasses.replace(plan(loaded(), lock()), argument="gpu.yaml")
    rendered = render_configuration(decided, "gpu")
    (path,) = rendered.write(tmp_path)
    assert path == tmp_path / ".devcontainer" / "gpu" / "devcontainer.json"
    document = json.loads(path.read_text())
    jsonschema.Draft201909Validator(SCHEMA).validate(document)
    assert document["initializeCommand"].endswith("|| devenv build gpu.yaml")
    assert rendered.differences(tmp_path) == ""
    path.write_text(path.read_text().replace('"remoteUser": "dev"', '"remoteUser": "root"'))
    assert '-  "remoteUser": "root"' in rendered.differences(tmp_path)


@pytest.mark.parametrize(("name", "good"), [
    ("gpu", True), ("cu12.x", True), ("", False), (".", False), ("..", False), ("a/b", False), ("-o", False),
    ("A", False), ("x" * 41, False), ("a\n", False),
])  # fmt: skip
def test_names_of_configurations_are_plain(name: str, good: bool) -> None:
    assert is_configuration(name) is good


@pytest.mark.parametrize("other", [".devcontainer/devcontainer.json", ".devcontainer.json"])
def test_one_of_someone_else_is_refused_and_nothing_is_written(other: str, tmp_path: Path) -> None:
    (tmp_path / ".devcontainer").mkdir()
    # It names devenv, and is not devenv's.
    (tmp_path / other).write_text('// made after "devenv render"\n{"image": "debian"}\n')
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RenderError, match=f"{other} exists, and devenv did not write it") as error:
        _render().write(tmp_path)
    assert "--configuration NAME" in (error.value.hint or "")
    assert sorted(tmp_path.rglob("*")) == before
    render_configuration(plan(loaded(), lock()), "mine").write(tmp_path)
    assert (tmp_path / ".devcontainer/mine/devcontainer.json").exists()


def test_one_that_devenv_wrote_is_known_after_an_edit_too() -> None:
    data = _render().files[place()]
    assert is_ours(data)
    assert is_ours(b"// mine\n" + data.replace(b'"madeBy": ', b'"madeBy" :'))
    assert not is_ours(b'{"image": "devenv/x", "name": "devenv render"}')


def test_rendering_starts_no_process() -> None:
    with pytest.raises(AssertionError):
        subprocess.Popen(["true"])
    _render()
