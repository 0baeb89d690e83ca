"""Authentication at a registry: Basic, or short-lived tokens of its token service.

Formats: RFC 7235 (challenges); distribution's auth/token.md and auth/oauth.md.
"""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from devenv.doors.http.connections import Request, basic
from devenv.doors.http.registry.logins import Login
from devenv.doors.untrusted import from_json

Scopes = frozenset[str]
"""Such as `repository:NAME:pull,push`."""
_CHALLENGE = re.compile(r"\s*,*\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:\s+|$|(?=,))")
_PARAMETER = re.compile(r'\s*,*\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_LEAST_LIFE_S, _EARLY_S = 60, 10
"""A token without a lifetime has the specification's; one is renewed some seconds before its end."""
_CLIENT = "devenv"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One way to log in that a server offers."""

    scheme: str
    parameters: Mapping[str, str]


class Unusable(Exception):  # noqa: N818 (the client makes the error)
    """The challenge, or the token service's answer, cannot be used. `denied`: the login was refused."""

    def __init__(self, why: str, *, denied: bool = False) -> None:
        super().__init__(why)
        self.denied = denied


@dataclasses.dataclass(slots=True, kw_only=True)
class _Token:
    text: str = dataclasses.field(repr=False)
    until: float


class Guard:
    """The headers for one registry, shared by threads. `fetch` sends a request to the token service and gives status
    and body. `plain`: the registry itself is reached without TLS."""

    def __init__(self, login: Login | None, fetch: Callable[[Request], tuple[int, bytes]], *, plain: bool) -> None:
        self.login = login
        self._fetch = fetch
        self._plain = plain
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, _Token] = {}
        self._state = threading.Lock()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be in no message."""
        return (*(self.login.secrets if self.login else ()), *(token.text for token in tuple(self._tokens.values())))

    @property
    def has_challenge(self) -> bool:
        """Whether the registry has sent a challenge."""
        return self._challenge is not None

    def headers(self, scopes: Scopes) -> Mapping[str, str]:
        """The authorization for this; none before the registry has sent a challenge. Raises Unusable."""
        with self._state:
            if self.login and self.login.registry_token:
                return _bearer(self.login.registry_token)
            if self._challenge is None:
                return {}
            if self._challenge.scheme == "basic":
                return basic(self.login.user, self.login.password) if self.login and self.login.password else {}
            token = self._tokens.get(scopes)
            if token is None or token.until <= time.monotonic():
                token = self._tokens[scopes] = self._new_token(self._challenge, scopes)
            return _bearer(token.text)

    def renew(self, header: str, scopes: Scopes, shown: Mapping[str, str]) -> bool:
        """The registry refused what was `shown`, with this WWW-Authenticate header (empty: the last one counts).
        Whether there is something else to show. Raises Unusable for a way to log in that is not known."""
        with self._state:
            if header:
                offered = {challenge.scheme: challenge for challenge in challenges(header)}
                found = offered.get("bearer") or offered.get("basic")
                if found is None:
                    raise Unusable(f"requires a login of an unknown kind: {', '.join(offered) or 'none named'}")
                self._challenge = found
            if self._challenge is None or (self.login and self.login.registry_token):
                return False
            if self._challenge.scheme == "basic":
                return not shown and self.login is not None and bool(self.login.password)
            token = self._tokens.get(scopes)
            if token is not None and shown == _bearer(token.text):  # else another thread has renewed it
                del self._tokens[scopes]
            return True

    def _new_token(self, challenge: Challenge, scopes: Scopes) -> _Token:
        realm = challenge.parameters.get("realm", "")
        if urlsplit(realm).scheme not in (("https", "http") if self._plain else ("https",)):
            raise Unusable("names a token service that is not reached by TLS")
        asked = sorted({*scopes, *challenge.parameters.get("scope", "").split()})
        fields = [("service", challenge.parameters.get("service", "")), *(("scope", scope) for scope in asked)]
        status, body = self._fetch(self._request(realm, fields, " ".join(asked)))
        if status in (400, 401, 403):
            raise Unusable(f"does not accept it at its token service ({status})", denied=True)
        if status != 200:
            raise Unusable(f"has a token service that answers {status}")
        began = time.monotonic()
        try:
            answer = from_json(body)
            token = answer.get("token") or answer.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
            raise Unusable("has a token service that gives no token")
        return _Token(text=token, until=began + max(_life_s(answer) - _EARLY_S, 1))

    def _request(self, realm: str, fields: list[tuple[str, str]], scope: str) -> Request:
        login = self.login
        if login and login.identity_token:
            form = [("grant_type", "refresh_token"), ("client_id", _CLIENT), *fields[:1], ("scope", scope)]
            body = urlencode([*form, ("refresh_token", login.identity_token)]).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return Request(url=realm, method="POST", headers=kind, body=body, moves=False)
        mine = basic(login.user, login.password) if login and login.password else {}
        query = urlencode([*fields, *([("account", login.user)] if login and login.user else [])])
        return Request(url=f"{realm}{'&' if '?' in realm else '?'}{query}", own=mine)


def challenges(header: str) -> tuple[Challenge, ...]:
    """What a WWW-Authenticate header offers; schemes and names of parameters in lower case."""
    found: list[Challenge] = []
    at = 0
    while match := _CHALLENGE.match(header, at):
        at, parameters = match.end(), {}
        while parameter := _PARAMETER.match(header, at):
            name, quoted, plain = parameter.groups()
            parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if plain is None else plain
            at = parameter.end()
        found.append(Challenge(scheme=match[1].lower(), parameters=parameters))
    return tuple(found)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _life_s(answer: Mapping[str, Any]) -> float:
    life = answer.get("expires_in")
    return float(life) if isinstance(life, int | float) and 0 < life < 1e9 else _LEAST_LIFE_S
