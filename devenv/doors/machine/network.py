"""Network probes: every address at the same time, with one deadline for all."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from devenv.doors.http.partial_file import Again, Refused
from devenv.doors.http.retry import Policy
from devenv.doors.http.web import Origin, Web
from devenv.doors.machine.model import Network, Probe
from devenv.doors.settings.tool_configs import without_secret
from devenv.doors.thread import in_thread
from devenv.errors import FetchError

if TYPE_CHECKING:
    from devenv.doors.settings.settings import Settings

DEADLINE_S = 1.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def ask(
    settings: Settings, origins: Sequence[tuple[str, Origin]], carried: Mapping[str, str], *, deadline_s: float
) -> Network:
    """Probe all of `origins` (name, address); those without an answer by the deadline have failed."""
    began = time.monotonic()
    web = Web(settings, Policy(attempts=1, connect_timeout_s=deadline_s, read_timeout_s=deadline_s))
    # Not by an executor: resolving an unknown name can take longer than the deadline.
    asked = [(name, one, in_thread(f"probe {name}", partial(_one, web, name, one))) for name, one in origins]
    wait([answer for _, _, answer in asked], max(0.0, began + deadline_s - time.monotonic()))
    probes = [
        answer.result()
        if answer.done()
        else Probe(
            name=name,
            url=without_secret(one.url),
            seconds=round(deadline_s, 3),
            kind="timeout",
            problem=f"no answer within {deadline_s:g} s",
        )
        for name, one, answer in asked
    ]
    proxies = [f"{name}={without_secret(carried[name])}" for name in _PROXIES if carried.get(name)]
    named = {"pip": settings.pip.proxy, "npm": settings.npm.proxy, "apt": settings.apt_proxy}
    proxies += [f"{name}: {without_secret(proxy)}" for name, proxy in named.items() if proxy]
    bundle = settings.ca_bundle
    return Network(
        probes=tuple(sorted(probes, key=lambda one: one.name)),
        proxies=tuple(proxies),
        ca_bundle=str(bundle or ""),
        ca_problem=f"cannot read {bundle}" if bundle and not os.access(bundle, os.R_OK) else "",
    )


def _one(web: Web, name: str, origin: Origin) -> Probe:
    began = time.monotonic()
    url = without_secret(origin.url)
    kind = problem = ""
    skew_s = None
    try:
        status, date = web.ask(origin)
        skew_s = _skew_s(date)
        if status in {401, 403, 407} or status >= 500:
            kind, problem = ("proxy" if status == 407 else "http"), f"answers with HTTP {status}"
    except (Again, Refused, FetchError) as error:
        kind, problem = _kind(str(error)), str(error)
    except Exception as error:  # noqa: BLE001 - a probe tells what it met, whatever that is
        kind, problem = "connect", f"{type(error).__name__}: {error}"
    seconds = round(time.monotonic() - began, 3)
    return Probe(name=name, url=url, seconds=seconds, problem=problem, kind=kind, skew_s=skew_s)


def _kind(words: str) -> str:
    low = words.lower()
    if "certificate" in low or "ca bundle" in low:
        return "tls"
    if "proxy" in low:
        return "proxy"
    if any(one in low for one in ("name or service", "name resolution", "getaddrinfo", "nodename", "no address")):
        return "dns"
    return "timeout" if "timed out" in low or "too long" in low else "connect"


def _skew_s(date: str) -> float | None:
    try:
        return round(time.time() - parsedate_to_datetime(date).timestamp(), 1)
    except (TypeError, ValueError):
        return None


def host(url: str) -> str:
    """The host in an address."""
    return urlsplit(url).hostname or url
