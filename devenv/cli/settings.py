"""`devenv settings`: the settings in force."""

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
    heard = [setting for setting in every if setting.section != UNHEARD]
    unheard = [setting for setting in every if setting.section == UNHEARD]
    if app.json:
        app.console.json({
            "settings": [
                {
                    "section": setting.section, "name": setting.name, "value": setting.value,
                    "from": list(setting.origins),
                }
                for setting in heard
            ],
            "not_honoured": [{"name": setting.name, "from": list(setting.origins)} for setting in unheard],
        })  # fmt: skip
        return
    rows = [
        (f"{setting.section}: {setting.name}", setting.value, ", ".join(setting.origins))
        for setting in (*heard, *unheard)
    ]
    app.console.table("", ("SETTING", "VALUE", "FROM"), rows, stdout=True)
