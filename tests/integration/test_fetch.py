"""Fetch against real HTTP servers on loopback that fail in every way we know."""

from __future__ import annotations

import dataclasses
import errno
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

import pytest

from devenv.doors.http import web
from devenv.doors.http.partial_file import Partial
from devenv.doors.http.retry import Policy
from devenv.doors.settings.settings import Settings
from devenv.errors import FetchError
from devenv.fetch.fetch import FetchReport, GoneError, fetch
from devenv.fetch.store import Store
from devenv.lock.model import Lock, Vsix
from devenv.preset.model import Archive
from tests.integration.mirror import FAULTS, LASTING, PASSING, Mirror, World, make_world, serve, settings, two_mirrors
from tests.waiting import until

QUICK = Policy(attempts=4, backoff_s=0.005, read_timeout_s=0.25, connect_timeout_s=1, longest_wait_s=0.2)
DEB, WHEEL, TARBALL = "tool_1_amd64.deb", "pack_age-1-py3-none-any.whl", "left-1.tgz"


def _body(seed: int, size: int = 5000) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world() -> World:
    return make_world({DEB: _body(1), WHEEL: _body(2), TARBALL: _body(3)})


@pytest.fixture
def mirrors(world: World) -> Iterator[tuple[Mirror, Mirror]]:
    with two_mirrors(world) as both:
        yield both


def _fetch(lock: Lock, root: Path, *mirrors: Mirror, **more: object) -> FetchReport:
    policy: Policy = more.pop("policy", QUICK)  # type: ignore[assignment]
    return fetch(lock, store=Store(root / "store"), settings=settings(root, *mirrors), policy=policy, **more)  # type: ignore[arg-type]


def assert_sound(store: Store) -> int:
    """Every file under a hash has that hash; returns how many there are."""
    files = [path for path in (store.root / "sha256").rglob("*") if path.is_file()]
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        assert path.stat().st_mode & 0o777 == 0o444
    return len(files)


