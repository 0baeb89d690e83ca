from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from devenv.doors.docker.local_tag import BASE_TAG
from devenv.errors import RenderError
from devenv.lock.model import LockedBase, LockedModel, ModelFile, ModelSource, files_digest
from devenv.plan.plan import plan
from devenv.render.artifacts import artifact_files
from devenv.render.render import Rendered, render
from tests.unit.examples import deb, editor_release, extension, loaded, lock, named_extension, npm, sha

SCHEMA = json.loads((Path(__file__).parents[2] / "data" / "devContainer.base.schema.json").read_text())
HOSTILE = "a'b\"c $HOME `id` $(id) \\ #{x} {{ y }} {% z %} ;&|"


def _render(lock_changes: dict[str, Any] | None = None, *, self_contained: bool = False, **changes: Any) -> Rendered:
    return render(plan(loaded(**changes), lock(**(lock_changes or {}))), self_contained=self_contained)


def _dockerfile(rendered: Rendered) -> str:
    return rendered.files["Dockerfile"].decode()


def _stages(dockerfile: str) -> list[str]:
    return re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE)


def sums(*files: str) -> bytes:
    return "".join(f"{sha(file)}  {file}\n" for file in files).encode()


def test_the_same_plan_gives_the_same_bytes() -> None:
    assert _render().context == _render().context
    assert _render().files == _render().files


def test_nothing_in_the_dockerfile_needs_a_network_or_a_front_end_from_a_registry() -> None:
    text = _dockerfile(_render())
    assert "syntax=" not in text
    assert not re.search(r"https?://", text)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == [
        "scratch",
        "unpacked",
        "scratch",
        *["unpacked"] * 2,
        "scratch",
        *["unpacked"] * 2,
        "wheels-0",
        "base",
    ]


def test_a_bootstrapped_base_has_these_stages() -> None:
    assert _stages(_dockerfile(_render())) == [
        "unpacked", "bootstrap", "base", "node", "editor-build", "editor", "installer", "wheels-0", "wheels-1",
        "environment",
    ]  # fmt: skip


def test_an_image_base_is_pinned_by_digest() -> None:
    base = LockedBase(
        kind="image", distribution="debian", release="trixie", image="registry.example/debian:13",
        digest="sha256:" + "a" * 64, packages=(deb("sudo"),),
    )  # fmt: skip
    text = _dockerfile(_render({"base": base}))
    assert f"FROM registry.example/debian:13@sha256:{'a' * 64} AS base" in text
    assert "bootstrap" not in text


def test_without_editor_and_node_their_stages_and_files_are_gone() -> None:
    rendered = _render({"editor": None, "node": None}, code_server=None, jupyter=None, node=None)
    assert _stages(_dockerfile(rendered)) == [
        "unpacked", "bootstrap", "base", "installer", "wheels-0", "wheels-1", "environment",
    ]  # fmt: skip
    assert not [name for name in rendered.context if "gateway" in name or "jupyter" in name or "code-server" in name]
    assert rendered.context["image/etc/devenv/gated"] == b""


def test_a_release_is_unpacked_and_nothing_is_compiled() -> None:
    text = _dockerfile(_render({"editor": editor_release()}))
    assert "tar -xzf /run/editor/code-server-4.139.1-linux.tar.gz" in text
    assert "toolchain" not in text
    assert "editor.sh" not in text


def test_npm_packages_and_extensions_have_steps_of_their_own() -> None:
    rendered = _render({"npm": npm(), "extensions": (extension(),)}, npm=("@acme/cli@3.1.0",))
    text = _dockerfile(rendered)
    assert "sh /run/build/npm.sh" in text
    assert (
        "/run/extensions/Acme.Tool-1.2.3.vsix extension /opt/code-server/lib/vscode/extensions/acme.tool-1.2.3" in text
    )
    package_lock = json.loads(rendered.context["artifacts/npm/package-lock.json"])
    entry = package_lock["packages"]["node_modules/@acme/cli"]
    assert entry["resolved"] == "http://127.0.0.1:4873/@acme/cli/-/cli-3.1.0.tgz"
    assert entry["integrity"] == "sha512-x"
    assert json.loads(rendered.context["artifacts/npm/package.json"])["dependencies"] == {"@acme/cli": "3.1.0"}


