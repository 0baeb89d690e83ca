"""A lock that leaves its model open, and the real command line that records it from hubs on loopback."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.hubs import UnreachedError
from devenv.doors.http.retry import Policy
from devenv.doors.http.web import Web
from devenv.errors import FetchError, LockError, UsageError
from devenv.fetch.store import Store
from devenv.lock.model import read
from devenv.preset.model import Model
from devenv.resolve.model import resolve_model
from tests.integration.conftest import Cli
from tests.integration.hub import COMMIT, ID, Hub, locked, settings

QUICK = Policy(attempts=2, backoff_s=0.005, read_timeout_s=0.3, connect_timeout_s=1, longest_wait_s=0.1)
NAMED = {"id": ID, "revision": COMMIT}
WISH = Model.model_validate({"huggingface": NAMED, "modelscope": NAMED})
FILES = {"config.json": b'{"a": 1}', "model.safetensors": bytes(range(256)) * 40, "vocab/words.txt": b"a\nb\n"}
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _nobodys_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "MODELSCOPE_API_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


# ---- one hub of two


def _resolve(root: Path, first: Hub | None, second: Hub | None, **more: Any) -> Any:
    chosen = settings(root, huggingface=first, modelscope=second, **more.pop("hubs", {}))
    with Web(chosen, QUICK) as web:
        return resolve_model(WISH, settings=chosen, web=web, store=Store(root / "store"), **more)


@pytest.mark.parametrize("silent", ["huggingface", "modelscope"])
def test_one_hub_of_two_is_enough_and_gives_the_same_model(silent: str, tmp_path: Path) -> None:
    with Hub(FILES) as hub:
        both = _resolve(tmp_path, hub, hub)
        told = _resolve(tmp_path, *((None, hub) if silent == "huggingface" else (hub, None)))
    assert told.model == both.model == locked(FILES, "huggingface", "modelscope")
    assert silent not in told.answered
    assert len(told.answered) == 1
    assert [silent in one for one in told.unreached] == [True]
    assert (both.answered, both.unreached) == (("huggingface", "modelscope"), ())


def test_a_hub_that_is_asked_first_is_the_users(tmp_path: Path) -> None:
    with Hub(FILES) as hub:
        assert _resolve(tmp_path, hub, hub, hubs={"order": ("modelscope",)}).answered == ("modelscope", "huggingface")
        hub.seen.clear()
        assert _resolve(tmp_path, hub, hub, asked=("modelscope",)).answered == ("modelscope",)
        assert not any("/api/models/" in one.path for one in hub.seen)
    with pytest.raises(UsageError):
        _resolve(tmp_path, None, None, asked=("elsewhere",))


def test_a_hub_whose_files_cannot_be_had_counts_as_not_reached(tmp_path: Path) -> None:
    """Its listing answers, but a small file that has to be hashed comes from an address that does not."""
    with Hub(FILES) as first, Hub(FILES) as second:
        first.always["config.json"] = "reset"
        told = _resolve(tmp_path, first, second)
    assert told.answered == ("modelscope",)


def test_both_unreachable_is_an_error_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(UnreachedError) as caught:
        _resolve(tmp_path, None, None)
    assert caught.value.exit_code == 8
    assert "huggingface, modelscope" in caught.value.message
    assert "HF_ENDPOINT" in (caught.value.hint or "")


def test_an_answer_that_is_another_or_a_refusal_stays_an_error(tmp_path: Path) -> None:
    with Hub(FILES) as first, Hub({**FILES, "config.json": b"{}"}) as second, pytest.raises(LockError) as differs:
        _resolve(tmp_path, first, second)
    assert "different models: config.json" in differs.value.message
    with Hub(FILES, token="no") as gated, Hub(FILES) as free, pytest.raises(FetchError, match="denies access to"):
        _resolve(tmp_path, gated, free)
    with Hub(FILES) as first, Hub(FILES) as second:
        first.commit = "d" * 40  # it has no such revision: an answer
        with pytest.raises(FetchError, match="no revision"):
            _resolve(tmp_path, first, second)


# ---- an open lock


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A project whose lock has no pinned model yet, and a hub. The lock took its parent's packages, without a network."""

    cli: Cli
    hub: Hub
    project: Path

    @property
    def lock(self) -> Path:
        return self.project / "devenv.lock"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    cli = Cli(tmp_path / "state")
    with Hub(FILES) as hub:
        cli.env.update({
            "HF_ENDPOINT": hub.url, "MODELSCOPE_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"),
            "DEVENV_WEIGHTS_DIR": str(tmp_path / "weights"),
        })  # fmt: skip
        project = tmp_path / "project"
        project.mkdir()
        rows = "\n".join(f"  {name}: {{id: {ID}, revision: {COMMIT}}}" for name in ("huggingface", "modelscope"))
        (project / "devenv.yaml").write_text(f"name: t-open\nextends: python\nmodel:\n{rows}\n")
        done = cli.ok("lock", "--without-model", cwd=project)
        assert "not pinned yet" in done.err
        assert hub.seen == [], "no hub was contacted"
        yield World(cli=cli, hub=hub, project=project)


