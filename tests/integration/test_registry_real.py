"""The door to registries against Debian's docker-registry, and beside Debian's skopeo."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.doors.http.registry.client import Registry
from devenv.doors.http.registry.faults import DeniedError, RegistryError
from devenv.doors.http.registry.manifest import DOCKER_MANIFEST, OCI_MANIFEST, Descriptor, Manifest, digest_of
from devenv.doors.http.registry.pull import pull
from devenv.doors.http.registry.push import push
from devenv.doors.http.registry.referrers import attach, referrers
from devenv.doors.http.registry.repository import Repository
from devenv.doors.http.registry.upload import Blob, Sent
from devenv.doors.terminal.progress import Silent
from tests.integration.registries import (
    PASSWORD,
    USER,
    body,
    described,
    docker_registry,
    killed_transfer,
    settings,
)
from tests.integration.tlsengine import Authority

BIG, SMALL = body(1, 24_000_000), body(2, 10_000)
CHUNK = 4_000_000


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("plain")) as host:
        yield host


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """With TLS by a CA of its own, and a password; and the folder of its certificates."""
    folder = tmp_path_factory.mktemp("secured")
    tls = Authority().folder(folder / "tls")
    with docker_registry(folder, tls=tls, login=True) as host:
        yield host, tls


def _image(repository: Repository, *layers: bytes) -> Manifest:
    """Push an image of these layers."""
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(one) for one in layers]},
    }).encode()  # fmt: skip
    described_ = Descriptor.of(config, "application/vnd.oci.image.config.v1+json")
    blobs = [Blob(descriptor=described(one), content=one) for one in layers]
    push(repository, [*blobs, Blob(descriptor=described_, content=config)], Silent(), chunk_bytes=CHUNK)
    kind = "application/vnd.oci.image.layer.v1.tar"
    return Manifest.write({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described_.document(),
        "layers": [Descriptor.of(one, kind).document() for one in layers],
    })  # fmt: skip


def _round(registry: Registry, folder: Path) -> None:
    repository = Repository(registry, "team/image", writing=True)
    image = _image(repository, BIG, SMALL)
    repository.put(image, "v1")
    blobs = [Blob(descriptor=described(one), content=one) for one in (BIG, SMALL)]
    assert push(repository, blobs, Silent()) == Sent(present=len(BIG) + len(SMALL))
    other = Repository(registry, "team/other", writing=True)
    mounted = [Blob(descriptor=described(BIG), content=BIG, origins=("not/there", "team/image"))]
    assert push(other, mounted, Silent()) == Sent(mounted=len(BIG))
    reader = Repository(registry, "team/image")
    assert reader.manifest("v1") == image
    assert reader.find("v1") == Descriptor(media_type=OCI_MANIFEST, digest=image.digest, size=len(image.data))
    assert image.config is not None
    assert json.loads(reader.blob(image.config))["os"] == "linux"
    assert pull(reader, image.layers, folder, Silent(), piece_bytes=1_000_000) == len(BIG) + len(SMALL)
    assert (folder / described(BIG).hex).read_bytes() == BIG
    bill = Manifest.write({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "test/bill", "config": image.config.document(),
        "layers": [described(SMALL).document()], "subject": image.described().document(),
    })  # fmt: skip
    attach(repository, bill)
    assert [one.digest for one in referrers(reader, image.digest, "test/bill")] == [bill.digest]


def test_debians_registry_is_pushed_to_and_pulled_from(plain: str, tmp_path: Path) -> None:
    with Registry(plain, settings(tmp_path)) as registry:
        _round(registry, tmp_path / "blobs")
        assert registry.address == f"http://{plain}"


def test_debians_registry_with_tls_and_a_password(secured: tuple[str, Path], tmp_path: Path) -> None:
    host, tls = secured
    login = f"{USER}:{PASSWORD}"
    with Registry(host, settings(tmp_path, host, login=login, ca=tls / "ca.pem")) as registry:
        _round(registry, tmp_path / "blobs")
        assert registry.address == f"https://{host}"
    for wrong, kind, text in (
        (settings(tmp_path, host, login=login), RegistryError, "registries: {"),
        (settings(tmp_path, host, ca=tls / "ca.pem"), DeniedError, f"docker login {host}"),
        (settings(tmp_path, host, login="me:wrong", ca=tls / "ca.pem"), DeniedError, f"docker login {host}"),
    ):
        with Registry(host, wrong) as registry, pytest.raises(kind) as caught:
            Repository(registry, "team/image").manifest("v1")
        assert text in (caught.value.hint or "")
        assert PASSWORD not in f"{caught.value}{caught.value.detail}"


# ---- killed


def test_a_push_that_was_killed_is_finished_by_the_next_one(plain: str, tmp_path: Path) -> None:
    mine, layer = settings(tmp_path), tmp_path / "layer"
    layer.write_bytes(BIG[1:])
    blob = Blob(descriptor=described(BIG[1:]), content=layer)
    killed_transfer(plain, mine, [blob], None, 9_000_000)
    (session,) = mine.dirs.uploads.glob("*/session.json")
    assert session.stat().st_mode & 0o777 == 0o600
    with Registry(plain, mine) as registry:
        repository = Repository(registry, "killed/image", writing=True)
        push(repository, [blob], Silent(), chunk_bytes=CHUNK)
        pull(repository, [blob.descriptor], tmp_path / "back", Silent())
    assert (tmp_path / "back" / blob.descriptor.hex).read_bytes() == BIG[1:]
    assert not list(mine.dirs.uploads.iterdir())


def test_a_pull_that_was_killed_goes_on_at_the_byte(plain: str, tmp_path: Path) -> None:
    mine, wanted = settings(tmp_path), described(BIG)
    folder = tmp_path / "blobs"
    with Registry(plain, mine) as registry:
        repository = Repository(registry, "killed/image", writing=True)
        push(repository, [Blob(descriptor=wanted, content=BIG)], Silent())
        killed_transfer(plain, mine, [wanted], folder, 9_000_000)
        assert not (folder / wanted.hex).exists()
        received = pull(repository, [wanted], folder, Silent(), piece_bytes=1_000_000)
    # What eight connections had read and not yet written is all that a kill may lose.
    assert len(BIG) - 9_000_000 - 8 * (1 << 20) <= received <= len(BIG) - 9_000_000 + 8 * (1 << 20)
    assert (folder / wanted.hex).read_bytes() == BIG


# ---- beside another client


def test_skopeo_reads_what_devenv_pushed_and_the_other_way_round(secured: tuple[str, Path], tmp_path: Path) -> None:
    host, tls = secured
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/ca.crt").write_bytes((tls / "ca.pem").read_bytes())

    def skopeo(*arguments: str) -> None:
        login = f"{USER}:{PASSWORD}"
        sides = [
            f"--{side}-{what}" for side in ("src", "dest") for what in (f"cert-dir={tmp_path}/certs", f"creds={login}")
        ]
        done = subprocess.run(
            ["skopeo", "--insecure-policy", "--tmpdir", str(tmp_path), "copy", *sides, *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    layer = subprocess.run(["tar", "-cC", str(tls), "ca.pem"], capture_output=True, check=True).stdout
    mine = settings(tmp_path, host, login=f"{USER}:{PASSWORD}", ca=tls / "ca.pem")
    with Registry(host, mine) as registry:
        pushed = Repository(registry, "from/devenv", writing=True)
        image = _image(pushed, layer)
        pushed.put(image, "v1")
        skopeo(f"docker://{host}/from/devenv:v1", f"dir:{tmp_path}/copy")
        assert (tmp_path / "copy/manifest.json").read_bytes() == image.data
        assert (tmp_path / "copy" / described(layer).hex).read_bytes() == layer
        skopeo("--format", "v2s2", f"dir:{tmp_path}/copy", f"docker://{host}/from/skopeo:v1")
        back = Repository(registry, "from/skopeo").manifest("v1")
        assert back.media_type == DOCKER_MANIFEST
        assert pull(Repository(registry, "from/skopeo"), back.layers, tmp_path / "back", Silent()) > 0
    assert os.listdir(tmp_path / "back") == [back.layers[0].hex]  # noqa: PTH208
