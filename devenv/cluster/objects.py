"""Objects of ours in a namespace: found, applied, removed. What others made is never touched."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from devenv.cluster.refusals import refused
from devenv.doors.kubectl import Kubectl, KubectlError, documents
from devenv.errors import TargetError
from devenv.render.kubernetes.words import APP, COMPONENT, INSTANCE, MANAGED_BY, MANAGER, MODEL, PREFIX, query

SPEC = f"{PREFIX}spec"
"""The annotation with the digest of what was applied."""
KINDS = "deployment,job,service,horizontalpodautoscaler,networkpolicy,secret"
_RIGHTS = (
    ("get", "", "pods", ""), ("create", "", "pods", "exec"), ("create", "", "pods", "portforward"),
    ("get", "", "pods", "log"), ("patch", "apps", "deployments", ""), ("patch", "", "secrets", ""),
    ("get", "", "secrets", ""), ("patch", "", "persistentvolumeclaims", ""),
    ("patch", "networking.k8s.io", "networkpolicies", ""), ("delete", "apps", "deployments", ""),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One object of a namespace."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def key(thing: Mapping[str, Any]) -> Key:
    """What an object is called."""
    return Key(str(thing.get("kind", "")), str(thing.get("metadata", {}).get("name", "")))


def check_rights(kubectl: Kubectl) -> None:
    """Ask the cluster once for all rights that `up` needs. Raises TargetError, which names those that are missing."""
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": kubectl.namespace, "verb": verb, "group": group, "resource": resource,
                "subresource": part,
            }},
        }
        for verb, group, resource, part in _RIGHTS
    ]  # fmt: skip
    try:
        answers = kubectl.items("create", "--filename=-", stdin=documents(reviews))
    except KubectlError as error:
        raise refused("ask for rights in the namespace", error, kubectl) from None
    missing = [
        f"{verb} {resource}{f'/{part}' if part else ''}"
        for (verb, _, resource, part), answer in zip(_RIGHTS, answers, strict=False)
        if not answer.get("status", {}).get("allowed")
    ]
    if missing:
        raise TargetError(
            f"you may not {', '.join(missing)} in the namespace {kubectl.namespace}", where=kubectl.context,
            hint="ask the operators of the cluster for the role 'edit' there, or name a namespace of yours: "
            "--on k8s:CONTEXT/NAMESPACE",
        )  # fmt: skip


def existing(kubectl: Kubectl, things: Sequence[Mapping[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Those of these objects that are there. Raises TargetError."""
    try:
        found = kubectl.items("get", "--ignore-not-found", "--filename=-", stdin=documents(things))
    except KubectlError as error:
        raise refused("look into the namespace", error, kubectl) from None
    return {key(one): one for one in found}


def check_ours(found: Iterable[Mapping[str, Any]], name: str, kubectl: Kubectl) -> None:
    """Raise TargetError for an object that devenv did not make, or made for an environment of another name."""
    for one in found:
        labels = one.get("metadata", {}).get("labels") or {}
        if not is_models(one) and (not is_ours(one) or labels.get(INSTANCE) != name):
            by = labels.get(MANAGED_BY) or "no one that it names"
            raise TargetError(
                f"{key(one)} exists, and devenv did not make it (it is managed by {by})",
                where=f"{kubectl.context}/{kubectl.namespace}", hint="take another name: devenv up --name NAME",
            )  # fmt: skip


def is_ours(thing: Mapping[str, Any]) -> bool:
    """Whether an object's labels are devenv's."""
    labels = thing.get("metadata", {}).get("labels") or {}
    return labels.get(MANAGED_BY) == MANAGER and labels.get(APP) == MANAGER


def is_models(thing: Mapping[str, Any]) -> bool:
    """Whether it is a claim of weights, which belongs to no environment."""
    return is_ours(thing) and thing["metadata"]["labels"].get(COMPONENT) == MODEL[COMPONENT]


def dry_run(kubectl: Kubectl, things: Sequence[Mapping[str, Any]]) -> None:
    """Let the cluster judge objects, and the pods of their workloads, and change nothing: a Deployment is accepted
    where its pods would be refused. Raises TargetError."""
    pods = [pod for one in things if (pod := _pod(one))]
    try:
        kubectl.run("apply", *_SERVER_SIDE, "--dry-run=server", "--filename=-", stdin=documents(things))
        if pods:
            kubectl.run("create", "--dry-run=server", "--filename=-", stdin=documents(pods))
    except KubectlError as error:
        raise refused("bring it up", error, kubectl) from None


def apply(kubectl: Kubectl, things: Sequence[Mapping[str, Any]]) -> None:
    """Server-side apply, with devenv as the field manager. Raises TargetError."""
    try:
        kubectl.run("apply", *_SERVER_SIDE, "--filename=-", stdin=documents(things))
    except KubectlError as error:
        raise refused("apply its objects", error, kubectl) from None


_SERVER_SIDE = ("--server-side", f"--field-manager={MANAGER}")


def _pod(thing: Mapping[str, Any]) -> dict[str, Any] | None:
    template = thing.get("spec", {}).get("template")
    if not template:
        return None
    metadata = {**template["metadata"], "name": f"{key(thing).name[:50]}-dry-run"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def digest(things: Sequence[Mapping[str, Any]]) -> str:
    """What stands for these objects."""
    return hashlib.sha256(json.dumps(list(things), sort_keys=True).encode()).hexdigest()


def of_environment(kubectl: Kubectl, name: str, *, kinds: str = KINDS, role: str = "") -> list[dict[str, Any]]:
    """Our objects of an environment. Raises TargetError."""
    wanted = {APP: MANAGER, MANAGED_BY: MANAGER, INSTANCE: name, **({COMPONENT: role} if role else {})}
    return listed(kubectl, kinds, wanted)


def listed(kubectl: Kubectl, kinds: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Objects with these labels. Raises TargetError."""
    try:
        return kubectl.items("get", kinds, "--selector", query(labels))
    except KubectlError as error:
        raise refused("look into the namespace", error, kubectl) from None


def remove(kubectl: Kubectl, things: Iterable[Mapping[str, Any]]) -> tuple[Key, ...]:
    """Remove these objects, by kind and name; returns them. Raises TargetError."""
    keys = tuple(key(one) for one in things)
    if not keys:
        return ()
    try:
        kubectl.run(
            "delete", "--ignore-not-found", "--wait=true", "--timeout=90s", *(f"{one.kind}/{one.name}" for one in keys),
            timeout_s=120,
        )  # fmt: skip
    except KubectlError as error:
        raise refused("remove its objects", error, kubectl) from None
    return keys


def classes(kubectl: Kubectl) -> tuple[tuple[str, bool], ...] | None:
    """The cluster's storage classes, and whether each is the usual one; None where this user may not ask."""
    try:
        found = kubectl.items("get", "storageclass")
    except KubectlError:
        return None
    return tuple((key(one).name, _is_default(one)) for one in found)


def _is_default(thing: Mapping[str, Any]) -> bool:
    notes = thing.get("metadata", {}).get("annotations") or {}
    return any(notes.get(f"storageclass.{part}kubernetes.io/is-default-class") == "true" for part in ("", "beta."))
