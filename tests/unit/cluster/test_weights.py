"""A model's weights on their way to a cluster: in parts, verified, once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from devenv.cluster import wait, weights
from devenv.doors.kubectl import KubectlError
from devenv.doors.process import Outcome
from devenv.doors.terminal.progress import Silent
from devenv.errors import FetchError, TargetError
from devenv.lock.model import LockedModel, ModelFile, ModelSource, files_digest
from devenv.plan.plan import Plan, plan
from devenv.render.kubernetes.objects import objects
from devenv.render.kubernetes.pod import weights_pod
from devenv.render.kubernetes.words import Wanted
from tests.unit.cluster.fake import FakeKubectl, pod
from tests.unit.examples import loaded, lock

FILES = {"config.json": b"{}", "sub dir/weights.bin": b"0123456789" * 100}
WANTED = Wanted(name="demo", image="registry.example/demo@sha256:1")


def _model() -> LockedModel:
    files = tuple(
        ModelFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        for path, data in sorted(FILES.items())
    )
    source = ModelSource(hub="huggingface", id="acme/tiny", revision="1" * 40)
    return LockedModel(name="tiny", digest=files_digest(files), sources=(source,), files=files)


def _plan() -> Plan:
    named = {"huggingface": {"id": "acme/tiny", "revision": "1" * 40}}
    return plan(loaded(model=named), lock(model=_model()))


class Namespace(FakeKubectl):
    """A namespace with a volume, in which commands do what the real ones do; `breaks` after so many bytes."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        super().__init__(*objects)
        self.volume: dict[str, bytes] = {}
        self.breaks: list[int] = []
        self.sent = 0
        self.spoils = 0

    def run(self, *arguments: str, stdin: str | None = None, timeout_s: float = 60) -> Outcome:
        done = super().run(*arguments, stdin=stdin, timeout_s=timeout_s)
        if arguments[0] == "create" and stdin:
            made = weights_pod(_plan(), WANTED)
            running = pod(
                {"metadata": {"name": "x"}, "spec": {"template": {"metadata": made["metadata"], "spec": made["spec"]}}}
            )
            self.objects["Pod", made["metadata"]["name"]] = {
                **running,
                "metadata": {**running["metadata"], "name": made["metadata"]["name"]},
            }
        if arguments[0] == "annotate":
            claim = self.objects["PersistentVolumeClaim", arguments[2]]
            key, _, value = arguments[3].partition("=")
            claim["metadata"]["annotations"][key] = value
        return done

    def exec(self, name: str, command: list[str], *, container: str, timeout_s: float = 0) -> Outcome:
        path = f"/{command[-1].removeprefix('/')}" if command[4] == "/" else command[4]
        if command[4] == "/":
            state = "done" if path in self.volume else "part" if f"{path}.part" in self.volume else "none"
            size = len(self.volume.get(path, self.volume.get(f"{path}.part", b"")))
            return Outcome(command=tuple(command), code=0, out=f"{state} {size}\n", err="")
        data = self.volume.pop(f"{path}.part")
        if hashlib.sha256(data).hexdigest() != command[5]:
            return Outcome(command=tuple(command), code=3, out="", err="")
        self.volume[path] = data
        return Outcome(command=tuple(command), code=0, out="", err="")

    def feed(self, name: str, command: list[str], path: Path, *, container: str, offset: int, tell: Any) -> None:
        data = path.read_bytes()[offset:]
        whole = len(data)
        if self.breaks:
            data = data[: self.breaks.pop(0)]
        if self.spoils:
            self.spoils -= 1
            data = b"x" * len(data)
        target = f"{command[4]}.part"
        self.volume[target] = self.volume.get(target, b"") + data
        self.sent += len(data)
        tell(len(data))
        if len(data) < whole:
            raise KubectlError(Outcome(command=tuple(command), code=1, out="", err="error: unexpected EOF"))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(wait, "_EVERY_S", 0.001)
    monkeypatch.setattr("devenv.doors.cancellation.Cancellation.wait", lambda *_: None)
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def _bring(kubectl: Namespace, store: Path) -> bool:
    return weights.bring(_plan(), WANTED, store, kubectl, Silent())  # type: ignore[arg-type]


def test_all_files_arrive_once_and_the_pod_goes(store: Path) -> None:
    kubectl = Namespace()
    assert _bring(kubectl, store)
    assert kubectl.volume == {f"/fill/model/model/{name}": data for name, data in FILES.items()}
    assert [kind for kind, _ in kubectl.objects] == ["PersistentVolumeClaim"]
    sent = kubectl.sent
    assert not _bring(kubectl, store)
    assert kubectl.sent == sent == sum(map(len, FILES.values()))


def test_a_connection_that_breaks_goes_on_where_it_ended(store: Path) -> None:
    kubectl = Namespace()
    kubectl.breaks = [1, 0, 400, 0, 300]
    assert _bring(kubectl, store)
    assert kubectl.volume == {f"/fill/model/model/{name}": data for name, data in FILES.items()}
    assert kubectl.sent == sum(map(len, FILES.values())), "no byte twice"


def test_what_arrives_wrong_is_sent_again_and_not_for_ever(store: Path) -> None:
    kubectl = Namespace()
    kubectl.spoils = 1
    assert _bring(kubectl, store)
    assert kubectl.volume["/fill/model/model/config.json"] == b"{}"
    kubectl = Namespace()
    kubectl.spoils = 1000
    with pytest.raises(FetchError, match="does not arrive whole"):
        _bring(kubectl, store)
    assert not weights.is_complete(kubectl.objects["PersistentVolumeClaim", _plan().model.volume], _model())  # type: ignore[union-attr]
    assert not [key for key in kubectl.objects if key[0] == "Pod"], "nothing that runs is left"


def test_a_claim_of_others_is_not_filled(store: Path) -> None:
    model = _plan().model
    assert model
    theirs = {"kind": "PersistentVolumeClaim", "metadata": {"name": model.volume, "labels": {}}}
    with pytest.raises(TargetError, match="devenv did not make it"):
        _bring(Namespace(theirs), store)


def test_a_pod_that_ended_is_made_again(store: Path) -> None:
    left = weights_pod(_plan(), WANTED)
    kubectl = Namespace({**left, "status": {"phase": "Succeeded"}})
    assert _bring(kubectl, store)


def test_pods_read_the_weights_and_cannot_change_them() -> None:
    found = objects(_plan(), WANTED)
    model = _plan().model
    assert model
    claims = {one["metadata"]["name"]: one for one in found if one["kind"] == "PersistentVolumeClaim"}
    assert "app.kubernetes.io/instance" not in claims[model.volume]["metadata"]["labels"], (
        "it belongs to no environment"
    )
    (deployment,) = [one for one in found if one["kind"] == "Deployment"]
    mounts = deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    (mount,) = [one for one in mounts if one["name"] == "model"]
    assert (mount["readOnly"], mount["subPath"], mount["mountPath"]) == (True, "model", "/mnt/demo/model")
