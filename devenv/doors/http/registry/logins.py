"""Logins as docker keeps them: config.json, its credential store and its helpers.

Format: docker's cli/config and the protocol of docker/docker-credential-helpers.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devenv.doors import files, process
from devenv.doors.cancellation import Cancellation
from devenv.doors.untrusted import from_json
from devenv.errors import ShareError

_HELPER_S = 120.0
"""A helper may ask its user to unlock a key."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TOKEN = "<token>"  # noqa: S105 (the user name that says: this is an identity token)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A login to one registry. `origin`: the file or helper that has it, for messages."""

    origin: str
    user: str = ""
    password: str = dataclasses.field(default="", repr=False)
    identity_token: str = dataclasses.field(default="", repr=False)
    """Exchanged for short tokens at the registry's token service."""
    registry_token: str = dataclasses.field(default="", repr=False)
    """Shown to the registry as it is."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that no message may contain."""
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode() if self.password else ""
        return tuple(filter(None, (self.password, self.identity_token, self.registry_token, pair)))

    def __str__(self) -> str:
        return f"the login {self.user!r} of {self.origin}" if self.user else f"the token of {self.origin}"


def find(host: str, config: Path | None, cancel: Cancellation | None = None) -> Login | None:
    """The user's login to a registry; None when docker has none. Raises ShareError, CancelledError."""
    document = _read(config)
    helper = _section(document, "credHelpers").get(host) or document.get("credsStore")
    if helper:
        assert config is not None
        if login := _of_helper(str(helper), host, config, cancel):
            return login
    auths = _section(document, "auths")
    key = host if host in auths else next((address for address in auths if _host_of(address) == host), None)
    return None if key is None else _of_entry(auths[key], str(config))


def _read(config: Path | None) -> Mapping[str, Any]:
    if config is None or not files.is_there(config):
        return {}
    try:
        document = from_json(files.read(config, most_bytes=files.STATE_BYTES))
    except OSError as error:
        raise ShareError(f"cannot read docker's logins: {files.reason(error)}", where=str(config)) from None
    except ValueError as error:
        raise ShareError(
            f"cannot read docker's logins: not JSON: {error}", where=str(config), hint="correct the file"
        ) from None
    return document if isinstance(document, dict) else {}


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = document.get(name)
    return section if isinstance(section, dict) else {}


def _host_of(key: str) -> str:
    """The host of a key of `auths`, which older clients wrote as an address."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _of_entry(entry: Any, origin: str) -> Login | None:
    if not isinstance(entry, dict):
        return None
    text = {key: value for key, value in entry.items() if isinstance(value, str)}
    user, password = text.get("username", ""), text.get("password", "")
    if auth := text.get("auth"):
        try:
            user, _, password = base64.b64decode(auth, validate=True).decode().rstrip("\0").partition(":")
        except (binascii.Error, ValueError):
            raise ShareError(
                "cannot read docker's logins: an 'auth' is not base64", where=origin, hint="log in again: docker login"
            ) from None
    login = Login(
        origin=origin, user=user, password=password, identity_token=text.get("identitytoken", ""),
        registry_token=text.get("registrytoken", ""),
    )  # fmt: skip
    return login if login.secrets else None  # with a store, docker leaves an empty entry in the file


def _of_helper(name: str, host: str, config: Path, cancel: Cancellation | None) -> Login | None:
    """What `docker-credential-NAME get` prints. Raises ShareError."""
    program = f"docker-credential-{name}"
    if not _NAME.fullmatch(name):
        raise ShareError(f"{name!r} cannot name a credential helper", where=str(config), hint="correct the file")
    try:
        outcome = process.run([program, "get"], stdin=host, timeout_s=_HELPER_S, check=False, cancel=cancel)
    except FileNotFoundError:
        raise ShareError(
            f"the credential helper '{program}', which docker's config.json names, is not installed",
            where=str(config), hint=f"install it, or remove it from the file and log in again: docker login {host}",
        ) from None  # fmt: skip
    except process.TimeoutExpired:
        raise ShareError(f"{program} gave no login within {_HELPER_S:.0f} s", where=str(config)) from None
    if outcome.code != 0:
        # Helpers print this to stdout instead of a login, so look only for the known text.
        if "not found" in outcome.out.lower():
            return None
        raise ShareError(
            f"{program} failed with status {outcome.code}", where=str(config), detail=outcome.err.strip() or None,
            hint=f"try it: echo {host} | {program} get",
        )  # fmt: skip
    try:
        found = from_json(outcome.out)
        user, secret = found["Username"], found["Secret"]
        if not (isinstance(user, str) and isinstance(secret, str)):
            raise TypeError("a user name and a secret are texts")
    except (ValueError, KeyError, TypeError):
        raise ShareError(f"{program} printed no login", where=str(config)) from None
    if not secret:
        return None
    if user == _TOKEN:
        return Login(origin=program, identity_token=secret)
    return Login(origin=program, user=user, password=secret)
