"""Failures of a registry as errors: what was done, why it failed, and what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from devenv.doors.http.partial_file import Again, Refused
from devenv.doors.untrusted import from_json
from devenv.errors import ShareError

_MOST_WORDS = 500


class RegistryError(ShareError):
    """A registry refused or failed a request. `status`: its answer, where there was one."""

    status: int | None = None


class MissingError(RegistryError):
    """404: the registry has no such thing, or does not show it without a login."""


class DeniedError(RegistryError):
    """401 or 403: the login, or its rights."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A response that is an error. `words`: the registry's own, without secrets."""

    status: int
    why: str
    words: str = ""
    wait_s: float = 0
    elsewhere: bool = False
    """It came from an address that the registry redirected to."""


class Rejected(Exception):  # noqa: N818 (an answer, which an upload may have another way for)
    """A refusal that a further try of the same would not change."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.why)
        self.refusal = refusal


def refused(what: str, host: str, refusal: Refusal, login: str) -> RegistryError:
    """The error for a refusal. `what` completes "cannot …"; `login`: whose, and from where."""
    answer = f"{host} answers {refusal.why}" + (" (from the address it redirects to)" if refusal.elsewhere else "")
    detail = f"{answer}: {refusal.words}" if refusal.words else answer
    kind, hint = RegistryError, ""
    if refusal.status in (401, 403) and not refusal.elsewhere:
        kind = DeniedError
        detail += f"\n{login}"
        hint = f"check the name and the login's rights; to log in: docker login {host}"
    elif refusal.status == 404 and not refusal.elsewhere:
        kind = MissingError
        detail += f"\n{login}"
        hint = f"check the name; some registries also answer 404 without a login: docker login {host}"
    elif refusal.status == 429:
        wait = f"wait {refusal.wait_s:.0f} s" if refusal.wait_s else "wait some minutes"
        hint = f"{wait}, then run the command again; many registries allow more with a login: docker login {host}"
    elif refusal.status >= 500:
        hint = "run the command again; it continues where it stopped"
    elif refusal.status == 413:
        hint = (
            "the registry, or a proxy before it, limits the size of a request; ask its administrator to raise the limit"
        )
    error = kind(f"cannot {what}", detail=detail, hint=hint or None)
    error.status = refusal.status
    return error


def unreached(what: str, host: str, fault: Again | Refused, why: str) -> RegistryError:
    """The error for a fault of the connection. `why` has the number of tries."""
    hint = "run the command again; it continues where it stopped"
    if why.startswith("429"):
        hint = f"wait some minutes, then run it again; many registries allow more with a login: docker login {host}"
    elif "certificate" in why:
        hint = (
            f"name the registry's CA in ~/.config/devenv/config.yaml: registries: {{'{host}': {{ca: /path/to/ca.pem}}}}"
        )
    elif fault.offline:
        hint = "check the host's name, the network and the proxy settings (HTTPS_PROXY, NO_PROXY)"
    elif isinstance(fault, Refused):
        hint = ""
    return RegistryError(f"cannot {what}", detail=f"{host}: {why}", hint=hint or None)


def wrong(what: str, host: str, why: str, hint: str | None = None) -> RegistryError:
    """The error for an invalid response."""
    return RegistryError(f"cannot {what}", detail=f"{host} {why}", hint=hint)


def words_of(body: bytes, secrets: Iterable[str]) -> str:
    """The errors in a registry's response (code and message of each), without the secrets that it may repeat."""
    try:
        document = from_json(body)
    except ValueError:
        return ""
    errors = document.get("errors") if isinstance(document, dict) else None
    messages = [
        ": ".join(text for key in ("code", "message") if isinstance(text := error.get(key), str) and text)
        for error in (errors if isinstance(errors, list) else ())
        if isinstance(error, dict)
    ]
    text = "; ".join(filter(None, messages))
    for secret in secrets:
        text = text.replace(secret, "***")
    return text[:_MOST_WORDS]
