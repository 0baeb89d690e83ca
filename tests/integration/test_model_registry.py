"""A model in a registry, which stands in for hubs that cannot be reached: Debian's, and one with faults."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import random
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.pieces import Part
from devenv.doors.http.ranges import Ranges
from devenv.doors.http.registry.manifest import OCI_MANIFEST, Descriptor, Manifest
from devenv.doors.http.registry.reference import Reference
from devenv.doors.http.registry.upload import Blob, Sent
from devenv.doors.http.retry import Policy
from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.progress import Silent
from devenv.errors import FetchError
from devenv.lock.model import LockedModel
from devenv.share import manifests, model_pack
from devenv.share.formats import CONFIG, MODEL
from devenv.share.model_source import model_from
from devenv.share.place import InRegistry
from devenv.up.session import Session
from devenv.up.weights import fetch_model
from devenv.weights.download import download
from devenv.weights.download.prefetch import Prefetched, prefetch
from devenv.weights.store import Weights
from tests.integration import hub as hubs
from tests.integration.hub import Hub, locked
from tests.integration.registries import PASSWORD, USER, FakeRegistry, docker_registry, settings
from tests.integration.tlsengine import Authority
from tests.unit import handmade

QUICK = Policy(attempts=3, backoff_s=0.005, read_timeout_s=0.3, connect_timeout_s=1, longest_wait_s=0.1)
PIECE = 4000
LARGE = "sub/model.safetensors"
FILES = {
    LARGE: random.Random(1).randbytes(5 * PIECE + 17), "config.json": b'{"a": 1}', "empty.txt": b"",
    "twin.json": b'{"a": 1}', **{f"more/{number}.txt": b"%d" % number for number in range(12)},
}  # fmt: skip
TINY = locked(FILES)
IMAGE = manifests.image(b"{}", (), manifests.Contents(identity="sha256:" + "0" * 64, recipe=b"", about={}))


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files in many pieces; no switch of this machine's."""
    original = download.Download.__init__

    def smaller(self: Any, *args: Any, **named: Any) -> None:
        original(self, *args, **{"piece_bytes": PIECE, **named})

    monkeypatch.setattr(download.Download, "__init__", smaller)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def _session(root: Path, given: Settings, hub: Hub | None = None, **more: Any) -> Session:
    root.mkdir(exist_ok=True)
    of_hubs = dataclasses.replace(hubs.settings(root, huggingface=hub).hubs, **more)
    return handmade.session(dataclasses.replace(given, hubs=of_hubs))


def _push(host: str, root: Path, given: Settings) -> tuple[InRegistry, Manifest, Sent]:
    """Push an image and the model as `devenv push --weights` does; the place, the model's manifest, what was sent."""
    for path, data in FILES.items():
        (root / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "model" / path).write_bytes(data)
    along = model_pack.artifact(TINY, root / "model")
    place = InRegistry(reference=Reference.parse(f"{host}/team/tiny:1"))
    with place.opened(_session(root, given), writing=True) as images:
        config = Blob(descriptor=Descriptor.of(b"{}", CONFIG), content=b"{}")
        sent = images.send([config, *along.every()], Silent())
        images.put(IMAGE)
        images.attach(along.manifest(IMAGE))
    return place, along.manifest(IMAGE), sent


def _fetch(place: InRegistry, session: Session, policy: Policy = QUICK, model: LockedModel = TINY) -> Prefetched:
    opens = model_from(place, IMAGE.digest)
    assert opens
    with opens(session) as further:
        return prefetch(
            model, store=Weights(session.settings.hubs.dir), settings=session.settings, further=further,
            ranges=Ranges(session.settings, policy),
        )  # fmt: skip


def _assert_whole(session: Session, model: LockedModel = TINY) -> None:
    """Every file of the lock is in its place, and nothing else is anywhere in the store."""
    store = Weights(session.settings.hubs.dir)
    assert store.present(model)
    folder = store.folder(model.key)
    there = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert there == {file.path: FILES[file.path] for file in model.files}
    assert {path.name for path in store.root.iterdir()} <= {"models", "state", "part"}
    assert not store.parts(model.key).exists()


# ---- Debian's registry


