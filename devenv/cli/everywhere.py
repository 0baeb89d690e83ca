"""What runs on all targets, for `devenv ps`."""

from __future__ import annotations

import concurrent.futures
import json
from typing import TYPE_CHECKING, Any

from devenv.cli.elsewhere import book
from devenv.doors.settings.targets import SshTarget, Target
from devenv.errors import DevenvError, TargetError

if TYPE_CHECKING:
    from devenv.cli.app import App

Rows = list[dict[str, Any]]
_WAIT_S = 10.0
_MOST = 1000


def listed(app: App) -> list[tuple[str, Rows]] | None:
    """The environments on each target of this user, all targets asked at once; None without targets. Warns of those
    that do not answer."""
    named = book(app).targets(None, None).named
    if not named:
        return None
    found = []
    with concurrent.futures.ThreadPoolExecutor(min(len(named), 16)) as pool:
        for one, asked in [(one, pool.submit(_rows, app, one)) for one in named]:
            try:
                found.append((one.name, asked.result()))
            except DevenvError as error:
                app.console.warn(error.message)
    return found


def _rows(app: App, target: Target) -> Rows:
    if not isinstance(target, SshTarget):
        from devenv.cli import on_cluster

        return on_cluster.rows(app, target)
    from devenv.cli.on_box import on_box
    from devenv.remote.links import rewritten
    from devenv.remote.talk import places

    box = on_box(app, target)
    done = box.ssh.run(box.guard(None, ("ps", "--json")), timeout_s=_WAIT_S, ask=False)
    if done.code == places.LACKING:
        return []  # this devenv was never there
    ports = {there: here for link in box.links.every() for there, here in link.ports}
    try:
        rows = json.loads(rewritten(done.out, ports))
    except ValueError:
        raise TargetError(
            f"{target.name} does not list its environments", hint=f"devenv ps --on {target.name}"
        ) from None
    return [one for one in rows if isinstance(one, dict)][:_MOST] if isinstance(rows, list) else []


def row(target: str, one: dict[str, Any]) -> tuple[str, ...]:
    """An environment of a target, for a table."""
    urls = one.get("urls")
    url = next(iter(urls.values()), "-") if isinstance(urls, dict) else "-"
    state = str(one.get("state")) + ("" if one.get("own") is True else ", another user's")
    return (str(one.get("name")), target, str(one.get("preset")), state, str(one.get("project") or "-"), str(url))