def test_each_wheel_layer_is_a_step_with_hashes() -> None:
    rendered = _render()
    text = _dockerfile(rendered)
    assert text.index("source=artifacts/wheels/0") < text.index("source=artifacts/wheels/1")
    line = rendered.context["artifacts/wheels/1/requirements.txt"].decode()
    assert re.fullmatch(r"pillow==1\.0 --hash=sha256:[0-9a-f]{64}\n", line)


def test_each_preset_of_the_chain_has_its_debian_packages_and_then_its_wheels() -> None:
    debs = (deb("curl"), deb("libx").model_copy(update={"layer": 2}), deb("git").model_copy(update={"layer": 1}))
    rendered = _render({"apt": debs})
    text = _dockerfile(rendered)
    final = text.partition(" AS environment")[2]
    steps = (
        "source=artifacts/apt/0,",
        "--from=wheels-0 ",
        "source=artifacts/apt/1,",
        "--from=wheels-1 ",
        "artifacts/apt/2,",
    )
    places = [final.index(one) for one in steps]
    assert places == sorted(places)
    assert "source=artifacts/wheels/2" not in text
    assert rendered.context["artifacts/apt/1/SHA256SUMS"] == sums("git_1.0-1_amd64.deb")


def test_a_python_that_is_not_the_bases_gets_bytecode_and_the_wheels() -> None:
    other = (deb("libpython3.13-stdlib"), deb("python3.13"), deb("git").model_copy(update={"layer": 1}))
    text = _dockerfile(_render({"apt": other}, python="3.13"))
    assert text.count("sh /run/build/bytecode.sh python3.13\n") == 1
    assert text.index("dpkg.sh /run/debs\nsh /run/build/bytecode.sh python3.13") < text.index("wheels.sh 990 3.13\n")
    assert "bytecode.sh python" not in _dockerfile(_render({"apt": (deb("git"),)}))


def test_wheels_are_made_beside_the_base_while_a_copy_of_them_is_cheap() -> None:
    small = _dockerfile(_render())
    assert "FROM unpacked AS wheels-0" in small
    assert "FROM wheels-0 AS wheels-1" in small
    assert "sh /run/build/wheels.sh 990 3.11 /layer/1\n" in small
    first, second = lock().wheels
    large = _render({"wheels": (first, second.model_copy(update={"size": 300_000_001}))})
    before, _, final = _dockerfile(large).partition(" AS environment")
    assert "AS wheels-0" in before
    assert "wheels-1" not in before
    assert final.index("COPY --link --from=wheels-0 /layer/0/ /") < final.index("sh /run/build/wheels.sh 990 3.11\n")
    below = _dockerfile(_render({"wheels": (first.model_copy(update={"size": 300_000_001}), second)}))
    assert "AS wheels-" not in below, "what lies over a large layer is installed in its place, too"


def test_npm_packages_are_made_beside_the_base() -> None:
    text = _dockerfile(_render({"npm": npm()}, npm=("@acme/cli@3.1.0",)))
    assert "FROM node AS npm\n" in text
    assert "COPY --link --from=npm /opt/npm /opt/npm\n" in text.partition(" AS environment")[2]


def test_orders_name_every_package_once() -> None:
    rendered = _render()
    assert rendered.context["artifacts/base/SHA256SUMS"] == sums("dash_1.0-1_amd64.deb", "python3_1.0-1_amd64.deb")
    assert rendered.context["artifacts/toolchain/SHA256SUMS"] == sums("g++_1.0-1_amd64.deb")


