from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.build.image import Image
from devenv.container import container
from devenv.container import labels as container_labels
from devenv.container import spec as container_spec
from devenv.container.gpu import Access, Device
from devenv.container.state import Environment, environment
from devenv.doors.docker.engine import labels_json
from devenv.doors.docker.values import ContainerFacts, ContainerSpec, Mount
from devenv.plan.base_path import parse, under
from devenv.plan.inside import PlannedCheck
from devenv.plan.plan import Plan, plan
from devenv.plan.role import in_role
from tests.unit.examples import deb, loaded, lock, wheel

IMAGE = Image(reference="devenv/demo:1", id="sha256:1", cached=True)


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return environment("demo", tmp_path)


def _spec(env: Environment, *, of: Plan | None = None, project: Path | None = None, uid: int = 1000) -> ContainerSpec:
    decided = of or plan(loaded(), lock())
    ports = {inside: inside + 1 for _, inside in decided.ports}
    return container_spec.decide(decided, IMAGE, env, project=project, uid=uid, gid=uid, ports=ports)


def _facts(spec: ContainerSpec) -> ContainerFacts:
    return ContainerFacts(
        id="1", name=spec.name, state="running", exit_code=0, image=IMAGE.id, labels=dict(spec.labels),
        ports=spec.ports, mounts=spec.mounts, started_at="",
    )  # fmt: skip


def _digest(spec: ContainerSpec) -> str:
    return dict(spec.labels)["dev.devenv.spec"]


def test_equal_wishes_give_equal_specs(env: Environment) -> None:
    assert _spec(env) == _spec(env)


def test_a_spec_changes_with_what_the_container_is_made_of(env: Environment, tmp_path: Path) -> None:
    one = _digest(_spec(env))
    assert _digest(_spec(env, uid=1001)) != one
    assert _digest(_spec(env, project=tmp_path)) != one
    assert _digest(_spec(env, of=dataclasses.replace(plan(loaded(), lock()), shm_size_bytes=1))) != one


def test_no_token_is_in_a_spec(env: Environment) -> None:
    token = env.token()
    assert token not in repr(_spec(env))


def test_a_project_is_mounted_else_a_volume(env: Environment, tmp_path: Path) -> None:
    by_target = {mount.target: mount for mount in _spec(env).mounts}
    assert (by_target["/workspace"].kind, by_target["/workspace"].source) == ("volume", "devenv-demo-workspace")
    assert by_target["/mnt/demo"].kind == "volume"
    assert by_target["/run/devenv-host"].read_only
    mounted = {mount.target: mount for mount in _spec(env, project=tmp_path).mounts}
    assert (mounted["/workspace"].kind, mounted["/workspace"].source) == ("bind", str(tmp_path))


def test_what_git_needs_is_mounted_at_its_own_path(env: Environment, tmp_path: Path) -> None:
    decided = plan(loaded(), lock())
    spec = container_spec.decide(
        decided, IMAGE, env, project=tmp_path / "tree", uid=1, gid=1, ports={}, beside=(tmp_path / ".git",)
    )
    (mount,) = (one for one in spec.mounts if one.target == str(tmp_path / ".git"))
    assert (mount.kind, mount.source, mount.read_only) == ("bind", mount.target, False)


def test_labels_describe_the_container_without_its_preset(env: Environment) -> None:
    decided = plan(loaded(), lock())
    spec = _spec(env, of=decided)
    running = container_labels.describe(_facts(spec))
    assert running.services == decided.services
    assert running.checks == decided.smoke
    assert running.spec_digest == _digest(spec)
    urls = running.urls("TOKEN")
    assert urls["ide"] == "http://127.0.0.1:8444/?token=TOKEN"
    assert urls["jupyter"] == "http://127.0.0.1:8889/lab?token=TOKEN"


