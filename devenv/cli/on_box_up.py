"""`devenv up --on` a machine that SSH reaches."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.cli.came_up import came_up, pages, serving
from devenv.cli.elsewhere import project_here
from devenv.cli.on_box import linked, on_box, told
from devenv.cli.up import telling_of_failure
from devenv.doors.dirs import presets_dir
from devenv.doors.terminal.console import Console, printable
from devenv.errors import FetchError, PresetError, UsageError
from devenv.plan.inside import WORKBENCH
from devenv.preset.project_root import PROJECT_FILE, SHIPPED_FILE
from devenv.remote.follow import Ended, Following
from devenv.remote.talk.places import relative

if TYPE_CHECKING:
    from devenv.cli.app import App
    from devenv.cli.elsewhere import Command
    from devenv.doors.terminal.stages import Stages
    from devenv.remote.box import OnBox
    from devenv.remote.supply import Locked

LOCK_FILE = "devenv.lock"
_OURS = ("json", "json_events", "folders")
"""Options that mean this machine."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An `up` for a box: the project that goes along, and the words of the command there. `locked` reads preset and
    lock; `lock` is the lock's file, where that is known without reading."""

    project: Path | None
    words: tuple[str, ...]
    locked: Callable[[], Locked | None]
    lock: Path | None


def up(app: App, box: OnBox, command: Command) -> None:
    """Bring an environment up there, and its pages and project here."""
    events = app.console.event if command.values.get("json_events") else None
    with telling_of_failure(events):
        asked = _asked(app, command)
        box.connect()
        told(app, box)
        with app.console.stages(events) as stages:
            box = on_box(app, box.target, stages)
            ended = _ended(app, box, asked, stages)
            result = ended.result
            if result is not None and ended.status == 0:
                box.remember(str(result.get("lock_digest")))
            ports: Mapping[int, int] = {}
            if result is not None:
                urls = result.get("urls")
                found = urls if isinstance(urls, dict) else {}
                ports = linked(app, box, str(result.get("name")), found, asked.project)
            if asked.project and result is not None and result.get("untouched") is not True:
                box.synchronise(asked.project)  # a new lock, for example
    if result is not None:
        result = json.loads(_rewritten(result, ports))
        if events:
            events(result)
        elif app.json:
            app.console.json({key: value for key, value in result.items() if key != "event"})
        else:
            _tell(app.console, result, box.target.name, stages)
    if ended.error is not None and events:
        events(ended.error)
    if ended.said:
        sys.stderr.write(printable(ended.said))
        if ended.status:
            app.console.note(f"so ended the command on {box.target.name} (status {ended.status})")
    sys.exit(ended.status)


def _ended(app: App, box: OnBox, asked: Asked, stages: Stages) -> Ended:
    """Run it there to its end; what the box cannot fetch is fetched here and sent, then it runs again."""
    _prepare(app, box, asked)
    ended = _followed(box, asked, stages)
    if ended.status != FetchError.exit_code:
        return ended
    if asked.project:
        box.synchronise(asked.project)  # the lock may have been made there
    if (locked := asked.locked()) is None:
        return ended
    for supplied in (_supplied, _weights_supplied):
        if ended.status == FetchError.exit_code and supplied(app, box, locked, stages):
            ended = _followed(box, asked, stages)
    return ended


def _asked(app: App, command: Command) -> Asked:
    """What to take along. Raises UsageError, PresetError."""
    from devenv.cli.elsewhere import words

    word, workspace = command.values.get("preset"), command.values.get("workspace")
    values = {key: value for key, value in command.values.items() if key not in _OURS}
    project = lock = None
    if workspace is not None:
        if not str(workspace).startswith("/"):
            raise UsageError(f"{workspace} is not a folder there", where="--workspace", hint="write it from /")
        values["preset"] = word or str(workspace)
    elif word is None:
        project = project_here()
        lock = project / LOCK_FILE if project else None
    elif (shipped := presets_dir() / word / SHIPPED_FILE).is_file() and "/" not in word:
        lock = shipped.with_name(LOCK_FILE)  # without reading presets, which takes longer than the rest here
    elif not (word.startswith("-") or _is_elsewhere(word)):
        project, values["preset"] = _project_of(word)
    from devenv.cli.up import up as up_command

    line = words(up_command, values)
    return Asked(
        project=project, words=("-q", "up", "--json-events", *line),
        locked=lambda: None if workspace else _locked(app, word),
        lock=lock,
    )  # fmt: skip