def test_every_file_that_no_installer_checks_is_checked_by_the_step_that_takes_it() -> None:
    """uv and npm hold wheels and tarballs to hashes of their own lists."""
    full = lock(npm=npm(), extensions=(extension(),))
    rendered = render(plan(loaded(), full))
    listed = {
        f"{name.rpartition('/')[0]}/{line.split()[1]}": line.split()[0]
        for name, data in rendered.context.items() if name.endswith("/SHA256SUMS")
        for line in data.decode().splitlines()
    }  # fmt: skip
    own = {"artifacts/wheels", "artifacts/npm", "artifacts/editor/npm"}
    wanted = {
        path: one.sha256 for path, one in artifact_files(plan(loaded(), full))
        if not any(path.startswith(f"{folder}/") for folder in own)
    }  # fmt: skip
    assert listed == wanted
    text = _dockerfile(rendered) + "".join(
        rendered.context[f"build/{name}"].decode() for name in ("dpkg.sh", "debs.sh", "node.sh", "editor.sh")
    )
    for folder in ("uv", "node", "editor", "extensions"):
        assert f"cd /run/{folder}\nsha256sum --check --quiet --strict SHA256SUMS\n" in text


def test_every_locked_artifact_has_one_place() -> None:
    full = lock(npm=npm(), extensions=(extension(),))
    places = dict(artifact_files(plan(loaded(), full)))
    assert {one.sha256 for one in places.values()} == {one.sha256 for one in full.artifacts()}
    assert places["artifacts/editor/npm/@scope/ws/-/ws-2.0.0.tgz"].name == "@scope/ws"


def test_values_reach_the_shell_and_docker_as_they_are(tmp_path: Path) -> None:
    rendered = _render(
        env={"QUOTED": HOSTILE},
        services={"app": {"command": ("app", HOSTILE), "env": {"INNER": HOSTILE}, "port": 9000, "auth": "none"}},
    )
    line = next(line for line in _dockerfile(rendered).splitlines() if line.startswith("ENV QUOTED="))
    assert line.startswith('ENV QUOTED="')
    assert line.endswith('"')
    assert re.sub(r"\\(.)", r"\1", line.removeprefix('ENV QUOTED="')[:-1]) == HOSTILE
    assert not re.search(r"(?<!\\)\$", line)
    run = rendered.context["image/etc/devenv/sv/app/run"].decode()
    import shlex

    assert shlex.split(run.splitlines()[-1]) == ["exec", "app", HOSTILE]
    assert f"export INNER={shlex.quote(HOSTILE)}" in run


