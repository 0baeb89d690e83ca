"""An image is read and compressed once, and again where something of it is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from devenv.doors.files import sha256
from devenv.doors.http.registry.manifest import digest_of
from devenv.errors import ShareError
from devenv.share import pack as module
from devenv.share.formats import DIFF_ID, LAYER, TITLE
from devenv.share.pack import document, known_config, pack, pack_layer
from devenv.up.session import Session
from devenv.verify.canonical import Layer
from devenv.verify.identity import Identity
from tests.unit import examples
from tests.unit.share.made import Engine, member, session, tar

LAYERS = {"base": tar(member("base", b"b" * 100_000)), "own": tar(member("own", b"o"))}
CONFIG = {"config": {}, "rootfs": {"diff_ids": [digest_of(one) for one in LAYERS.values()]}, "naïve": 1}


class Reader:
    """Counts how often an image is read."""

    def __init__(self) -> None:
        self.images: list[str] = []
        self.fails: Exception | None = None

    def with_layers(self, reference: str, _: Any, out: Path, **__: Any) -> tuple[Identity, dict[str, Path]]:
        self.images.append(reference)
        if self.fails:
            raise self.fails
        tars = {}
        for name, data in LAYERS.items():
            tars[name] = out / f"{name}.tar.zst"
            tars[name].write_bytes(zstandard.ZstdCompressor().compress(data))
        layers = tuple(
            Layer(name=name, diff_id=digest_of(data), size_bytes=len(data), entries=())
            for name, data in LAYERS.items()
        )  # fmt: skip
        return Identity(reference=reference, digest=digest_of(document(CONFIG)), config=CONFIG, layers=layers), tars


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    made = Reader()

    @contextlib.contextmanager
    def held(reference: str, _: Any) -> Iterator[str]:
        yield reference

    monkeypatch.setattr(module, "with_layers", made.with_layers)
    monkeypatch.setattr(module, "held", held)
    return made


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    made.images["devenv/demo:1"] = "sha256:1"
    return made


@pytest.fixture
def given(tmp_path: Path, engine: Engine) -> Session:
    return session(tmp_path, engine)


def _pack(given: Session) -> module.Packed:
    return pack("devenv/demo:1", examples.lock().base, given)


def _work(given: Session) -> Path:
    return given.dirs.cache / "packing"


def test_the_layers_are_compressed_and_described(reader: Reader, given: Session) -> None:
    found = _pack(given)
    assert found.config == document(CONFIG)
    for (about, path), (name, plain) in zip(found.layers, LAYERS.items(), strict=True):
        assert (about.media_type, about.digest, about.size) == (LAYER, f"sha256:{sha256(path)}", path.stat().st_size)
        assert dict(about.annotations) == {DIFF_ID: digest_of(plain), TITLE: f"{name}.tar.zst"}
        assert zstandard.ZstdDecompressor().decompress(path.read_bytes()) == plain
    assert not _work(given).exists()


def test_it_is_read_once_and_other_images_too(reader: Reader, given: Session, engine: Engine) -> None:
    assert known_config("devenv/demo:1", given) is None
    first = _pack(given)
    assert _pack(given) == first
    assert known_config("devenv/demo:1", given) == first.config
    assert len(reader.images) == 1
    engine.images["devenv/demo:1"] = "sha256:2"  # built again
    assert known_config("devenv/demo:1", given) is None
    assert _pack(given) == first
    assert len(reader.images) == 2


@pytest.mark.parametrize("how", ["gone", "shorter"])
def test_a_layer_that_is_missing_is_made_again(how: str, reader: Reader, given: Session) -> None:
    first = _pack(given)
    path = first.layers[0][1]
    path.chmod(0o644)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert known_config("devenv/demo:1", given) is None
    assert _pack(given) == first
    assert sha256(path) == first.layers[0][0].hex
    assert len(reader.images) == 2


def test_an_image_that_lies_about_a_layer_spoils_no_other_images(
    reader: Reader, given: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _pack(given)
    engine.images["devenv/demo:1"] = "sha256:evil"
    honest = module._about
    monkeypatch.setattr(module, "_about", lambda path, _, name: honest(path, digest_of(LAYERS["base"]), name))
    monkeypatch.setitem(LAYERS, "own", tar(member("own", b"evil")))
    assert _pack(given).layers[1][0].digest != first.layers[0][0].digest
    engine.images["devenv/demo:1"] = "sha256:1"
    assert _pack(given) == first
    assert sha256(first.layers[0][1]) == first.layers[0][0].hex


def test_the_layers_of_a_base_image_come_first_and_are_saved_once(
    reader: Reader, given: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = [tar(member("low", b"l")), tar(member("lower", b"m"))]
    ids = [digest_of(one) for one in low]
    monkeypatch.setitem(CONFIG, "rootfs", {"diff_ids": [*ids, *(digest_of(one) for one in LAYERS.values())]})
    saved: list[str] = []

    def unpacked(reference: str, diff_ids: Any, _: Any, folder: Path) -> Iterator[Path]:
        assert [*diff_ids] == ids
        saved.append(reference)
        for number, data in enumerate(low):
            (folder / f"{number}.tar").write_bytes(data)
            yield folder / f"{number}.tar"

    monkeypatch.setattr(module.base_layers, "unpacked", unpacked)
    monkeypatch.setattr(module, "name_base", lambda *_: "base:1")
    base = examples.lock().base.model_copy(update={"kind": "image"})
    first = pack("devenv/demo:1", base, given)
    found = [zstandard.ZstdDecompressor().decompress(path.read_bytes()) for _, path in first.layers]
    assert found == [*low, *LAYERS.values()]
    assert [dict(about.annotations)[DIFF_ID] for about, _ in first.layers[:2]] == ids
    assert pack("devenv/demo:1", base, given) == first
    engine.images["devenv/demo:1"] = "sha256:2"
    assert pack("devenv/demo:1", base, given) == first
    assert saved == ["base:1"]


def test_what_a_killed_run_left_goes(reader: Reader, given: Session) -> None:
    _work(given).mkdir(parents=True)
    (_work(given) / "base.tar.zst").write_bytes(b"half")
    _pack(given)
    assert not _work(given).exists()


def test_a_full_disk_is_named(reader: Reader, given: Session) -> None:
    reader.fails = OSError(28, "No space left on device")
    with pytest.raises(ShareError, match="cannot pack the image: no space left") as caught:
        _pack(given)
    assert caught.value.hint == "free disk space"
    assert not _work(given).exists()


def test_one_layer_gives_the_same_bytes_on_every_machine(
    given: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tar(*(member(f"file-{number}", bytes([number % 251]) * 40_000) for number in range(100)))
    path, found = tmp_path / "x.tar", set()
    path.write_bytes(plain)
    for number, cores in enumerate((1, 2, 7, None)):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        other = session(tmp_path / str(number))
        found.add(pack_layer(path, digest_of(plain), "x", other.store)[0].digest)
    assert len(found) == 1


def test_a_document_depends_on_its_content_alone() -> None:
    assert document({"b": 1, "a": {"d": [1], "c": "ü"}}) == '{"a":{"c":"ü","d":[1]},"b":1}'.encode()
