"""What the gateway's own maps decide: its names, and which pages may use the cookie. nginx takes the first pattern that
fits, names before patterns; tests/integration/test_image.py asks nginx itself."""

from __future__ import annotations

import re

import pytest

from devenv.plan.plan import plan
from devenv.render.render import render
from tests.unit.examples import loaded, lock

_FILES = render(plan(loaded(), lock())).context
CONF = _FILES["image/etc/devenv/gateway.conf"].decode()
ENTRY = _FILES["image/etc/devenv/entry.conf"].decode()
HERE = "127.0.0.1:8443"


def _map(variable: str, source: str, conf: str = CONF) -> str:
    """The value that a map of the rendered configuration gives to `source`."""
    (body,) = re.findall(rf"map \S[^{{]* \${variable} {{\n(.*?)\n *}}", conf, re.DOTALL)
    default = ""
    for key, given in re.findall(r"^ +('[^']*'|\S+) ('[^']*'|\S+);$", body, re.MULTILINE):
        pattern, value = key.strip("'"), given.strip("'")
        if pattern == "default":
            default = value
        elif pattern.startswith("~"):
            if found := re.search(pattern[1:].replace("(?<", "(?P<"), source):
                for name, part in found.groupdict().items():
                    value = value.replace(f"${name}", part or "")
                return str(value)
        elif source == pattern or (pattern.startswith(".") and (source == pattern[1:] or source.endswith(pattern))):
            return str(value)
    return default


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "my-env.localhost", "[::1]", "172.18.0.2", "[fd00::2]"])
def test_this_machines_own_names_and_addresses_are_answered(name: str) -> None:
    assert _map("devenv_local", name) == "1"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evillocalhost",
        "1.2.3.4.nip.example",
        "[x]",
    ],
)
def test_a_name_that_a_web_page_can_have_is_not(name: str) -> None:
    assert _map("devenv_local", name) == "0"
    assert _map("devenv_unnamed", "00") == "1"
    assert _map("devenv_unnamed", "01") == "0", "DEVENV_HOSTS names it"


@pytest.mark.parametrize(
    ("fetch", "origin", "foreign"),
    [
        ("  GET", "", False),  # an old browser, or a program
        ("none navigate GET", "", False),
        ("same-origin cors POST", f"http://{HERE}", False),
        ("same-origin websocket GET", f"http://{HERE}", False),
        ("same-origin cors POST", f"https://{HERE}", False),  # behind a proxy that speaks TLS
        ("same-site navigate GET", "", False),  # a link on a page of another port
        ("cross-site navigate GET", "", False),
        ("same-site navigate POST", "http://127.0.0.1:9001", True),
        ("same-site no-cors GET", "", True),
        ("same-site cors GET", "http://127.0.0.1:9001", True),
        ("cross-site websocket GET", "http://evil.example", True),
        ("  GET", "http://127.0.0.1:9001", True),
        ("  POST", "null", True),
        ("  POST", f"http://{HERE}.evil.example", True),
        ("  POST", f"http://evil.example {HERE}", True),
    ],
)
def test_a_page_of_another_port_cannot_use_the_cookie(fetch: str, origin: str, foreign: bool) -> None:
    verdict = _map("devenv_foreign_here", f"{origin} {HERE}")
    if verdict == "$devenv_fetched":
        verdict = _map("devenv_fetched", fetch)
    assert verdict == str(int(foreign))


@pytest.mark.parametrize(
    ("inner", "service", "uri"),
    [
        ("/ide/", "ide", "/"),
        ("/ide/?folder=/workspace", "ide", "/?folder=/workspace"),
        ("//ide/a%2Fb?c", "ide", "/a%2Fb?c"),
        ("/jupyter/lab?a", "jupyter", "$devenv_base/jupyter/lab?a"),
        ("/ide/../jupyter/lab", "ide", "/../jupyter/lab"),  # service and address never differ
        ("/ide", "", "/"),
        ("/idea/", "", "/"),
        ("/x/ide/", "", "/"),
        ("/?/ide/", "", "/"),
        ("", "", "/"),
    ],
)
def test_behind_a_proxy_the_first_part_of_the_path_is_the_service(inner: str, service: str, uri: str) -> None:
    assert _map("devenv_at", inner, ENTRY) == service
    assert _map("devenv_uri", inner, ENTRY) == uri


@pytest.mark.parametrize(
    ("inner", "to"),
    [
        ("", "$devenv_beside/ide/"),
        ("?token=x", "$devenv_beside/ide/?token=x"),
        ("/", "$devenv_below/ide/"),
        ("/?token=x", "$devenv_below/ide/?token=x"),
        ("/ide", "$devenv_below/ide/"),
        ("/jupyter?token=x", "$devenv_below/jupyter/?token=x"),
        ("/jupyter/", ""),
        ("/evil.example", ""),
        ("//evil.example/", ""),
    ],
)
def test_behind_a_proxy_an_address_without_a_service_leads_to_one(inner: str, to: str) -> None:
    """Some proxies put the path before a redirect to an absolute path, and some do not."""
    assert _map("devenv_go", inner, ENTRY) == to


@pytest.mark.parametrize(
    ("clean", "here"),
    [
        ("/user/me/ide/", "./"),
        ("/ide/?folder=/workspace", "./?folder=/workspace"),
        ("/jupyter/lab", "./lab"),
        ("/jupyter/lab/a:b?c=/d?e", "./a:b?c=/d?e"),
        ("/ide//evil.example", "./evil.example"),
        ("/", "./"),
    ],
)
def test_behind_a_proxy_the_token_is_taken_out_of_the_same_address(clean: str, here: str) -> None:
    assert _map("devenv_here", clean, ENTRY) == here


@pytest.mark.parametrize(
    ("sent", "given"),
    [
        ("", ""),
        ("a=b", "a=b"),
        ("_xsrf=1", "_xsrf=1"),
        ("_xsrf=1; _xsrf=2", "_xsrf=1"),
        ("a=b; _xsrf=1; c=d; _xsrf=2; e=f", "a=b; _xsrf=1; c=d; e=f"),
        ("_xsrf=1; a=b; _xsrf=2; _xsrf=3; c=d", "_xsrf=1; a=b; c=d"),
        ("x_xsrf=0; _xsrf=1; y_xsrf=2; _xsrf=3", "x_xsrf=0; _xsrf=1; y_xsrf=2"),
    ],
)
def test_jupyter_gets_the_cookie_that_its_own_pages_take(sent: str, given: str) -> None:
    once = _map("devenv_cookies_2", sent, ENTRY).replace("$http_cookie", sent)
    assert _map("devenv_cookies", once, ENTRY).replace("$devenv_cookies_2", once) == given


def test_no_service_has_a_name_that_is_a_word_of_maps() -> None:
    services = {name: {"command": ("m",), "port": 9000 + at, "listen": f"127.0.0.1:{9100 + at}"}
                for at, name in enumerate(("default", "hostnames", "include", "volatile"))}  # fmt: skip
    conf = render(plan(loaded(services=services), lock())).context["image/etc/devenv/entry.conf"].decode()
    assert _map("devenv_pass", "default", conf) == "$devenv_pass_default"
    assert _map("devenv_upstream", "ide", conf) == "devenv_ide"
    for body in re.findall(r"^map .*?^}", conf, re.MULTILINE | re.DOTALL):
        keys = [line.split()[0] for line in body.splitlines()[1:-1]]
        assert (keys.count("default"), {"hostnames", "include", "volatile"} & {*keys}) == (1, set())
