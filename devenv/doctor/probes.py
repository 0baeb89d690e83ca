"""The probes of this machine for a preset: the addresses that it uses, and the ports that its services publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from devenv.doors.http.hubs import hub
from devenv.doors.http.web import Origin
from devenv.doors.settings.apt_archives import apt_sources
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.tool_configs import header_for
from devenv.plan.inside import IDE_PORT, JUPYTER_PORT, SERVE
from devenv.preset.model import Preset


def ports(preset: Preset) -> tuple[int, ...]:
    """The container ports that its workbench publishes."""
    own = [*([IDE_PORT] if preset.code_server else []), *([JUPYTER_PORT] if preset.jupyter else [])]
    services = (service for service in preset.services.values() if service.role != SERVE)
    return (*own, *(service.port for service in services if service.port), *preset.ports.values())


def origins(
    settings: Settings, carried: Mapping[str, str], preset: Preset | None, *, with_weights: bool = False
) -> list[tuple[str, Origin]]:
    """Every address that locking, fetching or a program in the container uses, from this user's settings; each with
    a name of its own: `pip`, `pip 2`, `apt`. `with_weights`: the preset's model is still to be downloaded."""
    base = preset.base.bootstrap if preset else settings.release
    found = [
        *(("pip", index) for index in _indexes(settings)),
        *(("npm", registry) for registry in _registries(settings)),
        *(("apt", archive) for archive in _archives(settings, base or "")),
        *(("hub", address) for address in (_model_hubs(settings, preset) if with_weights else _hubs(carried))),
    ]
    count: Counter[str] = Counter()
    named = []
    for kind, origin in found:
        count[kind] += 1
        named.append((kind if count[kind] == 1 else f"{kind} {count[kind]}", origin))
    return named


def _indexes(settings: Settings) -> Iterator[Origin]:
    if settings.pip.no_index:
        return
    index = settings.pip.index
    if index is None:
        from pypi_simple import PYPI_SIMPLE_ENDPOINT

        index = PYPI_SIMPLE_ENDPOINT
    for address in (index, *settings.pip.extra_indexes):
        if address.startswith(("http://", "https://")):
            yield Origin(url=f"{address.rstrip('/')}/pip/", channel="pip")


def _registries(settings: Settings) -> Iterator[Origin]:
    if registry := settings.npm.registry:
        yield Origin(url=registry, channel="npm", headers=header_for(registry, settings.npm.auth))


def _archives(settings: Settings, base: str) -> Iterator[Origin]:
    distribution, _, release = base.partition("/")
    if not release:
        return
    for uri in dict.fromkeys(source.uri for source in apt_sources(settings, distribution, release)):
        if uri.startswith(("http://", "https://")):
            yield Origin(url=f"{uri}/dists/", channel="apt", headers=header_for(uri, settings.apt_auth))


def _model_hubs(settings: Settings, preset: Preset | None) -> Iterator[Origin]:
    """Those that the preset's model is on: one that answers is enough."""
    model = preset.model if preset else None
    named = {"huggingface": model and model.huggingface, "modelscope": model and model.modelscope}
    for one in (hub(name, settings.hubs) for name, source in named.items() if source):
        yield Origin(url=one.address(), headers=tuple(one.headers().items()))


def _hubs(carried: Mapping[str, str]) -> Iterator[Origin]:
    for variable in ("HF_ENDPOINT", "MODELSCOPE_DOMAIN"):
        if hub := carried.get(variable):
            yield Origin(url=hub if "://" in hub else f"https://{hub}")