def test_files_at_home_belong_to_the_user_inside(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    targets = ("/home/dev/.gitconfig", "/home/device/x", "/opt/x")
    dockerfile = _dockerfile(_render(files=dict.fromkeys(targets, str(tmp_path / "file"))))
    copies = {target: line for line in dockerfile.splitlines() for target in targets if f'"{target}"' in line}
    assert {target: "--chown=1000:1000" in line for target, line in copies.items()} == {
        "/home/dev/.gitconfig": True, "/home/device/x": False, "/opt/x": False,
    }  # fmt: skip


def test_services_have_what_the_supervisor_wants() -> None:
    rendered = _render()
    for service in ("ide", "jupyter", "gateway"):
        for file in ("run", "finish", "log/run"):
            name = f"image/etc/devenv/sv/{service}/{file}"
            assert rendered.context[name].startswith(b"#!/bin/sh\n")
            assert rendered.modes[name] == 0o755


def test_programs_are_executable_and_the_rest_is_not() -> None:
    rendered = _render()
    programs = {name for name, mode in rendered.modes.items() if mode == 0o755 and "/sv/" not in name}
    assert programs == {
        "image/usr/local/bin/code-server",
        "image/usr/local/bin/devenv-exec",
        "image/usr/local/lib/devenv/entrypoint",
        "image/usr/local/lib/devenv/fill",
        "image/usr/local/lib/devenv/finish",
        "image/usr/local/lib/devenv/gpu-check",
        "image/usr/local/lib/devenv/healthy",
        "image/usr/local/lib/devenv/ide",
        "image/usr/local/lib/devenv/jupyter",
        "image/usr/local/lib/devenv/log",
        "image/usr/local/lib/devenv/ssh-server",
    }


def test_the_gateway_serves_what_asks_for_it() -> None:
    services = {
        "my-app": {"command": ("app",), "port": 9000, "listen": "127.0.0.1:9001"},
        "open": {"command": ("app",), "port": 9002, "auth": "none"},
    }
    rendered = _render(services=services)
    conf = rendered.context["image/etc/devenv/gateway.conf"].decode()
    assert re.findall(r"listen (\d+);", conf) == ["8443", "8888", "9000"]
    assert "server unix:/run/devenv/ide.sock;" in conf
    assert "server 127.0.0.1:9001;" in conf
    assert "$devenv_pass_my_app" in conf
    assert rendered.context["image/etc/devenv/gated"] == b"ide\njupyter\nmy-app\n"


_FILE = ModelFile(path="config.json", size=2, sha256=sha("{}"))
MODEL_LOCKED = LockedModel(
    name="tiny", digest=files_digest((_FILE,)), files=(_FILE,),
    sources=(ModelSource(hub="huggingface", id="me/tiny", revision="a" * 40),),
)  # fmt: skip
MODEL = {
    "command": ("serve",), "port": 8600, "listen": "127.0.0.1:8601", "role": "serve", "health": {"path": "/up"},
    "timeout_s": 300,
}  # fmt: skip


def test_the_models_services_are_kept_apart_in_the_image() -> None:
    rendered = _render(services={"model": MODEL})
    bench, serve = "image/etc/devenv", "image/etc/devenv/serve"
    assert rendered.context[f"{bench}/gated"] == b"ide\njupyter\n"
    assert rendered.context[f"{serve}/gated"] == b"model\n"
    conf = rendered.context[f"{serve}/gateway.conf"].decode()
    assert re.findall(r"listen (\d+);", conf) == ["8600"]
    assert "8600" not in rendered.context[f"{bench}/gateway.conf"].decode()
    programs = {name.split("/")[5] for name in rendered.context if name.startswith(f"{serve}/sv/")}
    assert programs == {"gateway", "model"}
    assert b"-c /etc/devenv/serve/gateway.conf" in rendered.context[f"{serve}/sv/gateway/run"]
    assert f"{bench}/sv/model/run" not in rendered.context
    assert rendered.modes[f"{serve}/sv/model/run"] == rendered.modes["image/usr/local/lib/devenv/healthy"] == 0o755


def test_compose_serves_the_model_when_it_is_asked_by_name() -> None:
    files = _render(services={"model": MODEL}).files
    services = yaml.safe_load(files["compose.yaml"])["services"]
    bench, serve = services["environment"], services["serve"]
    assert (bench.get("profiles"), serve["profiles"]) == (None, ["serve"])
    assert serve["ports"] == ["127.0.0.1:${DEVENV_MODEL_PORT:-8600}:8600"]
    assert not [port for port in bench["ports"] if "8600" in port]
    assert serve["environment"] == {**bench["environment"], "DEVENV_ROLE": "serve"}
    assert serve["healthcheck"] == {
        "test": ["CMD", "/usr/local/lib/devenv/healthy"], "interval": "10s", "timeout": "10s", "retries": 3,
        "start_period": "300s",
    }  # fmt: skip
    assert (serve["image"], serve["volumes"]) == (bench["image"], bench["volumes"])
    assert not [port for port in json.loads(files[".devcontainer/devcontainer.json"])["appPort"] if "8600" in port]
    assert list(yaml.safe_load(_render().files["compose.yaml"])["services"]) == ["environment"]


def test_compose_mounts_the_weights_where_it_serves() -> None:
    rendered = _render({"model": MODEL_LOCKED}, services={"model": MODEL})
    document = yaml.safe_load(rendered.files["compose.yaml"])
    bench, serve = document["services"]["environment"], document["services"]["serve"]
    volume = f"devenv-model-{MODEL_LOCKED.key}"
    assert f"{volume}:/mnt/demo/model:ro" in serve["volumes"]
    assert serve["environment"]["DEVENV_MODEL"] == "/mnt/demo/model"
    assert document["volumes"][volume] == {"external": True}
    assert not [one for one in bench["volumes"] if volume in one]


def test_devcontainer_json_names_the_extensions_that_the_preset_names() -> None:
    wishes = ("Acme.Named@1.0.0", "acme.other", {"id": "Acme.Tool", "version": "1.2.3",
              "archive": {"path": "/x.vsix", "sha256": "0" * 64}})  # fmt: skip
    rendered = _render({"extensions": (named_extension(), extension())}, extensions=wishes)
    code = json.loads(rendered.files[".devcontainer/devcontainer.json"])["customizations"]["vscode"]
    assert code["extensions"] == ["Acme.Named@1.0.0", "acme.other"]
    assert code["settings"]["python.defaultInterpreterPath"] == "/opt/venv/bin/python"
    assert (
        "extensions" not in json.loads(_render().files[".devcontainer/devcontainer.json"])["customizations"]["vscode"]
    )
    assert "Acme.Named-1.0.0.vsix extension /opt/code-server/lib/vscode/extensions/acme.named-1.0.0" in _dockerfile(
        rendered
    )


def test_a_build_over_the_network_does_not_ask_a_registry_of_extensions() -> None:
    made = plan(loaded(extensions=("acme.named",)), lock(extensions=(named_extension(),)))
    with pytest.raises(RenderError, match=r"Acme\.Named is in a registry of extensions") as caught:
        render(made, online=True)
    assert "--with-artifacts" in str(caught.value.hint)


def test_compose_publishes_on_loopback_only() -> None:
    document = yaml.safe_load(_render(volumes={"cache": "/cache"}).files["compose.yaml"])
    service = document["services"]["environment"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["init"] is True
    assert service["shm_size"] == 2 * 1024**3
    assert "devenv-demo-vol-cache:/cache" in service["volumes"]
    assert set(document["volumes"]) == {"devenv-demo-data", "devenv-demo-vol-cache"}


@pytest.mark.parametrize("where", [{}, {"self_contained": True}, {"self_contained": True, "online": True}])
def test_compose_asks_no_registry_for_the_image(where: dict[str, bool]) -> None:
    service = yaml.safe_load(render(plan(loaded(), lock()), **where).files["compose.yaml"])["services"]["environment"]
    assert service["pull_policy"] == "never"


def test_a_self_contained_folder_builds_by_itself() -> None:
    rendered = _render(self_contained=True)
    assert "!artifacts" in rendered.files[".dockerignore"].decode()
    assert yaml.safe_load(rendered.files["compose.yaml"])["services"]["environment"]["build"] == {
        "context": ".", "network": "none",
    }  # fmt: skip
    assert ".dockerignore" not in _render().files, "a project's own is left alone"


def test_no_file_names_a_public_host() -> None:
    rendered = _render(self_contained=True)
    own = r"https?://(127\.0\.0\.1|localhost|\$?devenv_|HOST\b|\*)"
    for name, data in (*rendered.files.items(), *rendered.context.items()):
        if not name.endswith("devenv.lock"):
            assert not re.search(r"https?://", re.sub(own, "", data.decode(errors="replace"))), name


# Writing.


def test_write_says_what_changed_and_touches_nothing_else(tmp_path: Path) -> None:
    rendered = _render()
    assert {path.relative_to(tmp_path).as_posix() for path in rendered.write(tmp_path)} == set(rendered.files)
    assert rendered.differences(tmp_path) == ""
    assert rendered.write(tmp_path) == ()
    (tmp_path / "compose.yaml").write_text("# devenv render\nold: true\n")
    assert rendered.differences(tmp_path).startswith("--- a/compose.yaml\n+++ b/compose.yaml\n")
    assert rendered.write(tmp_path) == (tmp_path / "compose.yaml",)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".devcontainer", "Dockerfile", "compose.yaml"]


def test_differences_of_files_that_are_not_there(tmp_path: Path) -> None:
    assert "--- /dev/null\n+++ b/Dockerfile\n" in _render().differences(tmp_path)


def test_a_file_of_the_users_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM alpine\n")
    with pytest.raises(RenderError, match="devenv did not write it"):
        _render().write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["Dockerfile"], "nothing was written before the refusal"


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / ".devcontainer").write_text("a file")
    with pytest.raises(RenderError, match="cannot write"):
        _render().write(tmp_path)