def test_pages_behind_a_proxy_have_its_address(env: Environment) -> None:
    services = {"open": {"command": ("m",), "port": 8600, "auth": "none"}}
    decided = plan(loaded(services=services, ports={"more": 9000}), lock())
    assert "DEVENV_BASE_PATH" not in dict(_spec(env, of=decided).environment)
    for base, front in (
        (parse("https://portal.example/user/me"), "https://portal.example/user/me"),
        (parse("/user/me"), "http://127.0.0.1:8441/user/me"),
    ):
        spec = _spec(env, of=under(decided, base))
        running = container_labels.describe(_facts(spec))
        assert dict(spec.environment)["DEVENV_BASE_PATH"] == base.text
        assert running.base_path == base
        assert running.urls("T") == {
            "ide": f"{front}/ide/?token=T", "jupyter": f"{front}/jupyter/lab?token=T",
            "open": "http://127.0.0.1:8601/", "more": "http://127.0.0.1:9001/",
        }  # fmt: skip
        assert running.proxy_json() == {"base_path": base.text, "forward_to": "http://127.0.0.1:8441"}
        assert [one.name for one in running.probed] == ["ide", "jupyter", "open", "gateway"]
        stopped = container_labels.describe(dataclasses.replace(_facts(spec), ports=()))
        assert (stopped.urls("T"), stopped.entry) == ({}, "")
        wrong = {**dict(spec.labels), "dev.devenv.base-path": "https://evil.example/\x1b[31m"}
        assert container_labels.describe(dataclasses.replace(_facts(spec), labels=wrong)).base_path is None


def test_every_volume_but_a_models_says_whose_it_is(env: Environment, tmp_path: Path) -> None:
    spec = _spec(env, project=tmp_path)
    model = Mount(kind="volume", source="devenv-model-x-0", target="/mnt/demo/model", read_only=True)
    made: dict[str, Any] = {}
    engine: Any = SimpleNamespace(ensure_volume=made.__setitem__, remove=lambda _: None, create=lambda _: None)
    container.create(dataclasses.replace(spec, mounts=(*spec.mounts, model)), env, engine)
    labels = {"dev.devenv.name": "demo", "dev.devenv.project": str(tmp_path), "dev.devenv.owner": str(env.folder)}
    assert made == {"devenv-demo-data": labels}


def test_volumes_of_an_environment_called_as_models_are_are_labelled(tmp_path: Path) -> None:
    env = environment("model-x", tmp_path)
    made: dict[str, Any] = {}
    engine: Any = SimpleNamespace(ensure_volume=made.__setitem__, remove=lambda _: None, create=lambda _: None)
    container.create(_spec(env), env, engine)
    assert made.keys() == {"devenv-model-x-data", "devenv-model-x-workspace"}


def test_foreign_labels_are_survived() -> None:
    facts = ContainerFacts(
        id="1", name="devenv-x", state="exited", exit_code=1, image="i", labels={}, ports=(), mounts=(), started_at=""
    )
    assert container_labels.describe(facts).services == ()


def test_labels_of_another_version_are_survived(env: Environment) -> None:
    spec = _spec(env)
    labels = dict(spec.labels)
    services = json.loads(labels["dev.devenv.services"])
    services[0]["a_field_of_the_future"] = 1
    del services[1]["timeout_s"]
    labels["dev.devenv.services"] = json.dumps(services)
    facts = ContainerFacts(
        id="1", name="devenv-demo", state="running", exit_code=0, image="i", labels=labels, ports=(), mounts=(),
        started_at="",
    )  # fmt: skip
    assert [one.name for one in container_labels.describe(facts).services] == [services[0]["name"]]


CACHES = {"TRITON_CACHE_DIR": "triton", "VLLM_CACHE_ROOT": "vllm"}


def _cached(env: Environment, *capabilities: str, **changes: Any) -> dict[str, str]:
    decided = plan(loaded(caches=CACHES), lock(**changes))
    devices = tuple(
        Device(index=at, uuid=f"GPU-{at}", name="x", memory_bytes=1, capability=one, minor=at)
        for at, one in enumerate(capabilities)
    )
    gpu = Access(mode="direct", devices=devices) if devices else None
    return dict(
        container_spec.decide(decided, IMAGE, env, project=None, uid=1000, gid=1000, ports={}, gpu=gpu).environment
    )


def test_caches_lie_on_the_environments_volume_apart_for_packages_and_gpus(env: Environment) -> None:
    found = _cached(env)
    key = found["DEVENV_CACHE"].removeprefix("/mnt/demo/.cache/")
    assert key.endswith("-cpu")
    assert found["TRITON_CACHE_DIR"] == f"/mnt/demo/.cache/{key}/triton"
    assert found["DEVENV_CACHES"].split() == ["triton", "vllm"]
    assert _cached(env, "9.0")["DEVENV_CACHE"].endswith("-sm90")
    assert _cached(env, "9.0", "9.0") == _cached(env, "9.0")
    assert _cached(env, "12.0", "8.0")["DEVENV_CACHE"].endswith("-sm120-sm80")
    assert _cached(env, "")["DEVENV_CACHE"].endswith("-smunknown")
    assert _cached(env, wheels=(wheel("jupyterlab", "2.0"),))["DEVENV_CACHE"] != found["DEVENV_CACHE"]
    assert _cached(env, apt=(deb("jq"),))["DEVENV_CACHE"] == found["DEVENV_CACHE"], "Debian packages are not in the key"


