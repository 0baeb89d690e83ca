"""Which alternative is named to whom, over recorded and made-up machines."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from devenv.cli import run
from devenv.compat.matrix import read
from devenv.doctor.alternatives import Instead, instead
from devenv.doctor.examine import examine
from devenv.doctor.finding import Needs, blockers
from devenv.doctor.needs import needs_of
from devenv.doors.dirs import Dirs
from devenv.doors.machine import engine as engines
from devenv.doors.machine import gather
from devenv.doors.machine.model import to_json
from devenv.doors.settings.settings import Settings
from devenv.errors import MachineError, PresetError
from devenv.preset.load import find, load
from devenv.preset.portable import portable
from devenv.up import preflight
from devenv.up.preflight import Asked
from tests.unit import examples
from tests.unit.doctor.test_cases import healthy
from tests.unit.handmade import Described, session

BASE = 'base: {bootstrap: debian/bookworm}\npython: "3.11"\n'
LARGE = {"name": "a large server", "gpus": ["H100"], "driver": "570.86.10", "engine": {"runtimes": ["runc", "nvidia"]}}
NO_GPU = {"name": "no GPU", "memory_gb": 32}
OLD_GPU = {**LARGE, "gpus": ["V100"]}
SMALL = {"name": "no GPU and little memory", "memory_gb": 4}


@pytest.fixture(autouse=True)
def _buildx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "buildx", lambda: ("0.25", ""))


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    """`whole` needs a new GPU; `older` an older one; `cpu` memory; `tiny` nothing. A child inherits from `whole`."""
    texts = {
        "whole": "gpu: {min_capability: '8.0', memory: 16g}\nalternatives: [./whole.yaml, older.yaml, ./cpu.yaml]\n",
        "older": "gpu: {min_capability: '7.0'}\n",
        "cpu": "memory: 13g\nalternatives: [rapidocr]\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(BASE + text)
    (tmp_path / "child.yaml").write_text("extends: ./whole.yaml\npip: [rich]\n")
    (tmp_path / "own.yaml").write_text("extends: ./whole.yaml\nalternatives: [./cpu.yaml]\n")
    return tmp_path


def _instead(path: Path, case: dict[str, Any], **more: Any) -> Instead | None:
    return instead(load(path), healthy(case), read(), lambda _: Needs(), **more)


@pytest.mark.parametrize(
    ("preset", "case", "name"),
    [
        ("whole", NO_GPU, "cpu"),
        ("whole", OLD_GPU, "older"),
        ("whole", SMALL, None),
        ("cpu", SMALL, "rapidocr"),
        ("older", NO_GPU, None),
        ("own", OLD_GPU, "cpu"),  # a child's list replaces
        ("child", OLD_GPU, "older"),
    ],
)
def test_the_first_that_can_run_here(preset: str, case: dict[str, Any], name: str | None, presets: Path) -> None:
    found = _instead(presets / f"{preset}.yaml", case)
    assert (found.name if found else None) == name


def test_it_is_a_command_and_a_shipped_one_goes_by_its_name(presets: Path) -> None:
    found = _instead(presets / "cpu.yaml", SMALL)
    assert found
    assert found.command == "devenv up rapidocr"
    assert found.command in found.remedy
    other = _instead(presets / "whole.yaml", NO_GPU)
    assert other
    assert other.command == f"devenv up {presets / 'cpu.yaml'}"


def test_a_child_is_told_to_extend_the_other_so_that_its_own_additions_stay(presets: Path) -> None:
    found = _instead(presets / "child.yaml", NO_GPU)
    assert found
    assert f"extend {presets / 'cpu.yaml'} instead" in found.remedy
    assert "whole.yaml" in found.remedy


def test_gpus_that_were_asked_for_do_not_count_against_a_preset_for_the_cpu(presets: Path) -> None:
    found = _instead(presets / "whole.yaml", NO_GPU, gpus="0")
    assert found
    assert found.name == "cpu"


@pytest.mark.parametrize("name", ["h100-x1", "h100-x2"])
def test_recorded_machines(name: str, presets: Path) -> None:
    (presets / "many.yaml").write_text(BASE + "gpu: {count: 8}\nalternatives: [./whole.yaml, ./cpu.yaml]\n")
    loaded, machine = load(presets / "many.yaml"), healthy({"recorded": name})
    assert machine.engine
    assert machine.engine.buildx_problem, "no image can be built there, of any preset"
    assert instead(loaded, machine, read(), lambda _: Needs()) is None
    able = dataclasses.replace(machine, engine=dataclasses.replace(machine.engine, buildx_problem=""))
    found = instead(loaded, able, read(), lambda _: Needs())
    assert found
    assert found.name == "whole"


@pytest.mark.parametrize(("needed", "name"), [({"wheel"}, None), ({"deb"}, "cpu")])
def test_what_keeps_it_from_downloading_keeps_an_alternative_as_well(
    needed: set[str], name: str | None, presets: Path
) -> None:
    silent = {"name": "pip", "url": "http://127.0.0.1:1/", "seconds": 1.0, "problem": "no answer", "kind": "connect"}
    machine = healthy({**NO_GPU, "network": {"probes": [silent]}})
    found = instead(load(presets / "whole.yaml"), machine, read(), lambda _: Needs(kinds=frozenset(needed)))
    assert (found.name if found else None) == name


def test_up_asks_for_buildx_before_it_names_one(presets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter([("", "docker has no buildx plugin; install it"), ("0.25", "")])
    monkeypatch.setattr(engines, "buildx", lambda: next(said))
    monkeypatch.setattr(
        gather, "assemble", lambda *_, engine, **__: dataclasses.replace(healthy(NO_GPU), engine=engine)
    )
    run_ = session(_settings(presets), Described())
    for words in ("cannot run these either", f"devenv up {presets / 'cpu.yaml'}"):
        with pytest.raises(MachineError, match="this machine has no GPU") as caught:
            preflight.before_lock(load(presets / "whole.yaml"), run_, Asked())
        assert words in (caught.value.hint or "")


def test_one_that_cannot_be_read_is_passed_over(presets: Path) -> None:
    (presets / "older.yaml").write_text("extends: nothing-of-this-name\n")
    found = _instead(presets / "whole.yaml", OLD_GPU)
    assert found
    assert found.name == "cpu"


@pytest.mark.parametrize(
    ("entry", "words"),
    [("rapidcor", "unknown preset 'rapidcor'"), ("./gone.yaml", "does not exist"), ("/etc/passwd.yaml", "outside"),
     ("../up.yaml", "outside")],
)  # fmt: skip
def test_an_alternative_that_is_none_is_an_error_at_its_line(entry: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"{BASE}alternatives:\n  - rapidocr\n  - {entry}\n")
    with pytest.raises(PresetError) as caught:
        load(path)
    assert words in caught.value.problems[0].message
    assert f"{path.name}:5:5" in (caught.value.problems[0].where or "")


def test_an_image_carries_none(presets: Path) -> None:
    assert "alternatives" not in portable(load(presets / "whole.yaml").preset)


def _settings(root: Path) -> Settings:
    return Settings(dirs=Dirs(cache=root, state=root, config=root), uid=1, gid=1, arch="amd64")


def test_up_refuses_and_names_it(presets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "quick", lambda *_, **__: healthy(NO_GPU))
    loaded = load(presets / "whole.yaml")
    with pytest.raises(MachineError, match="this machine has no GPU") as caught:
        preflight.before_lock(loaded, session(_settings(presets), Described()), Asked())
    assert f"devenv up {presets / 'cpu.yaml'}" in (caught.value.hint or "")
    monkeypatch.setattr(gather, "quick", lambda *_, **__: healthy(SMALL))
    with pytest.raises(MachineError) as none:
        preflight.before_lock(loaded, session(_settings(presets), Described()), Asked())
    assert "cannot run these either" in (none.value.hint or "")


def test_a_preset_for_the_cpu_may_name_one_for_a_gpu(presets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine was looked at without its GPU, which this preset does not need."""
    (presets / "hungry.yaml").write_text(BASE + "memory: 900g\nalternatives: [./older.yaml]\n")
    looks: list[bool] = []

    def quick(*_: Any, with_gpu: bool, **__: Any) -> Any:
        looks.append(with_gpu)
        return healthy(LARGE if with_gpu else NO_GPU)

    monkeypatch.setattr(gather, "quick", quick)
    with pytest.raises(MachineError) as caught:
        preflight.before_record(load(presets / "hungry.yaml"), session(_settings(presets), Described()), Asked())
    assert "older.yaml" in (caught.value.hint or "")
    assert looks == [False, True]


