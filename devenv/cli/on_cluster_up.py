"""`devenv up` and `devenv run` with `--on k8s`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.cli.app import App
from devenv.cli.came_up import came_up, pages
from devenv.cli.cluster_command import At
from devenv.container.state import Environment
from devenv.doors import process
from devenv.doors.terminal.console import printable
from devenv.doors.terminal.progress import Silent
from devenv.errors import ShareError, UsageError

if TYPE_CHECKING:
    from devenv.cluster.up import Result
    from devenv.doors.terminal.stages import Stages
    from devenv.share.place import InRegistry
    from devenv.up.decide import Decided
    from devenv.up.session import Session

_UP = frozenset({"preset", "name", "role", "relock", "json", "json_events", "json_"})
_PUSHED = "pushed.json"
_MOST_PUSHED = 1000


def up_there(at: At) -> None:
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


def _image(at: At, decided: Decided, session: Session, stages: Stages) -> str:
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
    # The tag stands for preset, lock and templates, so what was pushed under it is the same image.
    memory = Environment(name="clusters", folder=at.app.dirs.state / "clusters")
    known = memory.kept(_PUSHED)
    known = known if isinstance(known, dict) else {}
    digest = str(known.get(str(place), ""))
    if digest and _is_there(place, digest, session):
        return place.at(digest)
    decided, image = make_image(decided, session)
    pushed = push(Subject(decided=decided, image=image), place, known_secrets(at.app), session)
    memory.keep(_PUSHED, dict([*known.items(), (str(place), pushed.digest)][-_MOST_PUSHED:]))
    return pushed.reference


def _is_there(place: InRegistry, digest: str, session: Session) -> bool:
    with session.stages.stage("registry") as stage:
        stage.cached = True
        stage.message(place.at(digest))
        try:
            with place.opened(session) as images:
                images.manifest(digest)
        except ShareError:
            stage.cached = False
            return False
        return True


def _up_json(at: At, decided: Decided, result: Result, image: str, stages: Stages) -> dict[str, Any]:
    from devenv.up.report import smoke_json, stages_json

    return {
        "name": at.values.get("name") or decided.plan.preset, "preset": decided.plan.preset,
        "role": result.plan.role, "lock_digest": decided.lock.digest, "image": image, "pod": result.pod,
        "context": at.kubectl.context, "namespace": at.kubectl.namespace, "urls": result.urls,
        "untouched": result.untouched, "stages": stages_json(stages.reports()), "smoke": smoke_json(result.report),
    }  # fmt: skip


def _tell(app: App, name: str, result: Result, stages: Stages) -> None:
    how = "" if result.untouched else f" as pod {result.pod}"
    came_up(app.console, name, stages, untouched=result.untouched, how=how)
    for check in result.report.checks:
        app.console.note(printable(f"smoke {check.line}", one_line=True))
    pages(app.console, result.urls)


def run_there(at: At) -> None:
    import signal

    from devenv.cli.once import variables_of
    from devenv.cluster import objects
    from devenv.cluster.run import begin, follow, job_name
    from devenv.preset.load import find
    from devenv.render.kubernetes.words import RUN, Wanted
    from devenv.up.decide import completed, decide

    at.refuse_others(frozenset({"target", "name", "variables", "command", "relock", "parallel"}))
    values, app = at.values, at.app
    if not values.get("command"):
        raise UsageError("no command is given", hint="devenv run [PRESET] --on k8s -- COMMAND…")
    # A plain end of this command would leave the Job.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    own: list[dict[str, Any]] = []
    try:
        with app.console.stages() as stages:
            session = app.session(stages)
            decided = completed(decide(find(values.get("target"), Path.cwd()), session), session)
            if decided.plan.model:
                raise UsageError("a command with a model needs its weights there", hint="devenv up first; then: exec")
            name = at.environment(values.get("name") or decided.plan.preset).name
            image = _image(at, decided, session, stages)
            wanted = Wanted(
                name=name, image=image, role=RUN, settings=app.settings.clusters, command=tuple(values["command"]),
                parallel=1 if values.get("parallel") is None else values["parallel"], job=job_name(name),
            )  # fmt: skip
            with stages.stage("boot") as stage:
                stage.message(wanted.job)
                own = begin(decided.plan, wanted, variables_of(values.get("variables") or ()), at.kubectl)
        code = follow(wanted, at.kubectl, Silent(), lambda pod, prefix: _show(at, pod, prefix))
    except KeyboardInterrupt:
        code = 130
    finally:
        objects.remove(at.kubectl, reversed(own))
    sys.exit(code)


def _show(at: At, pod: str, prefix: str) -> None:
    """Print what a pod says until it ends; its output goes to stdout as it is."""
    if prefix:
        at.app.console.note(prefix.rstrip())
    process.interactive(at.kubectl.command("logs", pod, "--container", "environment", "--follow"))
