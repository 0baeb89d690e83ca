"""Ports of a cluster's pods on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devenv.cluster import forward, guard
from devenv.cluster.forward import Forward
from devenv.container.state import Environment
from devenv.doors import process, streams
from devenv.doors.cancellation import Cancellation
from devenv.errors import CancelledError, NotReadyError
from tests.unit.cluster.fake import FakeKubectl, pod

WANTED = Forward(context="bench", namespace="demo", pods="a=b", ports=((8443, 9443),))


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(name="demo", folder=tmp_path / "demo")


def test_ports_stay_and_others_than_taken_ones_are_chosen(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {8443}
    monkeypatch.setattr(forward, "port_is_free", lambda port: port not in taken)
    assert forward.choose(environment, (8443, 8444, 8888)) == {8443: 8444, 8444: 8445, 8888: 8888}
    taken |= {8888}
    assert forward.choose(environment, (8443, 8888)) == {8443: 8444, 8888: 8889}
    taken |= set(range(8000, 9000))
    with pytest.raises(NotReadyError, match="no port from 8443 on is free"):
        forward.choose(environment, (8443,))


def test_what_is_forwarded_already_is_left_alone(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(streams, "background", begun.append)
    monkeypatch.setattr(forward, "port_answers", lambda _: True)
    kubectl: Any = FakeKubectl()
    forward.begin(environment, kubectl, "a=b", {8443: 9443}, asked=(8443,))
    environment.keep(forward.ALIVE, {"process": process.this_process()})
    forward.begin(environment, kubectl, "a=b", {8443: 9443}, asked=(8443,))
    assert len(begun) == 1
    assert begun[0][1] == "-P", "no module from a stranger's project"
    assert begun[0][-2:] == ["devenv.cluster.guard", str(environment.folder)]
    forward.begin(environment, kubectl, "a=b", {8443: 9444}, asked=(8443,))
    assert len(begun) == 2
    forward.end(environment)
    assert environment.kept(forward.FILE) is None


@pytest.mark.parametrize("strange", [None, [], {}, {"ports": [[1]]}, {"context": "a", "namespace": "b", "ports": 3}])
def test_what_is_no_forward(strange: Any) -> None:
    assert Forward.of(strange) is None
    assert Forward.of(WANTED.document()) == WANTED


def test_the_guard_forwards_to_a_pod_that_runs_until_it_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}
    kubectl = FakeKubectl(pod({"metadata": {"name": "d"}, "spec": {"template": template}}))
    monkeypatch.setattr(guard, "Kubectl", lambda **_: kubectl)
    commands: list[list[str]] = []

    def lines(command: list[str], **_: Any) -> Any:
        commands.append(command)
        yield "Handling connection"
        yield "error: lost connection to pod"
        pytest.fail("it listens to a pod that is gone")

    monkeypatch.setattr(process, "lines", lines)
    said, was_forwarded = guard._once(WANTED, Cancellation())
    assert (said, was_forwarded) == ("error: lost connection to pod", True)
    assert commands[0][1:] == ["port-forward", "--address=127.0.0.1", "pod/d-abcde", "9443:8443"]
    kubectl.objects.clear()
    assert guard._once(WANTED, Cancellation()) == ("no pod runs", False)


def test_the_guard_ends_with_its_file(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.keep(forward.FILE, WANTED.document())
    tries: list[int] = []

    def once(_: Forward, cancel: Cancellation) -> tuple[str, bool]:
        tries.append(1)
        forward.end(environment)
        raise CancelledError

    monkeypatch.setattr(guard, "_once", once)
    guard.main(environment.folder)
    assert len(tries) == 1
    guard.main(environment.folder)
    assert len(tries) == 1, "nothing is asked for"
