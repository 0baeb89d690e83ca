"""The whole way of weights: a hub on loopback, lock, `up`, and the container's libraries find the model offline."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.lock.model import read
from tests.integration.conftest import Cli, docker
from tests.integration.hub import COMMIT, ID, Hub

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("cli")]
NAME = "t-weights"
TOKEN = "hf_thetokenofthistest"


def _safetensors(tensors: dict[str, tuple[float, ...]]) -> bytes:
    """A checkpoint in the format of safetensors: the header's length, the header, the numbers."""
    header, data = {}, b""
    for name, values in tensors.items():
        raw = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "model.safetensors": _safetensors({"weight": tuple(float(i) for i in range(1000))}),
    "tokenizer/vocab.txt": b"a\nb\n",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A project, a hub that wants a token, and a store of weights of their own."""

    cli: Cli
    hub: Hub
    project: Path
    store: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("weights")
    cli = Cli(root / "state")
    with Hub(FILES, token=TOKEN) as hub:
        hub.redirect = True
        cli.env.update({
            "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "MODELSCOPE_ENDPOINT": hub.url, "MODELSCOPE_API_TOKEN": TOKEN, "HF_HOME": str(root / "hf"),
            "DEVENV_WEIGHTS_DIR": str(root / "store"),
        })  # fmt: skip
        project = root / "project"
        project.mkdir(mode=0o777)
        named = f"{{id: {ID}, revision: {COMMIT}}}"
        model = f"model: {{huggingface: {named}, modelscope: {named}}}"
        (project / "devenv.yaml").write_text(f"name: {NAME}\nextends: python\n{model}\n")
        cli.ok("lock", "--without-model", cwd=project)
        try:
            yield World(cli=cli, hub=hub, project=project, store=root / "store")
        finally:
            cli("down", "--volumes", NAME)
            for key in [one["model"] for one in json.loads(cli("weights", "list", "--json").out or "[]")]:
                cli("weights", "rm", key)


@pytest.fixture(scope="module")
def up(world: World) -> dict[str, object]:
    done = world.cli("-v", "up", "--json", cwd=world.project)
    assert done.code == 0, done.err
    assert TOKEN not in done.out + done.err
    stages = [stage["name"] for stage in done.json()["stages"]]
    assert "weights" in stages
    assert stages.index("record") < stages.index("weights"), "the lock left the model open"
    assert done.json()["recorded"]["files"] == len(FILES)
    assert read(world.project / "devenv.lock").model is not None
    return done.json()  # type: ignore[no-any-return]


def _inside(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "exec", f"devenv-{NAME}", "devenv-exec", *command], capture_output=True, text=True, check=False
    )


def test_the_container_sees_the_model_read_only(world: World, up: dict[str, object]) -> None:
    for path, body in FILES.items():
        done = subprocess.run(
            ["docker", "exec", f"devenv-{NAME}", "devenv-exec", "cat", f"/mnt/{NAME}/model/{path}"],
            capture_output=True, check=True,
        )  # fmt: skip
        assert done.stdout == body
    assert "Read-only" in _inside("touch", f"/mnt/{NAME}/model/x").stderr
    assert _inside("sh", "-c", "echo $DEVENV_MODEL").stdout.strip() == f"/mnt/{NAME}/model"
    assert _inside("touch", f"/mnt/{NAME}/own").returncode == 0, "the data volume beside it stays the user's"
    once = world.cli(
        "run", "--", "sh", "-c", "sha256sum < $DEVENV_MODEL/config.json; touch $DEVENV_MODEL/x", cwd=world.project
    )
    assert (once.code, once.out[:64]) == (1, hashlib.sha256(FILES["config.json"]).hexdigest()), once.err
    assert "Read-only" in once.err
    facts = json.loads(docker("volume", "inspect", f"devenv-model-{up['model']}"))[0]
    assert facts["Options"]["device"] == str(world.store / "models" / str(up["model"]))


def test_the_hubs_library_finds_it_offline_inside(world: World, up: dict[str, object], tmp_path: Path) -> None:
    folder = world.project / ".libs"  # the project is mounted
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", sys.executable, "--target", str(folder)]
    subprocess.run([*install, "huggingface_hub", "modelscope_hub"], check=True)
    code = (
        "from huggingface_hub import hf_hub_download, snapshot_download\n"
        f"print(open(hf_hub_download({ID!r}, 'config.json')).read())\n"
        f"print(open(hf_hub_download({ID!r}, 'tokenizer/vocab.txt', revision={COMMIT!r})).read())\n"
        f"print(snapshot_download({ID!r}))\n"
    )
    done = _inside("env", "PYTHONPATH=/workspace/.libs", "HTTPS_PROXY=http://127.0.0.1:9", "python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('{"model_type": "tiny"}\na\nb\n')
    assert done.stdout.rstrip().endswith(f"snapshots/{COMMIT}")
    # What transformers' from_pretrained stands on, here without PyTorch: the library's own mixin, by the model's id.
    code = (
        "from pathlib import Path\n"
        "from huggingface_hub import ModelHubMixin\n"
        "class Tiny(ModelHubMixin):\n"
        "    @classmethod\n"
        "    def _from_pretrained(cls, *, model_id, revision, **_):\n"
        "        from huggingface_hub import hf_hub_download\n"
        "        one = cls()\n"
        "        one.size = Path(hf_hub_download(model_id, 'model.safetensors', revision=revision)).stat().st_size\n"
        "        return one\n"
        f"print(Tiny.from_pretrained({ID!r}).size)\n"
    )
    done = _inside("env", "PYTHONPATH=/workspace/.libs", "HTTPS_PROXY=http://127.0.0.1:9", "python", "-c", code)
    assert done.stdout.strip() == str(len(FILES["model.safetensors"])), done.stderr
    code = (
        "from pathlib import Path\n"
        "from modelscope_hub.compat import snapshot_download\n"
        f"folder = Path(snapshot_download({ID!r}, local_files_only=True))\n"
        "print((folder / 'tokenizer/vocab.txt').read_text())\n"
    )
    done = _inside("env", "PYTHONPATH=/workspace/.libs", "HTTPS_PROXY=http://127.0.0.1:9", "python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("a\nb\n")


def test_the_second_up_asks_the_hub_nothing(world: World, up: dict[str, object]) -> None:
    asked = len(world.hub.seen)
    again = world.cli("up", "--json", cwd=world.project).json()
    assert again["untouched"]
    assert again["model"] == up["model"]
    assert len(world.hub.seen) == asked


def test_the_token_is_nowhere(world: World, up: dict[str, object]) -> None:
    told = [docker("inspect", f"devenv-{NAME}"), docker("volume", "inspect", f"devenv-model-{up['model']}")]
    told += [docker("inspect", json.loads(told[0])[0]["Image"]), docker("logs", f"devenv-{NAME}")]
    inside = _inside("sh", "-c", f"env; cat /run/devenv/env.sh; grep -r {TOKEN} /mnt/{NAME} || test $? = 1")
    assert inside.returncode == 0, inside.stderr
    assert "DEVENV_MODEL=" in inside.stdout
    told.append(inside.stdout)
    told += [path.read_text(errors="replace") for path in world.store.rglob("*") if path.is_file()]
    assert not [text for text in told if TOKEN in text]
    assert not any(one.token for one in world.hub.seen if one.host != "127.0.0.1")


def test_what_is_in_use_is_listed_and_not_removed(world: World, up: dict[str, object]) -> None:
    (row,) = world.cli("weights", "list", "--json").json()
    assert (row["model"], row["used_by"], row["complete"]) == (up["model"], [NAME], True)
    done = world.cli("weights", "rm", str(up["model"]))
    assert done.code == 2
    assert NAME in done.err
    assert world.cli("weights", "verify").code == 0


def test_export_and_import_make_the_same_model(world: World, up: dict[str, object], tmp_path: Path) -> None:
    world.cli.ok("weights", "export", str(up["model"]), str(tmp_path / "out"))
    assert {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*") if path.is_file()
    } == FILES  # fmt: skip
    other = ("--weights-dir", str(tmp_path / "other"))
    preset = str(world.project / "devenv.yaml")
    told = world.cli.ok("weights", "import", str(tmp_path / "out"), preset, *other, "--json").json()
    assert (told["model"], told["missing"], told["files"]) == (up["model"], [], len(FILES))
    (tmp_path / "out" / "config.json").write_bytes(b"other")
    done = world.cli("weights", "import", str(tmp_path / "out"), preset, "--weights-dir", str(tmp_path / "third"))
    assert done.code == 8
    assert "config.json" in done.err


def test_a_store_elsewhere_is_told_before_a_byte_while_an_environment_uses_the_model(
    world: World, up: dict[str, object], tmp_path: Path
) -> None:
    asked = len(world.hub.seen)
    done = world.cli("up", "--name", "t-moved", "--weights-dir", str(tmp_path / "empty"), cwd=world.project)
    assert done.code == 6
    assert f"devenv down {NAME}" in done.err
    assert len(world.hub.seen) == asked


def test_a_hub_that_refuses_ends_up_with_what_to_do(world: World, up: dict[str, object], tmp_path: Path) -> None:
    preset = (world.project / "devenv.yaml").read_text().replace("}}\n", "}, deny: ['tokenizer/*']}\n")
    (tmp_path / "devenv.yaml").write_text(preset.replace(NAME, "t-refused"))
    world.cli.ok("lock", "--json", str(tmp_path / "devenv.yaml"))
    done = world.cli(
        "up", "--name", "t-refused", "--weights-dir", str(tmp_path / "empty"), cwd=tmp_path,
        env={"HF_TOKEN": "", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "MODELSCOPE_API_TOKEN": ""},
    )  # fmt: skip
    assert done.code == 8, done.err
    assert "HF_TOKEN" in done.err
    assert f"{world.hub.url}/{ID}" in done.err
    assert "t-refused" not in docker("ps", "-a", "--format", "{{.Names}}")
