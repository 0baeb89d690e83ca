from __future__ import annotations

import base64

import pytest

from devenv.doors.settings import tool_configs
from devenv.doors.settings.tool_configs import AptSource


def test_pip_conf_takes_the_sections_of_installing() -> None:
    text = "[global]\nindex_url = https://a/simple\ntimeout=3\n[install]\nindex-url = https://b/simple\n[list]\nx=1\n"
    assert tool_configs.pip_conf(text) == {"index-url": "https://b/simple", "timeout": "3"}
    assert tool_configs.pip_conf("find-links = no section") == {}


def test_uv_toml_knows_both_ways_of_naming_indexes() -> None:
    text = '[[index]]\nname="in"\nurl="https://in/simple"\ndefault=true\n[[index]]\nurl="https://more/simple"\n'
    assert tool_configs.uv_toml(text) == {
        "default": "https://in/simple", "indexes": ("https://more/simple",), "find_links": (),
    }  # fmt: skip
    text = '[pip]\nindex-url="https://in/simple"\nextra-index-url=["https://x"]\nfind-links=["/w"]\n'
    assert tool_configs.uv_toml(text) == {
        "default": "https://in/simple",
        "indexes": ("https://x",),
        "find_links": ("/w",),
    }
    assert tool_configs.uv_toml("not = = toml")["default"] is None


def test_npmrc_expands_variables_and_joins_lists() -> None:
    text = '; note\nregistry = "https://r/npm/"\n//r/npm/:_authToken=${TOKEN}\nca[]=one\nca[]=two\n@me:registry=https://m\n'
    found = tool_configs.npmrc(text, {"TOKEN": "abc"})
    assert found == {
        "registry": "https://r/npm/", "//r/npm/:_authToken": "abc", "ca": "one\ntwo", "@me:registry": "https://m",
    }  # fmt: skip


def test_npm_auth_in_all_its_spellings_longest_prefix_first() -> None:
    password = base64.b64encode(b"pw").decode()
    auth = tool_configs.npm_auth({
        "//a/:_authToken": "t", "//a/deep/:_auth": "abc", "//b/:username": "u", "//b/:_password": password,
        "registry": "x",
    })  # fmt: skip
    assert auth[0] == ("//a/deep/", "Basic abc")
    assert ("//a/", "Bearer t") in auth
    assert ("//b/", "Basic " + base64.b64encode(b"u:pw").decode()) in auth
    assert tool_configs.header_for("https://a/deep/x/-/x.tgz", auth) == (("Authorization", "Basic abc"),)
    assert tool_configs.header_for("https://a/x", auth) == (("Authorization", "Bearer t"),)
    assert tool_configs.header_for("https://a.evil.example/x", auth) == ()


def test_one_line_sources() -> None:
    text = (
        "# note\ndeb http://m/debian bookworm main contrib # more\ndeb-src http://m/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg,/l.gpg trusted=yes] http://s/ubuntu/ noble-security universe\n"
    )
    first, second = tool_configs.apt_sources(text, deb822=False)
    assert first == AptSource(uri="http://m/debian", suites=("bookworm",), components=("main", "contrib"))
    assert second.uri == "http://s/ubuntu"
    assert second.signed_by == ("/k.gpg", "/l.gpg")
    assert second.trusted


def test_deb822_sources() -> None:
    text = (
        "Types: deb deb-src\n# a note\nURIs: http://m/debian http://n/debian/\nSuites: bookworm\n bookworm-updates\n"
        "Components: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://off\nSuites: x\nEnabled: no\n\n"
        "Types: deb\nURIs: http://inline\nSuites: noble\nComponents: main\nSigned-By:\n"
        " -----BEGIN PGP PUBLIC KEY-----\n .\n"
    )
    found = tool_configs.apt_sources(text, deb822=True)
    assert [one.uri for one in found] == ["http://m/debian", "http://n/debian", "http://inline"]
    assert found[0].suites == ("bookworm", "bookworm-updates")
    assert found[0].signed_by == ("/k.gpg",)
    assert found[2].signed_by == ()


@pytest.mark.parametrize(
    "text",
    [
        'Acquire::http::Proxy "http://p:3142";',
        'Acquire { Retries "2"; http { Pipeline "1"; Proxy "http://p:3142"; }; };',
        'acquire::http { proxy "http://p:3142"; };',
        '// Acquire::http::Proxy "http://not";\nAcquire::http::Proxy "http://p:3142";',
    ],
)
def test_apts_proxy(text: str) -> None:
    assert tool_configs.apt_proxy(text) == "http://p:3142"


def test_no_proxy_is_none() -> None:
    assert tool_configs.apt_proxy('#Acquire::http::Proxy "http://p";\nAPT::X "1";') is None


def test_apts_credentials() -> None:
    found = tool_configs.apt_auth(
        "machine m.example/debian login u password p # note\nmachine https://n:8 password q login v\n"
    )
    assert (
        tool_configs.header_for("https://m.example/debian/pool/x", found)[0][1]
        == "Basic " + base64.b64encode(b"u:p").decode()
    )
    assert tool_configs.header_for("https://n:8/x", found)
    assert tool_configs.header_for("https://m.example/ubuntu/pool/x", found) == ()


def test_templates_tell_the_address_for_the_architecture() -> None:
    text = (
        "Suite: noble\nRepositoryType: deb\nBaseURI: http://ports/u/\nBaseURI-amd64: http://archive/u\n\n"
        "Suite: noble\nRepositoryType: deb-src\nBaseURI: http://src/u/\n\n"
        "Suite: {series}-security\nRepositoryType: deb\nBaseURI: http://sec/\n"
    )
    assert tool_configs.apt_template(text, "noble", "amd64") == {
        "noble": "http://archive/u",
        "noble-security": "http://sec",
    }
    assert tool_configs.apt_template(text, "noble", "arm64")["noble"] == "http://ports/u"


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ('ID=debian\nVERSION_CODENAME="bookworm"\n', "debian/bookworm"),
        (
            "ID=linuxmint\nID_LIKE='ubuntu'\nID_LIKE=ubuntu debian\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n",
            "ubuntu/noble",
        ),
        ("ID=fedora\n", ""),
        ("", ""),
    ],
)
def test_the_machines_release(text: str, release: str) -> None:
    assert tool_configs.os_release(text) == release


def test_a_shown_address_has_no_secret() -> None:
    assert tool_configs.without_secret("https://u:p@host:8/x?token=1#f") == "https://host:8/x"
    assert tool_configs.without_secret("/a/path") == "/a/path"


def test_of_git_only_name_and_mail_are_read() -> None:
    text = (
        '[core]\n\teditor = vi\n[User]\n\tName = Ann \\"A\\" Lee  ; a note\n\temail = "ann@x#y" # work\n\tsigningkey = 1\n'
        '[user "other"]\n\tname = No\n[credential]\n\thelper = !trap\n[include]\n\tpath = /etc/shadow\n'
    )
    assert tool_configs.git_user(text) == {"name": 'Ann "A" Lee', "email": "ann@x#y"}
    assert tool_configs.git_user("[user] name = one\nname = Ann \\\n  Lee\n") == {"name": "Ann   Lee"}
    assert tool_configs.git_user("[user]\nname = a\x1b[2J\nemail\n[broken\nname=x\n") == {"name": "x"}
    assert tool_configs.git_user("name = x\n") == {}
