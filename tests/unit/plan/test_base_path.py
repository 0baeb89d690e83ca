"""The address of a reverse proxy: what people may write, and the plan of a container behind one."""

from __future__ import annotations

import pytest

from devenv.errors import UsageError
from devenv.plan.base_path import BasePath, known, parse, under
from devenv.plan.plan import plan
from devenv.plan.role import in_role
from tests.unit.examples import loaded, lock


@pytest.mark.parametrize(
    ("text", "origin", "path"),
    [
        ("https://portal.example/user/me/env", "https://portal.example", "/user/me/env"),
        ("https://portal.example/user/me/env/", "https://portal.example", "/user/me/env"),
        ("https://Portal.Example:443/Env", "https://portal.example", "/Env"),
        ("http://portal.example:8000/a.b/~me@lab+x", "http://portal.example:8000", "/a.b/~me@lab+x"),
        ("http://[fd00::1]:80/x", "http://[fd00::1]", "/x"),
        ("https://[fd00::1]:8443/x", "https://[fd00::1]:8443", "/x"),
        ("https://env.portal.example", "https://env.portal.example", ""),
        ("/user/me", "", "/user/me"),
        ("/", "", ""),
    ],
)
def test_an_address_is_an_origin_and_a_path(text: str, origin: str, path: str) -> None:
    base = parse(text)
    assert (base.origin, base.path) == (origin, path)
    assert parse(base.text) == known(base.text) == base


@pytest.mark.parametrize(
    "text",
    [
        "",
        "user/me",
        "portal.example/env",
        "ftp://portal.example/env",
        "javascript://portal.example/env",
        "/a b",
        "/a/../b",
        "/a/./b",
        "/..",
        "//evil.example/a",
        "/a//b",
        "/a//",
        "/a?b=1",
        "/a#b",
        "/a\\b",
        "/a%2e%2e/b",
        "/a\n",
        "\t/a",
        "/a\x00",
        "/a\x1b[31m",
        "/\u00e4",
        "/a;b",
        '/a"b',
        "/a$b",
        "/a{b}",
        "/a(b",
        "/" + "a" * 2000,
        "https://",
        "https:///env",
        "https://me:secret@portal.example/env",
        "https://me@portal.example/env",
        "https://@portal.example/env",
        "https://portal.example:/env",
        "https://portal.example:0/env",
        "https://portal.example:99999/env",
        "https://portal.example:x/env",
        "https://portal..example/env",
        "https://.example/env",
        "https://*.example/env",
        "https://[fd00::1/env",
        "https://portal.example/a/../env",
        "https://portal.example//env",
        "https://portal.example/env?x",
        "HTTPS ://x/y",
    ],
)
def test_a_mistake_is_one_clear_error(text: str) -> None:
    assert known(text) is None
    with pytest.raises(UsageError, match=r"^the base path ") as caught:
        parse(text)
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.message
    assert "https://portal.example/user/me/env" in str(caught.value.hint)


def test_a_container_behind_a_proxy_publishes_the_port_that_it_forwards_to() -> None:
    decided = in_role(plan(loaded(), lock()), "workbench")
    assert under(decided, None) is decided
    behind = under(decided, BasePath(origin="", path="/x"))
    assert behind.ports == (*decided.ports, ("gateway", 8440))
    assert behind.build_digest == decided.build_digest, "it is the same image"


def test_a_preset_without_pages_and_one_that_uses_the_port_are_refused() -> None:
    base = BasePath(origin="", path="/x")
    with pytest.raises(UsageError, match="no page") as caught:
        under(plan(loaded(code_server=None, jupyter=None), lock()), base)
    assert "--base-path none" in str(caught.value.hint)
    for service in (
        {"command": ("m",), "port": 8440, "auth": "none"},
        {"command": ("m",), "port": 8600, "listen": "127.0.0.1:8440"},
    ):
        with pytest.raises(UsageError, match="api of demo uses the port 8440"):
            under(plan(loaded(services={"api": service}), lock()), base)