def test_an_open_lock_is_readable_fits_and_is_the_same_each_time(world: World) -> None:
    text = world.lock.read_text()
    assert read(world.lock).open == ("model",)
    assert read(world.lock).model is None
    checked = world.cli.ok("lock", "--check", "--json", cwd=world.project).json()
    assert (checked["fits"], checked["open"]) == (True, ["model"])
    world.lock.unlink()
    world.cli.ok("lock", "--without-model", cwd=world.project)
    assert world.lock.read_text() == text
    assert world.cli("lock", "--without-model", "--upgrade", "model", cwd=world.project).code == 2


def test_what_needs_no_weights_works_with_it(world: World) -> None:
    world.cli.ok("show", cwd=world.project)
    world.cli.ok("render", cwd=world.project)
    world.cli.ok("sbom", cwd=world.project)
    judged = json.loads(world.cli("doctor", "--offline", "--json", cwd=world.project).out)
    assert judged["needs"]["weights_known"] is False
    assert judged["needs"]["weights_bytes"] == 0
    assert "weights" in {one["id"] for one in judged["findings"]}
    assert world.hub.seen == []


def test_prefetch_records_says_so_and_later_runs_are_free(world: World) -> None:
    done = world.cli.ok("prefetch", cwd=world.project)
    expected = locked(FILES, "huggingface", "modelscope")
    line = next(one for one in done.err.splitlines() if "recorded the model" in one)
    assert "huggingface and modelscope" in line
    assert "3 files" in line
    assert expected.digest in line
    assert str(world.lock) in line
    lock = read(world.lock)
    assert (lock.model, lock.open) == (expected, None)
    asked = len(world.hub.seen)
    again = world.cli.ok("prefetch", "--json", cwd=world.project).json()
    assert again["recorded"] is None
    assert len(world.hub.seen) == asked
    assert world.cli.ok("lock", "--check", "--json", cwd=world.project).json()["open"] == []


def test_two_machines_record_the_same_lock_though_each_reaches_another_hub(world: World) -> None:
    before = world.lock.read_bytes()
    done = world.cli("prefetch", "--json", cwd=world.project, env={"HF_ENDPOINT": NOWHERE})
    assert done.code == 0, done.err
    recorded = done.json()["recorded"]
    assert recorded["hubs"] == ["modelscope"]
    assert len(recorded["unreached"]) == 1
    assert "from modelscope alone" in done.err
    first = world.lock.read_bytes()
    world.lock.write_bytes(before)
    done = world.cli("prefetch", "--json", "--source", "huggingface", cwd=world.project)
    assert done.json()["recorded"]["hubs"] == ["huggingface"]
    assert world.lock.read_bytes() == first


def test_no_hub_is_one_error_with_a_remedy_and_the_lock_stays_open(world: World) -> None:
    before = world.lock.read_bytes()
    nowhere = {"HF_ENDPOINT": NOWHERE, "MODELSCOPE_ENDPOINT": NOWHERE}
    done = world.cli("prefetch", cwd=world.project, env=nowhere)
    assert done.code == 8
    assert done.err.count("error:") == 1
    assert "the model is not pinned yet" in done.err
    assert str(world.lock) in done.err, "where to put a lock that another machine recorded"
    assert world.lock.read_bytes() == before


def test_lock_completes_an_open_lock_and_upgrade_without_model_opens_it(world: World) -> None:
    done = world.cli.ok("lock", cwd=world.project)
    assert "recorded the model" in done.err
    assert read(world.lock).model == locked(FILES, "huggingface", "modelscope")
    world.cli.ok("lock", "--without-model", cwd=world.project)
    assert read(world.lock).model is not None, "what is recorded stays"


def test_a_kill_leaves_the_open_lock_or_the_complete_one(world: World) -> None:
    before = world.lock.read_bytes()
    for number, path in enumerate(FILES):
        world.lock.write_bytes(before)
        world.hub.always[path] = "slow"
        process = subprocess.Popen(
            world.cli.command("prefetch"), cwd=world.project, env=world.cli.env, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        seen = len(world.hub.seen)
        for _ in range(400):
            if len(world.hub.seen) > seen + number:
                break
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert world.lock.read_bytes() == before or read(world.lock).model is not None
    world.hub.always.clear()
    world.cli.ok("prefetch", cwd=world.project)
    assert read(world.lock).model == locked(FILES, "huggingface", "modelscope")
    assert sorted(one.name for one in world.project.iterdir()) == ["devenv.lock", "devenv.yaml"]


def test_a_model_without_its_hash_is_not_the_same_as_an_open_one(world: World) -> None:
    """A model that was removed from a lock by hand is not silently recorded again."""
    world.cli.ok("prefetch", cwd=world.project)
    data = json.loads(world.lock.read_text())
    del data["model"]
    world.lock.write_text(json.dumps(data))
    done = world.cli("prefetch", cwd=world.project)
    assert done.code == 4
    assert "has none" in done.err
