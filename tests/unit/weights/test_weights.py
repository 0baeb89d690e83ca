"""What weights decide without a network: the part, the stamps, the order, patterns, caches, ranges."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devenv.doors.dirs import Dirs
from devenv.doors.http.pieces import Part
from devenv.doors.http.pieces_digest import Digest
from devenv.doors.settings.config_yaml import HubSettings, weights_dir
from devenv.doors.settings.settings import Settings
from devenv.errors import UsageError
from devenv.lock.model import LockedModel, ModelFile, ModelSource, files_digest
from devenv.plan.plan import plan
from devenv.preset.model import Model
from devenv.resolve.model import model_name, wanted
from devenv.weights import local_copies
from devenv.weights.download.prefetch import source_order
from devenv.weights.download.queue import Todo
from devenv.weights.download.transfer import Arriving
from devenv.weights.serve.hub_api import _span
from devenv.weights.store import Weights
from tests.unit import examples
from tests.unit.weights.elsewhere import Elsewhere

HF = {"id": "acme/Tiny-1.0", "revision": "c0ffee" + "0" * 34}
BODIES = {"a.bin": bytes(range(250)), "b/c.txt": b"text"}


def locked(bodies: dict[str, bytes] = BODIES, *hubs: str) -> LockedModel:
    files = tuple(
        ModelFile(path=path, size=len(body), sha256=hashlib.sha256(body).hexdigest())
        for path, body in sorted(bodies.items())
    )
    sources = tuple(ModelSource(hub=hub, **HF) for hub in hubs or ("huggingface",))  # type: ignore[arg-type]
    return LockedModel(name="tiny-1.0", digest=files_digest(files), sources=sources, files=files)


# ---- the part


def _file(body: bytes) -> ModelFile:
    return ModelFile(path="x", size=len(body), sha256=hashlib.sha256(body).hexdigest())


@given(st.integers(1, 3000), st.integers(1, 700), st.integers(0, 10**6))
def test_a_part_has_what_was_written_in_any_order_and_across_a_reopen(size: int, piece: int, seed: int) -> None:
    import tempfile

    rng = random.Random(seed)
    body = rng.randbytes(size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part"
        total = 0
        for _ in range(40):
            with Part(len(body), path, piece_bytes=piece) as part:
                assert part.total == total
                todo = [number for number in range(part.count) if not part.full(number)]
                if not todo:
                    break
                number = rng.choice(todo)
                at = part.start(number) + part.have(number)
                new = part.write(at, body[at : at + rng.randint(1, piece)], rng.randint(0, 1))
                assert new > 0
                total += new
        with Part(len(body), path, piece_bytes=piece) as part:
            for number in range(part.count):
                at = part.start(number) + part.have(number)
                part.write(at, body[at : part.start(number) + part.length(number)], 0)
            assert part.complete
            assert part.contiguous() == size
        assert path.read_bytes() == body


def test_bytes_that_are_there_are_passed_over_and_a_stream_of_the_whole_fills_the_gaps(tmp_path: Path) -> None:
    body = bytes(range(100))
    with Part(len(body), tmp_path / "part", piece_bytes=30) as part:
        part.write(30, body[30:60], 1)
        assert part.write(0, body, 0) == 70
        assert part.complete
        assert part.bytes_by_source() == {0: 70, 1: 30}
        assert part.drop(keep=0) == 30
        assert part.contiguous() == 30
        assert part.drop(keep=None) == 70


def test_a_part_that_someone_cut_begins_anew(tmp_path: Path) -> None:
    body = bytes(100)
    path = tmp_path / "part"
    with Part(len(body), path, piece_bytes=30) as part:
        part.write(0, body, 0)
    with path.open("r+b") as file:
        file.truncate(50)
    with Part(len(body), path, piece_bytes=30) as part:
        assert part.total == 0


@pytest.mark.parametrize("spoilt", [b"", b"garbage", b"devenvw1" + bytes(40)])
def test_a_map_that_says_nothing_is_no_map(spoilt: bytes, tmp_path: Path) -> None:
    path = tmp_path / "part"
    with Part(100, path) as part:
        part.write(0, bytes(60), 0)
    (tmp_path / "part.map").write_bytes(spoilt)
    with Part(100, path) as part:
        assert part.total == 0


def test_a_file_of_one_piece_is_gone_on_with_by_its_length_alone(tmp_path: Path) -> None:
    body, path = bytes(range(100)), tmp_path / "part"
    with Part(len(body), path) as part:
        part.write(0, body[:40], 0)
    assert [one.name for one in tmp_path.iterdir()] == ["part"]
    with Part(len(body), path, piece_bytes=30) as part:
        assert [part.have(piece) for piece in range(4)] == [30, 10, 0, 0], "for a devenv with smaller pieces too"
    (tmp_path / "part.map").unlink()
    with Part(len(body), path) as part:
        assert part.total == 40
        assert part.write(40, body[40:], 1) == 60
        assert part.complete
        part.drop(keep=None)
    with Part(len(body), path) as part:
        assert part.total == 0, "what was dropped is not there for a next run"
    path.write_bytes(body + b"!")
    with Part(len(body), path) as part:
        assert part.total == 0, "what is longer than the file is none of it"


# ---- the hash of what comes


@given(st.integers(1, 3000), st.integers(1, 700), st.integers(0, 10**6))
def test_the_hash_is_that_of_the_file_whatever_came_first(size: int, piece: int, seed: int) -> None:
    import tempfile

    rng = random.Random(seed)
    body = rng.randbytes(size)
    with tempfile.TemporaryDirectory() as folder, Part(len(body), Path(folder) / "part", piece_bytes=piece) as part:
        digest = Digest(part)
        for number in rng.sample(range(part.count), part.count):
            while not part.full(number):
                at = part.start(number) + part.have(number)
                chunk = body[at : min(at + rng.randint(1, piece), part.start(number) + part.length(number))]
                part.write(at, chunk, 0)
                digest.take(at, chunk)
            if rng.random() < 0.2:
                digest.restart()
        assert digest.follow(lambda: False) == _file(body).sha256


def test_what_is_thrown_away_is_hashed_anew_and_an_end_is_no_hash(tmp_path: Path) -> None:
    body = bytes(range(100))
    with Part(len(body), tmp_path / "part", piece_bytes=30) as part:
        digest = Digest(part)
        part.write(0, wrong := body[:-1] + b"!", 0)
        digest.take(0, wrong)
        assert digest.follow(lambda: False) == _file(wrong).sha256
        part.drop(keep=None)
        digest.restart()
        assert digest.follow(lambda: True) is None
        part.write(0, body, 0)
        digest.take(0, body)
        assert digest.follow(lambda: False) == _file(body).sha256


def test_who_follows_hears_of_bytes_out_of_turn(tmp_path: Path) -> None:
    body = bytes(range(100))
    with (
        Part(len(body), tmp_path / "part", piece_bytes=30) as part,
        ThreadPoolExecutor(1) as pool,
    ):
        digest = Digest(part)
        followed = pool.submit(digest.follow, lambda: False)
        for start in (90, 60, 30, 0):
            chunk = body[start : start + 30]
            part.write(start, chunk, 0)
            digest.take(start, chunk)
        assert followed.result(5) == _file(body).sha256


# ---- what is done next


def test_connections_spread_over_files_before_they_share_one(tmp_path: Path) -> None:
    files = tuple(ModelFile(path=str(n), size=100, sha256=f"{n:064}") for n in range(3))
    todo = Todo((*files, ModelFile(path="small", size=9, sha256="f" * 64)), piece_bytes=30, most=2)
    begun = []
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            if file := todo.large():
                arriving = Arriving(stack.enter_context(Part(file.size, tmp_path / file.path, piece_bytes=30)), file)
                arriving.plan()
                todo.active.append(arriving)
                todo.unverified += 1
            piece = todo.piece()
            assert piece is not None
            begun.append((piece[0].file.path, piece[1]))
        assert begun == [("0", 0), ("1", 0), ("0", 1), ("1", 1), ("0", 2), ("1", 2)]
        assert [one.path for one in todo.waiting()] == ["2", "small"]
        assert (small := todo.small()) is not None
        assert small.path == "small"
        assert not todo.over()
        todo.clear()
        assert todo.piece() is None


# ---- the lock's part


def test_the_digest_does_not_depend_on_hub_or_order() -> None:
    one, other = locked(BODIES, "huggingface"), locked(dict(reversed(BODIES.items())), "modelscope")
    assert one.digest == other.digest
    assert one.key == f"tiny-1.0-{one.digest[:12]}"


@pytest.mark.parametrize(
    ("key", "value"),
    [("digest", "0" * 64), ("files", ()), ("sources", ()), ("name", "../x")],
)
def test_a_model_that_does_not_fit_together_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        LockedModel.model_validate({**locked().model_dump(), key: value})


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/./b", "", "a\n"])
def test_a_file_stays_in_its_folder(path: str) -> None:
    with pytest.raises(ValidationError):
        ModelFile(path=path, size=1, sha256="0" * 64)


@pytest.mark.parametrize(
    ("path", "allow", "deny", "expected"),
    [
        ("model.safetensors", (), (), True),
        ("README.md", (), (), False),
        ("README.md", ("*.md",), (), True),
        ("sub/README.md", (), (), True),
        ("sub/x.json", ("*.json",), (), True),
        ("sub/x.json", ("sub/*",), ("*.json",), False),
        ("x.bin", ("*.safetensors",), (), False),
        ("onnx/x.onnx", (), ("onnx/*",), False),
    ],
)
def test_which_files_are_wanted(path: str, allow: tuple[str, ...], deny: tuple[str, ...], expected: bool) -> None:
    assert wanted(path, Model.model_validate({"huggingface": HF, "allow": allow, "deny": deny})) is expected


@pytest.mark.parametrize(
    ("id_", "name"), [("acme/Tiny-1.0", "tiny-1.0"), ("a/__x__", "x"), ("a/Über", "ber"), ("a/" + "x" * 90, "x" * 60)]
)
def test_a_name_for_folders_and_volumes(id_: str, name: str) -> None:
    assert model_name(id_) == name


# ---- where from, where to


@pytest.mark.parametrize(
    ("asked", "preferred", "order"),
    [
        ((), (), ("huggingface", "modelscope")),
        ((), ("modelscope",), ("modelscope", "huggingface")),
        (("modelscope",), (), ("modelscope",)),
        (("modelscope", "huggingface"), (), ("modelscope", "huggingface")),
    ],
)
def test_the_order_of_hubs(asked: tuple[str, ...], preferred: tuple[str, ...], order: tuple[str, ...]) -> None:
    settings = HubSettings(dir=Path("weights"), order=preferred)
    assert source_order(locked(BODIES, "huggingface", "modelscope"), asked, settings) == order


@pytest.mark.parametrize(
    ("near", "asked", "preferred", "offline", "order"),
    [
        (False, (), (), (), ("huggingface", "modelscope", "registry")),
        (False, (), ("modelscope",), (), ("modelscope", "huggingface", "registry")),
        (False, (), ("registry",), (), ("registry", "huggingface", "modelscope")),
        (False, (), (), ("huggingface",), ("modelscope", "registry")),
        (False, ("registry",), (), (), ("registry",)),
        (False, ("modelscope",), (), (), ("modelscope",)),
        (True, (), ("modelscope",), (), ("registry", "modelscope", "huggingface")),
    ],
)
def test_a_registry_comes_after_the_hubs_and_an_export_before_them(
    near: bool, asked: tuple[str, ...], preferred: tuple[str, ...], offline: tuple[str, ...], order: tuple[str, ...]
) -> None:
    settings = HubSettings(dir=Path("weights"), order=preferred, offline=offline)
    further = Elsewhere({}, number=2, near=near)
    assert source_order(locked(BODIES, "huggingface", "modelscope"), asked, settings, further) == order


def test_a_hub_that_the_preset_does_not_name_cannot_be_asked() -> None:
    for name in ("modelscope", "registry"):
        with pytest.raises(UsageError, match=name):
            source_order(locked(), (name,), HubSettings(dir=Path("weights")))


def test_hubs_that_are_switched_off_are_asked_where_nothing_else_has_the_model() -> None:
    settings = HubSettings(dir=Path("weights"), offline=("huggingface",))
    assert source_order(locked(), (), settings) == ("huggingface",)


def _settings(root: Path, config: str = "", **environ: str) -> Settings:
    folder = root / "config"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(config)
    dirs = Dirs(cache=root / "cache", state=root / "state", config=folder)
    return Settings.read(dirs, {"HOME": str(root), **environ}, root=root / "none")


def test_where_weights_lie_and_who_says_so(tmp_path: Path) -> None:
    assert _settings(tmp_path).hubs.dir == tmp_path / ".local/share/devenv/weights"
    assert _settings(tmp_path, XDG_DATA_HOME="/data").hubs.dir == Path("/data/devenv/weights")
    assert _settings(tmp_path, "weights: {dir: ~/nas}").hubs.dir == tmp_path / "nas"
    assert _settings(tmp_path, "weights: {dir: /nas}", DEVENV_WEIGHTS_DIR="/mnt/w").hubs.dir == Path("/mnt/w")


def test_another_users_home_is_no_folder_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="another user's home"):
        weights_dir("~bob/w", tmp_path, "--weights-dir")
    assert weights_dir("~", tmp_path, "--weights-dir") == tmp_path


def test_the_region_and_named_sources_order_the_hubs(tmp_path: Path) -> None:
    assert _settings(tmp_path, "region: cn").hubs.order == ("modelscope",)
    assert _settings(tmp_path, "region: cn\nweights: {sources: [huggingface]}").hubs.order == ("huggingface",)
    assert _settings(tmp_path, "weights: {sources: [registry]}").hubs.order == ("registry",)
    with pytest.raises(UsageError, match="'registry'"):
        _settings(tmp_path, "weights: {sources: [nas]}")
    switches = {"": (), "0": (), "1": ("huggingface",), "True": ("huggingface",)}
    assert {one: _settings(tmp_path, HF_HUB_OFFLINE=one).hubs.offline for one in switches} == switches


@pytest.mark.parametrize(
    "config", ["region: mars", "weights: {sources: [x]}", "weights: 3", "weights: {dir: 3}", "weights: {dri: x}"]
)
def test_a_slip_in_the_settings_is_named(config: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        _settings(tmp_path, config)
    assert "config.yaml" in (caught.value.where or "")


def test_an_export_is_refused_with_the_command_that_mounts_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        weights_dir("nfs://nas/export/models", tmp_path, "--weights-dir")
    assert "mount -t nfs nas:/export/models /mnt/weights" in (caught.value.hint or "")


def test_the_hubs_own_variables_are_read(tmp_path: Path) -> None:
    hubs = _settings(
        tmp_path, HF_ENDPOINT="http://hub.example.org/", MODELSCOPE_DOMAIN="ms.example.org", HF_HOME="/hf",
        MODELSCOPE_CACHE="/ms",
    ).hubs  # fmt: skip
    assert (hubs.huggingface, hubs.modelscope) == ("http://hub.example.org", "https://ms.example.org")
    assert dict(hubs.caches) == {"huggingface": Path("/hf/hub"), "modelscope": Path("/ms")}


# ---- the store


def _stored(root: Path) -> tuple[Weights, LockedModel]:
    store, model = Weights(root), locked()
    store.begin(model)
    for file in model.files:
        path = store.parts(model.key) / file.sha256
        path.write_bytes(BODIES[file.path])
        store.put(model, file, path)
    return store, model


def test_stamps_tell_what_is_there(tmp_path: Path) -> None:
    store, model = _stored(tmp_path)
    assert store.present(model)
    assert [one.model.key for one in store.every()] == [model.key]
    assert store.named("acme/Tiny-1.0").complete
    path = store.folder(model.key) / "a.bin"
    path.chmod(0o644)
    path.write_bytes(bytes(250))
    assert [one.path for one in store.missing(model)] == ["a.bin"]
    assert [file.path for file, _ in store.rehash(model)] == ["a.bin"]


def test_a_stamp_cut_off_by_a_kill_is_none(tmp_path: Path) -> None:
    store, model = _stored(tmp_path)
    stamps = tmp_path / "state" / f"{model.key}.stamps"
    stamps.write_text(stamps.read_text()[:-8])
    assert len(store.missing(model)) == 1


def test_a_stamp_is_for_one_content(tmp_path: Path) -> None:
    store, model = _stored(tmp_path)
    stamps = tmp_path / "state" / f"{model.key}.stamps"
    other = locked({**BODIES, "a.bin": bytes(250)})
    stamps.rename(tmp_path / "state" / f"{other.key}.stamps")
    store.folder(model.key).rename(store.folder(other.key))
    assert [one.path for one in store.missing(other)] == ["a.bin"]


def test_what_a_model_still_takes_of_the_disk(tmp_path: Path) -> None:
    body = bytes(300_000)
    model, store = locked({"a": body, "b": b"x" + body, "c": b"y" + body, "twin": b"y" + body}), Weights(tmp_path / "w")
    blobs = tmp_path / "hf/models--acme--Tiny-1.0/blobs"
    blobs.mkdir(parents=True)
    caches = (("huggingface", tmp_path / "hf"),)
    assert local_copies.needed_bytes(None, store=store, caches=caches) == 0
    assert local_copies.needed_bytes(model, store=store, caches=caches) == 3 * len(body) + 2
    store.begin(model)
    (blobs / model.files[0].sha256).write_bytes(body)
    assert local_copies.needed_bytes(model, store=store, caches=caches) == 2 * len(body) + 2, "a link takes nothing"
    part = store.parts(model.key) / model.files[1].sha256
    with part.open("wb") as file:
        file.write(b"x" * 200_704)
        os.fsync(file.fileno())  # blocks are counted when they have a place
    assert local_copies.needed_bytes(model, store=store, caches=caches) <= 2 * len(body) + 2 - 200_704


def test_one_content_keeps_the_sources_of_every_preset(tmp_path: Path) -> None:
    store, _ = _stored(tmp_path)
    store.begin(locked(BODIES, "modelscope"))
    assert {one.hub for one in store.every()[0].model.sources} == {"huggingface", "modelscope"}


def test_what_is_removed_is_gone(tmp_path: Path) -> None:
    store, model = _stored(tmp_path)
    store.remove(model.key)
    assert store.every() == ()
    assert not store.folder(model.key).exists()
    with pytest.raises(UsageError, match="unknown model"):
        store.named("tiny-1.0")


@pytest.mark.parametrize("same_system", [True, False])
def test_a_link_is_the_same_file_or_a_copy(same_system: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    if not same_system:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(18, "cross-device")))
    how = local_copies.link(source, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"weights"
    assert how in (("reflink", "link") if same_system else ("reflink", "copy"))


def test_a_link_through_a_symbolic_one_is_to_the_file_and_a_reflink_is_not_asked_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blob").write_bytes(b"weights")
    (tmp_path / "named").symlink_to("blob")
    (tmp_path / "target").write_bytes(b"left by a kill")
    asked: list[int] = []

    def cannot(*_: object) -> None:
        asked.append(1)
        raise OSError(errno.EOPNOTSUPP, "no reflinks here")

    monkeypatch.setattr(fcntl, "ioctl", cannot)
    unable: set[int] = set()
    for name in ("target", "other"):
        assert local_copies.link(tmp_path / "named", tmp_path / name, unable) == "link"
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).samefile(tmp_path / "blob")
    assert asked == [1]


# ---- serving, planning


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("", (0, 100, False)), ("bytes=0-", (0, 100, True)), ("bytes=10-19", (10, 20, True)), ("bytes=-5", (95, 100, True)),
        ("bytes=90-500", (90, 100, True)), ("bytes=100-", None), ("bytes=-0", None), ("bytes=5-4", (0, 100, False)),
        ("bytes=a-b", (0, 100, False)), ("bytes=1-2,4-5", (0, 100, False)), ("items=1-2", (0, 100, False)),
        ("bytes=-500", (0, 100, True)), ("bytes=-", (0, 100, False)),
    ],
)  # fmt: skip
def test_spans(text: str, span: tuple[int, int, bool] | None) -> None:
    assert _span(text, 100) == span


def test_the_plan_says_how_libraries_find_the_model() -> None:
    model = {"huggingface": HF}
    planned = plan(examples.loaded(model=model), examples.lock(model=locked())).model
    assert planned is not None
    assert planned.volume == f"devenv-model-{locked().key}"
    env = dict(planned.env)
    assert env["HF_HUB_OFFLINE"] == "1"
    assert env["DEVENV_MODEL_HUGGINGFACE"] == f"{HF['id']}@{HF['revision']}"
    own = plan(examples.loaded(model=model, env={"HF_HUB_OFFLINE": "0"}), examples.lock(model=locked())).model
    assert own is not None
    assert "HF_HUB_OFFLINE" not in dict(own.env), "what the preset sets itself wins"


def test_without_a_model_a_lock_says_nothing_of_it() -> None:
    assert '"model"' not in examples.lock().dump()
    assert plan(examples.loaded(), examples.lock()).model is None