def test_a_model_is_pushed_once_read_by_others_and_comes_where_no_hub_does(tmp_path: Path) -> None:
    tls = Authority().folder(tmp_path / "tls")
    with docker_registry(tmp_path, tls=tls, login=True) as host:
        mine = settings(tmp_path, host, login=f"{USER}:{PASSWORD}", ca=tls / "ca.pem")
        place, manifest, sent = _push(host, tmp_path / "mine", mine)
        size = sum(len(data) for data in {*FILES.values()})
        assert size < sent.sent < size + 10_000
        assert _push(host, tmp_path / "mine", mine) == (place, manifest, Sent(present=sent.sent))

        _read_by_skopeo(f"{host}/team/tiny@{manifest.digest}", tls, tmp_path, manifest)

        theirs = _session(tmp_path / "theirs", mine)
        done = fetch_model(TINY, theirs, model_from=model_from(place, IMAGE.digest))
        assert done.by_source == ((f"{host}/team/tiny:1", size),)
        _assert_whole(theirs)
        assert "huggingface" in " ".join(done.remarks), "the hub was asked first"


def _read_by_skopeo(name: str, tls: Path, tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/ca.crt").write_bytes((tls / "ca.pem").read_bytes())
    login = f"{USER}:{PASSWORD}"

    def skopeo(*words: str) -> bytes:
        return subprocess.run(["skopeo", "--insecure-policy", *words], capture_output=True, check=True).stdout

    raw = skopeo("inspect", "--raw", f"--cert-dir={tmp_path}/certs", f"--creds={login}", f"docker://{name}")
    assert raw == manifest.data
    sides = (f"--src-cert-dir={tmp_path}/certs", f"--src-creds={login}")
    skopeo("--tmpdir", str(tmp_path), "copy", *sides, f"docker://{name}", f"dir:{tmp_path}/copy")
    for layer in manifest.layers:
        path = dict(layer.annotations)["org.cncf.model.filepath"]
        assert (tmp_path / "copy" / layer.hex).read_bytes() == FILES[path]


# ---- faults


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as found:
        yield found


@pytest.mark.parametrize("lists", [False, True])
def test_a_hub_that_dies_in_the_middle_loses_no_byte_and_tokens_are_renewed(
    lists: bool, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.lists = lists
    place, _, _ = _push(registry.host, tmp_path / "mine", settings(tmp_path))
    registry.login, registry.uses = "bearer", 3
    given = iter(["", "", ""])
    with Hub(FILES) as hub:
        hub.next_fault = lambda path: next(given, "reset") if path == LARGE else None  # type: ignore[method-assign]
        theirs = _session(tmp_path / "theirs", settings(tmp_path, registry.host, login=f"{USER}:{PASSWORD}"), hub)
        done = _fetch(place, theirs)
    _assert_whole(theirs)
    by = dict(done.by_source)
    assert by["huggingface"] > 0
    assert by[str(place)] > 0
    assert done.bytes == sum(map(len, {*FILES.values()})), "no byte came twice"
    assert registry.count("GET", "token") > 1


def test_a_registry_that_is_preferred_is_asked_alone(registry: FakeRegistry, tmp_path: Path) -> None:
    place, _, _ = _push(registry.host, tmp_path / "mine", settings(tmp_path))
    for more in ({"order": ("registry",)}, {"offline": ("huggingface",)}):
        with Hub(FILES) as hub:
            theirs = _session(tmp_path / next(iter(more)), settings(tmp_path), hub, **more)
            _fetch(place, theirs)
            _assert_whole(theirs)
            assert not hub.seen


def test_while_a_hub_answers_the_registry_is_not_asked(registry: FakeRegistry, tmp_path: Path) -> None:
    place, _, _ = _push(registry.host, tmp_path / "mine", settings(tmp_path))
    registry.seen.clear()
    with Hub(FILES) as hub:
        theirs = _session(tmp_path / "theirs", settings(tmp_path), hub)
        assert dict(_fetch(place, theirs).by_source).keys() == {"huggingface"}
    assert not registry.seen


def test_a_hub_that_accepts_and_never_answers_is_given_up_at_once(registry: FakeRegistry, tmp_path: Path) -> None:
    place, _, _ = _push(registry.host, tmp_path / "mine", settings(tmp_path))
    with _silent() as (url, accepted):
        theirs = _session(tmp_path / "theirs", settings(tmp_path), huggingface=url)
        done = _fetch(place, theirs)
    _assert_whole(theirs)
    assert dict(done.by_source).keys() == {str(place)}
    assert 0 < len(accepted) <= download.CONNECTIONS, "each connection tried it once, for all files together"


@contextlib.contextmanager
def _silent() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes connections and says nothing."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(server.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", accepted
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for each in accepted:
        each.close()


@pytest.mark.parametrize("fault", ["no-range", "away", "reset"])
def test_what_passes_is_outwaited(fault: str, registry: FakeRegistry, tmp_path: Path) -> None:
    place, _, _ = _push(registry.host, tmp_path / "mine", settings(tmp_path))
    registry.faults["GET blobs"] = [fault] * 2
    theirs = _session(tmp_path / "theirs", settings(tmp_path))
    _fetch(place, theirs)
    _assert_whole(theirs)


@pytest.mark.parametrize(
    ("key", "fault", "text"),
    [
        ("GET blobs", "flip", "has another file of that name"), ("GET blobs", "longer", "has another size"),
        ("GET blobs", "403", "denies access"), ("GET blobs", "404", "404"), ("GET blobs", "500", "500"),
        ("GET manifests", "403", "403"), ("GET manifests", "flip", "another manifest"),
        ("GET referrers", "500", "500"),
    ],
)  # fmt: skip
def test_neither_place_is_one_error_that_names_both_and_nothing_wrong_is_kept(
    key: str, fault: str, text: str, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devenv.doors.http.registry.client.Policy", lambda **_: QUICK)
    place, _, _ = _push(registry.host, tmp_path / "mine", settings(tmp_path))
    registry.always[key] = fault
    theirs = _session(tmp_path / "theirs", settings(tmp_path))
    with pytest.raises(FetchError) as caught:
        _fetch(place, theirs)
    told = f"{caught.value.message}\n{caught.value.detail}"
    assert text in told
    assert "huggingface" in told
    assert str(place) in told
    assert caught.value.exit_code == 8
    store = Weights(theirs.settings.hubs.dir)
    for path in store.folder(TINY.key).rglob("*"):
        assert path.is_dir() or path.read_bytes() == FILES[str(path.relative_to(store.folder(TINY.key)))]
    registry.always.clear()
    _fetch(place, theirs)
    _assert_whole(theirs)


def test_nothing_attached_says_how_to_get_it_there(registry: FakeRegistry, tmp_path: Path) -> None:
    place = InRegistry(reference=Reference.parse(f"{registry.host}/team/tiny:1"))
    with pytest.raises(FetchError) as caught:
        _fetch(place, _session(tmp_path / "theirs", settings(tmp_path)))
    assert "no model is attached" in str(caught.value.detail)
    assert "--weights" in str(caught.value.hint)


def test_a_download_that_failed_goes_on_at_the_byte(registry: FakeRegistry, tmp_path: Path) -> None:
    place, _, _ = _push(registry.host, tmp_path / "mine", settings(tmp_path))
    theirs = _session(tmp_path / "theirs", settings(tmp_path))
    large = locked({LARGE: FILES[LARGE]})
    registry.faults["GET blobs"], registry.always["GET blobs"] = ["", "", "cut"], "404"
    with pytest.raises(FetchError):
        _fetch(place, theirs, model=large)
    part = Weights(theirs.settings.hubs.dir).parts(large.key) / large.files[0].sha256
    with Part(large.size, part, piece_bytes=PIECE) as kept:
        arrived = kept.total
    assert arrived >= 2 * PIECE
    registry.always.clear()
    assert _fetch(place, theirs, model=large).bytes == large.size - arrived
    _assert_whole(theirs, large)


def test_of_a_hostile_artifact_only_locked_files_are_taken(registry: FakeRegistry, tmp_path: Path) -> None:
    """Paths that leave, other sizes, thousands of files, a configuration that is none, and a manifest that is gone."""
    place, honest, _ = _push(registry.host, tmp_path / "mine", settings(tmp_path))
    document = json.loads(honest.data)
    for number, row in enumerate(document["layers"]):
        row["annotations"] = dict.fromkeys(row["annotations"], f"../../../outside{number}")
        row["size"] += 1 << 40
    noise = [
        {"mediaType": "x/y", "digest": f"sha256:{hashlib.sha256(b'%d' % number).hexdigest()}", "size": 1 << 49}
        for number in range(5000)
    ]
    document |= {"layers": noise + document["layers"], "config": Descriptor.of(b"[", "x/y").document()}
    hostile = Manifest.write(document)
    gone = dataclasses.replace(Descriptor.of(b"gone", OCI_MANIFEST), artifact_type=MODEL)
    index = Manifest.index([gone, dataclasses.replace(hostile.described(), annotations=())])
    tag = IMAGE.digest.replace(":", "-")
    registry.manifests = {
        f"team/tiny:{tag}": (index.data, index.media_type),
        f"team/tiny:{hostile.digest}": (hostile.data, hostile.media_type),
    }
    theirs = _session(tmp_path / "theirs", settings(tmp_path))
    _fetch(place, theirs)
    _assert_whole(theirs)
    assert not [*tmp_path.rglob("outside*")]
    assert {one.path.rpartition("/")[2].removeprefix("sha256:") for one in registry.seen if one.kind == "blobs"} <= {
        *(file.sha256 for file in TINY.files), Descriptor.of(b"{}", CONFIG).hex, honest.config.hex if honest.config else "",
    }  # fmt: skip
