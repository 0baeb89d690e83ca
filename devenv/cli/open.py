"""Opening an environment: its pages in a browser, its files in an editor on the desktop, a shell in this terminal."""

from __future__ import annotations

import getpass
import os
import platform
import sys
from collections.abc import Sequence
from typing import Literal

import click

from devenv.checks import readiness
from devenv.cli.app import App, pass_app
from devenv.cli.elsewhere import on_option
from devenv.cli.inside import interactive
from devenv.container import condition, desktop
from devenv.container.labels import Running
from devenv.doors import process
from devenv.errors import UsageError

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME")
"""Without any of these variables a browser would have to run in this terminal."""
_START_S = 5.0


@click.command("open")
@click.argument("name", required=False)
@click.argument("service", required=False)
@click.option("--ide", "page", flag_value="ide", help="Open VS Code in the browser.")
@click.option("--jupyter", "page", flag_value="jupyter", help="Open JupyterLab.")
@click.option("--vscode", "editor", flag_value="vscode", help="Open /workspace in VS Code on the desktop.")
@click.option("--cursor", "editor", flag_value="cursor", help="Open /workspace in Cursor on the desktop.")
@click.option("--terminal", is_flag=True, help="Open a login shell in this terminal, as 'devenv shell' does.")
@on_option
@pass_app
def open_(
    app: App, name: str | None, service: str | None, page: str | None, editor: Literal["vscode", "cursor"] | None,
    terminal: bool,
) -> None:  # fmt: skip
    """Open an environment's page (ide, jupyter, …) in the browser, token included; without SERVICE its first one.

    Where there is no browser or editor, print what to open elsewhere.
    """
    if sum(map(bool, (service, page, editor, terminal))) > 1:
        raise UsageError("more than one thing to open", hint="name one: SERVICE, --ide, --jupyter, --vscode, …")
    running = condition.require_running(app.select(name, devcontainers=True))
    if terminal:
        sys.exit(interactive(app, running, ("bash", "-l")))
    if editor:
        _edit(app, running, editor)
    else:
        _show(app, running, service or page)


def _show(app: App, running: Running, service: str | None) -> None:
    environment = app.environments.state_of(running)
    token = app.environments.kept_token(running)
    urls = running.urls(token)
    service = service or next(iter(urls), "ide")
    if service not in urls:
        raise UsageError(
            f"{running.name} has no page {service!r}; it has: {', '.join(urls) or 'none'}", hint="devenv status"
        )
    if not running.is_devcontainer:
        readiness.check_token(running, readiness.states(running, token), environment.token_file)
    app.console.data(urls[service])
    # A redirecting page that only this user can read, because the process list shows a browser's arguments.
    page = environment.page(service, urls[service])
    if not started(["xdg-open", page.as_uri()]):
        ports = sorted(
            {int(url.split("/")[2].rpartition(":")[2]) for url in urls.values() if url.startswith(desktop.HERE)}
        )
        if not urls[service].startswith(desktop.HERE):
            app.console.note("no browser here: open the address above")
            return
        app.console.note(
            f"no browser here: open the address above; on another machine, first bring the ports there with\n"
            f"{desktop.tunnel(ports, f'{getpass.getuser()}@{_host()}')}"
        )


def _edit(app: App, running: Running, editor: Literal["vscode", "cursor"]) -> None:
    far = desktop.address(running, _host())
    edit(app, editor, desktop.address(running), "; on another machine that reaches this one by SSH", far)


def edit(app: App, editor: Literal["vscode", "cursor"], uri: str, where: str = "", far: str | None = None) -> None:
    """Open a container's files in an editor on this desktop; where it does not run, say how. `where`: another machine
    on which it can, and `far` its address there."""
    app.console.data(uri)
    if not started(desktop.command(editor, uri)):
        app.console.note(
            f"{desktop.EDITORS[editor][1]} does not run here: open the address above in it{where}, with the extensions "
            f"Dev Containers and Remote - SSH:\n{' '.join(desktop.command(editor, far or uri))}"
        )


def started(command: Sequence[str]) -> bool:
    """Start a program on this machine's screen; returns whether there is one, and the program. Its output is
    dropped."""
    try:
        return any(map(os.environ.get, _SCREENS)) and process.detached(command, watch_s=_START_S)
    except FileNotFoundError:
        return False


def _host() -> str:
    """A name of this machine, for others: the address at which an SSH client reached it, else its own name."""
    return (os.environ.get("SSH_CONNECTION", "").split() + [""] * 4)[2] or platform.node()
