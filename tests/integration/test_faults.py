"""Archives, indexes and registries that lie or fail while a lock is made; a disk that is really full; kill -9."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.progress import Silent
from devenv.errors import DevenvError, FetchError, LockError
from devenv.fetch.fetch import fetch
from devenv.fetch.store import Store
from devenv.lock.model import read
from devenv.resolve.context import Context
from devenv.resolve.resolver import resolve
from tests.integration.mirror import make_world, settings, two_mirrors
from tests.integration.test_fetch import QUICK, _body, assert_sound
from tests.integration.test_resolve import Small, make, mine, preset, small

__all__ = ["mine", "small"]  # fixtures
pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt resolves Debian packages")
RELEASE, PACKAGES = "/debian/dists/bookworm/Release", "/debian/dists/bookworm/main/binary-amd64/Packages"
INRELEASE = "/debian/dists/bookworm/InRelease"


class Signer:
    """An archive's owner with a key of their own."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.home = home
        self._gpg("--quick-generate-key", "--passphrase", "", f"{home.name}@example.org", "ed25519", "sign", "never")
        self.keyring = home / "archive.gpg"
        self.keyring.write_bytes(self._gpg("--export"))

    def _gpg(self, *arguments: str, text: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--pinentry-mode", "loopback", *arguments]
        return subprocess.run(command, input=text, capture_output=True, check=True).stdout

    def sign(self, small: Small) -> None:
        small.mirror.files[INRELEASE] = self._gpg("--clearsign", text=small.mirror.files[RELEASE])


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[Signer]:
    if shutil.which("gpg") is None:
        pytest.skip("gpg signs")
    home = Path(f"/tmp/devenv-gpg-{os.getpid()}")  # a socket's path must be short
    shutil.rmtree(home, ignore_errors=True)
    yield Signer(home)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def signed(signer: Signer, small: Small, mine: Settings) -> Settings:
    """Settings that believe the archive because it is signed, and not otherwise."""
    signer.sign(small)
    source = dataclasses.replace(mine.apt[0], trusted=False, signed_by=(str(signer.keyring),))
    return dataclasses.replace(mine, apt=(source,))


def _alter(path: str, old: bytes, new: bytes) -> Callable[[Small], None]:
    def edit(small: Small) -> None:
        assert old in small.mirror.files[path]
        small.mirror.files[path] = small.mirror.files[path].replace(old, new, 1)

    return edit


def _unsigned(small: Small) -> None:
    del small.mirror.files[INRELEASE]


def test_a_signed_archive_is_believed(signed: Settings, tmp_path: Path) -> None:
    assert make(preset(), signed, tmp_path).archives


@pytest.mark.parametrize(
    "lie",
    [
        _alter(INRELEASE, b"Suite: stable", b"Suite: sta-ble"),
        _alter(INRELEASE, b"SHA256:\n ", b"SHA256:\n 0"),
        _alter(PACKAGES, b"Version: 1.0", b"Version: 1.1"),
        _alter(PACKAGES, b"SHA256: ", b"SHA256: 0"),
        _unsigned,
    ],
    ids=["signature", "hash of the index", "index", "hash in the index", "unsigned"],
)
def test_an_archive_that_was_altered_is_refused(
    lie: Callable[[Small], None], small: Small, signed: Settings, tmp_path: Path
) -> None:
    lie(small)
    with pytest.raises(LockError) as caught:
        make(preset(), signed, tmp_path)
    print(caught.value.message, caught.value.detail)
    assert "debian/bookworm" in caught.value.message
    assert "signature" in caught.value.message or "is inconsistent" in caught.value.message
    small.publish()


def test_another_key_is_refused(small: Small, signed: Settings, tmp_path: Path) -> None:
    other = Path(f"/tmp/devenv-gpg2-{os.getpid()}")
    try:
        Signer(other).sign(small)
        with pytest.raises(LockError, match="cannot check the signature"):
            make(preset(), signed, tmp_path)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(other), "--kill", "all"], check=False)
        shutil.rmtree(other, ignore_errors=True)


def test_an_index_that_lies_about_a_hash_gives_no_lock(small: Small, mine: Settings, tmp_path: Path) -> None:
    page = small.mirror.files["/simple/leaf/"]
    at = page.index(b"#sha256=") + 8
    small.mirror.files["/simple/leaf/"] = page[:at] + b"0" * 64 + page[at + 64 :]
    with pytest.raises(FetchError) as caught:
        make(preset(), mine, tmp_path)
    told = f"{caught.value.message}{caught.value.detail}"
    assert "leaf-1.0-py3-none-any.whl" in told
    assert "0" * 64 in told
    assert_sound(Store(tmp_path / "store"))


