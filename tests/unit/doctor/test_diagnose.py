"""One diagnosis, without the command line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from devenv.doctor import diagnose as room
from devenv.doctor.diagnose import diagnose, gather_for, recorded
from devenv.doors.docker import address
from devenv.doors.machine import gather
from devenv.doors.machine.model import to_json
from devenv.errors import EngineError, MachineError, UsageError
from devenv.preset.load import load
from tests.unit import examples
from tests.unit.doctor.test_cases import healthy
from tests.unit.handmade import settings

NO_GPU: dict[str, Any] = {"gpus": []}


def test_a_machine_that_can_run_it_is_not_refused(tmp_path: Path) -> None:
    found = diagnose(examples.loaded(), healthy(NO_GPU), settings(tmp_path), endpoint=None)
    assert found.is_able
    assert found.instead is None
    found.refuse()


def test_a_machine_that_cannot_is_refused_with_the_remedy_and_a_count(tmp_path: Path) -> None:
    machine = dataclasses.replace(healthy(NO_GPU), memory_bytes=1 << 30, available_bytes=1 << 29)
    found = diagnose(examples.loaded(gpu={}, memory="900g"), machine, settings(tmp_path), endpoint=None)
    assert not found.is_able
    with pytest.raises(MachineError, match=r"this machine cannot run demo: .* \(and 1 more\)"):
        found.refuse()


@pytest.mark.parametrize(("text", "own"), [("extends: python\ngpu: {}\n", True), ("extends: vllm\n", False)])
def test_a_preset_of_the_users_own_can_do_without_a_gpu(text: str, own: bool, tmp_path: Path) -> None:
    path = tmp_path / "devenv.yaml"
    path.write_text(text)
    found = diagnose(load(path), healthy(NO_GPU), settings(tmp_path), endpoint=None)
    with pytest.raises(MachineError) as caught:
        found.refuse()
    assert ("write 'gpu: {required: false}' in your preset" in str(caught.value.hint)) is own
    path.write_text(text + "gpu: {required: false}\n" if not own else "extends: python\ngpu: {required: false}\n")
    assert diagnose(load(path), healthy(NO_GPU), settings(tmp_path), endpoint=None).is_able


def test_without_a_preset_the_machine_alone_is_examined(tmp_path: Path) -> None:
    found = diagnose(None, healthy(NO_GPU), settings(tmp_path), endpoint=None)
    assert (found.loaded, found.needed.kinds) == (None, frozenset())


def test_an_image_counts_only_where_the_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(_: object, path: str) -> dict[str, str]:
        asked.append(path)
        return {}

    def refuse(*_: object) -> None:
        raise EngineError("no engine")

    endpoint: Any = lambda: None  # noqa: E731
    monkeypatch.setattr(address, "ask", answer)
    machine = healthy(NO_GPU)
    assert machine.engine
    assert room._has_image("devenv/demo:1", machine, endpoint)
    assert asked == ["/images/devenv/demo:1/json"]
    broken = dataclasses.replace(machine, engine=dataclasses.replace(machine.engine, problem="none is here"))
    assert not room._has_image("devenv/demo:1", broken, endpoint)
    assert len(asked) == 1
    monkeypatch.setattr(address, "ask", refuse)
    assert not room._has_image("devenv/demo:1", machine, endpoint)


def test_offline_no_address_is_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(gather, "gather", lambda *_, origins, **__: given.append(origins))
    mine: Any = settings(tmp_path)
    for offline in (True, False):
        gather_for(None, mine, {"HF_ENDPOINT": "http://hub.invalid"}, lambda: None, offline=offline)  # type: ignore[arg-type,return-value]
    assert given[0] is None
    assert "http://hub.invalid" in [origin.url for _, origin in given[1]]


def test_a_recorded_machine_is_read_alone_or_in_its_document(tmp_path: Path) -> None:
    path, machine = tmp_path / "machine.json", healthy(NO_GPU)
    for value in (to_json(machine), {"machine": to_json(machine)}):
        path.write_text(json.dumps(value))
        assert recorded(path) == machine
    for text in ("[]", "{", '{"machine": 3}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="not a recorded machine"):
            recorded(path)
