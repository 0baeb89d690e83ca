"""Environments as hosts of SSH clients: the entries of ~/.ssh/config, and the command behind each connection."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import click

from devenv.cli.app import App, json_option, pass_app
from devenv.cli.program import program
from devenv.container import condition, ssh
from devenv.doors import process
from devenv.errors import EngineError, UsageError

_PLACES = ("XDG_STATE_HOME", "XDG_CONFIG_HOME")
"""Where the command of a connection has to look for this user's state and settings: editors know no such variables."""


@click.command("ssh-config")
@click.argument("name", required=False)
@click.option("--install", is_flag=True, help="Let OpenSSH's client know them: one line in ~/.ssh/config.")
@click.option("--remove", is_flag=True, help="Take that line out again.")
@click.option(
    "--key", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Log in with this key of yours from now on; default: a key that devenv makes.",
)  # fmt: skip
@click.option("--new-key", is_flag=True, help="Make a new key of devenv's own, and log in with that one.")
@json_option
@pass_app
def ssh_config(app: App, name: str | None, install: bool, remove: bool, key: Path | None, new_key: bool) -> None:
    """Print the entries by which SSH clients reach your environments, or the one of NAME.

    Host devenv-NAME, for ssh, scp, rsync, VS Code Remote - SSH, PyCharm, JetBrains Gateway and others. No port is
    opened: a connection goes through the engine. Run it again for environments made since.
    """
    keys = _keys(app)
    if remove:
        _remove(app, keys, others=bool(install or name or key or new_key))
        return
    keys.check()
    ssh.check_command(*_command(app))
    if new_key:
        if key:
            raise UsageError("--key and --new-key do not go together", hint="leave one of them out")
        keys.renew()
    chosen = keys.choose(key)
    entries = _written(app, keys, chosen)
    if name is not None:
        entries = {name: entries[app.select(name, devcontainers=True).name]}
    changed = install and ssh.change_config(_config(), keys.include)
    if app.json:
        _print_json(app, keys, entries)
    elif install:
        app.console.note(f"{_config()} {'now includes' if changed else 'includes'} {keys.entries}")
        for one in entries:
            app.console.data(f"ssh {ssh.host(one)}    {ssh.address(one)}")
    else:
        app.console.data("\n".join(entries.values()).rstrip("\n"))
        if not ssh.includes(_config(), keys.include):
            app.console.note(f"to have them in {_config()}: devenv ssh-config --install")


@click.command("ssh-proxy", hidden=True)
@click.argument("name")
@pass_app
def ssh_proxy(app: App, name: str) -> None:
    """Be one SSH connection to NAME's container, on standard input and output: the ProxyCommand of 'ssh-config'."""
    running = condition.require_running(app.select(name, devcontainers=True))
    variables = {**app.endpoint.variables(), ssh.VARIABLE: _keys(app).line()}
    try:
        process.become(ssh.command(running.facts.name), env=variables)
    except FileNotFoundError:
        raise EngineError("the 'docker' client program is not installed", hint="install docker-cli") from None


def _keys(app: App) -> ssh.Keys:
    return ssh.Keys(folder=app.dirs.state / "ssh", engine=app.endpoint.address)


def _command(app: App) -> tuple[tuple[str, ...], dict[str, str]]:
    """The beginning of a connection's command, and its variables."""
    places = {one: value for one in _PLACES if (value := os.environ.get(one))}
    engine = {one: value for one, value in app.endpoint.variables().items() if value}
    return (*program(), "ssh-proxy"), places | engine


def _config() -> Path:
    return Path.home() / ".ssh" / "config"


def _written(app: App, keys: ssh.Keys, key: Path) -> dict[str, str]:
    """Write the entries of all environments of this user; name → entry. Warns of those that no client can reach."""
    mine = sorted(filter(app.is_own, app.environments.every()), key=lambda one: (one.is_devcontainer, one.name))
    if not mine:
        raise UsageError("you have no environment on this engine", hint="make one: devenv up rapidocr")
    entries: dict[str, str] = {}
    proxy, variables = _command(app)
    for one in mine:  # an environment goes before a dev container of its name
        entries.setdefault(one.name, ssh.entry(one.name, proxy=proxy, variables=variables, key=key))
    ssh.write_entries(keys, entries.values())
    for one in mine:
        if one.facts.state == "running" and app.engine.exec(one.facts.name, ssh.test())[0]:
            app.console.warn(
                f"the image of {one.name} has no SSH server: add openssh-server to 'apt' in its preset, then devenv up"
            )
    return entries


def _print_json(app: App, keys: ssh.Keys, entries: Collection[str]) -> None:
    app.console.json({
        "file": str(keys.entries), "include": keys.include, "installed": ssh.includes(_config(), keys.include),
        "hosts": [{"name": one, "host": ssh.host(one), "vscode": ssh.address(one)} for one in entries],
    })  # fmt: skip


def _remove(app: App, keys: ssh.Keys, *, others: bool) -> None:
    if others:
        raise UsageError("--remove goes alone", hint="devenv ssh-config --remove")
    changed = ssh.change_config(_config(), None)
    if app.json:
        _print_json(app, keys, ())
    else:
        app.console.note(f"{_config()} {'no longer names' if changed else 'names no'} environments of devenv")
