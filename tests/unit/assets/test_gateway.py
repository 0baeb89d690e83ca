"""What the gateway's own maps decide: its names, and which pages may use the cookie. nginx takes the first pattern that
fits, names before patterns; tests/integration/test_image.py asks nginx itself."""

from __future__ import annotations

import re

import pytest

from devenv.plan.plan import plan
from devenv.render.render import render
from tests.unit.examples import loaded, lock

CONF = render(plan(loaded(), lock())).context["image/etc/devenv/gateway.conf"].decode()
HERE = "127.0.0.1:8443"


def _map(variable: str, source: str) -> str:
    """The value that a map of the rendered configuration gives to `source`."""
    (body,) = re.findall(rf"map \S[^{{]* \${variable} {{\n(.*?)\n    }}", CONF, re.DOTALL)
    default = ""
    for key, value in re.findall(r"^ +('[^']*'|\S+) (\S+);$", body, re.MULTILINE):
        pattern = key.strip("'")
        if pattern == "default":
            default = value
        elif pattern.startswith("~"):
            if re.search(pattern[1:].replace("(?<", "(?P<"), source):
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
    verdict = _map("devenv_foreign", f"{origin} {HERE}")
    if verdict == "$devenv_fetched":
        verdict = _map("devenv_fetched", fetch)
    assert verdict == str(int(foreign))
