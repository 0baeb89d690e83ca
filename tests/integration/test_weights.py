"""Weights against real HTTP servers on loopback that speak both hubs' protocols and fail in every way we know."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.pieces import Part
from devenv.doors.http.ranges import Ranges
from devenv.doors.http.retry import Policy
from devenv.doors.http.web import Web
from devenv.errors import FetchError, LockError, UsageError
from devenv.fetch.store import Store
from devenv.lock.model import LockedModel
from devenv.preset.model import Model
from devenv.resolve.model import resolve_model
from devenv.weights.download import download
from devenv.weights.download.prefetch import Prefetched, prefetch
from devenv.weights.store import Weights
from tests.integration.hub import COMMIT, ID, LASTING, PASSING, Hub, locked, settings

QUICK = Policy(attempts=3, backoff_s=0.005, read_timeout_s=0.3, connect_timeout_s=1, longest_wait_s=0.1)
PIECE = 4000
LARGE, SMALL, DEEP = "model.safetensors", "config.json", "tokenizer/vocab.txt"
WISH = Model.model_validate({
    "huggingface": {"id": ID, "revision": COMMIT}, "modelscope": {"id": ID, "revision": COMMIT},
})  # fmt: skip


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files in many pieces; no token of this machine, and no cache of a hub."""
    original = download.Download.__init__

    def smaller(self: Any, *args: Any, **named: Any) -> None:
        original(self, *args, **{"piece_bytes": PIECE, **named})

    monkeypatch.setattr(download.Download, "__init__", smaller)
    for name in ("HF_TOKEN", "MODELSCOPE_API_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", "/nonexistent")


def _body(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


FILES = {LARGE: _body(1, 5 * PIECE + 17), SMALL: b'{"a": 1}', DEEP: _body(2, 2500), "empty.txt": b""}


@pytest.fixture
def hubs() -> Iterator[tuple[Hub, Hub]]:
    with Hub(FILES) as first, Hub(FILES) as second:
        yield first, second


def _prefetch(model: LockedModel, root: Path, first: Hub | None, second: Hub | None = None, **more: Any) -> Prefetched:
    chosen = settings(root, huggingface=first, modelscope=second, **more.pop("hubs", {}))
    ranges = Ranges(chosen, more.pop("policy", QUICK), slowest_bytes_s=200)
    ranges.trickle_s = 0.25
    return prefetch(model, store=Weights(root / "weights"), settings=chosen, ranges=ranges, **more)


def assert_whole(model: LockedModel, root: Path) -> None:
    """Every file is there with its hash, read-only, and nothing else is."""
    store = Weights(root / "weights")
    assert store.present(model)
    folder = store.folder(model.key)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        one.path for one in model.files
    ]
    for one in model.files:
        path = folder / one.path
        assert hashlib.sha256(path.read_bytes()).hexdigest() == one.sha256
        assert path.stat().st_mode & 0o777 == 0o444
    assert not store.parts(model.key).exists()


def assert_sound(model: LockedModel, root: Path) -> None:
    """What has its place has its hash."""
    folder = Weights(root / "weights").folder(model.key)
    hashes = {one.path: one.sha256 for one in model.files}
    for path in folder.rglob("*") if folder.exists() else ():
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == hashes[str(path.relative_to(folder))]


# ---- the lock


