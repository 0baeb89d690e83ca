"""The archives of a Debian or Ubuntu release, as this machine's settings name them."""

from __future__ import annotations

from devenv.configs import AptSource, apt_template
from devenv.host import Settings

SECURITY = "-security"
COMPONENTS = {"debian": ("main",), "ubuntu": ("main", "universe")}
"""What is resolved from, whatever more the machine's own sources name: the same everywhere."""


def apt_sources(settings: Settings, distribution: str, release: str) -> tuple[AptSource, ...]:
    """The archives of that release, most wanted first: named for devenv, the machine's own, python-apt's lists.

    A source counts when its suite is the release or one of its pockets (`-updates`, `-security`) and it has `main`.
    Empty when this machine knows none.
    """
    pockets = {release, f"{release}-updates", f"{release}{SECURITY}"}
    own = [
        AptSource(
            uri=one.uri,
            suites=tuple(s for s in one.suites if s.rstrip("/") in pockets),
            components=tuple(c for c in COMPONENTS.get(distribution, ("main",)) if c in one.components),
            signed_by=one.signed_by,
            trusted=one.trusted,
        )
        for one in settings.apt
        if "main" in one.components and pockets & set(one.suites)
    ]
    named = _named(settings, distribution, release)
    listed = [] if named or own else _listed(settings, distribution, release)
    return (*named, *own, *listed)


def _named(settings: Settings, distribution: str, release: str) -> list[AptSource]:
    mirrors = dict(settings.apt_mirrors)
    archive, security = mirrors.get(distribution), mirrors.get(f"{distribution}{SECURITY}")
    if archive and not security:
        # Debian keeps security updates in an archive of their own, beside the main one on nearly all mirrors.
        security = f"{archive}{SECURITY}" if distribution == "debian" else archive
    return _pair(archive, security, distribution, release)


def _listed(settings: Settings, distribution: str, release: str) -> list[AptSource]:
    if settings.apt_templates is None:
        return []
    try:
        text = (settings.apt_templates / f"{distribution.capitalize()}.info").read_text(encoding="utf-8")
    except OSError:
        return []
    found = apt_template(text, release, settings.arch)
    security = found.get(f"{release}{SECURITY}", found.get(release))
    return _pair(found.get(release), security, distribution, release)


def _pair(archive: str | None, security: str | None, distribution: str, release: str) -> list[AptSource]:
    found = []
    components = COMPONENTS[distribution]
    if archive:
        found.append(AptSource(uri=archive, suites=(release, f"{release}-updates"), components=components))
    if security:
        found.append(AptSource(uri=security, suites=(f"{release}{SECURITY}",), components=components))
    return found