def test_a_preset_without_caches_gets_no_variable_of_theirs(env: Environment) -> None:
    assert not [name for name, _ in _spec(env).environment if "CACHE" in name]


def _described(label: str) -> tuple[PlannedCheck, ...]:
    facts = ContainerFacts(
        id="1", name="devenv-demo", state="running", exit_code=0, image="i", labels={"dev.devenv.smoke": label},
        ports=(), mounts=(), started_at="",
    )  # fmt: skip
    return container_labels.describe(facts).checks


def test_what_a_check_expects_is_in_the_label_and_the_usual_is_left_out(env: Environment) -> None:
    smoke = {"a": {"run": ("a",)}, "b": {"run": ("b",), "expect": "plumbing"}}
    label = dict(_spec(env, of=plan(loaded(smoke=smoke), lock())).labels)["dev.devenv.smoke"]
    assert [one.get("expect") for one in json.loads(label)] == [None, "plumbing"]
    assert [one.expect for one in _described(label)] == ["result", "plumbing"]


def test_a_check_that_an_older_devenv_wrote_expects_a_result() -> None:
    old = PlannedCheck(name="ocr", run=("ocr-check",), timeout_s=120)
    assert _described('[{"name": "ocr", "run": ["ocr-check"], "timeout_s": 120}]') == (old,)
    assert _described('[{"name": "ocr", "run": ["ocr-check"]}]') == ()


SERVING = plan(
    loaded(services={"model": {"command": ("m",), "port": 8600, "auth": "none", "role": "serve"}}, ports={"more": 7}),
    lock(),
)


def test_a_container_of_the_workbench_is_what_it_was_before_there_were_roles() -> None:
    """An update of devenv replaces no container."""
    of = plan(
        loaded(services={"api": {"command": ("a",), "port": 9000, "auth": "none"}}, smoke={"x": {"run": ("true",)}}),
        lock(),
    )
    of = dataclasses.replace(in_role(of, "workbench"), image="devenv/demo:1", editor=None)
    spec = container_spec.decide(
        of, IMAGE, environment("demo", Path("/state")), project=None, uid=1000, gid=1000, ports={9000: 9000}
    )
    assert _digest(spec) == "ec4cd731b448806ea1f07283c9fe9b90b066d56cd669c98aafee5e1ecb4f7b17"
    assert (spec.health, spec.restart) == (None, "")


def test_a_container_that_serves_has_its_role_a_health_check_and_comes_back_after_a_restart(env: Environment) -> None:
    spec = _spec(env, of=in_role(SERVING, "serve"))
    assert dict(spec.environment)["DEVENV_ROLE"] == "serve"
    assert spec.health
    assert spec.health.command == ("/usr/local/lib/devenv/healthy",)
    assert spec.restart == "unless-stopped"
    assert [inside for inside, _ in spec.ports] == [8600]
    running = container.describe(_facts(spec))
    assert (running.role, [one.name for one in running.services]) == ("serve", ["model"])
    assert container.describe(_facts(_spec(env, of=in_role(SERVING, "workbench")))).role == "workbench"


@pytest.mark.parametrize("label", ["", "root", "SERVE"])
def test_an_unknown_role_is_the_usual_one(env: Environment, label: str) -> None:
    facts = _facts(_spec(env))
    changed = dataclasses.replace(facts, labels={**facts.labels, "dev.devenv.role": label})
    assert container.describe(changed).role == "workbench"


def test_each_role_keeps_its_ports(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "port_is_free", lambda _: True)
    monkeypatch.setattr("devenv.container.ports.port_is_free", lambda _: True)
    engine: Any = SimpleNamespace(container=lambda _: None, containers=lambda _: ())
    env.keep_ports({8443: 1111, 9: 2222})
    assert container.ports_for(in_role(SERVING, "serve"), env, engine) == {8600: 8600}
    assert env.ports() == {8443: 1111, 8600: 8600}, "9 is a port of no role"
    assert container.ports_for(in_role(SERVING, "workbench"), env, engine)[8443] == 1111
    assert env.ports()[8600] == 8600


def test_label_values_are_stable() -> None:
    assert labels_json({"b": 1, "a": [2]}) == '{"a":[2],"b":1}'
