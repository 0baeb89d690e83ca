"""The archives of a Debian or Ubuntu release, as this machine's settings name them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from devenv.doors.settings.settings import Settings
from devenv.doors.settings.tool_configs import AptSource, apt_template

SECURITY = "-security"
COMPONENTS = {"debian": ("main",), "ubuntu": ("main", "universe")}
"""The archive's parts to resolve from unless a preset names more. They do not depend on the machine's own sources."""


def apt_sources(
    settings: Settings, distribution: str, release: str, further: Sequence[str] = ()
) -> tuple[AptSource, ...]:
    """The archives of that release, most wanted first: named for devenv, the machine's own, python-apt's lists.

    A source counts when its suite is the release or one of its pockets (`-updates`, `-security`) and it has `main`.
    Of its components count those of COMPONENTS and the `further` ones. Empty when this machine knows none.
    """
    components = (*COMPONENTS.get(distribution, ("main",)), *further)
    pockets = {release, f"{release}-updates", f"{release}{SECURITY}"}
    own = [
        AptSource(
            uri=source.uri,
            suites=tuple(s for s in source.suites if s.rstrip("/") in pockets),
            components=tuple(c for c in components if c in source.components),
            signed_by=source.signed_by,
            trusted=source.trusted,
        )
        for source in settings.apt
        if "main" in source.components and pockets & set(source.suites)
    ]
    named = _named(settings, distribution, release, components)
    listed = [] if named or own else _listed(settings, distribution, release, components)
    return (*named, *own, *listed)


SNAPSHOT_LATER_H = (0, 8, 24)
"""Hours to add to an archive's date when requesting a snapshot, because the service takes it some time later."""


def snapshots(settings: Settings, distribution: str, suite: str, made: str) -> tuple[str, ...]:
    """Base addresses of the snapshots of the archive of `suite` at the time `made` (`20261122T100000Z`).

    Layouts: Debian's service, BASE/archive/debian/TIME and BASE/archive/debian-security/TIME, where any time stands for
    the last picture before it; Ubuntu's, BASE/ubuntu/TIME with all pockets in one. Empty when the user names none.
    """
    base = dict(settings.apt_snapshots).get(distribution)
    if base is None:
        return ()
    security = SECURITY if suite.endswith(SECURITY) else ""
    archive = f"archive/debian{security}" if distribution == "debian" else distribution
    first = dt.datetime.strptime(made, _INSTANT).replace(tzinfo=dt.UTC)
    times = [(first + dt.timedelta(hours=hours)).strftime(_INSTANT) for hours in SNAPSHOT_LATER_H]
    return tuple(f"{base}/{archive}/{time}" for time in times)


_INSTANT = "%Y%m%dT%H%M%SZ"


def _named(settings: Settings, distribution: str, release: str, components: tuple[str, ...]) -> list[AptSource]:
    mirrors = dict(settings.apt_mirrors)
    archive, security = mirrors.get(distribution), mirrors.get(f"{distribution}{SECURITY}")
    if archive and not security:
        # Debian keeps security updates in an archive of their own, beside the main one on nearly all mirrors.
        security = f"{archive}{SECURITY}" if distribution == "debian" else archive
    return _pair(archive, security, release, components)


def _listed(settings: Settings, distribution: str, release: str, components: tuple[str, ...]) -> list[AptSource]:
    if settings.apt_templates is None:
        return []
    try:
        text = (settings.apt_templates / f"{distribution.capitalize()}.info").read_text(encoding="utf-8")
    except OSError:
        return []
    found = apt_template(text, release, settings.arch)
    security = found.get(f"{release}{SECURITY}", found.get(release))
    return _pair(found.get(release), security, release, components)


def _pair(archive: str | None, security: str | None, release: str, components: tuple[str, ...]) -> list[AptSource]:
    found = []
    if archive:
        found.append(AptSource(uri=archive, suites=(release, f"{release}-updates"), components=components))
    if security:
        found.append(AptSource(uri=security, suites=(f"{release}{SECURITY}",), components=components))
    return found
