"""The weights of a model, once for a namespace: a claim that all its environments read, filled from the store here.

Every file arrives under another name, in parts where the connection breaks, and gets its own when its sha256 is the
lock's. The claim's annotation says that all are there.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from devenv.cluster import objects
from devenv.cluster.objects import Key
from devenv.cluster.refusals import refused
from devenv.cluster.wait import Waiting
from devenv.doors.kubectl import Kubectl, KubectlError, documents
from devenv.doors.terminal.progress import Progress
from devenv.errors import FetchError, NotReadyError
from devenv.lock.model import LockedModel, ModelFile
from devenv.plan.plan import Plan
from devenv.render.kubernetes.pod import CONTAINER, FILLED, weights_pod
from devenv.render.kubernetes.volumes import MODEL_FOLDER, model_claim
from devenv.render.kubernetes.words import MODEL, PREFIX, Wanted, query

COMPLETE = f"{PREFIX}complete"
"""The annotation with the digest of the model whose files are all there."""
_TRIES = 20
_LOOK = """
cd "$1" 2> /dev/null || exit 0
touch /tmp/alive
shift
for name; do
    if [ -f "$name" ]; then echo "done $(stat -c %s "$name")"
    elif [ -f "$name.part" ]; then echo "part $(stat -c %s "$name.part")"
    else echo "none 0"; fi
done
"""
_TAKE = """
set -e
mkdir -p "$(dirname "$1")"
(while :; do touch /tmp/alive; sleep 20; done) < /dev/null > /dev/null 2>&1 & beat=$!
trap 'kill $beat' EXIT
cat >> "$1.part"
"""
_KEEP = """
set -e
touch /tmp/alive
(while :; do touch /tmp/alive; sleep 20; done) < /dev/null > /dev/null 2>&1 & beat=$!
trap 'kill $beat' EXIT
if ! echo "$2  $1.part" | sha256sum --check --status -; then
    rm -f "$1.part"
    exit 3
fi
mv "$1.part" "$1"
"""


def is_complete(claim: dict[str, Any] | None, model: LockedModel) -> bool:
    """Whether the claim holds all of the model, as its annotation says."""
    notes = (claim or {}).get("metadata", {}).get("annotations") or {}
    return bool(notes.get(COMPLETE) == model.digest)


def bring(plan: Plan, wanted: Wanted, folder: Path, kubectl: Kubectl, progress: Progress) -> bool:
    """Fill the model's claim from `folder`, where all its files are; returns whether anything had to be sent. Another
    devenv that fills it at the same time is waited for. Raises TargetError, NotReadyError, FetchError."""
    assert plan.model
    model, claim = plan.model.locked, model_claim(plan, wanted)
    if is_complete(_claim(kubectl, claim), model):
        return False
    if _claim(kubectl, claim) is None:
        objects.apply(kubectl, [claim])
    pod = weights_pod(plan, wanted)
    name = pod["metadata"]["name"]
    if not _begin(pod, kubectl, claim, model, progress):
        return False
    try:
        Waiting(kubectl, query(MODEL), "", progress).running(wanted.image)
        for file in model.files:
            _send(file, folder / file.path, name, kubectl, progress)
        kubectl.run("annotate", "persistentvolumeclaim", plan.model.volume, f"{COMPLETE}={model.digest}", "--overwrite")
    except KubectlError as error:
        raise refused("send the weights", error, kubectl) from None
    finally:
        objects.remove(kubectl, [pod])
    return True


def _claim(kubectl: Kubectl, claim: dict[str, Any]) -> dict[str, Any] | None:
    found = objects.existing(kubectl, [claim])
    objects.check_ours(found.values(), "", kubectl)
    return found.get(objects.key(claim))


def _begin(
    pod: dict[str, Any], kubectl: Kubectl, claim: dict[str, Any], model: LockedModel, progress: Progress
) -> bool:
    """Make the pod; False when another devenv has filled the claim meanwhile. Raises TargetError, NotReadyError."""
    end = time.monotonic() + 86400
    while time.monotonic() < end:
        there = objects.existing(kubectl, [pod]).get(Key("Pod", pod["metadata"]["name"]))
        if there and there.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            objects.remove(kubectl, [there])
            there = None
        if there is None:
            if is_complete(_claim(kubectl, claim), model):
                return False
            try:
                kubectl.run("create", "--filename=-", stdin=documents([pod]))
            except KubectlError as error:
                if "AlreadyExists" not in error.words:
                    raise refused("make the pod that takes the weights", error, kubectl) from None
            else:
                return True
        progress.message("another devenv sends this model; waiting")
        kubectl.cancel.wait(2.0)
    raise NotReadyError("another devenv did not finish sending the weights", hint="kubectl get pods")


def _send(file: ModelFile, path: Path, pod: str, kubectl: Kubectl, progress: Progress) -> None:
    """Send one file, from where an earlier try ended. Raises KubectlError, FetchError, CancelledError."""
    target = f"{FILLED}/{MODEL_FOLDER}/{file.path}"
    progress.start(file.path, file.size)
    sent = 0

    def tell(bytes_: int) -> None:
        nonlocal sent
        sent += bytes_
        if sent <= file.size:  # what is sent again is no progress
            progress.advance(file.path, bytes_)

    for left in range(_TRIES - 1, -1, -1):
        state, size = _there(target, pod, kubectl)
        if state == "done" and size == file.size:
            break
        if size < file.size or file.size == 0:
            try:
                kubectl.feed(
                    pod, ["sh", "-c", _TAKE, "sh", target], path, container=CONTAINER,
                    offset=size if state == "part" else 0, tell=tell,
                )  # fmt: skip
            except KubectlError:
                if not left:
                    raise
                kubectl.cancel.wait(1.0)
                continue
        done = kubectl.exec(pod, ["sh", "-c", _KEEP, "sh", target, file.sha256], container=CONTAINER)
        if done.code == 0:
            break
        if not left:
            raise FetchError(
                f"{file.path} does not arrive whole in the cluster: {done.err.strip() or 'another sha256'}",
                hint=f"the volume may be full: kubectl exec {pod} -- df -h {FILLED}; or the file here was changed: "
                "devenv prefetch",
            )
    progress.finish(file.path)


def _there(target: str, pod: str, kubectl: Kubectl) -> tuple[str, int]:
    """How much of a file is there: `done`, `part` or `none`, and its bytes."""
    done = kubectl.exec(pod, ["sh", "-c", _LOOK, "sh", "/", target.removeprefix("/")], container=CONTAINER)
    state, _, size = done.out.strip().partition(" ")
    return (state, int(size)) if size.isdecimal() and state in ("done", "part") else ("none", 0)