def _integrity(small: Small, path: str) -> None:
    told = json.loads(small.mirror.files[path])
    told["dist"]["integrity"] = "sha512-" + "A" * 86 + "=="
    small.mirror.files[path] = json.dumps(told).encode()


def test_a_registry_that_lies_about_integrity_is_refused(small: Small, mine: Settings, tmp_path: Path) -> None:
    _integrity(small, "/npm/code-server/4.139.1")
    with pytest.raises(FetchError, match=r"code-server@4\.139\.1") as caught:
        make(preset(), mine, tmp_path)
    assert "sha512" in (caught.value.detail or "")
    assert_sound(Store(tmp_path / "store"))


LOCK_FAULTS = (
    "500",
    "503",
    "429",
    "reset",
    "cut",
    "flip-cut",
    "slow",
    "404",
    "flip",
    "short",
    "long",
    "empty",
    "portal",
)


def test_no_fault_while_locking_gives_another_lock(small: Small, mine: Settings, tmp_path: Path) -> None:
    """Seeded faults in archive, index and registry: an error or the right lock, and never another one."""
    good, injected = make(preset(), mine, tmp_path / "good").dump(), 0
    for seed in range(4):
        dice, root = random.Random(seed), tmp_path / str(seed)
        small.mirror.injected = 0
        for path in dice.sample(sorted(small.mirror.files), 16):
            # uv and apt ask some files several times by themselves.
            small.mirror.faults[path] = [dice.choice(LOCK_FAULTS) for _ in range(dice.randrange(1, 3))]
        for _ in range(20):
            try:
                context = Context(
                    settings=mine, store=Store(root / "store"), progress=Silent(), policy=QUICK
                )  # fmt: skip
                made = resolve(preset(), context)
            except DevenvError:
                assert_sound(Store(root / "store"))
            else:
                break
        else:
            raise AssertionError(f"seed {seed}: not mended after 20 runs")
        assert made.dump() == good, f"seed {seed}"
        assert_sound(Store(root / "store"))
        small.mirror.faults.clear()
        injected += small.mirror.injected
    print(injected, "faults")
    assert injected >= 20


_LOCK = """
import pickle, sys
from pathlib import Path
from devenv.fetch.store import Store
from devenv.lock.files import write
from devenv.resolve.context import Context
from devenv.resolve.resolver import resolve
from devenv.doors.terminal.progress import Silent
root = Path(sys.argv[1])
loaded, settings = pickle.loads((root / "wish").read_bytes())
context = Context(settings=settings, store=Store(root / "store"), progress=Silent())
write(resolve(loaded, context), root / "devenv.lock")
"""


def test_a_kill_while_locking_leaves_the_old_lock_or_the_new(small: Small, mine: Settings, tmp_path: Path) -> None:
    good = make(preset(), mine, tmp_path / "good").dump()
    one = dataclasses.replace(preset(), origins={})
    (tmp_path / "wish").write_bytes(pickle.dumps((one, mine)))
    place, old = tmp_path / "devenv.lock", "the old one\\n"
    place.write_text(old)
    dice, kills = random.Random(7), 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", _LOCK, str(tmp_path)], stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=dice.uniform(0.2, 3.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        assert place.read_text() in {old, good}
        assert_sound(Store(tmp_path / "store"))
    print(kills, "kills")
    assert kills >= 3
    subprocess.run([sys.executable, "-c", _LOCK, str(tmp_path)], check=True)
    assert place.read_text() == good
    assert read(place).dump() == good


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("only root may mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_really_full_keeps_what_came_and_the_next_run_goes_on(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world({f"d{n}_1_amd64.deb": _body(n, 300_000) for n in range(12)})
    store = Store(small_disk / "store")
    # Someone else fills the disk after we looked.
    monkeypatch.setattr(Store, "free_bytes", lambda _: 1 << 40)
    with two_mirrors(world) as (mirror, _):
        with pytest.raises(FetchError, match="No space left") as caught:
            fetch(world.lock, store=store, settings=settings(tmp_path, mirror), policy=QUICK, jobs=2)
        assert caught.value.exit_code == 8
        assert "space" in (caught.value.hint or "")
        came = assert_sound(store)
        assert 0 < came < 12
        subprocess.run(["mount", "-o", "remount,size=32m", str(small_disk)], check=True)
        report = fetch(world.lock, store=store, settings=settings(tmp_path, mirror), policy=QUICK)
        assert report.files == len(world.lock.artifacts()) - came
        assert assert_sound(store) == len(world.lock.artifacts())
