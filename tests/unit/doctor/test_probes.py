"""Which addresses the doctor asks for a preset."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants as huggingface
from modelscope_hub import constants as modelscope

from devenv.doctor import examine, needs, probes
from devenv.doctor.finding import blockers
from devenv.doors.dirs import Dirs
from devenv.doors.settings.config_yaml import HubSettings
from devenv.doors.settings.settings import Settings
from devenv.preset.load import LoadedPreset, load
from devenv.weights import local_copies
from tests.unit import examples
from tests.unit.doctor.test_cases import healthy
from tests.unit.handmade import lock
from tests.unit.resolve.test_pin_model import MODEL

BASE = 'base: {bootstrap: debian/bookworm}\npython: "3.11"\n'
ONE = f"model:\n  huggingface: {{id: a/b, revision: {'c' * 40}}}\n"
BOTH = ONE + "  modelscope: {id: a/b, revision: v1}\n"


def _settings(root: Path, **hubs: Any) -> Settings:
    return dataclasses.replace(
        Settings(dirs=Dirs(cache=root, state=root, config=root), uid=1, gid=1, arch="amd64"),
        hubs=HubSettings(dir=root / "weights", **hubs),
    )


def _preset(root: Path, text: str) -> LoadedPreset:
    (root / "p.yaml").write_text(BASE + text)
    return load(root / "p.yaml")


def _hubs(settings: Settings, loaded: LoadedPreset, *, with_weights: bool = True) -> list[str]:
    carried = {"HF_ENDPOINT": "http://inside.example"}
    found = probes.origins(settings, carried, loaded.preset, with_weights=with_weights)
    return [origin.url for name, origin in found if name.startswith("hub")]


def test_the_hubs_that_have_the_model_are_asked_where_the_user_says_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = _settings(tmp_path, huggingface="http://hf.example", modelscope="http://ms.example")
    both = _preset(tmp_path, BOTH)
    assert _hubs(own, both) == ["http://hf.example", "http://ms.example"]
    assert _hubs(_settings(tmp_path), both) == [huggingface.ENDPOINT, modelscope.DEFAULT_ENDPOINT]
    assert _hubs(own, _preset(tmp_path, ONE)) == ["http://hf.example"], "no other hub has it"
    assert _hubs(own, both, with_weights=False) == ["http://inside.example"], "for programs inside"


def test_weights_are_wanted_until_they_are_here(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    assert not needs.wants_weights(_preset(tmp_path, ""), settings)
    loaded = _preset(tmp_path, BOTH)
    assert needs.wants_weights(loaded, settings), "never locked"
    left = lock(loaded.preset, open=("model",))
    (tmp_path / "p.lock").write_text(left.dump())
    assert needs.wants_weights(loaded, settings), "not pinned"
    silent = {"name": "hub", "url": "http://127.0.0.1:1/", "seconds": 1.0, "problem": "no answer", "kind": "connect"}
    machine = healthy({"network": {"probes": [silent]}})
    (why,) = blockers(examine.examine(machine, loaded.preset, needs.needs_of(loaded, settings), None))
    assert why.id == "network.hub"


@pytest.mark.parametrize("is_here", [True, False])
def test_what_this_machine_recorded_earlier_needs_no_hub_when_its_weights_are_here(
    is_here: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(tmp_path)
    loaded = _preset(tmp_path, BOTH)
    left = lock(loaded.preset, open=("model",))
    (tmp_path / "p.lock").write_text(left.dump())
    settings.dirs.locks.mkdir()
    recorded = left.model_copy(update={"model": MODEL, "open": None})
    (settings.dirs.locks / "other.lock").write_text(recorded.dump())
    monkeypatch.setattr(local_copies, "needed_bytes", lambda model, **_: 0 if is_here else model.size)
    assert needs.wants_weights(loaded, settings) is not is_here


def test_the_ports_of_the_workbench_are_those_that_have_to_be_free() -> None:
    services = {"app": {"command": ("a",), "port": 9000, "auth": "none"},
                "model": {"command": ("m",), "port": 8600, "auth": "none", "role": "serve"}}  # fmt: skip
    assert probes.ports(examples.preset(services=services)) == (8443, 8888, 9000)
