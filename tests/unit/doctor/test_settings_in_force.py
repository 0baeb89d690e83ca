"""Every setting with what it came from, and no secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from devenv.doctor.settings_in_force import UNHEARD, Setting, in_force
from devenv.doors.settings import tool_configs
from tests.unit.doors.settings.test_settings import put


def _settings(root: Path, environ: Mapping[str, str] | None = None) -> tuple[Setting, ...]:
    home = root / "home"
    home.mkdir(exist_ok=True)
    return in_force({"HOME": str(home), "PATH": "/bin", **(environ or {})}, root=root, cwd=root)


def _one(root: Path, section: str, name: str, environ: Mapping[str, str] | None = None) -> tuple[str, tuple[str, ...]]:
    (found,) = (one for one in _settings(root, environ) if (one.section, one.name) == (section, name))
    return found.value, tuple(one.removeprefix(str(root)) for one in found.origins)


def test_without_settings_all_is_the_default(tmp_path: Path) -> None:
    found = _settings(tmp_path)
    assert {one.origins for one in found} == {("the default",)}
    assert {one.section for one in found} >= {"folders", "engine", "python", "npm", "hubs"}


def test_of_a_file_and_a_variable_the_one_counts_that_wins(tmp_path: Path) -> None:
    put(tmp_path, {"etc/pip.conf": "[global]\nindex-url = https://file/simple\n"})
    assert _one(tmp_path, "python", "index") == ("https://file/simple", ("/etc/pip.conf",))
    environ = {"PIP_INDEX_URL": "https://variable/simple"}
    assert _one(tmp_path, "python", "index", environ) == ("https://variable/simple", ("PIP_INDEX_URL",))
    alike = {"PIP_INDEX_URL": "https://file/simple"}
    assert _one(tmp_path, "python", "index", alike)[1] == ("/etc/pip.conf", "PIP_INDEX_URL")


def test_a_file_that_a_variable_names_comes_with_the_variable(tmp_path: Path) -> None:
    put(tmp_path, {"own.conf": "[install]\nextra-index-url = https://a/simple https://b/simple\n"})
    found = _settings(tmp_path, {"PIP_CONFIG_FILE": str(tmp_path / "own.conf"), "PIP_INDEX_URL": "https://c/simple"})
    more = [one for one in found if one.name == "further index"]
    assert [one.value for one in more] == ["https://a/simple", "https://b/simple"]
    assert {one.origins for one in more} == {(str(tmp_path / "own.conf"), "PIP_CONFIG_FILE")}


def test_every_kind_has_its_place(tmp_path: Path) -> None:
    put(tmp_path, {
        "etc/apt/sources.list": "deb https://mirror/debian bookworm main\n",
        "etc/apt/apt.conf.d/90": 'Acquire::http::Proxy "http://apt-proxy:3142";\n',
        "home/.npmrc": "registry=https://npm/\n@acme:registry=https://acme/npm/\n",
        "home/.gitconfig": "[user]\nemail = ann@example.org\n",
        "home/.config/devenv/config.yaml": "mirrors: {ubuntu: https://mirror/ubuntu}\nregion: cn\n"
            "extension_registry: https://vsx/\n"
            "registries: {'r.example:5000': {ca: /ca.pem}, plain.example: {insecure: true}}\n"
            "require_signature: {r.example: {allowed_signers: /signers, keys: [/a.pem]}}\n",
        "home/.docker/config.json": json.dumps({
            "currentContext": "default", "proxies": {"default": {"httpsProxy": "http://docker-proxy:3128"}},
        }),
    })  # fmt: skip
    environ = {
        "DOCKER_HOST": "tcp://engine:2375", "HTTPS_PROXY": "http://proxy:3128", "XDG_CACHE_HOME": str(tmp_path / "big"),
        "DEVENV_WEIGHTS_DIR": "/data/weights", "HF_ENDPOINT": "https://hub/",
    }  # fmt: skip
    config = ("/home/.config/devenv/config.yaml",)
    for section, name, value, origins in [
        ("debian", "archive of bookworm", "https://mirror/debian", ("/etc/apt/sources.list",)),
        ("debian", "proxy", "http://apt-proxy:3142", ("/etc/apt/apt.conf.d/90",)),
        ("debian", "mirror of ubuntu", "https://mirror/ubuntu", config),
        ("npm", "registry", "https://npm/", ("/home/.npmrc",)),
        ("npm", "registry of @acme", "https://acme/npm/", ("/home/.npmrc",)),
        ("extensions", "registry", "https://vsx", config),
        ("registries", "CA of r.example:5000", "/ca.pem", config),
        ("registries", "without TLS, plain.example", "allowed", config),
        ("signatures", "required for r.example, by", "/signers, /a.pem", config),
        ("git", "email", "ann@example.org", ("/home/.gitconfig",)),
        ("hubs", "asked first", "modelscope", config),
        ("hubs", "huggingface", "https://hub", ("HF_ENDPOINT",)),
        ("folders", "cache", f"{tmp_path}/big/devenv", ("XDG_CACHE_HOME",)),
        ("folders", "weights", "/data/weights", ("DEVENV_WEIGHTS_DIR",)),
        ("engine", "address", "tcp://engine:2375", ("DOCKER_HOST",)),
        ("engine", "HTTPS_PROXY inside", "http://docker-proxy:3128", ("/home/.docker/config.json",)),
        ("network", "HTTPS_PROXY", "http://proxy:3128", ("HTTPS_PROXY",)),
    ]:
        assert _one(tmp_path, section, name, environ) == (value, origins)


def test_what_is_not_honoured_is_listed_with_its_place(tmp_path: Path) -> None:
    put(tmp_path, {"etc/pip.conf": "[global]\ntrusted-host = x\n"})
    found = [one for one in _settings(tmp_path, {"PIP_PRE": "1"}) if one.section == UNHEARD]
    assert [(one.name, one.origins) for one in found] == [
        ("pip's 'pre'", ("PIP_PRE",)), ("pip's 'trusted-host'", (str(tmp_path / "etc/pip.conf"),)),
    ]  # fmt: skip


def test_no_secret_is_shown(tmp_path: Path) -> None:
    put(tmp_path, {
        "etc/apt/auth.conf": "machine mirror login SECRET password SECRET\n",
        "home/.npmrc": "//npm/:_authToken=SECRET\nregistry=https://SECRET:SECRET@npm/\nproxy=http://SECRET@p:1\n",
        "home/.config/uv/uv.toml": '[[index]]\nname = "own"\nurl = "https://u:SECRET@uv/simple"\n',
    })  # fmt: skip
    environ = {
        "PIP_INDEX_URL": "https://u:SECRET@pip/simple?token=SECRET", "PIP_PROXY": "u:SECRET@proxy:80",
        "UV_INDEX": "own=https://u:SECRET/SECRET@x/simple", "PIP_FIND_LINKS": "https://SECRET@links/",
        "PIP_CONSTRAINT": "https://u:SECRET@c/c.txt", "HTTPS_PROXY": "http://u:SECRET@proxy:80",
        "all_proxy": "u:SECRET@proxy:80", "HF_TOKEN": "SECRET", "DOCKER_HOST": "tcp://u:SECRET@engine:1",
        "HF_ENDPOINT": "https://u:SECRET@hub", "DEVENV_APT_MIRROR_DEBIAN": "https://u:SECRET@mirror/debian",
        "DEVENV_EXTENSION_REGISTRY": "https://u:SECRET@extensions/",
    }  # fmt: skip
    text = repr(_settings(tmp_path, environ))
    assert "SECRET" not in text
    for place in (
        "pip/simple",
        "proxy:80",
        "links/",
        "c/c.txt",
        "engine:1",
        "hub",
        "mirror/debian",
        "login for //npm/",
    ):
        assert place in text


def test_a_context_of_dockers_that_is_not_there_is_said_and_no_error(tmp_path: Path) -> None:
    assert _one(tmp_path, "engine", "address", {"DOCKER_CONTEXT": "gone"}) == (
        "the docker context 'gone' does not exist", ("DOCKER_CONTEXT",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("name=https://u:p@host/simple", "name=https://host/simple"),
        ("u:p@host:3128", "host:3128"),
        ("https://u:p/w@host/x", "https://host/x"),
        ("https://host:8080/@scope/x", "https://host:8080/@scope/x"),
        ("https://host/@scope/x?token=1", "https://host/@scope/x"),
        ("/a/pa?th@x", "/a/pa?th@x"),
    ],
)
def test_an_address_as_it_may_be_shown(url: str, shown: str) -> None:
    assert tool_configs.without_secret(url) == shown


def test_outside_of_a_reading_no_file_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, {"x": "text"})
    with tool_configs.reading({tmp_path / "x"}) as one:
        assert tool_configs.text_of(tmp_path / "x") == ""
    assert tool_configs.text_of(tmp_path / "x") == "text"
    assert list(one.met) == [tmp_path / "x"]
