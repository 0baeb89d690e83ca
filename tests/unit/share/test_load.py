"""Layers that a stranger made, checked before an engine gets them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from devenv.doors.cancellation import Cancellation
from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.terminal.progress import Silent
from devenv.errors import CancelledError, EngineError, ShareError
from devenv.share.formats import LAYER
from devenv.share.load import Arrivals, Parts, best_cut, check, loading
from tests.unit.share.made import Engine, content, member, packed, tar
from tests.waiting import until

SOUND = tar(
    member("etc", type=tarfile.DIRTYPE), member("etc/own", b"x" * 5000), member("etc/.wh.gone"),
    member("etc/link", type=tarfile.SYMTYPE, linkname="../../../outside"),
    member("etc/again", type=tarfile.LNKTYPE, linkname="etc/own"), member("run/pipe", type=tarfile.FIFOTYPE),
    member("etc/..own", b""), member("x" * 400, b"long"),
)  # fmt: skip


CONFIG = b'{"a": 1}'
TAG = "devenv/demo:1"


class Slow:
    """Layers that come to a folder when the test says so."""

    def __init__(self, folder: Path, *layers: bytes) -> None:
        self.engine: Any = Engine()
        self.folder = folder
        self.data = {hashlib.sha256(one).hexdigest(): one for one in layers}
        self.layers = [Descriptor.of(one, LAYER) for one in layers]
        self.cancel = Cancellation()

    def loading(self) -> contextlib.AbstractContextManager[Arrivals]:
        parts = Parts(layers=self.layers)
        return loading(CONFIG, parts, TAG, self.engine, self.folder, stage=Silent(), cancel=self.cancel)

    def grow(self, incoming: Arrivals, number: int, data: bytes) -> None:
        """The first bytes of a layer are there, or other ones."""
        target = self.folder / self.layers[number].hex
        part = target.with_suffix(".part")
        with part.open("r+b" if part.exists() else "wb") as file:
            file.write(data)
        incoming.grew(target, part, len(data))

    def place(self, incoming: Arrivals, number: int) -> None:
        """A layer is whole."""
        target = self.folder / self.layers[number].hex
        part = target.with_suffix(".part")
        part.touch()
        with part.open("r+b") as file:
            file.write(self.data[target.name])
        part.replace(target)
        incoming.placed(target)

    def load(self, act: Callable[[Arrivals], object] = lambda _: None) -> None:
        """All layers come when `act` has returned."""
        with self.loading() as incoming:
            act(incoming)
            for number in range(len(self.layers)):
                self.place(incoming, number)

    def grow_long(self, incoming: Arrivals) -> None:
        """The first layer goes on arriving, until that raises an error."""
        for _ in range(1000):
            self.grow(incoming, 0, b"x")
            time.sleep(0.01)
        pytest.fail("nothing has ended it")

    def is_loaded(self) -> bool:
        """Whether the engine has all in one archive; nothing of another."""
        (archive,) = self.engine.loaded
        with tarfile.open(fileobj=io.BytesIO(archive)) as found:
            (told,) = json.loads(content(found, "manifest.json"))
            layers = [content(found, name) for name in told["Layers"]]
            assert (told["RepoTags"], content(found, told["Config"])) == ([TAG], CONFIG)
        assert self.engine.image_id(TAG) == f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"
        return layers == [self.data[one.hex] for one in self.layers]


def test_an_engine_gets_the_image_under_its_tag(tmp_path: Path) -> None:
    slow = Slow(tmp_path, packed(SOUND), packed(tar(member("other"))), packed(SOUND))
    slow.load()
    assert slow.is_loaded()


def test_an_engine_gets_bytes_before_the_layer_is_whole(tmp_path: Path) -> None:
    slow, got = Slow(tmp_path, packed(tar(member("x", os.urandom(50_000))))), Event()
    load = slow.engine.load

    def overheard(archive: Iterator[bytes], tell: Any) -> None:
        def heard() -> Iterator[bytes]:
            total = 0
            for chunk in archive:
                total += len(chunk)
                if total > 20_000:
                    got.set()
                yield chunk

        load(heard(), tell)

    slow.engine.load = overheard
    with slow.loading() as incoming:
        slow.grow(incoming, 0, slow.data[slow.layers[0].hex][:20_000])
        assert got.wait(10)
        assert slow.engine.loaded == []
        slow.place(incoming, 0)
    assert slow.is_loaded()


@pytest.mark.parametrize("wrong", [b"no zstd" * 900, packed(tar(member("../x", b"y")))], ids=["no-zstd", "hostile"])
def test_wrong_bytes_of_an_earlier_run_do_not_count(wrong: bytes, tmp_path: Path) -> None:
    """Neither as a layer that may not be used, nor for the engine, which gets another archive."""
    slow, begun = Slow(tmp_path, packed(tar(member("x", os.urandom(50_000))))), Event()
    load = slow.engine.load

    def overheard(archive: Iterator[bytes], tell: Any) -> None:
        def heard() -> Iterator[bytes]:
            for number, chunk in enumerate(archive):
                if number > 3:  # behind the configuration and the layer's header
                    begun.set()
                yield chunk

        load(heard(), tell)

    slow.engine.load = overheard
    with slow.loading() as incoming:
        slow.grow(incoming, 0, wrong)
        assert begun.wait(10)
        slow.grow(incoming, 0, b"")
        slow.place(incoming, 0)
    assert slow.is_loaded()


def test_a_failure_of_the_engine_ends_what_brings_the_layers(tmp_path: Path) -> None:
    slow, failed = Slow(tmp_path, packed(SOUND)), EngineError("full")

    def load(archive: Iterator[bytes], _: Any) -> None:
        next(archive)
        raise failed

    slow.engine.load = load
    with pytest.raises(EngineError, match="full"):
        slow.load(slow.grow_long)


def test_a_failure_of_the_download_ends_the_load_and_keeps_the_layers(tmp_path: Path) -> None:
    slow = Slow(tmp_path, packed(SOUND), packed(tar(member("other"))))

    def bring(incoming: Arrivals) -> None:
        slow.place(incoming, 0)
        raise ShareError("no network")

    with pytest.raises(ShareError, match="no network"):
        slow.load(bring)
    assert (tmp_path / slow.layers[0].hex).is_file()
    until(lambda: not any(one.name.startswith(("load", "check")) for one in threading.enumerate()))
    assert slow.engine.loaded == []


def test_a_cancelled_load_is_not_waited_for(tmp_path: Path) -> None:
    slow, ended = Slow(tmp_path, packed(SOUND)), Event()
    slow.engine.load = lambda *_: ended.wait(10)
    with pytest.raises(CancelledError):
        slow.load(lambda _: slow.cancel.cancel())
    ended.set()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (member("/etc/passwd", b"x"), "leaves the image"),
        (member("../etc/passwd", b"x"), "leaves the image"),
        (member("etc/../../passwd", b"x"), "leaves the image"),
        (member("..", type=tarfile.DIRTYPE), "leaves the image"),
        (member("etc/.wh..."), "leaves the image"),
        (member("x", type=tarfile.LNKTYPE, linkname="/etc/passwd"), "leaves the image"),
        (member("x", type=tarfile.LNKTYPE, linkname="../../etc/passwd"), "leaves the image"),
        (member("dev/sda", type=tarfile.BLKTYPE, devmajor=8), "a device"),
        (member("dev/mem", type=tarfile.CHRTYPE, devmajor=1, devminor=1), "a device"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value[0].name}-{value[0].type.decode()}",
)
def test_no_engine_uses_a_hostile_layer(made: tuple[tarfile.TarInfo, bytes], why: str, tmp_path: Path) -> None:
    slow = Slow(tmp_path, packed(SOUND), packed(tar(member("a", b"x"), made, member("b", b"x"))))
    with pytest.raises(ShareError, match=why) as caught:
        slow.load()
    assert slow.layers[1].hex in caught.value.message
    assert slow.engine.loaded == []
    assert not [*tmp_path.iterdir()], "no later run would take them either"


def test_a_wrong_layer_ends_what_brings_the_others(tmp_path: Path) -> None:
    slow = Slow(tmp_path, packed(SOUND), packed(tar(member("../x", b"x"))))

    def bring(incoming: Arrivals) -> None:
        slow.place(incoming, 1)
        slow.grow_long(incoming)

    with pytest.raises(ShareError, match="leaves the image"):
        slow.load(bring)


def test_texts_before_a_header_do_not_hide_a_path() -> None:
    made, data = member("harmless", b"x")
    made.pax_headers = {"path": "../../etc/cron.d/x"}
    with pytest.raises(ShareError, match="leaves the image"):
        check("x", io.BytesIO(packed(tar((made, data)))))


def _broken_header() -> bytes:
    """A header that tarfile cannot read, between two others."""
    first, second = tar(member("a"))[:512], bytearray(tar(member("dev/sda", type=tarfile.BLKTYPE))[:512])
    second[148:156] = b"no sum!!"
    return first + bytes(second) + tar(member("b"))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no zstd", packed(b"x" * 2000), packed(tar(member("x", os.urandom(50_000))))[:20_000],
        packed(tar(member("x", os.urandom(50_000))))[:-9], packed(_broken_header()), packed(tar(member("a")) + SOUND),
    ],
    ids=["empty", "no-zstd", "no-tar", "cut", "cut-at-the-end", "broken-header", "after-the-end"],
)  # fmt: skip
def test_a_layer_that_cannot_be_read_is_named(data: bytes) -> None:
    with pytest.raises(ShareError, match="the layer sha256:abc cannot be read"):
        check("abc", io.BytesIO(data))


def test_a_second_frame_hides_nothing() -> None:
    """An engine reads all frames."""
    data = packed(tar(member("a"))[:512]) + packed(tar(member("../x", b"x")))
    with pytest.raises(ShareError, match="leaves the image"):
        check("x", io.BytesIO(data))


def test_an_image_is_cut_where_both_parts_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devenv.share.load._MIN_PART_BYTES", 10)

    def cut(*sizes: int, known: int = 0) -> int:
        return best_cut(
            [Descriptor(digest=f"sha256:{n}", size=size, media_type=LAYER) for n, size in enumerate(sizes)], known
        )

    assert cut(20, 30, 60, 1) == 2
    assert cut(20, 30, 60, 1, known=2) == 2, "what is left is one large layer"
    assert cut(100) == cut(5, 100) == cut(100, 5) == cut() == 0
    assert cut(90, 40, 60, known=1) == 2


CUT_CONFIG = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": "dev"},
        "rootfs": {"type": "layers", "diff_ids": ["a", "b"]},
    }
).encode()


class Cut(Slow):
    """Two layers, each of which is a part."""

    below = "127.0.0.1:0/devenv/below:1"

    def loading(self) -> contextlib.AbstractContextManager[Arrivals]:
        parts = Parts(layers=self.layers, cut=1, below=self.below)
        return loading(CUT_CONFIG, parts, TAG, self.engine, self.folder, stage=Silent(), cancel=self.cancel)

    def told(self) -> list[dict[str, Any]]:
        """The manifests of the archives that the engine has."""
        found = []
        for archive in self.engine.loaded:
            with tarfile.open(fileobj=io.BytesIO(archive)) as members:
                (manifest,) = json.loads(content(members, "manifest.json"))
                names = members.getnames()
            found.append({**manifest, "has": [layer in names for layer in manifest["Layers"]]})
        return found


def _cut(folder: Path) -> Cut:
    return Cut(folder, packed(SOUND), packed(tar(member("other", os.urandom(50_000)))))


def test_the_engine_unpacks_the_first_part_while_the_second_arrives(tmp_path: Path) -> None:
    slow = _cut(tmp_path)
    with slow.loading() as arrivals:
        slow.grow(arrivals, 1, b"")
        slow.place(arrivals, 0)
        until(lambda: slow.engine.loaded)
        assert slow.engine.image_id(TAG) is None
        slow.place(arrivals, 1)
    first, second = slow.told()
    assert (first["RepoTags"], first["has"]) == ([slow.below], [True])
    assert (second["RepoTags"], second["has"]) == ([TAG], [False, True])
    with tarfile.open(fileobj=io.BytesIO(slow.engine.loaded[0])) as members:
        told = json.loads(content(members, first["Config"]))
    assert told == {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": ["a"]},
    }


def test_the_second_part_is_no_image_before_the_engine_has_the_first(tmp_path: Path) -> None:
    slow, may = _cut(tmp_path), Event()
    load = slow.engine.load
    ends: list[str] = []

    def late(archive: Iterator[bytes], tell: Any) -> None:
        load(archive, tell)
        if slow.below in slow.engine.images and not ends:
            assert may.wait(10)
        ends.append("one")

    slow.engine.load = late

    def act(arrivals: Arrivals) -> None:
        slow.place(arrivals, 0)
        slow.place(arrivals, 1)
        until(lambda: slow.below in slow.engine.images)
        assert TAG not in slow.engine.images
        may.set()

    slow.load(act)
    assert len(ends) == 2
    assert TAG in slow.engine.images


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_hostile_layer_of_either_part_makes_no_image(wrong: int, tmp_path: Path) -> None:
    layers = [packed(SOUND), packed(tar(member("other")))]
    layers[wrong] = packed(tar(member("../x", b"y")))
    slow = Cut(tmp_path, *layers)
    with pytest.raises(ShareError, match="leaves the image"):
        slow.load()
    assert TAG not in slow.engine.images


def test_an_engine_that_refuses_the_first_part_ends_it(tmp_path: Path) -> None:
    slow = _cut(tmp_path)
    load = slow.engine.load

    def refuse(archive: Iterator[bytes], tell: Any) -> None:
        load(archive, tell)
        if TAG not in slow.engine.images:
            raise EngineError("no space left")

    slow.engine.load = refuse
    with pytest.raises(EngineError, match="no space left"):
        slow.load()
    assert TAG not in slow.engine.images
