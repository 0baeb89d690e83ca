from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from devenv.doors.http.connections import Request, basic
from devenv.doors.http.registry.auth import Challenge, Guard, Unusable, challenges
from devenv.doors.http.registry.logins import Login

PULL = frozenset({"repository:a:pull"})
ME = Login(origin="config.json", user="me", password="pa55")
BEARER = 'Bearer realm="https://token.example/t",service="s",scope="repository:a:pull repository:b:pull"'


class Service:
    """A token service: gives t0, t1, …"""

    def __init__(self, status: int = 200, **answer: Any) -> None:
        self.status, self.answer = status, answer
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> tuple[int, bytes]:
        self.requests.append(request)
        return self.status, json.dumps({"token": f"t{len(self.requests) - 1}", **self.answer}).encode()


@pytest.mark.parametrize(
    ("header", "offered"),
    [
        ("", []),
        ('Basic realm="a b"', [("basic", {"realm": "a b"})]),
        ('BEARER Realm="https://t/?a=b,c", service=s', [("bearer", {"realm": "https://t/?a=b,c", "service": "s"})]),
        ('Negotiate, Basic realm="\\"x\\""', [("negotiate", {}), ("basic", {"realm": '"x"'})]),
        ('Bearer realm="r",scope="a:b:c", Basic realm="x"', [("bearer", {"realm": "r", "scope": "a:b:c"}), ("basic", {"realm": "x"})]),
        ('Bearer realm="never ends', [("bearer", {})]),
    ],
)  # fmt: skip
def test_challenges_are_read(header: str, offered: list[tuple[str, dict[str, str]]]) -> None:
    found = challenges(header)[: len(offered)]
    assert found == tuple(Challenge(scheme=scheme, parameters=parameters) for scheme, parameters in offered)


def test_nothing_is_shown_before_it_is_asked_for() -> None:
    guard = Guard(ME, Service(), plain=False)
    assert guard.headers(PULL) == {}
    assert not guard.has_challenge
    assert guard.renew('Basic realm="x"', PULL, {}) is True
    assert guard.headers(PULL) == basic("me", "pa55")
    assert guard.renew('Basic realm="x"', PULL, basic("me", "pa55")) is False, "it was refused"


def test_a_token_is_kept_for_its_scopes_and_renewed_when_it_is_refused_or_old(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    service = Service(expires_in=100)
    guard = Guard(ME, service, plain=False)
    guard.renew(BEARER, PULL, {})
    assert guard.headers(PULL) == guard.headers(PULL) == {"Authorization": "Bearer t0"}
    more = PULL | {"repository:c:pull"}
    assert guard.headers(more) == {"Authorization": "Bearer t1"}
    now[0] += 95
    assert guard.headers(PULL) == {"Authorization": "Bearer t2"}
    assert guard.renew("", PULL, {"Authorization": "Bearer t2"}) is True
    assert guard.headers(PULL) == {"Authorization": "Bearer t3"}
    assert guard.renew("", PULL, {"Authorization": "Bearer t2"}) is True
    assert guard.headers(PULL) == {"Authorization": "Bearer t3"}, "another thread has renewed it"
    first = service.requests[0]
    assert parse_qs(urlsplit(first.url).query) == {
        "service": ["s"], "scope": ["repository:a:pull", "repository:b:pull"], "account": ["me"],
    }  # fmt: skip
    assert (first.own, first.method) == (basic("me", "pa55"), "GET")
    assert set(guard.secrets) >= {"pa55", "t3", basic("me", "pa55")["Authorization"].partition(" ")[2]}


def test_without_a_login_a_token_is_asked_for_without_one() -> None:
    service = Service()
    guard = Guard(None, service, plain=False)
    guard.renew(BEARER, PULL, {})
    assert guard.headers(PULL) == {"Authorization": "Bearer t0"}
    assert service.requests[0].own == {}
    assert "account" not in service.requests[0].url


def test_an_identity_token_is_posted_and_follows_no_redirect() -> None:
    service = Service(token=None, access_token="short")
    guard = Guard(Login(origin="helper", identity_token="long"), service, plain=False)
    guard.renew(BEARER, PULL, {})
    assert guard.headers(PULL) == {"Authorization": "Bearer short"}
    (request,) = service.requests
    assert isinstance(request.body, bytes)
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["refresh_token"], "client_id": ["devenv"], "service": ["s"], "refresh_token": ["long"],
        "scope": ["repository:a:pull repository:b:pull"],
    }  # fmt: skip
    assert (request.method, request.moves, request.url) == ("POST", False, "https://token.example/t")


def test_a_registry_token_is_shown_as_it_is() -> None:
    guard = Guard(Login(origin="f", registry_token="raw"), Service(), plain=False)
    assert guard.headers(PULL) == {"Authorization": "Bearer raw"}
    assert guard.renew(BEARER, PULL, guard.headers(PULL)) is False


@pytest.mark.parametrize("realm", ["http://token.example/t", "file:///etc/passwd", "", "//token.example"])
def test_a_login_leaves_by_tls_alone(realm: str) -> None:
    service = Service()
    guard = Guard(ME, service, plain=False)
    guard.renew(f'Bearer realm="{realm}"', PULL, {})
    with pytest.raises(Unusable, match="TLS"):
        guard.headers(PULL)
    assert service.requests == []
    plain = Guard(ME, service, plain=True)
    plain.renew('Bearer realm="http://127.0.0.1/t"', PULL, {})
    assert plain.headers(PULL)


@pytest.mark.parametrize(
    ("service", "denied"),
    [(Service(401), True), (Service(403), True), (Service(400), True), (Service(404), False), (Service(token=3), False),
     (Service(token="two\nlines"), False), (Service(token=""), False)],
)  # fmt: skip
def test_a_token_service_that_gives_none_is_named(service: Service, denied: bool) -> None:
    guard = Guard(ME, service, plain=False)
    guard.renew(BEARER, PULL, {})
    with pytest.raises(Unusable, match="token service") as caught:
        guard.headers(PULL)
    assert caught.value.denied is denied


def test_an_unknown_way_to_log_in_is_named() -> None:
    with pytest.raises(Unusable, match="negotiate"):
        Guard(ME, Service(), plain=False).renew("Negotiate", PULL, {})
