"""What this user's secrets are: every place is read, and no value is shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from devenv.container.state import environment
from devenv.doors.dirs import Dirs
from devenv.doors.settings.credentials import credentials
from devenv.doors.settings.settings import Settings


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _read(tmp_path: Path, **variables: str) -> dict[str, str]:
    home, root = tmp_path / "home", tmp_path / "root"
    home.mkdir(exist_ok=True)
    root.mkdir(exist_ok=True)
    environ = {"HOME": str(home), **variables}
    settings = Settings.read(Dirs.of(environ), environ, root=root, cwd=home)
    return {one.value: one.origin for one in credentials(settings, environ)}


def test_nothing_set_gives_nothing(tmp_path: Path) -> None:
    assert _read(tmp_path) == {}


def test_files_of_every_tool_are_read(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    login = base64.b64encode(b"ada:docker-pw").decode()
    _write(home / ".config/pip/pip.conf", "[global]\nindex-url = https://ci:pip-pw@a.internal/simple\n")
    _write(home / ".config/uv/uv.toml", '[[index]]\nurl = "https://ci:uv%2Dpw@a.internal/simple"\n')
    _write(home / ".npmrc", "//a.internal/:_authToken=npm-token\n")
    _write(home / ".netrc", "machine a.internal login ada password netrc-pw\n")
    _write(root / "etc/apt/auth.conf", "machine a.internal login ada password apt-pw\n")
    _write(root / "etc/apt/sources.list", "deb https://ci:source-pw@a.internal/debian stable main\n")
    _write(home / ".cache/huggingface/token", "hf-token\n")
    _write(home / ".cache/huggingface/stored_tokens", "[work]\nhf_token = hf-other\n")
    _write(home / ".modelscope/credentials/git_token", "ms-token")
    docker = {"auths": {"r": {"auth": login}, "s": {"identitytoken": "docker-identity"}, "t": 4},
              "proxies": {"default": {"httpProxy": "http://me:docker-proxy@p:1"}}}  # fmt: skip
    _write(home / ".docker/config.json", json.dumps(docker))
    found = _read(tmp_path)
    assert found.items() >= {
        "pip-pw": "a Python index", "uv-pw": "a Python index", "npm-token": "an npm registry", "netrc-pw": "a login in netrc",
        "apt-pw": "an apt archive", "source-pw": "an apt archive", "hf-token": "the token of Hugging Face",
        "hf-other": "the token of Hugging Face", "ms-token": "the token of ModelScope", "docker-pw": "a login of docker",
        login: "a login of docker", "docker-identity": "a login of docker", "docker-proxy": "the proxy",
    }.items()  # fmt: skip


def test_variables_are_read(tmp_path: Path) -> None:
    found = _read(
        tmp_path, HF_TOKEN="hf-variable", WANDB_API_KEY="wandb-variable", HTTPS_PROXY="http://me:proxy-pw@p:1", DB_PASSWORD="db-pw",
        UV_INDEX_CORP_PASSWORD="uv-variable", PIP_INDEX_URL="https://tok@a.internal/simple", SSH_AUTH_SOCK="/run/x", LANG="C",
        GIT_TOKEN_FILE="/home/x/token", no_proxy="a,b",
    )  # fmt: skip
    assert found.keys() == {"hf-variable", "wandb-variable", "proxy-pw", "db-pw", "uv-variable", "tok"}
    assert found["wandb-variable"] == "the variable WANDB_API_KEY"


def test_the_tokens_of_environments_are_read(tmp_path: Path) -> None:
    state = tmp_path / "home/.local/state/devenv"
    token = environment("mine", state / "envs").token()
    _write(state / "weights-token", "weights-token-value\n")
    assert _read(tmp_path) == {
        token: "the token of environment mine",
        "weights-token-value": "the token of 'weights serve'",
    }


def test_files_that_cannot_be_read_give_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    _write(home / ".docker/config.json", "[" * 100_000)
    _write(home / ".local/state/devenv/envs/x/host/token", "two words\n")
    (home / ".cache/huggingface/token").mkdir(parents=True)
    assert _read(tmp_path) == {}
