"""The settings in force."""

from __future__ import annotations

import os

import click

from devenv.cli.app import App, json_option, pass_app


@click.command()
@json_option
@pass_app
def settings(app: App) -> None:
    """Show the settings in force, each with the file or variable it came from: mirrors, indexes, registries, proxies,
    certificates, the engine's address, folders, hubs.

    User names, passwords and tokens are not shown. Settings of yours that devenv does not use come last.
    """
    from devenv.doctor.settings_in_force import UNHEARD, in_force

    every = in_force(os.environ)
    heard = [one for one in every if one.section != UNHEARD]
    unheard = [one for one in every if one.section == UNHEARD]
    if app.json:
        app.console.json({
            "settings": [
                {"section": one.section, "name": one.name, "value": one.value, "from": list(one.origins)}
                for one in heard
            ],
            "not_honoured": [{"name": one.name, "from": list(one.origins)} for one in unheard],
        })  # fmt: skip
        return
    rows = [(f"{one.section}: {one.name}", one.value, ", ".join(one.origins)) for one in (*heard, *unheard)]
    app.console.table("", ("SETTING", "VALUE", "FROM"), rows, stdout=True)
