"""Commands with `--on k8s`: an environment in a cluster of kubectl's settings."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.cli.app import App
from devenv.container.state import Environment, environment
from devenv.doors import process
from devenv.doors.cancellation import Cancellation
from devenv.doors.kubectl import Kubectl, connect
from devenv.doors.terminal.console import printable
from devenv.errors import NotReadyError, PresetError, SmokeError, UsageError
from devenv.plan.inside import WORKSPACE

if TYPE_CHECKING:
    from devenv.cli.elsewhere import Command
    from devenv.cluster.life import Here
    from devenv.cluster.up import Result
    from devenv.doors.settings.targets import KubernetesTarget
    from devenv.doors.terminal.stages import Stages
    from devenv.up.decide import Decided
    from devenv.up.session import Session

_UP = frozenset({"preset", "name", "role", "relock", "json", "json_events", "json_"})


def hand(app: App, target: KubernetesTarget, command: Command) -> Any:
    """Do a command in a cluster. Raises UsageError for one that cannot be done there."""
    act = _COMMANDS.get(command.name)
    if act is None:
        raise UsageError(
            f"devenv {command.name} does not work in a cluster", hint=f"what does: {', '.join(sorted(_COMMANDS))}"
        )
    kubectl = connect(target.context, target.namespace, Cancellation())
    return act(_At(app, kubectl, command))


class _At:
    """One command in one namespace."""

    def __init__(self, app: App, kubectl: Kubectl, command: Command | None) -> None:
        self.app = app
        self.kubectl = kubectl
        self.values: Mapping[str, Any] = command.values if command else {}
        self.given: frozenset[str] = command.given if command else frozenset()

    def refuse_others(self, known: frozenset[str]) -> None:
        """Raise UsageError for options that mean nothing here."""
        if others := sorted(self.given - known):
            raise UsageError(
                f"--{others[0].replace('_', '-')} means nothing in a cluster", hint="leave it out, or use: --on here"
            )

    def environment(self, name: str) -> Environment:
        """What this machine keeps for an environment of the namespace: ports and the token."""
        place = hashlib.sha256(f"{self.kubectl.context}\n{self.kubectl.namespace}".encode()).hexdigest()[:16]
        return environment(name, self.app.dirs.state / "clusters" / place)

    def select(self, name: str | None) -> Here:
        """The environment that is meant."""
        from devenv.cluster.life import select

        return select(self.kubectl, name, _preset_here())


def _preset_here() -> str | None:
    from devenv.preset.load import find, load

    try:
        return load(find(None, Path.cwd())).preset.name
    except PresetError:
        return None


def _up(at: _At) -> None:
    from devenv.cluster.up import up
    from devenv.preset.load import find
    from devenv.render.kubernetes.words import Wanted
    from devenv.up.decide import completed, decide

    at.refuse_others(_UP)
    app, values = at.app, at.values
    events = app.console.event if values.get("json_events") else None
    with app.console.stages(events) as stages:
        session = app.session(stages)
        decided = completed(decide(find(values.get("preset"), Path.cwd()), session), session)
        own = at.environment(values.get("name") or decided.plan.preset)
        with own.locked(session.waiting_for("is using this environment"), session.cancel):
            weights = _weights(decided, session)
            image = _image(at, decided, session, stages)
            wanted = Wanted(
                name=own.name, image=image, role=values.get("role") or "workbench", settings=app.settings.clusters
            )
            result = up(decided.plan, wanted, own, at.kubectl, stages, weights_from=weights)
    document = _up_json(at, decided, result, image, stages)
    if events:
        events({"event": "result", **document})
    elif app.json:
        app.console.json(document)
    else:
        _tell(app, own.name, result, stages)
    result.report.raise_failed(own.name)


def _weights(decided: Decided, session: Session) -> Path | None:
    """The folder with the model's files, complete; None without a model."""
    if decided.lock.model is None:
        return None
    from devenv.up.weights import fetch_model
    from devenv.weights.store import Weights

    fetch_model(decided.lock.model, session)
    return Weights(session.settings.hubs.dir).folder(decided.lock.model.key)


def _image(at: _At, decided: Decided, session: Session, stages: Stages) -> str:
    """The image as nodes pull it: by digest from the user's registry, pushed there first."""
    settings = at.app.settings.clusters
    if not settings.registry:
        stages.note(
            f"no registry is set, so the nodes need the image {decided.plan.image} already; name one as 'registry' in "
            "config.yaml, section kubernetes"
        )
        return decided.plan.image
    from devenv.cli.known_secrets import known_secrets
    from devenv.doors.http.registry.reference import Reference
    from devenv.share.place import InRegistry
    from devenv.share.push import Subject, push
    from devenv.up.image import make_image

    tag = decided.plan.image.rpartition(":")[2]
    place = InRegistry(reference=Reference.parse(f"{settings.registry}/{decided.plan.preset}:{tag}"))
    decided, image = make_image(decided, session)
    return push(Subject(decided=decided, image=image), place, known_secrets(at.app), session).reference


def _up_json(at: _At, decided: Decided, result: Result, image: str, stages: Stages) -> dict[str, Any]:
    from devenv.up.report import smoke_json, stages_json

    return {
        "name": at.environment(at.values.get("name") or decided.plan.preset).name, "preset": decided.plan.preset,
        "role": result.plan.role, "lock_digest": decided.lock.digest, "image": image, "pod": result.pod,
        "context": at.kubectl.context, "namespace": at.kubectl.namespace, "urls": result.urls,
        "untouched": result.untouched, "stages": stages_json(stages.reports()), "smoke": smoke_json(result.report),
    }  # fmt: skip