def test_both_hubs_give_one_model_with_one_digest(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    own = {".gitattributes": b"x", "README.md": b"# one"}
    hubs[0].files.update(own)
    hubs[1].files.update({"configuration.json": b"{}", "README.md": b"# other"})
    chosen = settings(tmp_path, huggingface=hubs[0], modelscope=hubs[1])
    with Web(chosen, QUICK) as web:
        both = resolve_model(WISH, settings=chosen, web=web, store=Store(tmp_path / "store")).model
        one = resolve_model(
            WISH.model_copy(update={"huggingface": None}), settings=chosen, web=web, store=Store(tmp_path / "store")
        ).model
    assert both.digest == one.digest == locked(FILES).digest
    assert [source.hub for source in both.sources] == ["huggingface", "modelscope"]
    assert [file.path for file in both.files] == sorted(FILES)


def test_hubs_that_differ_are_refused_and_the_file_is_named(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    hubs[1].files[DEEP] = _body(3, 2500)
    chosen = settings(tmp_path, huggingface=hubs[0], modelscope=hubs[1])
    with Web(chosen, QUICK) as web, pytest.raises(LockError) as caught:
        resolve_model(WISH, settings=chosen, web=web, store=Store(tmp_path / "store"))
    assert DEEP in caught.value.message
    assert "huggingface" in caught.value.message
    wish = WISH.model_copy(update={"deny": ("tokenizer/*",)})
    with Web(chosen, QUICK) as web:
        assert len(resolve_model(wish, settings=chosen, web=web, store=Store(tmp_path / "store")).model.files) == 3


def test_a_small_file_that_is_not_what_the_metadata_says_is_refused(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    hubs[0].always[SMALL] = "flip"
    wish = WISH.model_copy(update={"modelscope": None})
    chosen = settings(tmp_path, huggingface=hubs[0])
    with Web(chosen, QUICK) as web, pytest.raises(FetchError, match=SMALL):
        resolve_model(wish, settings=chosen, web=web, store=Store(tmp_path / "store"))


@pytest.mark.parametrize("name", ["huggingface", "modelscope"])
def test_a_gated_model_says_where_to_accept_and_what_to_set(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = {"huggingface": "HF_TOKEN", "modelscope": "MODELSCOPE_API_TOKEN"}[name]
    with Hub(FILES, token="t0ps3cret") as hub:
        chosen = settings(tmp_path, **{name: hub})
        wish = WISH.model_copy(update={"huggingface": None} if name == "modelscope" else {"modelscope": None})
        model = locked(FILES, name)
        with Web(chosen, QUICK) as web, pytest.raises(FetchError) as caught:
            resolve_model(wish, settings=chosen, web=web, store=Store(tmp_path / "store"))
        with pytest.raises(FetchError) as again:
            _prefetch(model, tmp_path, *((hub, None) if name == "huggingface" else (None, hub)))
        for error in (caught.value, again.value):
            assert variable in (error.hint or "")
            assert hub.url in (error.hint or "")
        monkeypatch.setenv(variable, "t0ps3cret")
        with Web(chosen, QUICK) as web:
            told = resolve_model(wish, settings=chosen, web=web, store=Store(tmp_path / "store"))
        assert told.model.digest == model.digest
        _prefetch(model, tmp_path, *((hub, None) if name == "huggingface" else (None, hub)))
    assert_whole(model, tmp_path)
    kept = [path for path in (tmp_path / "weights").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"t0ps3cret" in path.read_bytes()], "the token stays out of the store"


# ---- prefetch


def test_everything_comes_and_the_second_time_nothing_is_asked_or_read(
    hubs: tuple[Hub, Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = locked(FILES, "huggingface", "modelscope")
    report = _prefetch(model, tmp_path, *hubs)
    assert report.bytes == model.size
    assert dict(report.by_source) == {"huggingface": model.size}
    assert_whole(model, tmp_path)
    asked = len(hubs[0].seen)
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("a file was read"))
    again = _prefetch(model, tmp_path, *hubs)
    assert (again.files, again.here) == (0, len(model.files))
    assert len(hubs[0].seen) == asked


def test_a_changed_file_is_seen_without_reading_it_and_brought_again(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    model = locked(FILES)
    _prefetch(model, tmp_path, hubs[0])
    store = Weights(tmp_path / "weights")
    path = store.folder(model.key) / LARGE
    path.chmod(0o644)
    path.write_bytes(bytes([FILES[LARGE][0] ^ 1]) + FILES[LARGE][1:])
    assert [one.path for one in store.missing(model)] == [LARGE]
    assert _prefetch(model, tmp_path, hubs[0]).files == 1
    assert_whole(model, tmp_path)


def test_a_byte_that_rots_is_found_by_verify(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    model = locked(FILES)
    _prefetch(model, tmp_path, hubs[0])
    store = Weights(tmp_path / "weights")
    path = store.folder(model.key) / DEEP
    facts = path.stat()
    path.chmod(0o644)
    path.write_bytes(bytes([FILES[DEEP][0] ^ 1]) + FILES[DEEP][1:])
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert store.present(model), "a stamp cannot see it"
    assert [file.path for file, _ in store.rehash(model)] == [DEEP]
    assert not store.present(model)
    _prefetch(model, tmp_path, hubs[0])
    assert_whole(model, tmp_path)


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("file", [LARGE, DEEP])
@pytest.mark.parametrize("name", ["huggingface", "modelscope"])
def test_a_passing_fault_is_outwaited(fault: str, file: str, name: str, tmp_path: Path) -> None:
    model = locked(FILES, name)
    with Hub(FILES) as hub:
        hub.faults[file] = [fault, fault]
        _prefetch(model, tmp_path, *((hub, None) if name == "huggingface" else (None, hub)))
        assert hub.injected
    assert_whole(model, tmp_path)


@pytest.mark.parametrize("fault", [*LASTING, "stall", "reset", "truncated", "500"])
@pytest.mark.parametrize("file", [LARGE, DEEP])
@pytest.mark.parametrize("order", [("huggingface", "modelscope"), ("modelscope", "huggingface")])
def test_a_bad_hub_gives_way_to_the_other(fault: str, file: str, order: tuple[str, str], tmp_path: Path) -> None:
    model = locked(FILES, "huggingface", "modelscope")
    with Hub(FILES) as bad, Hub(FILES) as good:
        bad.always[file] = fault
        first, second = (bad, good) if order[0] == "huggingface" else (good, bad)
        _prefetch(model, tmp_path, first, second, hubs={"order": order})
        assert bad.injected
        assert any(file.rpartition("/")[2] in one.path for one in good.seen)
    assert_whole(model, tmp_path)


@pytest.mark.parametrize("fault", [*LASTING, "stall", "500"])
@pytest.mark.parametrize("file", [LARGE, DEEP])
def test_no_good_hub_is_one_error_that_names_file_and_hub_and_what_helps(
    fault: str, file: str, hubs: tuple[Hub, Hub], tmp_path: Path
) -> None:
    model = locked(FILES, "huggingface", "modelscope")
    for hub in hubs:
        hub.always[file] = fault
    with pytest.raises(FetchError) as caught:
        _prefetch(model, tmp_path, *hubs)
    told = f"{caught.value.message}\n{caught.value.detail}"
    assert file in told
    assert all(name in told for name in ("huggingface", "modelscope"))
    assert caught.value.hint
    assert caught.value.exit_code == 8
    assert_sound(model, tmp_path)
    for hub in hubs:
        hub.always.clear()
    _prefetch(model, tmp_path, *hubs)
    assert_whole(model, tmp_path)


def test_a_hub_that_dies_in_the_middle_is_left_and_its_bytes_are_kept(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    model = locked(FILES, "huggingface", "modelscope")
    hubs[0].faults[LARGE] = ["", "", ""]
    hubs[0].always.pop(LARGE, None)
    # Three pieces come, then it only resets connections, after a third of each answer.
    given = iter(["", "", ""])
    hubs[0].next_fault = lambda path: next(given, "reset") if path == LARGE else None  # type: ignore[method-assign]
    report = _prefetch(model, tmp_path, *hubs)
    assert_whole(model, tmp_path)
    by = dict(report.by_source)
    assert by["huggingface"] > 0
    assert by["modelscope"] > 0
    assert report.bytes == model.size, "no byte came twice"


def test_a_hub_that_lies_in_one_piece_is_found_out_and_the_other_one_asked(
    hubs: tuple[Hub, Hub], tmp_path: Path
) -> None:
    model = locked(FILES, "huggingface", "modelscope")
    hubs[0].faults[LARGE] = ["flip"]
    report = _prefetch(model, tmp_path, *hubs)
    assert_whole(model, tmp_path)
    assert any("wrong bytes" in one and LARGE in one for one in report.remarks)


def test_what_an_earlier_run_left_and_disk_spoilt_is_brought_again(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    model = locked(FILES)
    given = iter(["", "", ""])
    hubs[0].next_fault = lambda path: next(given, "404") if path == LARGE else None  # type: ignore[method-assign]
    with pytest.raises(FetchError):
        _prefetch(model, tmp_path, hubs[0])
    store = Weights(tmp_path / "weights")
    part = next(path for path in store.parts(model.key).iterdir() if path.suffix != ".map")
    with part.open("r+b") as file:
        file.write(b"\0\0\0")
    hubs[0].next_fault = lambda _: None  # type: ignore[method-assign]
    _prefetch(model, tmp_path, hubs[0])
    assert_whole(model, tmp_path)


def test_the_token_goes_to_the_hub_and_to_no_other_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "s3cret")
    for name in ("huggingface", "modelscope"):
        model = locked(FILES, name)
        with Hub(FILES, token="s3cret") as hub:
            hub.redirect = True
            root = tmp_path / name
            _prefetch(model, root, *((hub, None) if name == "huggingface" else (None, hub)))
            assert_whole(model, root)
            elsewhere = [one for one in hub.seen if one.host == "127.0.0.2"]
            assert elsewhere
            assert not any(one.token for one in elsewhere)
            assert any(one.token == "s3cret" for one in hub.seen)


def test_only_the_hubs_asked_for_are_asked(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    model = locked(FILES, "huggingface", "modelscope")
    _prefetch(model, tmp_path, *hubs, sources=("modelscope",))
    assert not hubs[0].seen
    with pytest.raises(UsageError, match="modelscope"):
        _prefetch(locked({"x": b"1"}), tmp_path, *hubs, sources=("modelscope",))


def test_unreachable_is_said_with_what_helps(tmp_path: Path) -> None:
    model = locked(FILES, "huggingface", "modelscope")
    with pytest.raises(FetchError) as caught:
        _prefetch(model, tmp_path, None, None)
    assert "HF_ENDPOINT" in (caught.value.hint or "")
    assert "cannot connect" in (caught.value.detail or "")


def test_a_full_disk_is_seen_before_the_first_byte(
    hubs: tuple[Hub, Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Weights, "free_bytes", lambda _: 1000)
    with pytest.raises(FetchError, match="disk space") as caught:
        _prefetch(locked(FILES), tmp_path, hubs[0])
    assert "--weights-dir" in (caught.value.hint or "")
    assert not hubs[0].seen


def test_two_at_once_download_once(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    model = locked(FILES)
    hubs[0].rate_bytes_s = 40_000
    told: list[Any] = []

    def one() -> None:
        told.append(_prefetch(model, tmp_path, hubs[0], policy=Policy(attempts=3, read_timeout_s=5)))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.files for report in told) == [0, len(model.files)]
    assert hubs[0].sent == model.size


@pytest.mark.parametrize("layout", ["huggingface", "huggingface-small", "modelscope", "modelscope-old", "other-model"])
def test_what_is_in_a_cache_is_taken_when_its_hash_is_right(layout: str, hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    model = locked(FILES, "huggingface", "modelscope")
    hf, ms = tmp_path / "hf", tmp_path / "ms"
    repository = hf / f"models--{ID.replace('/', '--')}"
    places = {
        "huggingface": repository / "blobs" / hashlib.sha256(FILES[LARGE]).hexdigest(),
        "huggingface-small": repository / "snapshots" / COMMIT / LARGE,
        "modelscope": ms / "models" / ID.replace("/", "--") / "snapshots" / "master" / LARGE,
        "modelscope-old": ms / "hub" / "models" / ID.replace(".", "___") / LARGE,
    }
    caches = {"caches": (("huggingface", hf), ("modelscope", ms))}
    if layout == "other-model":
        with Hub({"other.bin": FILES[LARGE]}) as other:
            _prefetch(locked(other.files), tmp_path, other)
    else:
        places[layout].parent.mkdir(parents=True)
        places[layout].write_bytes(FILES[LARGE])
    report = _prefetch(model, tmp_path, *hubs, hubs=caches)
    assert report.linked == 1
    assert not any(LARGE in one.path for one in hubs[0].seen)
    assert_whole_content(model, tmp_path)
    if layout != "other-model":
        root = tmp_path / "again"
        places[layout].chmod(0o644)
        places[layout].unlink()
        places[layout].write_bytes(bytes(len(FILES[LARGE])))
        assert _prefetch(model, root, *hubs, hubs=caches).linked == 0
        assert_whole(model, root)


def assert_whole_content(model: LockedModel, root: Path) -> None:
    """As assert_whole; a hard link keeps the mode that it had."""
    folder = Weights(root / "weights").folder(model.key)
    for one in model.files:
        assert hashlib.sha256((folder / one.path).read_bytes()).hexdigest() == one.sha256


def test_one_content_under_two_paths_comes_once(tmp_path: Path) -> None:
    files = {**FILES, "copy.safetensors": FILES[LARGE]}
    with Hub(files) as hub:
        model = locked(files)
        report = _prefetch(model, tmp_path, hub)
    assert_whole(model, tmp_path)
    assert report.bytes == model.size - len(FILES[LARGE])


# ---- seeded faults, kills


def test_three_hundred_seeded_faults(tmp_path: Path) -> None:
    """Every run ends well or with an error that names a file; no wrong byte gets a place; the next run completes."""
    seed = int(os.environ.get("DEVENV_TEST_SEED", "20"))
    rng = random.Random(seed)
    files = {"a.bin": _body(4, 3 * PIECE + 5), "b.json": _body(5, 700)}
    model = locked(files, "huggingface", "modelscope")
    every = [*PASSING, *LASTING]
    policy = dataclasses.replace(QUICK, attempts=3, backoff_s=0.001, longest_wait_s=0.01, read_timeout_s=0.2)
    with Hub(files) as first, Hub(files) as second:
        helped = failed = 0
        for number in range(300):
            root = tmp_path / str(number)
            for hub in (first, second):
                hub.faults.clear()
                hub.always.clear()
                hub.redirect = rng.random() < 0.3
                for path in files:
                    hub.faults[path] = [rng.choice(every) for _ in range(rng.choice([0, 1, 1, 2, 4]))]
                    if rng.random() < 0.15:
                        hub.always[path] = rng.choice(every)
            error: FetchError | None = None
            try:
                _prefetch(model, root, first, second, policy=policy)
            except FetchError as one:
                error = one
            helped, failed = helped + (error is None), failed + (error is not None)
            if error is not None:
                told = f"{error.message}\n{error.detail}"
                assert any(path in told for path in files), (seed, number, told)
                assert error.hint, (seed, number)
            assert_sound(model, root)
            for hub in (first, second):
                hub.faults.clear()
                hub.always.clear()
            _prefetch(model, root, first, second)
            assert_whole(model, root)
        injected = set(first.injected) | set(second.injected)
    assert helped > 100, (helped, failed)
    assert failed > 10, (helped, failed)
    assert injected == set(every)


_ZYGOTE = """
import os, pickle, sys
import huggingface_hub.hf_api, urllib3
from devenv.doors.http.pieces import Part
from devenv.weights.download.prefetch import prefetch
from devenv.weights.store import Weights
settings, model = pickle.load(sys.stdin.buffer)
for _ in sys.stdin.buffer:
    child = os.fork()
    if child == 0:
        prefetch(model, store=Weights(settings.hubs.dir), settings=settings)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Starting Python is not what is tested: a warm process makes the ones that are killed."""


@pytest.mark.timeout(300)
def test_kill_at_a_hundred_moments_loses_at_most_a_hundredth(tmp_path: Path) -> None:
    seed = int(os.environ.get("DEVENV_TEST_SEED", "7"))
    rng = random.Random(seed)
    files = {"big.safetensors": _body(6, 40_000_000), **{f"s/{i}.json": _body(i, 3000) for i in range(40)}}
    model = locked(files)
    with (
        Hub(files) as hub,
        subprocess.Popen([sys.executable, "-c", _ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as zygote,
    ):
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        chosen = settings(tmp_path, huggingface=hub)
        zygote.stdin.write(pickle.dumps((chosen, model)))
        hub.rate_bytes_s = 2_000_000
        lost: list[int] = []
        for _ in range(100):
            sent = hub.sent
            zygote.stdin.write(b"\n")
            zygote.stdin.flush()
            child = int(zygote.stdout.readline())
            while hub.sent == sent:
                time.sleep(0.001)
            time.sleep(rng.uniform(0.0, 0.3))
            os.kill(child, signal.SIGKILL)
            assert int(zygote.stdout.readline()) == signal.SIGKILL, "it was done before the kill"
            before, now = -1, hub.sent
            while before != now:  # what it was about to send when its peer died
                time.sleep(0.02)
                before, now = now, hub.sent
            lost.append(now - _kept(model, tmp_path) - sum(lost))
        zygote.stdin.close()
        hub.rate_bytes_s = 0
        prefetch(model, store=Weights(chosen.hubs.dir), settings=chosen)
        assert_whole(model, tmp_path)
        assert hub.sent == model.size + sum(lost), "the last run brought what was not there, and no more"
    assert max(lost) <= model.size * 0.01, f"seed {seed}: a kill lost {max(lost)} of {model.size} bytes"
    assert sum(lost) > 0, "the count can see a loss"


def _kept(model: LockedModel, root: Path) -> int:
    """The bytes that the next run will not download, by the store's record; a finished file counts whole."""
    store = Weights(root / "weights")
    total = 0
    for one in model.files:
        placed = store.folder(model.key) / one.path
        if placed.exists():
            assert placed.stat().st_size == one.size
            total += one.size
        elif (path := store.parts(model.key) / one.sha256).exists():
            with Part(one.size, path) as part:
                total += part.total
    return total


# ---- what has its place is what was verified


_KILLED_IN_PUT = """
import os, pickle, signal, sys
from devenv.weights.download.prefetch import prefetch
from devenv.weights.store import Weights
settings, model = pickle.load(sys.stdin.buffer)
put = Weights.put
def die(self, model, file, *rest):
    if file.path == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, model, file, *rest)
Weights.put = die
prefetch(model, store=Weights(settings.hubs.dir), settings=settings)
"""


def test_a_small_file_that_an_earlier_piece_size_began_comes_from_a_server_without_ranges(
    hubs: tuple[Hub, Hub], tmp_path: Path
) -> None:
    model = locked(FILES)
    file = next(one for one in model.files if one.path == DEEP)
    parts = Weights(tmp_path / "weights").parts(model.key)
    parts.mkdir(parents=True)
    with Part(file.size, parts / file.sha256, piece_bytes=1000) as part:
        part.write(1000, FILES[DEEP][1000:1400], 0)  # neither from its beginning nor to a piece's end
    hubs[0].always[DEEP] = "no-range"
    _prefetch(model, tmp_path, hubs[0])
    assert_whole(model, tmp_path)


@pytest.mark.parametrize("path", ["big.bin", "small.bin"])
def test_a_kill_before_a_verified_file_has_its_place_loses_none_of_it(path: str, tmp_path: Path) -> None:
    files = {"big.bin": _body(8, 20_000_000), "small.bin": _body(9, 300_000)}
    model = locked(files)
    with Hub(files) as hub:
        chosen = settings(tmp_path, huggingface=hub)
        command = [sys.executable, "-c", _KILLED_IN_PUT, path]
        done = subprocess.run(command, input=pickle.dumps((chosen, model)), check=False)
        assert done.returncode == -signal.SIGKILL
        kept = _kept(model, tmp_path)
        assert kept >= len(files[path])
        sent = hub.sent
        report = prefetch(model, store=Weights(chosen.hubs.dir), settings=chosen)
        assert hub.sent - sent == report.bytes == model.size - kept
    assert_whole(model, tmp_path)


def test_a_file_that_changes_while_the_rest_comes_is_not_taken_for_verified(
    hubs: tuple[Hub, Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = locked(FILES)
    store = Weights(tmp_path / "weights")
    put = Weights.put

    def put_and_spoil(self: Weights, model: LockedModel, file: Any, *rest: Any) -> None:
        put(self, model, file, *rest)
        if file.path == SMALL:
            path = self.folder(model.key) / SMALL
            path.chmod(0o644)
            path.write_bytes(b"x" * len(FILES[SMALL]))

    monkeypatch.setattr(Weights, "put", put_and_spoil)
    with pytest.raises(FetchError, match="changed"):
        _prefetch(model, tmp_path, hubs[0])
    assert [one.path for one in store.missing(model)] == [SMALL]
    monkeypatch.setattr(Weights, "put", put)
    assert _prefetch(model, tmp_path, hubs[0]).files == 1
    assert_whole(model, tmp_path)


def test_a_file_that_changes_behind_verify_is_not_stamped(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    model = locked(FILES)
    _prefetch(model, tmp_path, hubs[0])
    store = Weights(tmp_path / "weights")
    path = store.folder(model.key) / SMALL

    def spoil(count: int) -> None:
        if count == len(FILES[SMALL]):  # its bytes were read, its stamp is not written yet
            path.chmod(0o644)
            path.write_bytes(b"x" * count)

    assert [file.path for file, _ in store.rehash(model, spoil)] == [SMALL]
    assert [one.path for one in store.missing(model)] == [SMALL]


@pytest.mark.parametrize("end", ["spoilt", "full"])
def test_a_copy_from_a_cache_is_verified_and_leaves_nothing_half(
    end: str, hubs: tuple[Hub, Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import shutil

    model = locked(FILES)
    blob = tmp_path / "hf" / f"models--{ID.replace('/', '--')}" / "blobs" / hashlib.sha256(FILES[LARGE]).hexdigest()
    blob.parent.mkdir(parents=True)
    blob.write_bytes(FILES[LARGE])

    def other_disk(*_: Any) -> None:
        raise OSError(errno.EXDEV, "another file system")

    def copy(_: Path, target: Path) -> None:
        target.write_bytes(b"x" * len(FILES[LARGE]) if end == "spoilt" else b"x")
        if end == "full":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", other_disk)
    monkeypatch.setattr("devenv.weights.local_copies._reflink", lambda *_: False)
    monkeypatch.setattr(shutil, "copyfile", copy)
    caches = {"caches": (("huggingface", tmp_path / "hf"),)}
    if end == "spoilt":
        assert _prefetch(model, tmp_path, hubs[0], hubs=caches).linked == 0
        assert_whole(model, tmp_path)
        return
    with pytest.raises(FetchError, match="No space left"):
        _prefetch(model, tmp_path, hubs[0], hubs=caches)
    assert not list(Weights(tmp_path / "weights").parts(model.key).iterdir())


def test_what_a_kill_left_of_a_copy_is_swept_and_no_unfinished_download_is(tmp_path: Path) -> None:
    model, store = locked(FILES), Weights(tmp_path / "weights")
    store.begin(model)
    sha256 = model.files[0].sha256
    for name in (sha256, f"{sha256}.map", f"{sha256}.12345", f"{sha256}.twin"):
        (store.parts(model.key) / name).write_bytes(b"x")
    store.begin(model)
    assert sorted(path.name for path in store.parts(model.key).iterdir()) == [sha256, f"{sha256}.map"]


# ---- more of what networks do


@pytest.mark.parametrize("fault", [*PASSING, *LASTING])
def test_faults_of_the_host_that_a_hub_redirects_to(fault: str, tmp_path: Path) -> None:
    """Whatever it does: the right bytes or an error that names the file, and the next run goes on."""
    files = {LARGE: FILES[LARGE]}
    model = locked(files)
    with Hub(files) as hub:
        hub.redirect = True
        hub.faults[f"signed:{LARGE}"] = [fault, fault]
        told = ""
        try:
            _prefetch(model, tmp_path, hub)
        except FetchError as error:
            told = f"{error.message}\n{error.detail}"
        assert not told or (LARGE in told and fault in LASTING)
        assert fault in hub.injected
        assert_sound(model, tmp_path)
        hub.faults.clear()
        _prefetch(model, tmp_path, hub)
    assert_whole(model, tmp_path)


def test_a_signature_that_runs_out_in_the_middle_is_asked_for_anew(tmp_path: Path) -> None:
    files = {LARGE: FILES[LARGE]}
    with Hub(files) as hub:
        hub.redirect = True
        served = [0]

        def run_out(path: str) -> None:
            served[0] += path.startswith("signed:")
            if path.startswith("signed:") and served[0] % 2 == 0:
                hub.signatures.clear()

        hub.next_fault = run_out  # type: ignore[assignment,method-assign]
        report = _prefetch(locked(files), tmp_path, hub, policy=dataclasses.replace(QUICK, attempts=8))
        signed = {one.path for one in hub.seen if "key=" in one.path}
    assert report.bytes == len(FILES[LARGE]), "no byte came twice"
    assert len(signed) > 1
    assert_whole(locked(files), tmp_path)


def test_a_hub_that_says_when_is_asked_no_sooner(tmp_path: Path) -> None:
    from tests.integration import hub as module

    files = {DEEP: FILES[DEEP]}
    times: list[float] = []
    answer = module._Handler._answer

    def later(self: Any, status: int, body: bytes, headers: Any = None) -> None:
        answer(self, status, body, {"Retry-After": "1"} if status == 429 else headers)

    with Hub(files) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module._Handler, "_answer", later)

        def first(_: str) -> str | None:
            times.append(time.monotonic())
            return "429" if len(times) == 1 else None

        hub.next_fault = first  # type: ignore[method-assign]
        _prefetch(locked(files), tmp_path, hub, policy=dataclasses.replace(QUICK, longest_wait_s=5))
    assert times[1] - times[0] >= 1


def test_two_processes_at_once_download_once(tmp_path: Path) -> None:
    files = {"a.bin": _body(10, 2_000_000)}
    model = locked(files)
    code = (
        "import pickle, sys\nfrom devenv.weights.download.prefetch import prefetch\nfrom devenv.weights.store import Weights\n"
        "settings, model = pickle.load(sys.stdin.buffer)\n"
        "print(prefetch(model, store=Weights(settings.hubs.dir), settings=settings).files)\n"
    )
    with Hub(files) as hub:
        hub.rate_bytes_s = 1_000_000
        given = pickle.dumps((settings(tmp_path, huggingface=hub), model))
        both = [
            subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        for one in both:
            assert one.stdin is not None
            one.stdin.write(given)
            one.stdin.close()
            one.stdin = None
        told = sorted(int(one.communicate()[0]) for one in both)
        assert hub.sent == model.size
    assert told == [0, 1]
    assert_whole(model, tmp_path)


def test_an_unfinished_file_of_another_piece_size_is_finished(tmp_path: Path) -> None:
    body = FILES[DEEP]
    with Hub({DEEP: body}) as hub:
        model, store = locked(hub.files), Weights(tmp_path / "weights")
        store.begin(model)
        with Part(model.files[0].size, store.parts(model.key) / model.files[0].sha256, piece_bytes=900) as part:
            part.write(0, body[:100], 0)
        assert _prefetch(model, tmp_path, hub).bytes == len(body) - 100
    assert_whole(model, tmp_path)


@pytest.mark.parametrize("name", ["huggingface", "modelscope"])
@pytest.mark.parametrize("page", [b"<html>Please log in</html>", b"[]", b"{}", b'{"Data": null, "siblings": [3]}'])
def test_a_login_page_is_no_hub(name: str, page: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.integration import hub as module

    def portal(self: Any) -> None:
        self._answer(200, page, {"Content-Type": "text/html"})

    monkeypatch.setattr(module._Handler, "do_GET", portal)
    with Hub({}) as hub:
        chosen = settings(tmp_path, **{name: hub})
        wish = WISH.model_copy(update={"huggingface": None} if name == "modelscope" else {"modelscope": None})
        with Web(chosen, QUICK) as web, pytest.raises((FetchError, LockError)) as caught:
            resolve_model(wish, settings=chosen, web=web, store=Store(tmp_path / "store"))
    assert caught.value.hint


@pytest.mark.parametrize("name", ["huggingface", "modelscope"])
def test_a_private_ca_is_named_once_for_all_clients(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    from huggingface_hub import close_session

    from devenv.doors.http.hubs import hub as client

    close_session()  # one for the process, from an earlier test
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    pem = [str(tmp_path / one) for one in ("key", "ca")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem[0], "-out", pem[1], "-days", "2", *names],
        check=True, capture_output=True,
    )  # fmt: skip
    for one in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(one, raising=False)
    with Hub(FILES) as hub:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem[1], pem[0])
        server = hub._servers[0]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = f"https://localhost:{hub.url.rpartition(':')[2]}"
        chosen = dataclasses.replace(settings(tmp_path).hubs, ca_bundle=Path(pem[1]), **{name: url})
        assert len(client(name, chosen).files(ID, COMMIT)) == len(FILES)
    close_session()
    assert "REQUESTS_CA_BUNDLE" not in os.environ
