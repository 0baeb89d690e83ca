"""An environment in a cluster, from a plan and an image to a passed smoke test and pages on this machine."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devenv.checks import gpu, smoke
from devenv.checks.smoke import Report
from devenv.cluster import forward, objects, weights
from devenv.cluster.objects import SPEC, Key
from devenv.cluster.refusals import refused
from devenv.cluster.wait import Waiting, log_tail
from devenv.container.state import Environment
from devenv.doors import secret_file
from devenv.doors.kubectl import Kubectl, KubectlError
from devenv.doors.terminal.progress import Progress
from devenv.doors.terminal.stages import Stages
from devenv.doors.thread import in_thread, outcome
from devenv.errors import MachineError, NotReadyError, TargetError
from devenv.plan.inside import SERVE, PlannedService
from devenv.plan.plan import Plan
from devenv.plan.role import HEALTHY, in_role
from devenv.render.kubernetes.objects import objects as objects_of
from devenv.render.kubernetes.objects import token_secret
from devenv.render.kubernetes.pod import CONTAINER
from devenv.render.kubernetes.words import Wanted, query, selector

_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,256}")
_PASSED = "cluster_passed.json"
REPLICAS = "devenv-replicas"
"""The field manager of the number of a workbench's pods, which `stop` and `start` change."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What is up: the pod, the pages' ports here, and the smoke test. `untouched`: it was up already."""

    plan: Plan
    pod: str
    ports: dict[int, int]
    token: str
    report: Report
    untouched: bool

    @property
    def urls(self) -> dict[str, str]:
        """The page of every service, and of every further port."""
        return urls(self.plan.services, self.plan.ports, self.ports, self.token)


def urls(
    services: Sequence[PlannedService], named: Sequence[tuple[str, int]], ports: dict[int, int], token: str
) -> dict[str, str]:  # fmt: skip
    """Pages on this machine, by the ports that are forwarded."""
    found = {
        one.name: f"http://127.0.0.1:{ports[one.port]}{one.url.replace('{token}', token)}"
        for one in services
        if one.port is not None and one.port in ports
    }
    others = {name: port for name, port in named if name not in found and port in ports}
    return found | {name: f"http://127.0.0.1:{ports[port]}/" for name, port in others.items()}


def up(
    plan: Plan, wanted: Wanted, environment: Environment, kubectl: Kubectl, stages: Stages, *,
    weights_from: Path | None = None,
) -> Result:  # fmt: skip
    """Bring it up; the image is one that the nodes can have, and `weights_from` has the model's files. Raises
    TargetError, NotReadyError, CancelledError."""
    plan = in_role(plan, wanted.role)
    with stages.stage("cluster") as stage:
        stage.message(f"{kubectl.context}/{kubectl.namespace}")
        objects.check_rights(kubectl)
        things = [_without_replicas(one, wanted) for one in objects_of(plan, wanted)]
        found = objects.existing(kubectl, [*things, token_secret(wanted, "")])
        objects.check_ours(found.values(), wanted.name, kubectl)
        token = _token(wanted, environment, found)
    selected = query(selector(wanted.name, wanted.role))
    spec = objects.digest(things)
    if plan.model and weights_from:
        with stages.stage("send") as stage:
            check_storage(kubectl, [one for one in things if one["kind"] == "PersistentVolumeClaim"])
            stage.cached = not weights.bring(plan, wanted, weights_from, kubectl, stage)
            stage.message(plan.model.locked.key)
        found |= objects.existing(kubectl, [one for one in things if one["kind"] == "PersistentVolumeClaim"])
    with stages.stage("apply") as stage:
        stage.cached = _applied(found, wanted, spec)
        if not stage.cached:
            _apply(kubectl, things, found, wanted, token=token, spec=spec)
    with stages.stage("boot") as stage:
        waiting = Waiting(kubectl, selected, wanted.top, stage)
        pod = waiting.running(wanted.image)
        name = str(pod["metadata"]["name"])
        stage.message(f"{name} on {pod['spec'].get('nodeName', 'a node')}")
    inside = Inside(kubectl, name)
    known = _known(environment, spec, pod)
    untouched = known is not None and _applied(found, wanted, spec)
    if plan.gpu and wanted.settings.gpus and known is None:
        _prove(inside, stages)
    serving = wanted.role == SERVE
    smoking = None if serving or known else in_thread("smoke", lambda: _smoke(plan, inside, stages))
    with stages.stage("ready") as stage:
        stage.cached = known is not None
        _wait_ready(plan, inside, stage)
    ports = forward.choose(environment, tuple(port for _, port in plan.ports))
    asked = tuple(one.port for one in plan.services if one.port)
    with stages.stage("forward") as stage:
        stage.cached = forward.is_alive(environment)
        forward.begin(environment, kubectl, selected, ports, asked=asked)
    report = known or (outcome(smoking, kubectl.cancel) if smoking else _smoke(plan, inside, stages))
    environment.keep(_PASSED, _kept(report, spec, pod) if report.passed else None)
    return Result(plan=plan, pod=name, ports=ports, token=token, report=report, untouched=untouched)


def _token(wanted: Wanted, environment: Environment, found: dict[Key, dict[str, Any]]) -> str:
    """The token in the cluster, which others who may read it have as well; else this machine's own."""
    kept = found.get(Key("Secret", wanted.token_secret))
    if kept is None:
        return environment.token()
    try:
        text = base64.b64decode(kept["data"]["token"], validate=True).decode().strip()
    except (KeyError, TypeError, ValueError, binascii.Error):
        text = ""
    if not _TOKEN.fullmatch(text):
        raise TargetError(
            f"the Secret {wanted.token_secret} holds no usable token",
            hint=f"remove it, and the next 'up' makes another: kubectl delete secret {wanted.token_secret}",
        )
    if environment.known_token() != text:
        secret_file.write(environment.token_file, text + "\n")
    return text


