"""The door to the network against servers on loopback: redirects, logins, proxies, certificates, kept connections."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gzip
import http.server
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from devenv.doors.cancellation import Cancellation
from devenv.doors.http.connections import Connections, Request
from devenv.doors.http.hubs import UnreachedError
from devenv.doors.http.hubs import hub as client
from devenv.doors.http.partial_file import Again, Refused, Stopped, Wanted
from devenv.doors.http.ranges import Place, Ranges
from devenv.doors.http.retry import Policy
from devenv.doors.http.trust import trusting
from devenv.doors.http.web import NowhereError, Origin, Web
from devenv.doors.settings.pip_settings import PipSettings
from devenv.doors.settings.settings import Settings
from devenv.doors.thread import in_thread
from tests.integration import hub as hub_module
from tests.integration.hub import COMMIT, ID, Hub
from tests.integration.hub import settings as hub_settings
from tests.integration.mirror import QuietServer
from tests.integration.tlsengine import Authority
from tests.waiting import until

ONCE = Policy(attempts=1, read_timeout_s=10, connect_timeout_s=2)
BODY = b"body" * 5000


class Server:
    """Answers with `answer`, called with the request's handler, on 127.0.0.1 and 127.0.0.2. `context`: with TLS."""

    def __init__(self, answer: Callable[[Any], None], context: ssl.SSLContext | None = None) -> None:
        self.seen: list[dict[str, str]] = []
        self.connections = 0
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def setup(self) -> None:
                owner.connections += 1
                super().setup()

            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                owner.seen.append({":path": self.path, ":method": self.command, **self.headers})
                answer(self)

            do_CONNECT = do_PUT = do_GET

            def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

        first = QuietServer(("127.0.0.1", 0), Handler)
        self.port = first.server_port
        self._servers = [first, QuietServer(("127.0.0.2", self.port), Handler)]
        for one in self._servers:
            if context is not None:
                one.socket = context.wrap_socket(one.socket, server_side=True)
            threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._servers:
            one.shutdown()
            one.server_close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest.fixture
def mine(tmp_path: Path) -> Settings:
    return hub_settings(tmp_path)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def _download(web: Web, url: str, folder: Path, **origin: Any) -> bytes:
    part = folder / "part"
    web.download(Wanted(name="file"), (Origin(url=url, **origin),), part)
    content = part.read_bytes()
    part.unlink()
    return content


def _redirecting(self: Any) -> None:
    port = self.headers["Host"].partition(":")[2]
    match self.path:
        case "/away":
            self.answer(302, b"gone there", Location=f"http://127.0.0.2:{port}/away/file")
        case "/back":
            self.answer(307, Location=f"http://127.0.0.2:{port}/back/2")
        case "/back/2":
            self.answer(308, Location=f"http://127.0.0.1:{port}/file")
        case "/near":
            self.answer(301, Location="file?q=%C3%BC#part")
        case "/loop":
            self.answer(302, Location="/loop")
        case "/out":
            self.answer(302, Location="ftp://127.0.0.1/file")
        case "/odd":
            self.answer(302, Location="http://[")
        case _:
            self.answer(200, BODY)


