from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from devenv.doors.dirs import Dirs
from devenv.doors.settings.apt_archives import apt_sources, snapshots
from devenv.doors.settings.config_yaml import RegistrySettings
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.signature_rules import SignatureRule
from devenv.errors import UsageError


def read(root: Path, environ: Mapping[str, str] | None = None, *, cwd: Path | None = None) -> Settings:
    home = root / "home"
    dirs = Dirs(cache=home / "c", state=home / "s", config=home / ".config/devenv")
    return Settings.read(dirs, {"HOME": str(home), **(environ or {})}, root=root, cwd=cwd)


def put(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_bare_machine_has_defaults(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.pip.index, found.pip.extra_indexes, found.npm.registry, found.apt) == (None, (), None, ())
    assert dict(found.pip.uv_env) == {"UV_NATIVE_TLS": "true", "UV_SYSTEM_CERTS": "true"}


def test_the_registry_of_extensions(tmp_path: Path) -> None:
    assert read(tmp_path).extension_registry is None
    put(tmp_path, {"home/.config/devenv/config.yaml": "extension_registry: https://vsx.example.org/x/\n"})
    assert read(tmp_path).extension_registry == "https://vsx.example.org/x"
    env = {"DEVENV_EXTENSION_REGISTRY": "http://me:secret@other/"}
    assert read(tmp_path, env).extension_registry == "http://me:secret@other"
    assert "secret" not in repr(read(tmp_path, env))


@pytest.mark.parametrize("wrong", ["vsx.example.org", "file:///x", "https://", "[https://a]", "'https://a b'", "3"])
def test_what_is_no_address_of_a_registry_of_extensions(tmp_path: Path, wrong: str) -> None:
    put(tmp_path, {"home/.config/devenv/config.yaml": f"extension_registry: {wrong}\n"})
    with pytest.raises(UsageError, match="extension_registry must be an address"):
        read(tmp_path)
    if not wrong.startswith("["):
        with pytest.raises(UsageError, match="is an address") as caught:
            read(tmp_path / "other", {"DEVENV_EXTENSION_REGISTRY": wrong.strip("'")})
        assert caught.value.where == "DEVENV_EXTENSION_REGISTRY"


def test_pips_files_in_pips_order_and_the_environment_last(tmp_path: Path) -> None:
    put(tmp_path, {
        "etc/pip.conf": "[global]\nindex-url=https://global/simple\nextra-index-url=\n  https://x/simple\n  https://y/simple\n",
        "home/.config/pip/pip.conf": "[global]\nindex-url=https://user/simple\n",
    })  # fmt: skip
    assert read(tmp_path).pip.index == "https://user/simple"
    assert read(tmp_path).pip.extra_indexes == ("https://x/simple", "https://y/simple")
    env = {"PIP_INDEX_URL": "https://env/simple", "PIP_FIND_LINKS": "/a /b", "PIP_NO_INDEX": "1"}
    pip = read(tmp_path, env).pip
    assert (pip.index, pip.find_links, pip.no_index) == ("https://env/simple", ("/a", "/b"), True)
    put(tmp_path, {"mine.conf": "[global]\nindex-url=https://mine/simple\n"})
    assert read(tmp_path, {"PIP_CONFIG_FILE": str(tmp_path / "mine.conf")}).pip.index == "https://mine/simple"
    assert read(tmp_path, {"PIP_CONFIG_FILE": "/dev/null"}).pip.index is None


def test_pips_settings_reach_uv_unless_uv_has_its_own(tmp_path: Path) -> None:
    put(tmp_path, {
        "etc/pip.conf": "[global]\nindex-url=https://i/simple\nextra-index-url=https://x/simple\nfind-links=/w\nproxy=http://p\n"
    })  # fmt: skip
    env = dict(read(tmp_path).pip.uv_env)
    assert env["UV_DEFAULT_INDEX"] == "https://i/simple"
    assert env["UV_EXTRA_INDEX_URL"] == "https://x/simple"
    assert env["UV_FIND_LINKS"] == "/w"
    assert env["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert env["ALL_PROXY"] == "http://p"
    own = read(tmp_path, {"UV_DEFAULT_INDEX": "https://uv/simple", "UV_INDEX": "in=https://n/simple"}).pip
    assert own.index == "https://uv/simple"
    assert own.extra_indexes == ("https://n/simple", "https://x/simple")
    assert "UV_DEFAULT_INDEX" not in dict(own.uv_env)


def test_paths_of_a_file_lie_beside_it_and_others_where_the_user_stands(tmp_path: Path) -> None:
    put(tmp_path, {
        "home/.config/pip/pip.conf": "[global]\nfind-links = wheels\n  https://x/w\nconstraint = limits.txt\ncert = ca.pem\n",
        "home/.config/pip/ca.pem": "pem",
        "home/.config/uv/uv.toml": 'find-links = ["./more"]\nindex-url = "simple"\n',
    })  # fmt: skip
    beside = tmp_path / "home/.config/pip"
    here = {"PIP_EXTRA_INDEX_URL": "../index https://e/simple", "UV_CONSTRAINT": "own.txt"}
    pip = read(tmp_path, here, cwd=tmp_path / "project").pip
    assert pip.find_links == (f"{tmp_path}/home/.config/uv/more", f"{beside}/wheels", "https://x/w")
    assert pip.constraints == (f"{tmp_path}/project/own.txt", f"{beside}/limits.txt")
    assert pip.extra_indexes == ((tmp_path / "index").as_uri(), "https://e/simple")
    assert pip.index == (tmp_path / "home/.config/uv/simple").as_uri()
    assert pip.cert == beside / "ca.pem"
    env = dict(pip.uv_env)
    assert env["UV_FIND_LINKS"] == f"{beside}/wheels,https://x/w"
    assert env["UV_EXTRA_INDEX_URL"] == f"{(tmp_path / 'index').as_uri()} https://e/simple"
    assert env["SSL_CERT_FILE"] == f"{beside}/ca.pem"
    assert read(tmp_path, {"PIP_CONSTRAINT": "a.txt ~/b.txt /c.txt"}, cwd=tmp_path).pip.constraints == (
        f"{tmp_path}/a.txt", f"{tmp_path}/home/b.txt", "/c.txt"
    )  # fmt: skip


def test_uvs_own_relative_paths_are_where_the_user_stands(tmp_path: Path) -> None:
    put(tmp_path, {"a b,c/my.toml": 'index-url = "https://named/simple"\n'})
    here = tmp_path / "a b,c"
    own = {
        "UV_FIND_LINKS": "wheels,https://x/w", "UV_OVERRIDE": "over.txt /abs.txt", "UV_CONFIG_FILE": "my.toml",
        "UV_INDEX": "in=../index", "UV_DEFAULT_INDEX": "https://d/simple",
    }  # fmt: skip
    pip = read(tmp_path, own, cwd=here).pip
    assert dict(pip.uv_env) == {
        "UV_NATIVE_TLS": "true", "UV_SYSTEM_CERTS": "true",
        # uv takes these lists apart at commas and spaces.
        "UV_FIND_LINKS": f"{here.as_uri()}/wheels,https://x/w".replace("a%20b,c", "a%20b%2Cc"),
        "UV_OVERRIDE": f"{(here / 'over.txt').as_uri().replace(',', '%2C')} /abs.txt",
        "UV_CONFIG_FILE": f"{here}/my.toml", "UV_INDEX": f"in={(tmp_path / 'index').as_uri()}",
    }  # fmt: skip
    assert pip.find_links == (f"{here}/wheels", "https://x/w")
    assert read(tmp_path, {"UV_CONFIG_FILE": "my.toml"}, cwd=here).pip.index == "https://named/simple"
    assert read(tmp_path, {"UV_CONFIG_FILE": "my.toml", "UV_NO_CONFIG": "1"}, cwd=here).pip.index is None


def test_settings_that_are_not_honoured_have_names(tmp_path: Path) -> None:
    put(tmp_path, {"etc/pip.conf": "[global]\ntrusted-host = x\nno-binary = :none:\ntimeout = 9\npre = false\n"})
    env = {"PIP_PLATFORM": "any", "UV_INSECURE_HOST": "x", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    assert read(tmp_path, env).pip.unheard == (
        "pip's 'no-binary'", "pip's 'platform'", "pip's 'trusted-host'", "UV_INSECURE_HOST"
    )  # fmt: skip


def test_npms_files_and_environment(tmp_path: Path) -> None:
    put(tmp_path, {
        "etc/npmrc": "registry=https://global/\n",
        "home/.npmrc": "registry=https://user/npm/\n@me:registry=https://mine/\n//user/npm/:_authToken=${T}\nhttps-proxy=http://p\n",
    })  # fmt: skip
    npm = read(tmp_path, {"T": "tok"}).npm
    assert npm.registry == "https://user/npm/"
    assert npm.scopes == (("@me", "https://mine/"),)
    assert npm.auth == (("//user/npm/", "Bearer tok"),)
    assert npm.proxy == "http://p"
    assert "tok" not in repr(npm)
    assert read(tmp_path, {"npm_config_registry": "https://env/"}).npm.registry == "https://env/"
    assert read(tmp_path, {"NPM_CONFIG_REGISTRY": "https://env/"}).npm.registry == "https://env/"


DEBIAN = (
    "deb http://m/debian bookworm main\ndeb http://m/debian bookworm-updates main\n"
    "deb http://s/debian-security bookworm-security main\n"
)
OTHERS = "deb http://docker/linux/debian bookworm stable\ndeb http://b/debian bookworm-backports main\n"


def test_the_machines_sources_of_a_release(tmp_path: Path) -> None:
    put(tmp_path, {
        "etc/apt/sources.list": DEBIAN,
        "etc/apt/sources.list.d/x.list": OTHERS,
        "etc/apt/sources.list.d/readme.txt": "deb http://not bookworm main\n",
    })  # fmt: skip
    settings = read(tmp_path)
    uris = [(one.uri, one.suites) for one in apt_sources(settings, "debian", "bookworm")]
    assert uris == [
        ("http://m/debian", ("bookworm",)), ("http://m/debian", ("bookworm-updates",)),
        ("http://s/debian-security", ("bookworm-security",)),
    ]  # fmt: skip
    assert apt_sources(settings, "debian", "trixie") == ()


def test_a_list_of_mirrors_in_a_file_is_as_many_sources(tmp_path: Path) -> None:
    put(tmp_path, {
        "etc/apt/sources.list": "deb mirror+file:/etc/apt/mirrors.txt noble main universe\n",
        "etc/apt/mirrors.txt": "http://one/ubuntu/\tpriority:1\n# note\n\nhttp://two/ubuntu\n",
    })  # fmt: skip
    found = apt_sources(read(tmp_path), "ubuntu", "noble")
    assert [one.uri for one in found] == ["http://one/ubuntu", "http://two/ubuntu"]
    assert found[0].components == ("main", "universe")


def test_further_components_count_where_a_preset_wants_them(tmp_path: Path) -> None:
    put(tmp_path, {"etc/apt/sources.list": "deb http://m/debian bookworm main contrib\ndeb http://n bookworm main\n"})
    wanted = ("contrib", "non-free")
    found = apt_sources(read(tmp_path), "debian", "bookworm", wanted)
    assert [one.components for one in found] == [("main", "contrib"), ("main",)]
    assert {one.components for one in apt_sources(read(tmp_path), "debian", "bookworm")} == {("main",)}
    named = read(tmp_path, {"DEVENV_APT_MIRROR_DEBIAN": "http://env/debian"})
    assert apt_sources(named, "debian", "bookworm", wanted)[0].components == ("main", *wanted)


def test_mirrors_named_for_devenv_come_first(tmp_path: Path) -> None:
    put(tmp_path, {
        "etc/apt/sources.list": DEBIAN,
        "home/.config/devenv/config.yaml": "mirrors:\n  debian: http://snap/debian/\n",
    })  # fmt: skip
    found = apt_sources(read(tmp_path), "debian", "bookworm")
    assert [one.uri for one in found[:2]] == ["http://snap/debian", "http://snap/debian-security"]
    assert len(found) == 5
    env = {"DEVENV_APT_MIRROR_DEBIAN": "http://env/debian", "DEVENV_APT_MIRROR_DEBIAN_SECURITY": "http://sec/d"}
    assert [one.uri for one in apt_sources(read(tmp_path, env), "debian", "bookworm")[:2]] == [
        "http://env/debian",
        "http://sec/d",
    ]
    one = apt_sources(read(tmp_path, {"DEVENV_APT_MIRROR_UBUNTU": "http://u/ubuntu"}), "ubuntu", "noble")
    assert [source.uri for source in one] == ["http://u/ubuntu", "http://u/ubuntu"]


def test_a_snapshot_service_is_named_in_the_file_or_the_environment(tmp_path: Path) -> None:
    put(tmp_path, {"home/.config/devenv/config.yaml": "snapshots:\n  debian: http://snap/\n  ubuntu: http://u\n"})
    assert read(tmp_path).apt_snapshots == (("debian", "http://snap"), ("ubuntu", "http://u"))
    own = read(tmp_path, {"DEVENV_APT_SNAPSHOT_DEBIAN": "http://env/x/"})
    assert dict(own.apt_snapshots)["debian"] == "http://env/x"
    assert apt_sources(own, "debian", "bookworm") == (), "it is no mirror: nothing is resolved from it"
    assert snapshots(own, "debian", "bookworm-security", "20251231T230000Z") == (
        "http://env/x/archive/debian-security/20251231T230000Z",
        "http://env/x/archive/debian-security/20260101T070000Z",
        "http://env/x/archive/debian-security/20260101T230000Z",
    )
    assert snapshots(own, "ubuntu", "noble-security", "20251231T230000Z")[0] == "http://u/ubuntu/20251231T230000Z"
    assert snapshots(read(tmp_path / "bare"), "debian", "bookworm", "20251231T230000Z") == ()


def test_another_distribution_comes_from_python_apts_templates(tmp_path: Path) -> None:
    put(tmp_path, {
        "etc/apt/sources.list": DEBIAN,
        "usr/share/python-apt/templates/Ubuntu.info": "Suite: noble\nRepositoryType: deb\nBaseURI: http://arch/ubuntu/\n",
    })  # fmt: skip
    found = apt_sources(read(tmp_path), "ubuntu", "noble")
    assert {one.uri for one in found} == {"http://arch/ubuntu"}
    assert [one.suites for one in found] == [("noble", "noble-updates"), ("noble-security",)]


@pytest.mark.parametrize(
    "text",
    ["mirors: {debian: http://x}", "mirrors: {fedora: http://x}", "mirrors: {debian: 3}", "mirrors: [1]", "[", "x",
     "snapshots: {debian-security: http://x}", "snapshots: {debian: x}", "snapshots: x",
     "registries: [r.example]", "registries: {https://r.example: {}}", "registries: {r.example: {tls: false}}",
     "registries: {r.example: {insecure: 1}}", "registries: {r.example: {ca: ca.pem}}", "registries: {5000: {}}",
     "require_signature:", "require_signature: {}", "require_signature: {r.example: {}}",
     "require_signature: {r.example: {keys: [team.pem]}}", "require_signature: {r.example: {allowed_signers: signers}}"],
)  # fmt: skip
def test_a_mistake_in_devenvs_configuration_is_said(text: str, tmp_path: Path) -> None:
    put(tmp_path, {"home/.config/devenv/config.yaml": text})
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    assert "config.yaml" in (caught.value.where or "")
    assert "mirrors" in (caught.value.hint or "")


def test_required_signatures(tmp_path: Path) -> None:
    put(tmp_path, {
        "home/.config/devenv/config.yaml":
            "require_signature:\n  R.example: {allowed_signers: ~/signers, keys: [/etc/team.pem]}\n  '*': {keys: [~/k.pem]}\n",
    })  # fmt: skip
    assert read(tmp_path).signature_rules == (
        SignatureRule(
            scope="r.example", allowed_signers=tmp_path / "home/signers", keys=(Path("/etc/team.pem"),)
        ),
        SignatureRule(scope="*", keys=(tmp_path / "home/k.pem",)),
    )  # fmt: skip
    assert read(tmp_path / "bare").signature_rules == ()


@pytest.mark.parametrize(
    ("files", "key"),
    [
        ({"home/.gitconfig": "[user]\nsigningkey = ~/.ssh/a.pub\n[gpg]\nformat = ssh\n"}, "~/.ssh/a.pub"),
        (
            {"home/.config/git/config": "[gpg]\n\tformat=ssh\n[user]\nsigningkey = old\n",
             "home/.gitconfig": '[user]\n  signingKey = "key::ssh-ed25519 AAAA me"\n'},
            "key::ssh-ed25519 AAAA me",
        ),
        ({"home/.gitconfig": "[user]\nsigningkey = 0123ABCD\n"}, None),
        ({"home/.gitconfig": '[user]\nsigningkey = a\n[gpg "x"]\nformat = ssh\n[gpg]\nformat = openpgp\n'}, None),
        ({"home/.gitconfig": "[gpg]\nformat = ssh\n[user]\nsigningkey =\n"}, None),
    ],
)  # fmt: skip
def test_the_key_that_git_signs_with(files: dict[str, str], key: str | None, tmp_path: Path) -> None:
    put(tmp_path, files)
    found = read(tmp_path)
    assert (found.ssh_signing_key, found.ssh_folder) == (key, tmp_path / "home/.ssh")


def test_registries_and_dockers_logins(tmp_path: Path) -> None:
    put(tmp_path, {
        "home/.config/devenv/config.yaml":
            "registries:\n  r.example:5000: {ca: ~/ca.pem}\n  s.example: {insecure: true, ca: /etc/ca.pem}\n  t.example: {}\n",
    })  # fmt: skip
    found = read(tmp_path)
    assert found.registries == (
        RegistrySettings(host="r.example:5000", ca=tmp_path / "home/ca.pem"),
        RegistrySettings(host="s.example", ca=Path("/etc/ca.pem"), insecure=True),
        RegistrySettings(host="t.example"),
    )
    assert found.docker_config == tmp_path / "home/.docker/config.json"
    assert read(tmp_path, {"DOCKER_CONFIG": "/d"}).docker_config == Path("/d/config.json")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "deep", "bomb", "sources"])
def test_devenvs_configuration_may_be_anything(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "home/.config/devenv/config.yaml"
    path.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
        path.write_text({"deep": "[" * 10_000, "bomb": bomb, "sources": "weights: {sources: [{}]}"}[kind])
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    assert caught.value.where == str(path)