def _applied(found: dict[Key, dict[str, Any]], wanted: Wanted, spec: str) -> bool:
    """Whether the cluster has exactly this, and it is not stopped."""
    there = found.get(Key("Deployment", wanted.top))
    if there is None or Key("Secret", wanted.token_secret) not in found:
        return False
    notes = there["metadata"].get("annotations") or {}
    return bool(notes.get(SPEC) == spec and there["spec"].get("replicas") != 0)


def _apply(
    kubectl: Kubectl, things: list[dict[str, Any]], found: dict[Key, dict[str, Any]], wanted: Wanted, *, token: str,
    spec: str,
) -> None:  # fmt: skip
    # A claim cannot be changed, and a role's pods have other labels.
    new = [one for one in things if one["kind"] != "PersistentVolumeClaim" or objects.key(one) not in found]
    check_storage(kubectl, [one for one in new if one["kind"] == "PersistentVolumeClaim"])
    there = found.get(Key("Deployment", wanted.top))
    other_role = there is not None and there["spec"]["selector"]["matchLabels"] != selector(wanted.name, wanted.role)
    judged = [one for one in new if not (other_role and one["kind"] == "Deployment")]
    objects.dry_run(kubectl, judged if not other_role else [*judged, _of_other_name(new)])
    if other_role and there:
        objects.remove(kubectl, [there])
    is_stopped = there is not None and there["spec"].get("replicas") == 0
    ready = [_sealed(one, spec) if one["kind"] == "Deployment" else one for one in new]
    objects.apply(kubectl, [token_secret(wanted, token), *ready])
    if is_stopped and not other_role:
        scale(kubectl, wanted.top, 1)


def _of_other_name(things: list[dict[str, Any]]) -> dict[str, Any]:
    one = next(one for one in things if one["kind"] == "Deployment")
    return {**one, "metadata": {**one["metadata"], "name": f"{one['metadata']['name']}-role"}}


def _sealed(thing: dict[str, Any], spec: str) -> dict[str, Any]:
    metadata = thing["metadata"]
    return {**thing, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), SPEC: spec}}}