def test_owning_a_folder_takes_more_than_a_dockerfile(tmp_path: Path) -> None:
    rendered = _render(self_contained=True)
    assert not rendered.owns(tmp_path)
    rendered.write(tmp_path)
    assert not rendered.owns(tmp_path)
    (tmp_path / "artifacts").mkdir()
    assert not rendered.owns(tmp_path), "a project with artifacts of its own, where 'devenv render' ran"
    (tmp_path / ".devenv-context").touch()
    assert rendered.owns(tmp_path)


def test_rendering_starts_no_process() -> None:
    with pytest.raises(AssertionError):
        subprocess.Popen(["true"])
    _render()


@pytest.mark.parametrize(("required", "told"), [(True, True), (False, "optional")])
def test_a_gpu_is_asked_for_where_the_preset_needs_one(required: bool, told: Any) -> None:
    rendered = _render(gpu={"required": required})
    container = json.loads(rendered.files[".devcontainer/devcontainer.json"])
    jsonschema.validate(container, SCHEMA)
    assert container["hostRequirements"] == {"gpu": told}
    service = yaml.safe_load(rendered.files["compose.yaml"])["services"]["environment"]
    assert ("deploy" in service) is required
    if required:
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu", "compute", "utility"])


def test_without_a_gpu_nothing_is_rendered_of_it() -> None:
    bare, wanted = plan(loaded(), lock()), plan(loaded(gpu={}), lock())
    assert (bare.lock, bare.env, bare.editor_image) == (wanted.lock, wanted.env, wanted.editor_image)
    files = _render().files
    assert not any(word in data for data in files.values() for word in (b"nvidia", b"hostRequirements"))


