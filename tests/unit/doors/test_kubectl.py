"""kubectl as a process, whose answers are given here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from devenv.doors import kubectl as door
from devenv.doors import process
from devenv.doors.cancellation import Cancellation
from devenv.doors.kubectl import Kubectl, KubectlError, connect
from devenv.errors import TargetError

AWAY = "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?"
Answer = Callable[[Sequence[str]], tuple[int, str, str]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[list[str]]]:
    """Give kubectl's answers; returns the commands that come. Pauses are none."""
    monkeypatch.setattr(Cancellation, "wait", lambda self, seconds: self.check())

    def give(answer: Answer) -> list[list[str]]:
        asked: list[list[str]] = []

        def run(command: Sequence[str], **_: Any) -> process.Outcome:
            asked.append([*command])
            code, out, err = answer(command)
            outcome = process.Outcome(command=tuple(command), code=code, out=out, err=err)
            if code:
                raise process.ProcessError(outcome)
            return outcome

        monkeypatch.setattr(process, "run", run)
        return asked

    return give


KUBECTL = Kubectl(context="bench", namespace="demo")


def test_context_and_namespace_are_read_once_and_given_to_every_request(answers: Any) -> None:
    settings = {"contexts": [{"name": "work", "context": {"namespace": "team"}}]}
    asked = answers(lambda _: (0, json.dumps(settings), ""))
    found = connect(None, None, Cancellation())
    assert (found.context, found.namespace) == ("work", "team")
    assert connect("work", "other", Cancellation()).namespace == "other"
    found.run("get", "pods")
    assert asked[-1][:5] == ["kubectl", "--context", "work", "--namespace", "team"]


@pytest.mark.parametrize(
    ("context", "names", "message", "hint"),
    [
        ("nope", "a\nb\n", "kubectl has no context 'nope'", "its contexts: a, b"),
        (None, "a\n", "kubectl has no current context", "kubectl config use-context a"),
        (None, "", "kubectl has no context, so no cluster is known", "kubeconfig"),
    ],
)
def test_a_context_that_is_not_there(answers: Any, context: str | None, names: str, message: str, hint: str) -> None:
    answers(lambda command: (0, names, "") if "get-contexts" in command else (1, "", "error: no such context"))
    with pytest.raises(TargetError) as caught:
        connect(context, None, Cancellation())
    assert caught.value.message == message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"contexts": []}', '{"contexts": [{"name": "a"}]}'])
def test_settings_that_name_nothing(answers: Any, text: str) -> None:
    answers(lambda _: (0, text, ""))
    with pytest.raises(TargetError):
        connect(None, None, Cancellation())


def test_without_kubectl_there_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("kubectl")

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(TargetError, match="kubectl is not installed"):
        connect(None, None, Cancellation())


def test_a_server_that_is_away_is_asked_again(answers: Any) -> None:
    left = [AWAY, "Error from server: etcdserver: leader changed", "Unable to connect to the server: EOF"]
    asked = answers(lambda _: (1, "", left.pop(0)) if left else (0, "{}", ""))
    assert KUBECTL.run("get", "pods").out == "{}"
    assert len(asked) == 4


def test_it_is_not_asked_for_ever_and_a_refusal_is_told_at_once(answers: Any) -> None:
    answers(lambda _: (1, "", AWAY))
    with pytest.raises(KubectlError) as caught:
        Kubectl(context="bench", namespace="demo", retry_s=0).run("get", "pods")
    assert caught.value.is_away
    asked = answers(lambda _: (1, "", 'Error from server (Forbidden): pods is forbidden: User "x" cannot list'))
    with pytest.raises(KubectlError):
        KUBECTL.run("get", "pods")
    assert len(asked) == 1


def test_a_command_inside_is_not_run_again_for_its_own_words(answers: Any) -> None:
    asked = answers(lambda _: (7, "", "connection refused\ncommand terminated with exit code 7"))
    assert KUBECTL.exec("pod", ["curl"], container="environment").code == 7
    assert len(asked) == 1
    left = [AWAY]
    asked = answers(lambda _: (1, "", left.pop()) if left else (0, "done", ""))
    assert KUBECTL.exec("pod", ["true"], container="environment").out == "done"
    assert asked[-1][-2:] == ["--", "true"]


def test_one_object_a_list_or_several_documents(answers: Any) -> None:
    one, other = {"kind": "Pod", "metadata": {"name": "a"}}, {"kind": "Pod", "metadata": {"name": "b"}}
    for text, count in (
        ("", 0), (json.dumps(one, indent=4), 1), (json.dumps({"kind": "List", "items": [one, other]}), 2),
        (json.dumps(one, indent=4) + "\n" + json.dumps(other, indent=4) + "\n", 2), ('{"kind": "List", "items": null}', 0),
        ('{"kind": "List", "items": [3]}', 0),
    ):  # fmt: skip
        answers(lambda _, text=text: (0, text, ""))
        assert len(KUBECTL.items("get", "pods")) == count
    answers(lambda _: (0, "{", ""))
    with pytest.raises(TargetError, match="cannot be read"):
        KUBECTL.items("get", "pods")


def test_no_answer_in_time_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: Sequence[str], **_: Any) -> None:
        raise process.TimeoutExpired(command, 20)

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(KubectlError) as caught:
        Kubectl(context="a", namespace="b", retry_s=0).run("get", "pods")
    assert caught.value.is_away
    assert door.documents([{"kind": "Pod"}]) == '{"apiVersion": "v1", "kind": "List", "items": [{"kind": "Pod"}]}'
