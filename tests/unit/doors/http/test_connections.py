from __future__ import annotations

import base64
import ssl
import threading
from typing import Any

import pytest

from devenv.doors.http.connections import Connections, _split, _text, login, same_host
from devenv.doors.http.partial_file import Refused
from devenv.doors.http.retry import Policy


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def _pool(url: str, proxy: str | None = None) -> tuple[bool, Any]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return Connections(Policy(), lambda: context, threading.Event(), proxy)._connections(_split(url)[0])


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("http://h", "http://h", "/"),
        ("http://h?a=1", "http://h", "/?a=1"),
        ("https://me:p%40@h:8/a/b?c=d/e#f", "https://h:8", "/a/b?c=d/e"),
        ("http://[::1]:8/a#b", "http://[::1]:8", "/a"),
        ("http://h/a@b", "http://h", "/a@b"),
    ],
)
def test_an_address_is_cut_and_neither_login_nor_fragment_is_sent(url: str, host: str, path: str) -> None:
    assert _split(url) == (host, path)


@pytest.mark.parametrize(
    ("url", "home", "same"),
    [
        ("http://h/b", "http://h:80/a", True),
        ("https://h/b", "https://H:443/a", True),
        ("https://h/b", "http://h/a", True),  # to TLS
        ("http://h/b", "https://h/a", False),
        ("https://h:8443/b", "http://h/a", False),
        ("http://h:81/b", "http://h/a", False),
        ("http://other/b", "http://h/a", False),
        ("http://h.other/b", "http://h/a", False),
    ],
)
def test_where_a_secret_may_go(url: str, home: str, same: bool) -> None:
    assert same_host(url, home) is same


def test_the_login_of_an_address() -> None:
    assert login("http://me:p%40ss@h/") == {"Authorization": _basic("me:p@ss")}
    assert login("http://mü@h/") == {"Authorization": _basic("mü:")}
    assert login("http://h/a@b") == {}


def test_a_redirects_address_in_utf_8_is_read_as_such() -> None:
    assert _text("/ü".encode().decode("latin-1")) == "/ü"
    assert _text("/\xfc") == "/ü"


def test_a_proxys_login_is_unquoted_and_its_address_may_be_ipv6() -> None:
    direct, pool = _pool("https://h", "http://me:p%40ss@[::1]:3128")
    assert not direct
    assert pool.proxy_headers == {"Proxy-Authorization": _basic("me:p@ss")}
    assert pool.proxy.url == "http://[::1]:3128"


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("https://h", {"https_proxy": "p:1"}, "http://p:1"),
        ("https://h", {"HTTPS_PROXY": "http://p"}, "http://p:80"),
        ("https://h", {"http_proxy": "http://p:1"}, None),
        ("http://h", {"all_proxy": "https://p"}, "https://p:443"),
        ("http://h", {"http_proxy": "http://p:1", "all_proxy": "http://q:1"}, "http://p:1"),
        ("http://h", {"http_proxy": "http://p:1", "no_proxy": "*"}, None),
        ("http://a.h", {"http_proxy": "http://p:1", "no_proxy": "x, .h"}, None),
        ("http://a.h", {"http_proxy": "http://p:1", "no_proxy": "h"}, None),
        ("http://ah", {"http_proxy": "http://p:1", "no_proxy": "h"}, "http://p:1"),
        ("http://h:8", {"http_proxy": "http://p:1", "no_proxy": "h:8"}, None),
        ("http://h:9", {"http_proxy": "http://p:1", "no_proxy": "h:8"}, "http://p:1"),
        ("http://[::1]:8", {"http_proxy": "http://p:1", "no_proxy": "::1"}, None),
        ("http://me:pw@127.0.0.1:8", {"http_proxy": "http://p:1", "no_proxy": "127.0.0.1"}, None),
    ],
)
def test_the_environment_names_proxies_and_exceptions(
    url: str, variables: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    direct, pool = _pool(url)
    assert direct is (proxy is None)
    assert (None if direct else pool.proxy.url) == proxy


def test_a_proxy_of_the_settings_is_for_every_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    assert _pool("http://h", "http://p:1")[1].proxy.url == "http://p:1"


@pytest.mark.parametrize(
    ("proxy", "words"),
    [("socks5://p:1", "a socks5 proxy cannot be used"), ("http://me:s3cret", "proxy's address is inv")],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(proxy: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        _pool("http://h", proxy)
    assert "HTTPS_PROXY" in str(caught.value)
    assert "s3cret" not in str(caught.value)
