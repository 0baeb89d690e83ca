"""Commands with `--on k8s`: an environment in a cluster of kubectl's settings."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from devenv.cli.app import App
from devenv.cli.came_up import pages
from devenv.cli.cluster_command import At
from devenv.container.condition import require_service
from devenv.doors import process
from devenv.doors.cancellation import Cancellation
from devenv.doors.kubectl import connect
from devenv.doors.terminal.console import printable
from devenv.errors import NotReadyError, SmokeError, UsageError
from devenv.plan.inside import WORKSPACE

if TYPE_CHECKING:
    from devenv.cli.elsewhere import Command
    from devenv.cluster.life import Here
    from devenv.doors.settings.targets import KubernetesTarget


def hand(app: App, target: KubernetesTarget, command: Command) -> Any:
    """Do a command in a cluster. Raises UsageError for one that cannot be done there."""
    act = _COMMANDS.get(command.name)
    if act is None:
        raise UsageError(
            f"devenv {command.name} does not work in a cluster", hint=f"what does: {', '.join(sorted(_COMMANDS))}"
        )
    kubectl = connect(target.context, target.namespace, Cancellation())
    return act(At(app, kubectl, command))


def _ps(at: At) -> None:
    from devenv.cluster.life import every

    found = every(at.kubectl)
    if at.app.json:
        at.app.console.json([one.json(at.environment(one.name), at.kubectl) for one in found])
        return
    if not found:
        at.app.console.note(f"no environment in {at.kubectl.context}/{at.kubectl.namespace}")
        return
    rows = [
        (one.name, one.preset, one.state, (one.pod or {}).get("spec", {}).get("nodeName") or "-",
         next(iter(one.urls(at.environment(one.name)).values()), "-"))
        for one in found
    ]  # fmt: skip
    at.app.console.table("", ("NAME", "PRESET", "STATE", "NODE", "URL"), rows, stdout=True)


def _status(at: At) -> None:
    from devenv.cluster.life import services

    here = at.select(at.values.get("name"))
    own = at.environment(here.name)
    states: Mapping[str, str] = {}
    with contextlib.suppress(NotReadyError):
        states = services(here, at.kubectl)
    if at.app.json:
        at.app.console.json({**here.json(own, at.kubectl), "services": states})
        return
    lines = [f"{here.name}  {here.state}  (preset {here.preset}, lock {here.lock_digest[:12]})"]
    if here.pod:
        lines.append(
            f"  pod        {here.pod['metadata']['name']} on {here.pod['spec'].get('nodeName') or 'no node yet'}"
        )
    urls = here.urls(own)
    lines += [f"  {name.ljust(10)} {said.ljust(8)} {urls.get(name, '-')}" for name, said in states.items()]
    at.app.console.data("\n".join(printable(line, one_line=True) for line in lines))


def _stop(at: At) -> None:
    from devenv.cluster.life import stop

    at.refuse_others(frozenset({"names", "json"}))
    for name in at.values.get("names") or (None,):
        here = at.select(name)
        stop(here, at.environment(here.name), at.kubectl)
        at.app.console.note(f"{here.name} is stopped; its volumes are kept")


def _down(at: At) -> None:
    from devenv.cluster.life import down

    at.refuse_others(frozenset({"names", "volumes", "ports", "json"}))
    if at.values.get("volumes") and not at.values.get("names"):
        raise UsageError(
            "name the environment, because its volumes and their data will be removed",
            hint="devenv down --volumes NAME",
        )
    names = at.values.get("names") or (at.select(None).name,)
    for name in names:
        removed = down(
            name, at.environment(name), at.kubectl, with_volumes=bool(at.values.get("volumes")),
            ports=bool(at.values.get("ports")),
        )  # fmt: skip
        what = ", ".join(map(str, removed)) or "nothing was there"
        at.app.console.note(f"{name} is down: {what}")
    if at.app.json:
        at.app.console.json([*names])


def _logs(at: At) -> None:
    name, service = at.values.get("name"), at.values.get("service")
    here = at.select(name)
    lines, follow = str(at.values.get("lines") or 200), bool(at.values.get("follow"))
    if service:
        require_service(here, service)
        tail = ["tail", "-n", lines, *(["-F"] if follow else []), f"/var/log/devenv/{service}/current"]
        sys.exit(process.interactive(at.kubectl.command("exec", here.running_pod(), "-c", "environment", "--", *tail)))
    pod = here.running_pod() if follow else _any_pod(here)
    options = [f"--tail={lines}", *(["--follow"] if follow else [])]
    sys.exit(process.interactive(at.kubectl.command("logs", pod, "-c", "environment", *options)))


def _any_pod(here: Here) -> str:
    if here.pod is None:
        raise NotReadyError(f"{here.name} has no pod: {here.state}", hint="devenv up")
    return str(here.pod["metadata"]["name"])


def _exec(at: At) -> None:
    from devenv.cli.inside import command_of

    name, words = command_of(tuple(at.values.get("words") or ()), at.values.get("name"))
    _inside(at, at.select(name), words, at.values.get("workdir"))


def _shell(at: At) -> None:
    _inside(at, at.select(at.values.get("name")), ("bash", "-l"), None)


def _inside(at: At, here: Here, words: tuple[str, ...], workdir: str | None) -> None:
    streams = ["--stdin", *(["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else [])]
    place = f"{WORKSPACE}/{workdir}" if workdir and not workdir.startswith("/") else workdir or WORKSPACE
    command = ["devenv-exec", "sh", "-c", 'cd "$0" && exec "$@"', place, *words]
    full = at.kubectl.command("exec", *streams, here.running_pod(), "--container", "environment", "--", *command)
    sys.exit(process.interactive(full))


def _smoke(at: At) -> None:
    from devenv.cluster.life import smoked
    from devenv.up.report import smoke_json

    here = at.select(at.values.get("name"))
    with at.app.console.stages() as stages, stages.stage("smoke") as stage:
        report = smoked(here, at.kubectl, stage)
        stage.failed = not report.passed
    if at.app.json:
        at.app.console.json(smoke_json(report))
    else:
        for check in report.checks:
            at.app.console.data(printable(check.line, one_line=True))
    with contextlib.suppress(*((SmokeError,) if at.app.json and report.passed else ())):
        report.raise_failed(here.name)


def _start(at: At) -> None:
    from devenv.cluster.life import start

    here = at.select(at.values.get("name"))
    own = at.environment(here.name)
    with at.app.console.stages() as stages:
        start(here, own, at.kubectl, stages)
    pages(at.app.console, here.urls(own))


def _up(at: At) -> None:
    from devenv.cli.on_cluster_up import up_there

    up_there(at)


def _run(at: At) -> None:
    from devenv.cli.on_cluster_up import run_there

    run_there(at)


_COMMANDS: Mapping[str, Callable[[At], None]] = {
    "up": _up, "ps": _ps, "status": _status, "stop": _stop, "start": _start, "down": _down, "logs": _logs,
    "exec": _exec, "run": _run, "shell": _shell, "smoke": _smoke,
}  # fmt: skip


def rows(app: App, target: KubernetesTarget) -> list[dict[str, Any]]:
    """The environments of the namespace, in the shape of `ps --json`."""
    from devenv.cluster.life import every

    kubectl = dataclasses.replace(connect(target.context, target.namespace, Cancellation()), retry_s=0)
    at = At(app, kubectl, None)
    return [one.json(at.environment(one.name), kubectl) for one in every(kubectl)]


def check(app: App, target: KubernetesTarget) -> None:
    """Look whether the cluster can be used, and print what it has."""
    from devenv.cluster.look import look

    found = look(connect(target.context, target.namespace, Cancellation()), app.settings.clusters)
    if app.json:
        app.console.json(found.json())
    else:
        app.console.data("\n".join(printable(line, one_line=True) for line in found.lines()))


def forget(app: App, target: KubernetesTarget) -> None:
    """Nothing of devenv's is in a cluster beside environments."""
