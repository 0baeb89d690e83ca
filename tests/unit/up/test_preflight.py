"""The first step of `up`: what it looks at, what it refuses, what it goes on with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from devenv.container import gpu
from devenv.container.state import environment
from devenv.doors.dirs import Dirs
from devenv.doors.machine import gather, nvidia
from devenv.doors.machine.model import Disk, Machine
from devenv.doors.settings.config_yaml import HubSettings
from devenv.doors.settings.settings import Settings
from devenv.errors import MachineError, UsageError
from devenv.lock.model import LockedModel, ModelFile, files_digest
from devenv.up import preflight
from devenv.up.preflight import Asked
from tests.unit import examples
from tests.unit.container.test_gpu import recorded
from tests.unit.handmade import Described, session


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(dirs=Dirs(cache=tmp_path, state=tmp_path, config=tmp_path), uid=1000, gid=1000, arch="amd64")


class Look:
    """Stands for the look at the machine; counts."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.looks = machine, 0

    def __call__(self, *_: Any, with_gpu: bool, **__: Any) -> Machine:
        self.looks += 1
        assert self.machine.engine
        engine = dataclasses.replace(self.machine.engine, buildx="0.25", buildx_problem="")
        return dataclasses.replace(self.machine, engine=engine)


def _look(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> Look:
    look = Look(machine)
    monkeypatch.setattr(gather, "quick", look)
    return look


def _check(settings: Settings, notes: list[str], **changes: Any) -> gpu.Access | None:
    given: dict[str, Any] = {"running": None, "image_here": True, "asked": Asked(), **changes}
    keys, locked = given.pop("preset", {}), given.pop("lock", {})
    run = session(settings, Described())
    run.stages.note = notes.append  # type: ignore[method-assign]
    return preflight.check(examples.loaded(**keys), examples.lock(**locked), run, **given)


def test_a_preset_without_a_gpu_costs_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    look = _look(monkeypatch, recorded("h100-x2"))
    assert _check(settings, []) is None
    assert look.looks == 0


def test_weights_that_do_not_fit_are_told_though_the_image_is_here(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Disk(path="/srv", free_bytes=5_000_000_000, total_bytes=9_000_000_000, device=7)
    look = _look(monkeypatch, dataclasses.replace(recorded("h100-x2"), weights_disk=small))
    settings = dataclasses.replace(settings, hubs=HubSettings(dir=settings.dirs.cache / "weights"))
    file = ModelFile(path="model.safetensors", size=6_700_000_000, sha256="ab" * 32)
    model = LockedModel.model_validate({
        "name": "tiny", "files": [file.model_dump()], "digest": files_digest((file,)),
        "sources": [{"hub": "huggingface", "id": "acme/tiny", "revision": "c" * 40}],
    })  # fmt: skip
    with pytest.raises(MachineError) as caught:
        _check(settings, [], lock={"model": model})
    assert "weights" in f"{caught.value.message} {caught.value.detail} {caught.value.hint}"
    assert look.looks == 1


def test_a_gpu_is_given_to_a_preset_that_wants_one_and_to_whom_asks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _look(monkeypatch, recorded("h100-x2"))
    for changes in ({"preset": {"gpu": {}}}, {"asked": Asked(gpus="all")}):
        given = _check(settings, [], **changes)
        assert given is not None
        assert [one.index for one in given.devices] == [0, 1]


def test_no_gpu_is_an_error_and_never_a_fallback(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    _look(monkeypatch, recorded("h100-x1", gpus=(), nodes=(), pci=0, driver=""))
    for changes in ({"preset": {"gpu": {}}}, {"asked": Asked(gpus="all")}, {"asked": Asked(gpus="0")}):
        with pytest.raises(MachineError, match="has no GPU"):
            _check(settings, [], **changes)


def test_a_preset_that_can_do_without_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    _look(monkeypatch, recorded("h100-x1", gpus=(), nodes=(), pci=0, driver=""))
    notes: list[str] = []
    assert _check(settings, notes, preset={"gpu": {"required": False}}) is None
    assert notes == ["no GPU here: it runs on the CPU, as the preset allows"]


def test_none_is_taken_at_its_word_with_a_warning(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    _look(monkeypatch, recorded("h100-x1"))
    notes: list[str] = []
    assert _check(settings, notes, preset={"gpu": {}}, asked=Asked(gpus="none")) is None
    assert len(notes) == 1
    assert "--gpus none" in notes[0]


def test_a_full_disk_stops_before_anything_is_downloaded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = recorded("h100-x1")
    assert machine.images_disk
    disk = dataclasses.replace(machine.images_disk, free_bytes=1000)
    _look(monkeypatch, dataclasses.replace(machine, images_disk=disk, store_disk=disk))
    with pytest.raises(MachineError, match="are needed"):
        _check(settings, [], image_here=False)


def test_before_a_lock_only_the_gpu_is_judged(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    look = _look(monkeypatch, recorded("h100-x1", gpus=(), nodes=(), pci=0, driver=""))
    run = session(settings, Described())
    preflight.before_lock(examples.loaded(), run, Asked())
    preflight.before_lock(examples.loaded(gpu={"required": False}), run, Asked())
    assert look.looks == 0
    with pytest.raises(MachineError, match="GPU"):
        preflight.before_lock(examples.loaded(gpu={}), run, Asked())


def test_what_was_asked_is_remembered(tmp_path: Path) -> None:
    env = environment("demo", tmp_path)
    preflight.remember(env, Asked())
    assert not (tmp_path / "demo" / "gpu.json").exists()
    preflight.remember(env, Asked(gpus="1", mode="direct"))
    assert preflight.remembered(env, Asked()) == Asked(gpus="1", mode="direct")
    assert preflight.remembered(env, Asked(gpus="0")) == Asked(gpus="0", mode="direct")
    with pytest.raises(UsageError):
        Asked(mode="magic").check()


def test_an_engine_that_remaps_users_is_refused_with_the_reason(settings: Settings) -> None:
    remapping = session(settings, Described("name=seccomp,profile=builtin", "name=userns"))
    for refuses in (preflight.usable, lambda *given: preflight.before_lock(*given, Asked())):
        with pytest.raises(MachineError, match="the engine remaps users") as told:
            refuses(examples.loaded(), remapping)
        assert "userns-remap" in (told.value.hint or "")
    assert preflight.usable(examples.loaded(), session(settings, Described("name=rootless"))).rootless
    assert not preflight.usable(examples.loaded(), session(settings, Described())).rootless


def test_a_run_asks_the_engine_about_itself_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "look", lambda _: recorded("h100-x1").nvidia)
    engine = Described()
    run = session(settings, engine)
    wants = examples.loaded(gpu={})
    preflight.before_lock(wants, run, Asked())
    preflight.usable(wants, run)
    preflight.before_record(wants, run, Asked())
    assert preflight.check(wants, examples.lock(), run, Asked(), running=None, image_here=True)
    assert engine.asked == ["info", "version"]
    quick = Described()
    preflight.usable(examples.loaded(), session(settings, quick))
    assert quick.asked == ["info"], "a preset without a GPU needs no more"
