"""`devenv doctor`: findings with remedies, before anything is downloaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli.app import App, json_option, pass_app
from devenv.container.gpu import MODES
from devenv.doctor.finding import OK, WARNING

if TYPE_CHECKING:
    from concurrent.futures import Future

    from devenv.doctor.diagnose import Diagnosis
    from devenv.doors.machine.engine_facts import EngineFacts
    from devenv.preset.load import LoadedPreset

_SIGNS = {"ok": "ok     ", "warning": "warning", "blocker": "BLOCKER"}


@click.command()
@click.argument("preset", required=False)
@click.option("--offline", is_flag=True, help="Do not use the network.")
@click.option("--gpus", metavar="WHICH", help="Same as for 'up': all, none, or indices and UUIDs separated by commas.")
@click.option("--gpu-mode", type=click.Choice(["auto", *MODES]), default="auto", help="Same as for 'up'.")
@click.option(
    "--machine",
    "recorded",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Judge a recorded machine instead of this one: the 'machine' value of its --json document.",
)
@json_option
@pass_app
def doctor(app: App, preset: str | None, offline: bool, gpus: str | None, gpu_mode: str, recorded: Path | None) -> None:
    """Check whether this machine can run PRESET, and print what helps; exit status 13 when it cannot.

    PRESET is a shipped name, a YAML file, a project folder, or nothing: devenv.yaml here or above. Without a
    devenv.yaml, devenv checks the machine alone.
    """
    from devenv.doctor.diagnose import diagnose, gather_for
    from devenv.doctor.diagnose import recorded as read_recorded

    # Ask the engine and buildx while Python reads the preset.
    answers = None if recorded else _engine_answers(app)
    loaded = _loaded(preset)
    if answers:
        machine = gather_for(loaded, app.settings, app.carried, answers.result, offline=offline)
    else:
        assert recorded is not None
        machine = read_recorded(recorded)
    here = (lambda: app.endpoint) if answers else None
    found = diagnose(loaded, machine, app.settings, endpoint=here, gpus=gpus, mode=gpu_mode)
    if app.json:
        app.console.json(_json(found))
    else:
        _print(app, found)
    found.refuse()


def _loaded(preset: str | None) -> LoadedPreset | None:
    from devenv.preset.load import find, load
    from devenv.preset.project_root import project_of

    here = Path.cwd()
    if preset is None and project_of(here) is None:
        return None
    return load(find(preset, here))


def _engine_answers(app: App) -> Future[EngineFacts]:
    from devenv.doors.machine.engine import ask
    from devenv.doors.thread import in_thread

    return in_thread("engine", lambda: ask(lambda: app.endpoint, lambda: app.engine))


def _json(found: Diagnosis) -> dict[str, Any]:
    from devenv.doors.machine.model import to_json

    return {
        "preset": found.loaded.preset.name if found.loaded else None,
        "able": found.is_able,
        "needs": {**dataclasses.asdict(found.needed), "kinds": sorted(found.needed.kinds)},
        "findings": [dataclasses.asdict(finding) for finding in found.findings],
        "instead": {"preset": found.instead.name, "command": found.instead.command} if found.instead else None,
        "machine": to_json(found.machine),
    }


def _print(app: App, found: Diagnosis) -> None:
    lines = []
    for finding in found.findings:
        lines.append(f"{_SIGNS[finding.level]}  {finding.what}")
        if finding.level != OK and finding.remedy:
            lines.append(f"         → {finding.remedy}")
    app.console.data("\n".join(lines))
    if found.is_able:
        name = f"can run {found.loaded.preset.name}" if found.loaded else "can run environments"
        warnings = [finding.level for finding in found.findings].count(WARNING)
        many = f"; {warnings} warning{'s' if warnings > 1 else ''}" if warnings else ""
        app.console.note(f"this machine {name}{many}")
