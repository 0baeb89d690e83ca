"""`devenv open --on` a machine that SSH reaches: its pages in the browser here, its files in the editor here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.cli.on_box import is_of_project, linked, status
from devenv.cli.open import edit, started
from devenv.container import desktop
from devenv.container.names import is_name
from devenv.container.state import Environment
from devenv.errors import UsageError
from devenv.remote.links import rewritten

if TYPE_CHECKING:
    from devenv.cli.app import App
    from devenv.cli.elsewhere import Command
    from devenv.remote.box import OnBox


def open_(app: App, box: OnBox, command: Command, project: Path | None) -> None:
    """Open a page, an editor or a terminal of an environment there."""
    values = command.values
    name, service = values.get("name"), values.get("service") or values.get("page")
    if values.get("terminal"):
        tty = sys.stdin.isatty() and sys.stdout.isatty()
        sys.exit(box.interactive(project, ("shell", *(("--", name) if name else ())), tty=tty))
    found = status(box, name, project)
    urls = found.get("urls")
    if not isinstance(urls, dict) or not urls:
        raise UsageError(
            f"no environment with pages runs on {box.target.name}", hint=f"devenv ps --on {box.target.name}"
        )
    if editor := values.get("editor"):
        if not is_name(str(found.get("name"))):
            raise UsageError(f"{box.target.name} sent what is no name of an environment")
        edit(app, editor, desktop.address_of(f"devenv-{found.get('name')}", box.target.destination))
        return
    service = service or next(iter(urls))
    if service not in urls:
        raise UsageError(
            f"{found.get('name')} has no page {service!r}; it has: {', '.join(urls)}", hint="devenv status"
        )
    of_project = project if is_of_project(box, found, project) else None
    ports = linked(app, box, str(found.get("name")), urls, of_project)
    url = rewritten(str(urls[service]), ports)
    app.console.data(url)
    if not url.startswith(desktop.HERE):
        app.console.note("the address is not one of this machine, so it is not opened")
        return
    # The box chose the names of its pages, so none of them is a file's name here.
    page = Environment(name="page", folder=box.links.folder / "pages").page("page", url)
    if not started(["xdg-open", page.as_uri()]):
        app.console.note("no browser here: open the address above")
