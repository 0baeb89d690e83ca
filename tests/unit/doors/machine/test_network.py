"""Network probes: all at once, with one deadline, and each with its own fault."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.dirs import Dirs
from devenv.doors.http.partial_file import Again, Refused
from devenv.doors.http.web import Origin, Web
from devenv.doors.machine.network import ask
from devenv.doors.settings.pip_settings import PipSettings
from devenv.doors.settings.settings import Settings


def _ask(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], *, deadline_s: float = 0.3, **settings: Any) -> Any:
    held = threading.Event()

    def answer(_: Web, origin: Origin) -> tuple[int, str]:
        given = answers[origin.url]
        if given == "hang":
            held.wait(600)
            return 200, ""
        if isinstance(given, Exception):
            raise given
        status, skew_s = given
        return status, formatdate(time.time() - skew_s, usegmt=True)

    monkeypatch.setattr(Web, "ask", answer)
    dirs = Dirs(cache=Path("/c"), state=Path("/s"), config=Path("/f"))
    given = Settings(dirs=dirs, uid=1, gid=1, arch="amd64", **settings)
    origins = [(f"n{number}", Origin(url=url)) for number, url in enumerate(answers)]
    try:
        return ask(given, origins, {"HTTPS_PROXY": "http://me:secret@proxy.example.org:3128"}, deadline_s=deadline_s)
    finally:
        held.set()


def test_each_answer_is_told_for_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _ask(monkeypatch, {
        "http://a": (200, 0), "http://b": (404, 3600), "http://c": (407, 0), "http://d": (503, 0),
        "http://e": Again("cannot connect: [Errno -2] Name or service not known", offline=True),
        "http://f": Refused("its certificate is not trusted here", offline=True),
        "http://g": Again("cannot connect: timed out", offline=True), "http://h": RuntimeError("odd"),
    })  # fmt: skip
    assert [(one.url[-1], one.kind) for one in found.probes] == [
        ("a", ""), ("b", ""), ("c", "proxy"), ("d", "http"), ("e", "dns"), ("f", "tls"), ("g", "timeout"),
        ("h", "connect"),
    ]  # fmt: skip
    assert found.probes[1].skew_s == pytest.approx(3600, abs=2)
    assert all(bool(one.problem) == bool(one.kind) for one in found.probes)


@pytest.mark.timeout(120)  # each would hang for 600 s
def test_what_hangs_does_not_hold_up_the_others_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _ask(monkeypatch, {f"http://hangs{number}": "hang" for number in range(20)} | {"http://a": (200, 0)})
    assert sum(one.kind == "timeout" for one in found.probes) == 20
    assert [one.problem for one in found.probes if one.url == "http://a"] == [""]


def test_no_secret_of_a_proxy_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _ask(monkeypatch, {}, pip=PipSettings(proxy="http://you:hidden@p.example.org:1"))
    assert found.proxies == ("HTTPS_PROXY=http://proxy.example.org:3128", "pip: http://p.example.org:1")


def test_a_bundle_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _ask(monkeypatch, {}, ca_bundle=Path("/nowhere/ca.pem"))
    assert found.ca_problem == "cannot read /nowhere/ca.pem"
