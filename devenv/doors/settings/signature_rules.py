"""Which signatures the images of a registry must have: one grammar for config.yaml and for a project's policy."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

EVERYWHERE = "*"
KNOWN = "require_signature: {HOST[/PREFIX]: {allowed_signers: FILE, keys: [FILE.pem]}}"
_SCOPE = re.compile(r"[^/\s@]+(?:/[a-z0-9._-]+)*")
_DEFAULT_PORTS = ("80", "443")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignatureRule:
    """Images below `scope` need a signature by one of these: OpenSSH's `allowed_signers`, or public keys in PEM."""

    scope: str
    allowed_signers: Path | None = None
    keys: tuple[Path, ...] = ()


def rules(value: Any, path_of: Callable[[str], Path]) -> tuple[SignatureRule, ...]:
    """The rules in a section `require_signature`. `path_of` gives the file for a name. Raises ValueError."""
    if not isinstance(value, dict) or not value:
        raise ValueError("a registry for each rule: {HOST: {allowed_signers: FILE}}")
    return tuple(_rule(scope, one, path_of) for scope, one in value.items())


def ruling(found: Iterable[SignatureRule], name: str) -> SignatureRule | None:
    """The most particular rule for images of `name`, which is a `place`; None when none counts."""
    counting = [one for one in found if one.scope == EVERYWHERE or f"{name}/".startswith(f"{one.scope}/")]
    return max(counting, key=lambda one: -1 if one.scope == EVERYWHERE else len(one.scope), default=None)


def place(name: str) -> str:
    """HOST/NAME in the one spelling that is compared: another case of the host, or its usual port, changes nothing."""
    host, slash, path = name.partition("/")
    lone, colon, port = host.rpartition(":")
    if colon and port.isdecimal():
        number = port.lstrip("0")
        host = lone if number in _DEFAULT_PORTS else f"{lone}:{number}"
    return f"{host.lower()}{slash}{path}"


def _rule(scope: Any, one: Any, path_of: Callable[[str], Path]) -> SignatureRule:
    if not isinstance(scope, str) or not (scope == EVERYWHERE or _SCOPE.fullmatch(scope)):
        raise ValueError(f"{scope!r} is neither HOST nor HOST/PREFIX, as references begin, nor '*'")
    if not isinstance(one, dict) or set(one) - {"allowed_signers", "keys"}:
        raise ValueError(f"unknown settings of {scope}")
    signers, keys = one.get("allowed_signers"), one.get("keys", [])
    if not isinstance(signers, str | None) or not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
        raise ValueError(f"{scope}: allowed_signers is a file, and keys is a list of files")
    if not signers and not keys:
        raise ValueError(f"{scope}: nobody could sign; name allowed_signers, keys or both")
    return SignatureRule(
        scope=place(scope), allowed_signers=path_of(signers) if signers else None, keys=tuple(map(path_of, keys))
    )