@pytest.mark.parametrize("source", ["headers", "address", "netrc"])
def test_a_login_follows_redirects_on_its_own_host_only(source: str, mine: Settings, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pa55\n")
    login = "Basic " + base64.b64encode(b"me:pa55").decode()
    origin = {"channel": "pip", "accept": "text/x"}
    if source == "headers":
        origin["headers"] = (("Authorization", login), ("Cookie", "id=pa55"))  # type: ignore[assignment]
    if source == "netrc":
        mine = dataclasses.replace(mine, pip=PipSettings(netrc=tmp_path / "netrc"))
    with Server(_redirecting) as server, Web(mine, ONCE) as web:
        base = f"http://{'me:pa55@' if source == 'address' else ''}{server.address}"
        for path in ("/away", "/back", "/near"):
            assert _download(web, base + path, tmp_path, **origin) == BODY
        seen = [(one[":path"], one.get("Authorization"), one.get("Cookie")) for one in server.seen]
    cookie = "id=pa55" if source == "headers" else None
    assert seen == [
        ("/away", login, cookie), ("/away/file", None, None),
        ("/back", login, cookie), ("/back/2", None, None), ("/file", login, cookie),
        ("/near", login, cookie), ("/file?q=%C3%BC", login, cookie),
    ]  # fmt: skip
    assert {one["Accept"] for one in server.seen} == {"text/x"}


@pytest.mark.parametrize(
    ("path", "words"),
    [("/loop", "redirects too many times"), ("/out", "cannot be used: ftp"), ("/odd", "to an invalid address")],
)
def test_redirects_that_lead_nowhere(path: str, words: str, mine: Settings, tmp_path: Path) -> None:
    with Server(_redirecting) as server, Web(mine, ONCE) as web:
        with pytest.raises(NowhereError) as caught:
            _download(web, f"http://{server.address}{path}", tmp_path)
        assert len(server.seen) <= ONCE.redirects + 1
    assert words in (caught.value.detail or "")


def test_a_body_is_sent_in_pieces_and_again_only_where_a_redirect_keeps_it() -> None:
    bodies: list[bytes] = []

    def take(self: Any) -> None:
        bodies.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        port = self.headers["Host"].partition(":")[2]
        status = {"/307": 307, "/302": 302}.get(self.path, 201)
        self.answer(status, Location=f"http://127.0.0.2:{port}/file")

    pieces = [b"one", b"", b"two"]
    with Server(take) as server:
        connections = Connections(ONCE, lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), threading.Event())

        def put(path: str, **more: Any) -> int:
            request = Request(
                url=f"http://{server.address}{path}", method="PUT", headers={"Content-Length": "6"},
                own={"Authorization": "secret"}, body=lambda: pieces, **more,
            )  # fmt: skip
            with connections.ask(request) as answer:
                return answer.status

        assert [put("/file"), put("/307"), put("/302"), put("/307", moves=False)] == [201, 201, 302, 307]
        connections.close()
    assert bodies == [b"onetwo"] * 5
    assert [one.get("Authorization") for one in server.seen] == ["secret", "secret", None, "secret", "secret"]


def test_strict_connections_do_not_leave_tls(authorities: tuple[Tls, Tls]) -> None:
    def down(self: Any) -> None:
        self.answer(307, Location=f"http://{plain.address}/file")

    with Server(_redirecting) as plain, Server(down, authorities[0].context) as server:
        for strict in (False, True):
            trusted = trusting([authorities[0].bundle])
            connections = Connections(ONCE, lambda context=trusted: context, threading.Event(), strict=strict)
            with contextlib.ExitStack() as stack:
                if strict:
                    stack.enter_context(pytest.raises(Refused, match="from TLS to plain http"))
                answer = stack.enter_context(connections.ask(Request(url=f"https://{server.address}/")))
                assert answer.status == 200
            connections.close()
        assert len(plain.seen) == 1


_BOTH_FIRST = """
import sys, threading
from pathlib import Path
from devenv.doors.dirs import Dirs
from devenv.doors.http.retry import Policy
from devenv.doors.http.web import Origin, Web
from devenv.doors.settings.settings import Settings
root = Path(sys.argv[1])
web = Web(Settings(dirs=Dirs(cache=root, state=root, config=root), uid=1, gid=1, arch="amd64"), Policy(attempts=1))
together, errors = threading.Barrier(2), []
def first(act):
    together.wait()
    try:
        act(Origin(url="http://127.0.0.1:9/"))
    except Exception as error:
        errors.append(repr(error))
threads = [threading.Thread(target=first, args=(act,)) for act in (web.page, web.ask)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit("urllib3" in "".join(errors))
"""


def test_two_threads_may_be_the_first_to_use_the_library(tmp_path: Path) -> None:
    for _ in range(6):  # two of three failed when each imported its own part of it
        subprocess.run([sys.executable, "-c", _BOTH_FIRST, tmp_path], check=True)