def _tell(app: App, name: str, result: Result, stages: Stages) -> None:
    if result.untouched:
        app.console.note(f"{name} is up already; nothing changed")
    else:
        rows = [(one.name, f"{one.seconds:.1f} s", "cached" if one.cached else "") for one in stages.reports()]
        app.console.note("")
        app.console.table("", ("stage", "time", ""), rows)
        app.console.note(f"\n{name} is up as pod {result.pod} after {stages.seconds:.1f} s")
    for check in result.report.checks:
        app.console.note(printable(f"smoke {check.line}", one_line=True))
    _pages(app, result.urls)


def _pages(app: App, urls: Mapping[str, str]) -> None:
    width = max((len(one) for one in urls), default=0)
    for service, url in urls.items():
        app.console.data(f"{service.ljust(width)}  {url}")


def _ps(at: _At) -> None:
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


def _status(at: _At) -> None:
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


def _stop(at: _At) -> None:
    from devenv.cluster.life import stop

    at.refuse_others(frozenset({"names", "json"}))
    for name in at.values.get("names") or (None,):
        here = at.select(name)
        stop(here, at.environment(here.name), at.kubectl)
        at.app.console.note(f"{here.name} is stopped; its volumes are kept")


def _down(at: _At) -> None:
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


def _logs(at: _At) -> None:
    name, service = at.values.get("name"), at.values.get("service")
    here = at.select(name)
    lines, follow = str(at.values.get("lines") or 200), bool(at.values.get("follow"))
    if service:
        if service not in {one.name for one in here.services} | {"gateway"}:
            names = ", ".join(one.name for one in here.services)
            raise UsageError(f"{here.name} has no service {service!r}", hint=f"its services: {names}, gateway")
        tail = ["tail", "-n", lines, *(["-F"] if follow else []), f"/var/log/devenv/{service}/current"]
        sys.exit(process.interactive(at.kubectl.command("exec", here.running_pod(), "-c", "environment", "--", *tail)))
    pod = here.running_pod() if follow else _any_pod(here)
    options = [f"--tail={lines}", *(["--follow"] if follow else [])]
    sys.exit(process.interactive(at.kubectl.command("logs", pod, "-c", "environment", *options)))


def _any_pod(here: Here) -> str:
    if here.pod is None:
        raise NotReadyError(f"{here.name} has no pod: {here.state}", hint="devenv up")
    return str(here.pod["metadata"]["name"])


def _exec(at: _At) -> None:
    words, name = tuple(at.values.get("words") or ()), at.values.get("name")
    if words[:1] == ("--",):
        words = words[1:]
    elif name is None and words[1:2] == ("--",):
        name, words = words[0], words[2:]
    if not words:
        raise UsageError("no command is given", hint="devenv exec NAME -- COMMAND")
    _inside(at, at.select(name), words, at.values.get("workdir"))


def _shell(at: _At) -> None:
    _inside(at, at.select(at.values.get("name")), ("bash", "-l"), None)


def _inside(at: _At, here: Here, words: tuple[str, ...], workdir: str | None) -> None:
    streams = ["--stdin", *(["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else [])]
    place = f"{WORKSPACE}/{workdir}" if workdir and not workdir.startswith("/") else workdir or WORKSPACE
    command = ["devenv-exec", "sh", "-c", 'cd "$0" && exec "$@"', place, *words]
    full = at.kubectl.command("exec", *streams, here.running_pod(), "--container", "environment", "--", *command)
    sys.exit(process.interactive(full))


def _smoke(at: _At) -> None:
    from devenv.checks import smoke
    from devenv.up.report import smoke_json

    here = at.select(at.values.get("name"))
    pod = here.running_pod()

    def inside(command: list[str]) -> tuple[int, str, str]:
        done = at.kubectl.exec(pod, command, container="environment")
        return done.code, done.out, done.err

    with at.app.console.stages() as stages, stages.stage("smoke") as stage:
        report = smoke.every(here.checks, inside, progress=stage)
        stage.failed = not report.passed
    if at.app.json:
        at.app.console.json(smoke_json(report))
    else:
        for check in report.checks:
            at.app.console.data(printable(check.line, one_line=True))
    with contextlib.suppress(*((SmokeError,) if at.app.json and report.passed else ())):
        report.raise_failed(here.name)


def _start(at: _At) -> None:
    from devenv.cluster import forward
    from devenv.cluster.up import scale
    from devenv.cluster.wait import Waiting
    from devenv.render.kubernetes.words import selector

    here = at.select(at.values.get("name"))
    own = at.environment(here.name)
    selected = ",".join(f"{name}={value}" for name, value in selector(here.name, here.role).items())
    with at.app.console.stages() as stages:
        with stages.stage("boot") as stage:
            if not here.replicas:
                scale(at.kubectl, here.workload, 1)
            Waiting(at.kubectl, selected, here.workload, stage).running(here.image)
        with stages.stage("forward"):
            ports = forward.choose(own, tuple(port for _, port in here.ports))
            forward.begin(own, at.kubectl, selected, ports, asked=tuple(one.port for one in here.services if one.port))
    _pages(at.app, here.urls(own))


_COMMANDS: Mapping[str, Callable[[_At], None]] = {
    "up": _up, "ps": _ps, "status": _status, "stop": _stop, "start": _start, "down": _down, "logs": _logs,
    "exec": _exec, "shell": _shell, "smoke": _smoke,
}  # fmt: skip


def rows(app: App, target: KubernetesTarget) -> list[dict[str, Any]]:
    """The environments of the namespace, in the shape of `ps --json`."""
    from devenv.cluster.life import every

    kubectl = dataclasses.replace(connect(target.context, target.namespace, Cancellation()), retry_s=0)
    at = _At(app, kubectl, None)
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