def test_everything_comes_and_the_second_time_nothing(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    report = _fetch(world.lock, tmp_path, *mirrors)
    assert (report.files, report.bytes) == (5, sum(len(body) for body in world.contents.values()))
    store = Store(tmp_path / "store")
    assert assert_sound(store) == 5
    assert store.missing(world.lock) == ()
    assert list((store.root / "tmp").iterdir()) == []
    asked = len(mirrors[0].requests)
    again = _fetch(world.lock, tmp_path, *mirrors)
    assert (again.files, again.bytes, again.from_cache) == (0, 0, 5)
    assert len(mirrors[0].requests) == asked


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("file", [DEB, WHEEL, TARBALL])
def test_a_passing_fault_is_outwaited(
    fault: str, file: str, world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    mirrors[0].faults[world.paths[file]] = [fault, fault]
    _fetch(world.lock, tmp_path, mirrors[0])
    assert assert_sound(Store(tmp_path / "store")) == 5
    assert mirrors[0].injected >= 1


@pytest.mark.parametrize("fault", [*LASTING, "stall", "reset"])
@pytest.mark.parametrize("file", [DEB, WHEEL])
def test_a_bad_mirror_gives_way_to_the_next(
    fault: str, file: str, world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    mirrors[0].always[world.paths[file]] = fault
    _fetch(world.lock, tmp_path, *mirrors)
    assert assert_sound(Store(tmp_path / "store")) == 5
    assert mirrors[0].injected >= 1
    assert any(path == world.paths[file] for path, _ in mirrors[1].requests)


@pytest.mark.parametrize("fault", [*LASTING, "stall", "500"])
@pytest.mark.parametrize("file", [DEB, WHEEL, TARBALL])
def test_no_good_mirror_is_one_error_that_names_the_file(
    fault: str, file: str, world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    for mirror in mirrors:
        mirror.always[world.paths[file]] = fault
    with pytest.raises(FetchError) as caught:
        _fetch(world.lock, tmp_path, *mirrors)
    told = f"{caught.value.message}\n{caught.value.detail}"
    assert file in told
    assert mirrors[0].url in told
    assert caught.value.hint
    assert caught.value.exit_code == 8
    store = Store(tmp_path / "store")
    assert_sound(store)
    assert {one.file for one in store.missing(world.lock)} == {file}, "what came beside it is kept"
    for mirror in mirrors:
        mirror.always.clear()
    report = _fetch(world.lock, tmp_path, *mirrors)
    assert report.files == 1


def test_files_that_no_mirror_has_are_listed_all(world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    lost = make_world({"one_1_amd64.deb": _body(7), "two_1_amd64.deb": _body(8), WHEEL: _body(2)})
    for mirror in mirrors:
        serve(lost, mirror)
        for file in ("one_1_amd64.deb", "two_1_amd64.deb"):
            del mirror.files[lost.paths[file]]
    with pytest.raises(GoneError) as caught:
        _fetch(lost.lock, tmp_path, *mirrors)
    assert [one.file for one in caught.value.missing] == ["one_1_amd64.deb", "two_1_amd64.deb"]
    assert caught.value.kind == "deb"
    assert "relock" in (caught.value.hint or "")


def test_a_mirror_that_is_down_and_one_that_lost_the_file_is_not_gone(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    mirrors[0].always[world.paths[DEB]] = "404"
    mirrors[1].always[world.paths[DEB]] = "500"
    with pytest.raises(FetchError) as caught:
        _fetch(world.lock, tmp_path, *mirrors)
    assert not isinstance(caught.value, GoneError)


def test_a_dead_network_is_said(world: World, tmp_path: Path) -> None:
    mirror = Mirror()  # bound, so nobody else has the port; never started, then closed
    mirror._server.server_close()
    with pytest.raises(FetchError) as caught:
        _fetch(world.lock, tmp_path, mirror)
    assert "cannot connect" in (caught.value.detail or "")


def test_a_cut_download_goes_on_where_it_was(world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    mirrors[0].faults[world.paths[DEB]] = ["cut"]
    _fetch(world.lock, tmp_path, mirrors[0])
    ranges = [header for path, header in mirrors[0].requests if path == world.paths[DEB]]
    assert ranges == ["", "bytes=2500-"]


def test_another_run_goes_on_where_the_first_was(world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    once = dataclasses.replace(QUICK, attempts=1)
    mirrors[0].faults[world.paths[DEB]] = ["cut"]
    with pytest.raises(FetchError):
        _fetch(world.lock, tmp_path, mirrors[0], policy=once)
    _fetch(world.lock, tmp_path, mirrors[0], policy=once)
    assert (world.paths[DEB], "bytes=2500-") in mirrors[0].requests
    assert assert_sound(Store(tmp_path / "store")) == 5


def test_a_damaged_part_is_found_out_and_fetched_anew(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    deb = world.lock.base.packages[0]
    for damaged in (b"\0" * 100, b"\0" * deb.size, b"\0" * (deb.size + 10)):
        store.part(deb.sha256).write_bytes(damaged)
        store.path(deb.sha256).unlink(missing_ok=True)
        _fetch(world.lock, tmp_path, mirrors[0])
        assert assert_sound(store) == 5


def test_a_source_that_starts_over_each_time_is_given_up(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    mirrors[0].always[world.paths[DEB]] = "flip-cut"
    with pytest.raises(FetchError):
        _fetch(world.lock, tmp_path, mirrors[0])
    assert sum(path == world.paths[DEB] for path, _ in mirrors[0].requests) <= 12


def test_an_index_that_lies_about_a_hash_is_passed_over(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    page = f'<a href="/files/{WHEEL}#sha256={"0" * 64}">{WHEEL}</a>'
    mirrors[0].files["/simple/pack-age/"] = page.encode()
    _fetch(world.lock, tmp_path, *mirrors)
    assert not any(path == world.paths[WHEEL] for path, _ in mirrors[0].requests)
    with pytest.raises(FetchError, match=WHEEL) as caught:
        _fetch(world.lock, tmp_path / "other", mirrors[0])
    assert "the index has sha256" in (caught.value.detail or "")


@pytest.mark.parametrize("page", [b"", b"<html>", b"\xff\xfe\x00", b'{"meta": 1}', b"<a href='::::'>x</a>" * 9])
def test_a_broken_index_page_is_no_crash(
    page: bytes, world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    mirrors[0].files["/simple/pack-age/"] = page
    with pytest.raises(FetchError):
        _fetch(world.lock, tmp_path / "bad", mirrors[0])
    _fetch(world.lock, tmp_path, *mirrors)


def test_find_links_and_file_indexes_are_used_where_the_hash_matches(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / WHEEL).write_bytes(world.contents[WHEEL])
    (links / "uv-1-py3-none-any.whl").write_bytes(b"another uv")
    store = Store(tmp_path / "store")
    base = settings(tmp_path, mirrors[0])
    mine = dataclasses.replace(base, pip=dataclasses.replace(base.pip, find_links=(str(links),)))
    fetch(world.lock, store=store, settings=mine, policy=QUICK)
    assert assert_sound(store) == 5
    asked = {path for path, _ in mirrors[0].requests}
    assert world.paths[WHEEL] not in asked
    assert world.paths["uv-1-py3-none-any.whl"] in asked


def test_apts_own_downloads_and_pips_cache_are_used(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    archives, cache = tmp_path / "archives", tmp_path / "pip"
    archives.mkdir()
    (archives / "tool_1_amd64.deb").write_bytes(world.contents[DEB])
    name = hashlib.sha224((mirrors[0].url + world.paths[WHEEL]).encode()).hexdigest()
    body = cache.joinpath("http-v2", *name[:5], f"{name}.body")
    body.parent.mkdir(parents=True)
    body.write_bytes(world.contents[WHEEL])
    base = settings(tmp_path, mirrors[0])
    mine = dataclasses.replace(base, apt_archives=archives, pip=dataclasses.replace(base.pip, cache=cache))
    fetch(world.lock, store=Store(tmp_path / "store"), settings=mine, policy=QUICK)
    asked = {path for path, _ in mirrors[0].requests}
    assert not {world.paths[DEB], world.paths[WHEEL]} & asked
    assert assert_sound(Store(tmp_path / "store")) == 5


def test_an_index_that_answers_without_an_end_is_left(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_MOST_PAGE_BYTES", 1 << 20)
    mirrors[0].files["/simple/pack-age/"] += b" " * (2 << 20)
    with pytest.raises(FetchError) as caught:
        _fetch(world.lock, tmp_path, mirrors[0])
    assert "its answer is larger than 1 MB" in f"{caught.value.message}{caught.value.detail}"


def test_a_registry_with_other_paths_is_asked_where_its_tarball_is(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    mirrors[0].files["/elsewhere/left.tgz"] = mirrors[0].files.pop(world.paths[TARBALL])
    mirrors[0].files["/npm/left/1"] = f'{{"dist": {{"tarball": "{mirrors[0].url}/elsewhere/left.tgz"}}}}'.encode()
    _fetch(world.lock, tmp_path, mirrors[0])
    assert assert_sound(Store(tmp_path / "store")) == 5


def test_credentials_go_only_where_they_belong_and_are_never_shown(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    base = settings(tmp_path, mirrors[0])
    host = mirrors[0].url.partition(":")[2]
    mine = dataclasses.replace(
        base,
        npm=dataclasses.replace(base.npm, auth=((f"{host}/npm/", "Bearer s3cret"),)),
        pip=dataclasses.replace(base.pip, index=mirrors[0].url.replace("//", "//me:pa55@") + "/simple"),
    )
    mirrors[0].always[world.paths[TARBALL]] = "404"
    mirrors[0].always[world.paths[WHEEL]] = "404"
    with pytest.raises(FetchError) as caught:
        fetch(world.lock, store=Store(tmp_path / "store"), settings=mine, policy=QUICK)
    told = f"{caught.value.message}{caught.value.detail}{caught.value.hint}"
    assert "s3cret" not in told
    assert "pa55" not in told
    assert mirrors[0].headers[world.paths[TARBALL]][0].get("Authorization") == "Bearer s3cret"
    assert mirrors[0].headers["/simple/pack-age/"][0].get("Authorization", "").startswith("Basic ")
    assert "Authorization" not in mirrors[0].headers[world.paths[DEB]][0]
    assert "s3cret" not in repr(mine)


def test_files_of_the_presets_own_come_from_their_path_or_address(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    near, far = b"near" * 100, b"far" * 100
    (tmp_path / "near.vsix").write_bytes(near)
    mirrors[0].files["/far.vsix"] = far
    shas = [hashlib.sha256(body).hexdigest() for body in (near, far)]
    extensions = tuple(
        Vsix(name=f"a.{n}", version="1", file=f"{n}.vsix", size=len(body), sha256=sha)
        for n, body, sha in zip("xy", (near, far), shas, strict=True)
    )
    lock = world.lock.model_copy(update={"extensions": extensions})
    files = {
        shas[0]: Archive(path=str(tmp_path / "near.vsix"), sha256=shas[0]),
        shas[1]: Archive(url=f"{mirrors[0].url}/far.vsix", sha256=shas[1]),
    }
    _fetch(lock, tmp_path, mirrors[0], files=files)
    assert assert_sound(Store(tmp_path / "store")) == 7
    (tmp_path / "near.vsix").write_bytes(b"changed")
    with pytest.raises(FetchError, match=r"x\.vsix"):
        _fetch(lock, tmp_path / "other", mirrors[0], files=files)


def test_a_full_disk_is_said_before_the_first_byte(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "free_bytes", lambda _: 1000)
    with pytest.raises(FetchError, match="not enough disk space"):
        _fetch(world.lock, tmp_path, mirrors[0])
    assert mirrors[0].requests == []


def test_a_disk_that_fills_up_is_one_error(
    world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Partial, "write", full)
    with pytest.raises(FetchError, match="No space left") as caught:
        _fetch(world.lock, tmp_path, mirrors[0])
    assert caught.value.exit_code == 8
    assert "space" in (caught.value.hint or "")


def test_two_fetches_at_once_download_once(world: World, mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    mirrors[0].always[world.paths[DEB]] = "slow"
    results: list[FetchReport] = []
    threads = [threading.Thread(target=lambda: results.append(_fetch(world.lock, tmp_path, mirrors[0]))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert sum(path == world.paths[DEB] for path, _ in mirrors[0].requests) == 1
    assert assert_sound(Store(tmp_path / "store")) == 5


class _Counter:
    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self._guard = threading.Lock()

    def start(self, task: str, total_bytes: int | None) -> None:
        self.total += total_bytes or 0

    def advance(self, task: str, bytes_: int) -> None:
        with self._guard:
            self.done += bytes_

    def finish(self, task: str) -> None: ...
    def message(self, text: str) -> None: ...


def test_no_fault_ever_puts_a_wrong_byte_in_the_store(tmp_path: Path) -> None:
    """At least 200 faults by seed: every one found out, and the next run mends all."""
    injected = 0
    for seed in range(30):
        print("seed", seed)
        injected += _one_seed(random.Random(seed), tmp_path / str(seed))
    assert injected >= 200


def _one_seed(rng: random.Random, root: Path) -> int:
    suffixes = ("_1_amd64.deb", "-1-py3-none-any.whl", "-1.tgz")
    files = {f"f{n}{rng.choice(suffixes)}": rng.randbytes(rng.choice((1, 50, 4096, 300_000))) for n in range(8)}
    world = make_world(files)
    store = Store(root / "store")
    with two_mirrors(world) as mirrors:
        for mirror in mirrors:
            for path in rng.sample(sorted(mirror.files), 8):
                likely = [fault for fault in FAULTS if fault != "stall" or rng.random() < 0.2]
                mirror.faults[path] = [rng.choice(likely) for _ in range(3)]
        for _ in range(20):
            counter = _Counter()
            try:
                report = _fetch(world.lock, root, *mirrors, progress=counter)
            except FetchError as error:
                told = f"{error.message}{error.detail}"
                named = [file for file in world.contents if file in told]
                assert_sound(store)
                if not named:
                    raise
            else:
                break
        else:
            raise AssertionError("not mended after 20 runs")
        assert counter.done == counter.total == report.bytes
        assert assert_sound(store) == len(world.lock.artifacts())
        return mirrors[0].injected + mirrors[1].injected


_SCRIPT = """
import pickle, sys
from pathlib import Path
from devenv.fetch.store import Store
from devenv.fetch.fetch import fetch
from devenv.lock.model import read
root = Path(sys.argv[1])
settings = pickle.loads((root / "settings").read_bytes())
fetch(read(root / "devenv.lock"), store=Store(root / "store"), settings=settings, jobs=2)
"""


def _in_a_process(root: Path, mine: Settings) -> subprocess.Popen[bytes]:
    (root / "settings").write_bytes(pickle.dumps(mine))
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, str(root)], stderr=subprocess.DEVNULL)


def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL at random moments of a slow fetch; every run goes on, the last one ends it, no byte is wrong."""
    world = make_world({f"k{n}_1_amd64.deb": _body(n, 200_000) for n in range(12)})
    (tmp_path / "devenv.lock").write_text(world.lock.dump())
    with two_mirrors(world) as mirrors:
        for path in list(mirrors[0].files):
            mirrors[0].always[path] = "slow"
        rng, done = random.Random(5), False
        store = Store(tmp_path / "store")
        for kill in range(12):
            process = _in_a_process(tmp_path, settings(tmp_path, mirrors[0]))
            try:
                done = process.wait(timeout=None if kill == 11 else rng.uniform(0.35, 0.8)) == 0
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            assert_sound(store)
            if done:
                break
        assert done
        assert store.missing(world.lock) == ()


def test_an_interrupt_ends_it_even_while_a_mirror_stalls(tmp_path: Path) -> None:
    world = make_world({"slow_1_amd64.deb": _body(1)})
    (tmp_path / "devenv.lock").write_text(world.lock.dump())
    with two_mirrors(world) as (mirror, _):
        mirror.always[world.paths["slow_1_amd64.deb"]] = "hang"
        process = _in_a_process(tmp_path, settings(tmp_path, mirror))
        until(lambda: any(path == world.paths["slow_1_amd64.deb"] for path, _ in mirror.requests))
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) != 0