def test_doctor_names_it_for_a_machine_recorded_elsewhere(
    presets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CACHE", "STATE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(presets / name.lower()))
    machine = presets / "machine.json"
    machine.write_text(json.dumps(to_json(healthy(NO_GPU))))
    assert run(["doctor", str(presets / "whole.yaml"), "--machine", str(machine), "--json"]) == 13
    told = capsys.readouterr()
    command = f"devenv up {presets / 'cpu.yaml'}"
    assert json.loads(told.out)["instead"] == {"preset": "cpu", "command": command}
    assert command in told.err
    machine.write_text(json.dumps(to_json(healthy(LARGE))))
    assert run(["doctor", str(presets / "whole.yaml"), "--machine", str(machine), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["instead"] is None


def test_what_an_alternative_needs_is_what_its_lock_says(presets: Path) -> None:
    settings = _settings(presets)
    cpu = load(presets / "cpu.yaml")
    assert needs_of(cpu, settings).download_bytes == 0
    locked = examples.lock()
    (presets / "cpu.lock").write_text(locked.dump())
    for elsewhere in (False, True):
        assert needs_of(cpu, settings, elsewhere=elsewhere).download_bytes == sum(
            one.size for one in locked.artifacts()
        )


@pytest.mark.parametrize(
    ("preset", "case", "name"),
    [
        ("deepseek-ocr", NO_GPU, "deepseek-ocr-cpu"),
        ("deepseek-ocr", SMALL, "rapidocr"),
        ("deepseek-ocr", OLD_GPU, "deepseek-ocr-cpu"),
        ("deepseek-ocr", {**LARGE, "driver": "550.54.15"}, "deepseek-ocr-cu12"),
        ("deepseek-ocr-cu12", NO_GPU, "deepseek-ocr-cpu"),
        ("vllm", {**LARGE, "driver": "550.54.15"}, "vllm-cu12"),
        ("deepseek-ocr-transformers", NO_GPU, "deepseek-ocr-cpu"),
        ("deepseek-ocr-cpu", SMALL, "rapidocr"),
    ],
)
def test_the_shipped_presets_name_what_helps(preset: str, case: dict[str, Any], name: str, tmp_path: Path) -> None:
    loaded = load(find(preset, tmp_path))
    own = examine(healthy(case), loaded.preset, Needs(), read(), full=False)
    assert blockers(own), "the machine of this case cannot run it"
    found = instead(loaded, healthy(case), read(), lambda _: Needs())
    assert found
    assert found.name == name


def test_doctor_and_up_say_why_the_driver_is_too_old_and_name_the_preset_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CACHE", "STATE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    older = healthy({**LARGE, "driver": "550.54.15"})
    machine = tmp_path / "machine.json"
    machine.write_text(json.dumps(to_json(older)))
    assert run(["doctor", "deepseek-ocr", "--machine", str(machine), "--json"]) == 13
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["instead"] == {"preset": "deepseek-ocr-cu12", "command": "devenv up deepseek-ocr-cu12"}
    assert "CUDA 13.0 needs driver 580" in told.out
    assert "devenv up deepseek-ocr-cu12" in told.err
    monkeypatch.setattr(gather, "quick", lambda *_, **__: older)
    with pytest.raises(MachineError, match=r"CUDA 13\.0 needs driver 580") as caught:
        preflight.before_lock(load(find("deepseek-ocr", tmp_path)), session(_settings(tmp_path), Described()), Asked())
    assert "devenv up deepseek-ocr-cu12" in (caught.value.hint or "")