def test_a_base_that_no_other_machine_can_bring_is_not_rendered_for_others() -> None:
    base = LockedBase.model_validate({
        "kind": "image", "distribution": "debian", "release": "bookworm", "image": "mine:1",
        "digest": f"sha256:{'a' * 64}", "local": True,
    })  # fmt: skip
    assert f"FROM {BASE_TAG}{'a' * 16} AS base" in _dockerfile(_render({"base": base}))
    with pytest.raises(RenderError, match="no registry"):
        render(plan(loaded(), lock(base=base)), online=True)


def test_a_time_zone_is_set_for_those_who_ask_the_environment_and_those_who_ask_the_system() -> None:
    text = _dockerfile(_render(timezone="Europe/Berlin"))
    assert 'ENV TZ="Europe/Berlin"' in text
    assert "zone=/usr/share/zoneinfo/Europe/Berlin\n" in text
    assert 'ln -sfn "$zone" /etc/localtime\necho Europe/Berlin > /etc/timezone\n' in text
    assert "TZ" not in _dockerfile(_render())
    assert "localtime" not in _dockerfile(_render())


def test_node_and_the_editor_come_before_what_a_project_adds() -> None:
    final = _dockerfile(_render()).partition(" AS environment")[2]
    steps = (
        "--from=wheels-0 /layer/0/ /",
        "--from=node ",
        "--from=editor ",
        "--from=wheels-1 /layer/1/ /",
        "COPY image/ /",
    )
    places = [final.index(one) for one in steps]
    assert places == sorted(places)
    bare = _dockerfile(_render({"wheels": (), "apt": ()})).partition(" AS environment")[2]
    assert bare.index("--from=node ") < bare.index("--from=editor ") < bare.index("COPY image/ /")
