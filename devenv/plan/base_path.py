"""The address under which a reverse proxy shows an environment's pages: an origin, and a path before all others."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.plan.plan import Plan

ENTRY = "gateway"
"""The name of the port that the proxy forwards to; no service and no port of a preset can have it."""
ENTRY_PORT = 8440
"""The port in the container on which the gateway answers the proxy."""
NONE = "none"
"""In the place of an address: no proxy any more."""
VARIABLE = "DEVENV_BASE_PATH"
"""The variable by which the entrypoint learns the address."""

_MOST = 1000
_SEGMENT = re.compile(r"[A-Za-z0-9._~@+-]{1,200}")
_HOST = re.compile(r"(?!.*\.\.)[a-z0-9_][a-z0-9._-]{0,252}|\[[0-9a-f:.]{2,45}\]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORM = "write the address that the browser shows, such as https://portal.example/user/me/env, or its path alone"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BasePath:
    """`origin`: `https://portal.example`, or empty where the gateway's other rules decide which hosts it answers;
    `path`: `/user/me/env`, empty for a host of the environment's own."""

    origin: str
    path: str

    @property
    def text(self) -> str:
        """As people write it, and as the entrypoint reads it."""
        return f"{self.origin}{self.path or '/'}"

    def page(self, service: str, opening: str, entry: str) -> str:
        """The address of a service's page. `entry`: the port's address on this machine, for a path without an
        origin."""
        return f"{self.origin or entry}{self.path}/{service}{opening}"


def parse(text: str) -> BasePath:
    """`/PATH`, or `SCHEME://HOST[:PORT]/PATH`. Raises UsageError."""
    if wrong := _mistake(text):
        shown = re.sub(r"//.*@", "//…@", text[:200])
        raise UsageError(f"the base path {shown!r} {wrong}", hint=_FORM)
    parts = urlsplit(text)
    return BasePath(origin=_origin(text), path=parts.path.rstrip("/"))


def known(text: str) -> BasePath | None:
    """The base path in a label or file that anyone may have written; None for what is none."""
    return parse(text) if text and not _mistake(text) else None


def under(plan: Plan, base: BasePath | None) -> Plan:
    """The plan of a container whose pages are under a base path: it publishes the port that the proxy forwards to.
    Raises UsageError for a preset without pages, and for one that uses this port."""
    if base is None:
        return plan
    undo = f"use another preset, or no proxy: devenv up --base-path {NONE}"
    if not plan.gated:
        raise UsageError(f"{plan.preset} has no page that could be under a base path", hint=undo)
    used = {str(port): name for name, port in plan.ports}
    used |= {service.listen.rpartition(":")[2]: service.name for service in plan.services if service.listen}
    if name := used.get(str(ENTRY_PORT)):
        raise UsageError(
            f"{name} of {plan.preset} uses the port {ENTRY_PORT}, which a base path needs",
            hint="give it another port in the preset",
        )
    return dataclasses.replace(plan, base_path=base, ports=(*plan.ports, (ENTRY, ENTRY_PORT)))


def _mistake(text: str) -> str:
    """What is wrong with a base path, as the end of a sentence; empty when nothing is."""
    if len(text) > _MOST:
        return "is too long"
    if not text.isascii() or not text.isprintable() or " " in text:
        return "has spaces, control characters or letters that addresses do not have"
    if not text.startswith(("/", "http://", "https://")):
        return "begins neither with / nor with https:// or http://"
    if "?" in text or "#" in text:
        return "has a query or a fragment"
    if text.startswith("/"):
        return _wrong_path(text)
    return _wrong_origin(text) or _wrong_path(urlsplit(text).path)


def _wrong_origin(text: str) -> str:
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.netloc.rpartition("@")[2]
    except ValueError:
        return "has no usable host or port"
    if parts.netloc != host:
        return "has a user name or password"
    name = host.lower() if port is None else host.lower().removesuffix(f":{port}")
    if not _HOST.fullmatch(name) or port == 0:
        return "has no usable host or port"
    return ""


def _wrong_path(path: str) -> str:
    segments = path.strip("/").split("/") if path.strip("/") else []
    if "//" in path or {".", ".."} & {*segments}:
        return "has empty parts, '.' or '..' in its path"
    if not all(map(_SEGMENT.fullmatch, segments)):
        return "has other characters in its path than letters, digits and . _ ~ @ + -"
    return ""


def _origin(text: str) -> str:
    """As browsers write an origin: in lower case, without the usual port."""
    if text.startswith("/"):
        return ""
    parts = urlsplit(text)
    host = parts.netloc.lower()
    if parts.port == _DEFAULT_PORTS[parts.scheme]:
        host = host.rpartition(":")[0]
    return f"{parts.scheme}://{host}"