def test_connections_are_kept_over_answers_redirects_and_errors(mine: Settings, tmp_path: Path) -> None:
    with Server(_redirecting) as server, Web(mine, ONCE) as web, Ranges(mine, ONCE) as ranges:
        base = f"http://{server.address}"
        for _ in range(3):
            _download(web, base + "/near", tmp_path)
        assert server.connections == 1
        for path in ("/file", "/near", "/file"):
            got: list[bytes] = []
            ranges.read(Place(url=base + path), 0, len(BODY), len(BODY), lambda _, data, to=got: to.append(data))
            assert b"".join(got) == BODY
        assert server.connections == 2


def test_a_page_is_decompressed_within_limits_and_decoded(
    mine: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answer(self: Any) -> None:
        text = "ü" * 10 if self.path == "/small" else "ü" * 5_000_000
        self.answer(
            200, gzip.compress(text.encode("latin-1")), Content_Type="text/x; charset=latin-1", Content_Encoding="gzip"
        )

    monkeypatch.setattr("devenv.doors.http.web._MOST_PAGE_BYTES", 1 << 20)
    with Server(answer) as server, Web(mine, ONCE) as web:
        url = f"http://{server.address}"
        assert web.page(Origin(url=f"{url}/small")) == ("ü" * 10, f"{url}/small", "text/x; charset=latin-1")
        assert "gzip" in server.seen[0]["Accept-Encoding"]
        with pytest.raises(NowhereError, match="cannot get") as caught:
            web.page(Origin(url=f"{url}/large"))
    assert "larger than 1 MB" in (caught.value.detail or "")


# ---- proxies


def _proxying(self: Any) -> None:
    if self.command == "CONNECT":
        self.answer(407)
    else:
        self.answer(200, BODY)


def test_a_proxy_of_the_environment_is_asked_and_no_proxy_is_heeded(
    mine: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login = "Basic " + base64.b64encode("me:p@ß".encode()).decode()
    with Server(_proxying) as proxy, Server(_redirecting) as server:
        monkeypatch.setenv("http_proxy", f"http://me:p%40%C3%9F@{proxy.address}")
        monkeypatch.setenv("https_proxy", proxy.address)
        monkeypatch.setenv("no_proxy", f"127.0.0.2:1, {server.address}")
        with Web(mine, ONCE) as web, Ranges(mine, ONCE) as ranges:
            assert _download(web, "http://me:pa55@nowhere.invalid/a?b#c", tmp_path) == BODY
            ranges.read(Place(url="http://nowhere.invalid/r"), 0, len(BODY), len(BODY), lambda *_: None)
            assert _download(web, f"http://{server.address}/file", tmp_path) == BODY
            with pytest.raises(Again, match=r"cannot connect.*407 Proxy Authentication Required"):
                web.ask(Origin(url="https://nowhere.invalid/"))
    assert [(one[":path"], one.get("Proxy-Authorization")) for one in proxy.seen] == [
        ("http://nowhere.invalid/a?b", login), ("http://nowhere.invalid/r", login), ("nowhere.invalid:443", None)
    ]  # fmt: skip
    assert proxy.seen[0]["Host"] == "nowhere.invalid"
    assert "Proxy-Authorization" not in server.seen[0]


def test_each_channel_has_its_own_proxy(mine: Settings, tmp_path: Path) -> None:
    with Server(_proxying) as proxy, Server(_redirecting) as server:
        mine = dataclasses.replace(mine, apt_proxy=f"http://{proxy.address}")
        with Web(mine, ONCE) as web:
            for channel in ("apt", "pip", "apt"):
                _download(web, f"http://{server.address}/file", tmp_path, channel=channel)
    assert (len(proxy.seen), len(server.seen)) == (2, 1)


# ---- certificates


@dataclasses.dataclass(frozen=True)
class Tls:
    """A CA's file, and a server's end of TLS with its certificate."""

    bundle: Path
    context: ssl.SSLContext


@pytest.fixture
def authorities(tmp_path: Path) -> tuple[Tls, Tls]:
    made = []
    for name in "ab":
        folder = Authority().folder(tmp_path / name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        made.append(Tls(folder / "ca.pem", context))
    return made[0], made[1]


def test_a_private_ca_is_trusted_when_the_settings_name_it(
    mine: Settings, authorities: tuple[Tls, Tls], tmp_path: Path
) -> None:
    one, other = authorities
    with Server(_redirecting, one.context) as server:
        url = f"https://{server.address}/near"
        with Web(dataclasses.replace(mine, ca_bundle=one.bundle), ONCE) as web:
            assert _download(web, url, tmp_path) == BODY
        pip = dataclasses.replace(mine, pip=PipSettings(cert=one.bundle))
        with Web(pip, ONCE) as web:
            assert _download(web, url, tmp_path, channel="pip") == BODY
            with pytest.raises(Refused, match="not trusted here"):
                web.ask(Origin(url=url))
        with (
            Ranges(dataclasses.replace(mine, ca_bundle=other.bundle), ONCE) as ranges,
            pytest.raises(Refused) as caught,
        ):
            ranges.read(Place(url=url), 0, 1, 2, lambda *_: None)
        assert "not trusted here" in str(caught.value)
        assert caught.value.offline


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["huggingface", "modelscope"])
def test_two_sessions_of_one_process_trust_different_authorities(
    name: str, authorities: tuple[Tls, Tls], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the same time: each server holds its answer back until the other one has a request, too."""
    before, during, together = dict(os.environ), [], threading.Barrier(2)
    usual = hub_module._Handler.do_GET

    def both(self: Any) -> None:
        during.append(dict(os.environ))
        together.wait(30)
        usual(self)

    with Hub({"a.json": b"{}"}) as first, Hub({"b.json": b"{}"}) as second:
        hubs = []
        for one, tls in zip((first, second), authorities, strict=True):
            one._servers[0].socket = tls.context.wrap_socket(one._servers[0].socket, server_side=True)
            url = one.url.replace("http:", "https:")
            hubs.append(dataclasses.replace(hub_settings(tmp_path).hubs, ca_bundle=tls.bundle, **{name: url}))
        with monkeypatch.context() as patch:
            patch.setattr(hub_module._Handler, "do_GET", both)
            asking = [in_thread(name, lambda hub=hub: client(name, hub).files(ID, COMMIT)) for hub in hubs]
            assert [[file.path for file in one.result()] for one in asking] == [["a.json"], ["b.json"]]
        for wrong in (
            dataclasses.replace(hubs[0], ca_bundle=hubs[1].ca_bundle),
            dataclasses.replace(hubs[0], ca_bundle=None),
        ):
            with pytest.raises(UnreachedError, match="cannot ask"):
                client(name, wrong).files(ID, COMMIT)
        assert [file.path for file in client(name, hubs[0]).files(ID, COMMIT)] == ["a.json"]
    assert during == [before, before]


# ---- cancellation


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["web", "ranges"])
@pytest.mark.parametrize("with_tls", [False, True])
def test_a_cancellation_wakes_a_thread_that_reads(
    kind: str, with_tls: bool, mine: Settings, authorities: tuple[Tls, Tls], tmp_path: Path
) -> None:
    released = threading.Event()

    def hang(self: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x" * 50)
        self.wfile.flush()
        released.wait(50)

    slow = Policy(attempts=3, read_timeout_s=600)
    tls = authorities[0]
    mine = dataclasses.replace(mine, ca_bundle=tls.bundle)
    cancel, arrived = Cancellation(), threading.Event()
    with Server(hang, tls.context if with_tls else None) as server:
        url = f"{'https' if with_tls else 'http'}://{server.address}/"
        if kind == "web":
            with Web(mine, slow, cancel) as web:
                wanted = Wanted(name="f", size_bytes=100)
                reading = in_thread(
                    "reads",
                    lambda: web.download(wanted, (Origin(url=url),), tmp_path / "part", lambda _: arrived.set()),
                )
                assert arrived.wait(30)
                cancel.cancel()
                with pytest.raises(Stopped):
                    reading.result()
        else:
            ranges = Ranges(mine, slow)
            reader = in_thread("reads", lambda: ranges.read(Place(url=url), 0, 100, 100, lambda *_: arrived.set()))
            assert arrived.wait(30)
            ranges.halt()
            with pytest.raises(Stopped):
                reader.result()
        until(lambda: len(server.seen) == 1)
        released.set()
