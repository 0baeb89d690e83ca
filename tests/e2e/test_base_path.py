"""An environment at a path of a company's portal, through proxies that keep the path and proxies that take it away."""

from __future__ import annotations

import http.client
import json
import re
import uuid
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.portal import BASE, Portal
from tests.integration.conftest import Cli, docker, get
from tests.waiting import until

pytestmark = pytest.mark.engine
NAME = "t-portal"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
           "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw=="}  # fmt: skip
EDITOR_SOCKET = f"{BASE}/ide/stable-{{commit}}?reconnectionToken={uuid.uuid4()}&reconnection=false"


@pytest.fixture(params=[False, True], ids=["keeps", "strips"])
def kind(request: pytest.FixtureRequest, portal: Portal) -> Portal:
    portal.strips = request.param
    return portal


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def _leads(url: str, answer: http.client.HTTPResponse) -> str:
    """The address that a redirect leads to."""
    return urljoin(url, answer.headers["Location"])


def _log_in(portal: Portal, url: str) -> dict[str, str]:
    """The headers of the pages that the printed address leads to."""
    answer, _ = portal.ask(_path(url), {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"})
    assert answer.status == 302
    assert _leads(url, answer) == url.partition("?")[0]
    (cookie,) = answer.headers.get_all("Set-Cookie") or ()
    service = urlsplit(url).path.removeprefix(f"{BASE}/").partition("/")[0]
    assert re.fullmatch(
        f"devenv_[0-9a-f]{{16}}=[0-9a-f]{{64}}; Path={BASE}/{service}/; HttpOnly; SameSite=Lax; Secure", cookie
    )
    return {"Cookie": cookie.partition(";")[0], "Origin": portal.origin, "Sec-Fetch-Site": "same-origin"}


def test_the_printed_addresses_are_the_portals(portal: Portal, cli: Cli) -> None:
    status = cli.ok("status", NAME, "--json").json()
    urls = status["urls"]
    assert urls == portal.urls
    assert urls["ide"].startswith(f"{portal.url}/ide/?token=")
    assert urls["jupyter"].startswith(f"{portal.url}/jupyter/lab?token=")
    assert (status["base_path"], status["forward_to"]) == (portal.url, f"http://127.0.0.1:{portal.to}")
    assert status["services"] == {"ide": "ready", "jupyter": "ready", "gateway": "ready"}
    assert f"{portal.url} to http://127.0.0.1:{portal.to}" in cli.ok("status", NAME).out
    assert cli.ok("open", NAME, "jupyter").out.strip() == urls["jupyter"]
    again = cli.ok("up", "python", "--name", NAME, "--json").json()
    assert again["untouched"], "the base path is the environment's for its life"
    assert again["urls"] == urls


def test_the_editor_works_under_the_path(kind: Portal) -> None:
    session = _log_in(kind, kind.urls["ide"])
    place = f"{kind.url}/ide/"
    for path, to in (("/?token=x", f"{place}?token=x"), ("/ide", place), ("", place)):
        answer, _ = kind.ask(f"{BASE}{path}")
        assert (answer.status, _leads(f"{kind.url}{path}", answer)) == (302, to)
    answer, _ = kind.ask(f"{BASE}/ide/", session)
    assert answer.status == 302
    page = _leads(f"{BASE}/ide/", answer)
    assert page.startswith(f"{BASE}/ide/?")
    answer, body = kind.ask(page, session)
    assert answer.status == 200
    scripts = [urljoin(page, one) for one in re.findall(r'(?:src|href)="([^"]+\.(?:js|css|svg))"', body)]
    assert any("workbench.js" in script for script in scripts)
    for script in scripts:
        assert script.startswith(f"{BASE}/ide/")
        assert kind.ask(script, session)[0].status == 200, script
    (commit,) = set(re.findall(r"stable-([0-9a-f]{40})", body))
    socket = EDITOR_SOCKET.format(commit=commit)
    assert kind.ask(socket, {**session, **UPGRADE})[0].status == 101
    for wrong in ({"Origin": "https://evil.example"}, {"Origin": f"http://127.0.0.1:{kind.to}"}, {"Cookie": "a=b"},
                  {"Origin": kind.origin.replace("https", "http")}, {"Origin": "null"}):  # fmt: skip
        assert kind.ask(socket, {**session, **UPGRADE, **wrong})[0].status == 401, wrong
    other_page = {**session, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}
    other_page.pop("Origin")
    assert kind.ask(page, other_page)[0].status == 401
    assert kind.ask(page, {**other_page, "Sec-Fetch-Mode": "navigate"})[0].status == 200, "a followed link"


def test_jupyterlab_works_under_the_path(kind: Portal) -> None:
    session = _log_in(kind, kind.urls["jupyter"])
    answer, _ = kind.ask(f"{BASE}/jupyter/", session)
    assert _leads(f"{kind.url}/jupyter/", answer).partition("?")[0] == f"{kind.url}/jupyter/lab"
    answer, body = kind.ask(f"{BASE}/jupyter/lab", session)
    assert answer.status == 200
    assert f'"baseUrl": "{BASE}/jupyter/"' in body
    scripts = re.findall(r'src="([^"]+\.js[^"]*)"', body)
    assert scripts
    for script in scripts:
        assert script.startswith(f"{BASE}/jupyter/")
        assert kind.ask(script, session)[0].status == 200, script
    (cookie,) = answer.headers.get_all("Set-Cookie") or ()
    assert f"; Path={BASE}/jupyter/" in cookie
    assert "; Secure" in cookie
    xsrf = cookie.partition(";")[0]
    api = f"{BASE}/jupyter/api"
    hubs = "_xsrf=2|00000000|00000000000000000000000000000000|1700000000"  # that of the hub at a shorter path
    both = {**session, "Cookie": f"{session['Cookie']}; {xsrf}; {hubs}"}
    assert kind.ask(f"{api}/kernels", both, method="POST")[0].status == 403
    answer, body = kind.ask(f"{api}/kernels", {**both, "X-XSRFToken": xsrf.partition("=")[2]}, method="POST")
    assert answer.status == 201
    assert _leads(kind.url, answer).startswith(f"{kind.origin}{api}/kernels/")
    channels = f"{api}/kernels/{json.loads(body)['id']}/channels"
    assert kind.ask(channels, {**session, **UPGRADE})[0].status == 101
    assert kind.ask(channels, {**session, **UPGRADE, "Origin": "https://evil.example"})[0].status == 401
    assert kind.ask(f"{api}/contents/a%2Fb", session)[0].status == 404, "the address arrives as it is"
    assert kind.ask(f"{BASE}/ide/../jupyter/api", session)[0].status != 200


def test_the_editors_notebooks_find_jupyter_below_the_path(portal: Portal) -> None:
    client = "/opt/code-server/lib/vscode/extensions/devenv-python/jupyter.js"
    code = (
        f"require('{client}').Kernel.connect('n.ipynb', () => {{}}).then((kernel) => process.exit(kernel.id ? 7 : 1))"
    )
    done = docker("exec", f"devenv-{NAME}", "sh", "-c", 'devenv-exec node -e "$1" || echo $?', "sh", code)
    assert done == "7\n"


def test_the_named_origin_is_the_only_one_and_on_its_port_alone(portal: Portal) -> None:
    token = portal.urls["ide"].partition("token=")[2]
    bearer = {"Authorization": f"Bearer {token}"}
    entry = f"http://127.0.0.1:{portal.to}"
    direct = {service: "http://" + docker("port", f"devenv-{NAME}", port).strip() for service, port in
              (("ide", "8443"), ("jupyter", "8888"))}  # fmt: skip
    for host, there, here in (
        ("portal.example", 302, 421),
        ("evil.example", 421, 421),
        ("portal.example.evil", 421, 421),
    ):
        assert get(f"{entry}/ide/", {**bearer, "Host": host})[0] == there, host
        assert get(f"{direct['ide']}/", {**bearer, "Host": host})[0] == here, host
    assert get(f"{entry}/nothing", bearer)[0] == 404
    session = _log_in(portal, portal.urls["jupyter"])
    assert get(f"{direct['jupyter']}/api/status", {**session, "Sec-Fetch-Site": "cross-site"})[0] == 401
    assert get(f"{direct['jupyter']}/api/status", bearer)[0] == 200, "programs use the port as before"
    mine = {"Cookie": session["Cookie"]}
    assert get(f"{direct['jupyter']}/lab", mine)[0] == 302, "a browser gets to the path that its pages know"
    assert get(f"{direct['jupyter']}{BASE}/jupyter/lab", mine)[0] == 200


def test_the_pages_work_at_the_address_of_a_reverse_proxy(page: Page, portal: Portal) -> None:
    portal.strips = True
    failed: list[str] = []
    page.on("response", lambda answer: failed.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    page.goto(portal.urls["ide"])
    expect(page.locator(".explorer-folders-view")).to_be_visible(timeout=60_000)
    assert page.url.startswith(f"{portal.url}/ide/?")
    scopes = "navigator.serviceWorker.ready.then(one => one.scope)"
    assert page.evaluate(scopes) == f"{portal.url}/ide/"
    page.goto(portal.urls["jupyter"])
    expect(page.locator(".jp-LauncherCard[data-category='Notebook']").first).to_be_visible(timeout=60_000)
    assert page.url.startswith(f"{portal.url}/jupyter/lab")
    assert not [one for one in failed if "/user/" in one and not one.startswith("404")]
    assert not [one for one in failed if portal.url not in one], "all addresses are below the path"


def test_a_session_lives_over_a_restart(portal: Portal, cli: Cli) -> None:
    session = _log_in(portal, portal.urls["ide"])
    cli.ok("restart", NAME)

    def answers() -> bool:
        try:
            status = portal.ask(f"{BASE}/ide/?folder=/workspace", session)[0].status
        except (OSError, http.client.HTTPException):  # the gateway is not there yet
            return False
        assert status in (200, 502)
        return True

    until(answers)
    assert portal.ask(f"{BASE}/ide/", {**session, "Cookie": session["Cookie"][:-1]})[0].status == 401


def test_a_wrong_base_path_is_one_clear_error(cli: Cli) -> None:
    done = cli("up", "python", "--name", "t-none", "--base-path", "https://me:secret@portal.example/\x1b[1m")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error: ") == 1
    assert "the base path" in done.err
    assert "secret" not in done.err
    assert "\x1b" not in done.err