def _without_replicas(thing: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    if thing["kind"] != "Deployment" or wanted.role == SERVE:
        return thing
    return {**thing, "spec": {name: value for name, value in thing["spec"].items() if name != "replicas"}}


def scale(kubectl: Kubectl, name: str, replicas: int) -> None:
    """Stop a workbench, or start it: its number of pods alone, which `up` never applies. Raises TargetError."""
    body = json.dumps({"spec": {"replicas": replicas}})
    try:
        kubectl.run("patch", "deployment", name, f"--field-manager={REPLICAS}", "--type=merge", f"--patch={body}")
    except KubectlError as error:
        raise refused("change the number of pods", error, kubectl) from None


def check_storage(kubectl: Kubectl, claims: Sequence[dict[str, Any]]) -> None:
    """Raise TargetError for a storage class that the cluster does not have, and where claims name none and it has no
    usual one."""
    if not claims or (classes := objects.classes(kubectl)) is None:
        return
    wanted = {one["spec"].get("storageClassName") for one in claims}
    usual = {name for name, is_default in classes if is_default}
    unknown = sorted(name for name in wanted if name and name not in {one for one, _ in classes})
    if not unknown and (usual or None not in wanted):
        return
    why = f"no storage class {unknown[0]!r}" if unknown else "no default storage class"
    names = ", ".join(name for name, _ in classes)
    raise TargetError(
        f"the cluster has {why}, so no volume can be had", where=kubectl.context,
        hint=f"name one as 'storage_class' in config.yaml, section kubernetes; the cluster's: {names or 'none'}",
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Inside:
    """Runs commands in one pod, as `smoke.every` wants it."""

    kubectl: Kubectl
    pod: str

    def __call__(self, command: list[str]) -> tuple[int, str, str]:
        done = self.kubectl.exec(self.pod, command, container=CONTAINER)
        return done.code, done.out, done.err


def _smoke(plan: Plan, inside: Inside, stages: Stages) -> Report:
    with stages.stage("smoke") as stage:
        report = smoke.every(plan.smoke, inside, progress=stage)
        stage.failed = not report.passed
        stage.message(", ".join(f"{one.name} {one.words}" for one in report.checks) or "no checks")
        return report


def _prove(inside: Inside, stages: Stages) -> None:
    """Let the pod compute on its GPUs. Raises MachineError when it cannot: never a silent fallback to the CPU."""
    with stages.stage("gpu") as stage:
        code, out, err = inside([*gpu.COMMAND])
        proof = gpu.read(out, err, code)
        if not proof.passed:
            raise MachineError(
                f"the pod got its GPU, but cannot compute on it: {proof.problem}", detail=err.strip() or None,
                hint="the node needs the driver and its container toolkit: 'runtime_class' in config.yaml, section "
                "kubernetes, may have to name the toolkit's; the pod keeps running: devenv shell",
            )  # fmt: skip
        stage.message(f"computed on {', '.join(str(one.get('name')) for one in proof.devices)}")


def _wait_ready(plan: Plan, inside: Inside, progress: Progress) -> None:
    """Until every service answers, asked inside. Raises NotReadyError."""
    longest = max((service.timeout_s for service in plan.services), default=0)
    if not longest:
        return
    progress.message(f"waiting for {', '.join(one.name for one in plan.services)}")
    code, out, err = inside([HEALTHY, "--wait", str(longest)])
    if code == 0:
        return
    if code != 1 or not out.strip():  # kubectl ends with 1 as well
        raise NotReadyError(
            f"the pod ended while it started: {err.strip() or code}", detail=log_tail(inside.kubectl, inside.pod),
            hint="run the command again",
        )  # fmt: skip
    raise NotReadyError(
        f"the services did not answer within {longest} s", detail=out.strip() or None,
        hint="see their logs: devenv logs",
    )  # fmt: skip


def _known(environment: Environment, spec: str, pod: dict[str, Any]) -> Report | None:
    """The smoke test that this very pod has passed."""
    kept = environment.kept(_PASSED)
    if not isinstance(kept, dict) or kept.get("spec") != spec or kept.get("pod") != _identity(pod):
        return None
    try:
        return Report(checks=tuple(smoke.Check(**one) for one in kept["checks"]))
    except (KeyError, TypeError):
        return None


def _kept(report: Report, spec: str, pod: dict[str, Any]) -> dict[str, Any]:
    checks = [{**dataclasses.asdict(one), "report": dict(one.report)} for one in report.checks]
    return {"spec": spec, "pod": _identity(pod), "checks": checks}


def _identity(pod: dict[str, Any]) -> str:
    restarts = sum(int(one.get("restartCount", 0)) for one in pod.get("status", {}).get("containerStatuses", []))
    return f"{pod['metadata'].get('uid')}:{restarts}"