def _is_elsewhere(word: str) -> bool:
    """Whether a word means no file here: a shipped preset, an image in a registry, a snapshot there."""
    from devenv.cli import references
    from devenv.preset.load import find, is_shipped

    if references.may_be_reference(word):
        if Path(word).exists():
            raise UsageError(
                f"{word} is an export on this machine", hint="copy it there, then import it there: devenv import FILE"
            )
        return True
    try:
        return is_shipped(find(word, Path.cwd()))
    except PresetError:
        if "/" in word or word.endswith((".yaml", ".yml")):
            raise
        return True


def _project_of(word: str) -> tuple[Path, str]:
    """The project of a preset's file, and the file in it."""
    from devenv.preset.load import find

    path = find(word, Path.cwd())
    here = project_here()
    if path.name == PROJECT_FILE:
        return path.parent.resolve(), "."
    if here and path.parent.resolve().is_relative_to(here):
        return here, relative(here, path.parent.resolve() / path.name)
    raise UsageError(
        f"{word} lies in no project, so it cannot be taken along",
        hint="name it devenv.yaml in a folder of its own, or put it into the project of this folder",
    )


def _prepare(app: App, box: OnBox, asked: Asked) -> None:
    """Bring the project there, and what is quickly sent of its lock. Raises TargetError."""
    if asked.project and not box.is_synchronised(asked.project):
        done = box.synchronise(asked.project)
        for text in done.conflicts:
            app.console.warn(text)
        for path, why in list(done.left.items())[:10]:
            app.console.warn(f"not the same on {box.target.name}: {path}: {why}")
        if len(done.left) > 10:
            app.console.warn(f"and {len(done.left) - 10} more")
    all_of_them = bool(app.options.folders)
    if (all_of_them or asked.lock is None or not box.has(asked.lock)) and (locked := asked.locked()):
        box.supply(locked.lock, all_of_them=all_of_them)


def _locked(app: App, word: str | None) -> Locked | None:
    from devenv.remote import supply

    return supply.locked(word, Path.cwd(), app.dirs)


def _followed(box: OnBox, asked: Asked, stages: Stages) -> Ended:
    return box.brought(
        lambda: Following(
            ssh=box.ssh, key=box.key, project=box.there(asked.project), words=asked.words, stages=stages
        ).run()
    )


def _weights_supplied(app: App, box: OnBox, locked: Locked, stages: Stages) -> bool:
    """Whether weights that the box could not fetch were fetched here and sent."""
    from devenv.up.weights import fetch_model

    model = locked.lock.model
    if model is None:
        return False
    fetch_model(model, app.session(stages))
    return box.supply_weights(model) > 0


def _supplied(app: App, box: OnBox, locked: Locked, stages: Stages) -> bool:
    """Whether something that the box could not fetch was fetched here and sent."""
    from devenv.fetch.fetch import fetch
    from devenv.fetch.sources import archives, repositories
    from devenv.fetch.store import Store

    stages.note(f"{box.target.name} cannot fetch all files: this machine fetches and sends them")
    with stages.stage("fetch") as stage:
        report = fetch(
            locked.lock, store=Store(app.dirs.store), settings=app.settings, progress=stage,
            files=archives(locked.loaded.preset), repositories=repositories(locked.loaded.preset),
        )  # fmt: skip
        stage.cached = not report.files
    return box.supply(locked.lock, all_of_them=True) > 0


def _rewritten(result: Mapping[str, Any], ports: Mapping[int, int]) -> str:
    from devenv.remote.links import rewritten

    return rewritten(json.dumps(result), ports)


def _tell(console: Console, result: Mapping[str, Any], target: str, stages: Stages) -> None:
    """Print what an `up` there came to, as for one here."""
    how = f"{serving(result.get('role', WORKBENCH))} on {target}"
    came_up(console, str(result.get("name")), stages, untouched=result.get("untouched") is True, how=how)
    smoke = result.get("smoke")
    checks = smoke.get("checks") if isinstance(smoke, dict) else None
    for one in checks if isinstance(checks, list) else []:
        if isinstance(one, dict):
            report = one.get("report")
            summary = report.get("summary") if isinstance(report, dict) else None
            passed = "passed" if one.get("passed") is True else "FAILED"
            console.note(printable(f"smoke {one.get('name')}: {passed} {summary or ''}".rstrip(), one_line=True))
    urls = result.get("urls")
    pages(console, urls if isinstance(urls, dict) else {})
