"""Findings about the network: the servers needed for the missing downloads."""

from __future__ import annotations

from collections.abc import Iterator

from devenv.doctor.finding import Finding, Needs, blocker, ok, warning
from devenv.doors.machine.model import Machine, Network, Probe

_NEEDED_FOR = {"pip": "wheel", "npm": "tarball", "apt": "deb", "hub": "weights"}
_MAX_SKEW_S = 300
_REMEDIES = {
    "dns": "the name cannot be resolved: check /etc/resolv.conf, or name a mirror or proxy "
    "(docs/how-to/mirrors-proxies-cas.md)",
    "connect": "set HTTPS_PROXY, or name a mirror (docs/how-to/mirrors-proxies-cas.md)",
    "timeout": "a firewall drops it, or it is slow: set HTTPS_PROXY, or name a mirror "
    "(docs/how-to/mirrors-proxies-cas.md)",
    "tls": "if its certificate authority is private, name the bundle: export SSL_CERT_FILE=/path/to/ca.pem",
    "proxy": "check HTTPS_PROXY and its user name and password",
    "http": "check the address and its login (docs/how-to/mirrors-proxies-cas.md)",
}


def examine(machine: Machine, needs: Needs) -> Iterator[Finding]:
    """No finding when the network was not probed."""
    network = machine.network
    if network is None:
        return
    for kind in dict.fromkeys(probe.name.partition(" ")[0] for probe in network.probes):
        group = [probe for probe in network.probes if probe.name.partition(" ")[0] == kind]
        yield _source(kind, group, needs)
    for proxy in network.proxies:
        yield ok("network.proxy", f"proxy {proxy}")
    if network.ca_problem:
        yield blocker("network.ca", network.ca_problem, "correct SSL_CERT_FILE")
    elif network.ca_bundle:
        yield ok("network.ca", f"certificates of {network.ca_bundle} are trusted too")
    yield from _clock(network)


def _source(kind: str, group: list[Probe], needs: Needs) -> Finding:
    """One answering address of each kind is enough."""
    id_, answered = f"network.{kind}", [probe for probe in group if not probe.problem]
    if answered:
        quickest = min(answered, key=lambda one: one.seconds)
        found = ok(id_, f"{kind}: {quickest.url} answers in {quickest.seconds * 1000:.0f} ms")
        silent = [probe for probe in group if probe.problem]
        if silent:
            what = f"{found.what}; {silent[0].url} does not: {silent[0].problem}"
            return warning(id_, what, _REMEDIES.get(silent[0].kind, ""))
        return found
    first = group[0]
    what = f"{kind}: {first.url}: {first.problem}"
    remedy = _REMEDIES.get(first.kind, "")
    if _NEEDED_FOR.get(kind) in needs.kinds:
        return blocker(id_, what, remedy)
    return warning(id_, f"{what} (nothing from there is missing now)", remedy)


def _clock(network: Network) -> Iterator[Finding]:
    skews = [probe.skew_s for probe in network.probes if probe.skew_s is not None]
    if not skews:
        return
    skew = min(skews, key=abs)  # a cached answer has an old date, so the smallest difference counts
    if abs(skew) > _MAX_SKEW_S:
        way = "fast" if skew > 0 else "slow"
        yield warning(
            "clock",
            f"this machine's clock is {abs(skew) / 60:.0f} minutes {way}: certificates may be refused",
            "sudo timedatectl set-ntp true",
        )
    else:
        yield ok("clock", "the clock is right")
