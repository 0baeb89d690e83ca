"""A cluster of a few objects, in the place of kubectl."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from devenv.doors.cancellation import Cancellation
from devenv.doors.kubectl import KubectlError
from devenv.doors.process import Outcome


class FakeKubectl:
    """Keeps what is applied; `made` makes pods of a Deployment. `refuse`: words on stderr by the request's verb."""

    context, namespace = "bench", "demo"

    def __init__(
        self, *objects: dict[str, Any], made: Callable[[dict[str, Any]], list[dict[str, Any]]] | None = None
    ) -> None:
        self.cancel = Cancellation()
        self.objects = {(one["kind"], one["metadata"]["name"]): one for one in objects}
        self.made = made or (lambda deployment: [pod(deployment)])
        self.events: list[dict[str, Any]] = []
        self.refuse: dict[str, str] = {}
        self.denied: set[str] = set()
        self.requests: list[tuple[str, ...]] = []
        self.executed: list[list[str]] = []
        self.answer: Callable[[list[str]], tuple[int, str, str]] = lambda _: (0, "", "")

    def command(self, *arguments: str) -> list[str]:
        return ["kubectl", *arguments]

    def run(self, *arguments: str, stdin: str | None = None, timeout_s: float = 60) -> Outcome:
        self.requests.append(arguments)
        self._refuse(arguments)
        things = json.loads(stdin)["items"] if stdin else []
        if arguments[0] == "apply" and not any("dry-run" in one for one in arguments):
            for one in things:
                self._apply(one)
        if arguments[0] == "patch":
            deployment = self.objects["Deployment", arguments[2]]
            deployment["spec"] |= json.loads(arguments[-1].partition("=")[2])["spec"]
            self._pods(deployment)
        if arguments[0] == "delete":
            for word in arguments:
                if "/" in word:
                    self.objects.pop(tuple(word.split("/")), None)  # type: ignore[call-overload]
        return Outcome(command=arguments, code=0, out="", err="")

    def items(self, *arguments: str, stdin: str | None = None) -> list[dict[str, Any]]:
        self.requests.append(arguments)
        self._refuse(arguments)
        if arguments[0] == "create":
            reviews = json.loads(stdin or "")["items"]
            resources = [one["spec"]["resourceAttributes"]["resource"] for one in reviews]
            return [{"status": {"allowed": resource not in self.denied}} for resource in resources]
        if stdin:
            keys = [(one["kind"], one["metadata"]["name"]) for one in json.loads(stdin)["items"]]
            return copy.deepcopy([self.objects[key] for key in keys if key in self.objects])
        if arguments[1] == "events":
            return self.events
        kinds = {one.lower() for one in arguments[1].split(",")}
        wanted = dict(one.split("=") for one in arguments[3].split(",")) if "--selector" in arguments else {}
        return copy.deepcopy([
            one
            for (kind, _), one in self.objects.items()
            if kind.lower() in kinds
            and (len(arguments) < 3 or arguments[2].startswith("--") or arguments[2] == one["metadata"]["name"])
            and wanted.items() <= one["metadata"].get("labels", {}).items()
        ])  # fmt: skip

    def exec(self, name: str, command: list[str], *, container: str, timeout_s: float = 0) -> Outcome:
        self.executed.append(command)
        code, out, err = self.answer(command)
        return Outcome(command=tuple(command), code=code, out=out, err=err)

    def _refuse(self, arguments: tuple[str, ...]) -> None:
        verb = "dry-run" if any("dry-run" in one for one in arguments) else arguments[0]
        if words := self.refuse.get(verb):
            raise KubectlError(Outcome(command=arguments, code=1, out="", err=words))

    def _apply(self, thing: dict[str, Any]) -> None:
        key = (thing["kind"], thing["metadata"]["name"])
        before = self.objects.get(key, {})
        spec = {**before.get("spec", {}), **thing.get("spec", {})}
        self.objects[key] = copy.deepcopy({**thing, **({"spec": spec} if spec else {})})
        if thing["kind"] == "Deployment":
            self.objects[key]["spec"].setdefault("replicas", 1)
            self._pods(self.objects[key])

    def _pods(self, deployment: dict[str, Any]) -> None:
        own = f"{deployment['metadata']['name']}-"
        for name in [name for kind, name in self.objects if kind == "Pod" and name.startswith(own)]:
            del self.objects["Pod", name]
        for one in self.made(deployment) if deployment["spec"]["replicas"] else []:
            self.objects["Pod", one["metadata"]["name"]] = one


def pod(deployment: dict[str, Any], **status: Any) -> dict[str, Any]:
    """A pod that runs, or one with another status."""
    template = deployment["spec"]["template"]
    running = {
        "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "environment", "state": {"running": {}}, "restartCount": 0}],
    }  # fmt: skip
    return {
        "kind": "Pod",
        "metadata": {
            "name": f"{deployment['metadata']['name']}-abcde", "uid": "1", "labels": template["metadata"]["labels"],
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {**copy.deepcopy(template["spec"]), "nodeName": "n1"},
        "status": status or running,
    }  # fmt: skip
