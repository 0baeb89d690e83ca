"""A place in memory, what is kept there, and sessions that use it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard

from devenv.doors.http.registry.manifest import Descriptor, Manifest, digest_of
from devenv.doors.http.registry.pull import Grew, Placed
from devenv.doors.http.registry.upload import Blob, Sent
from devenv.doors.terminal.progress import Progress
from devenv.errors import ShareError
from devenv.lock.files import write
from devenv.lock.model import Lock
from devenv.preset.load import dump
from devenv.share import manifests, recipe, remote
from devenv.share.formats import BUILD, DIFF_ID, LAYER, LOCK, TITLE
from devenv.share.pack import document
from devenv.share.place import no_hook
from devenv.share.remote import Remote
from devenv.share.signatures.check import Signer
from devenv.up.session import Session
from tests.unit import examples, handmade


class Memory:
    """A place, and the images in it. `asked`: the digests that were read; `refusal`: why its signatures do not
    suffice; `writing`: how it was opened."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, Manifest] = {}
        self.own: Manifest | None = None
        self.asked: list[str] = []
        self.signed: tuple[Signer, ...] = ()
        self.refusal = ""
        self.writing = False

    def __str__(self) -> str:
        return "example.org/demo:1"

    near = False

    def at(self, digest: str) -> str:
        return f"example.org/demo@{digest}"

    @contextlib.contextmanager
    def opened(self, session: Session, *, writing: bool = False) -> Iterator[Memory]:
        self.writing = writing
        yield self

    def manifest(self, version: str | None = None) -> Manifest:
        found = self.manifests.get(version) if version else self.own
        if found is None:
            raise ShareError("no such manifest")
        return found

    def blob(self, wanted: Descriptor, *, most_bytes: int) -> bytes:
        self.asked.append(wanted.digest)
        data = self.blobs.get(wanted.digest)
        if data is None or len(data) != wanted.size or len(data) > most_bytes:
            raise ShareError(f"{wanted.digest} is missing, or of another size")
        return data

    def bring(
        self, wanted: Iterable[Descriptor], folder: Path, progress: Progress, *, placed: Placed = no_hook,
        grew: Grew = no_hook,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        for one in wanted:
            (folder / one.hex).write_bytes(self.blob(one, most_bytes=1 << 30))
            placed(folder / one.hex)

    def signers(self, manifest: Manifest, project: Path | None) -> tuple[Signer, ...]:
        if self.refusal:
            raise ShareError(self.refusal)
        return self.signed

    def send(self, blobs: Iterable[Blob], progress: Progress) -> Sent:
        sent = Sent()
        for one in {blob.descriptor.digest: blob for blob in blobs}.values():
            if one.descriptor.digest in self.blobs:
                sent.present += one.descriptor.size
                continue
            content = one.content if isinstance(one.content, bytes) else one.content.read_bytes()
            assert Descriptor.of(content, one.descriptor.media_type).digest == one.descriptor.digest
            self.blobs[one.descriptor.digest] = content
            sent.sent += len(content)
        return sent

    def put(self, manifest: Manifest) -> None:
        assert {one.digest for one in (manifest.config, *manifest.layers) if one} <= self.blobs.keys()
        self.own = self.manifests[manifest.digest] = Manifest.read(manifest.data, manifest.media_type)

    def attach(self, manifest: Manifest) -> None:
        assert manifest.subject
        assert manifest.subject.digest in self.manifests
        self.manifests[manifest.digest] = manifest

    def add(self, data: bytes, media_type: str = LAYER, **more: Any) -> Descriptor:
        """Have a blob."""
        self.blobs[digest_of(data)] = data
        return Descriptor.of(data, media_type, **more)

    def mean(self, value: Mapping[str, Any]) -> None:
        """Keep a manifest or index, as a hostile registry would: nothing that it names needs to be there."""
        data = json.dumps(value).encode()
        self.own = Manifest.read(data, value["mediaType"])
        self.manifests[self.own.digest] = self.own


class Engine(handmade.Described):
    """An engine of an architecture, without an image until one is loaded."""

    def __init__(self, architecture: str = "x86_64") -> None:
        super().__init__()
        self._info["Architecture"] = architecture
        self.images: dict[str, str] = {}
        self.loaded: list[bytes] = []
        self.here = 0

    def layers_here(self, diff_ids: Sequence[str]) -> int:
        return min(self.here, len(diff_ids))

    def takes_rest(self) -> bool:
        return True

    def remove_image(self, reference: str) -> None:
        del self.images[reference]

    def image_id(self, reference: str) -> str | None:
        return self.images.get(reference)

    def image_facts(self, reference: str) -> dict[str, Any]:
        return {"Id": self.images.get(reference), "Config": {"Env": ["PATH=/usr/bin"]}}

    def load(self, archive: Iterator[bytes], tell: Callable[[int], None]) -> None:
        data = b"".join(archive)
        self.loaded.append(data)
        tell(len(data))
        with tarfile.open(fileobj=io.BytesIO(data)) as members:
            (told,) = json.loads(content(members, "manifest.json"))
        for tag in told["RepoTags"]:
            self.images[tag] = f"sha256:{told['Config'].removesuffix('.json')}"


def content(archive: tarfile.TarFile, name: str) -> bytes:
    """A member's content."""
    file = archive.extractfile(name)
    assert file
    return file.read()


def session(root: Path, engine: Any = None) -> Session:
    """A session whose folders are the test's own."""
    return handmade.session(handmade.settings(root), engine or Engine())


def look(place: Memory, given: Session) -> Remote:
    """What lies there, used in no project."""
    return remote.look(place, given, project=None)


# ---- tars


def member(name: str, content: bytes = b"", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A member of a tar."""
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for key, value in facts.items():
        setattr(made, key, value)
    return made, content


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar of these."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for made, content in members:
            archive.addfile(made, io.BytesIO(content))
    return plain.getvalue()


def packed(plain: bytes) -> bytes:
    """Compressed."""
    return zstandard.ZstdCompressor().compress(plain)


# ---- what is shared


@dataclasses.dataclass(kw_only=True)
class Shared:
    """An image with its recipe in a place, in parts that a test can change before it is `put`."""

    place: Memory
    lock: Lock
    config: dict[str, Any]
    layers: list[Descriptor]
    annotations: dict[str, str]
    identity: str

    def put(self, **changes: Any) -> None:
        """Keep the manifest; `changes` replace its parts."""
        config = changes.pop("config_bytes", document(self.config))
        self.place.mean(
            {
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": self.place.add(config, "application/vnd.oci.image.config.v1+json").document(),
                "layers": [one.document() for one in self.layers], "annotations": self.annotations, **changes,
            }
        )  # fmt: skip


SNAPSHOT_TAR = tar(member("home", type=tarfile.DIRTYPE, mode=0o755), member("home/note", b"changed"))


def layer(place: Memory, name: str, plain: bytes | None = None) -> Descriptor:
    """A layer with one file, or of this tar."""
    plain = plain if plain is not None else tar(member(f"{name}/file", name.encode()))
    annotations = ((DIFF_ID, digest_of(plain)), (TITLE, f"{name}.tar.zst"))
    return place.add(packed(plain), LAYER, annotations=annotations)


def preset_folder(folder: Path, lock: Lock | None = None) -> Path:
    """A folder with a preset, its lock and a file."""
    (folder / "files").mkdir(parents=True)
    (folder / "files/0").write_text("own\n")
    text = dump(examples.preset()) + "files: {/etc/own: files/0}\n"
    (folder / recipe.PRESET).write_text(text)
    write(lock or examples.lock(), folder / recipe.LOCK)
    return folder


def added(place: Memory, *, volumes: bool = False) -> recipe.Added:
    """A snapshot of one layer, and of one volume."""
    return recipe.Added(
        snapshot="demo-1", environment="demo", message="mine", made="2026-01-01T00:00:00+00:00",
        sha256=digest_of(SNAPSHOT_TAR).partition(":")[2], layer=layer(place, "snapshot", SNAPSHOT_TAR),
        volumes={"/mnt/demo": layer(place, "volume", tar(member("./kept", b"kept")))} if volumes else {},
    )  # fmt: skip


def shared(folder: Path, *, build: str = "", snapshot: bool = False, volumes: bool = False) -> Shared:
    """An image of two layers in a new place, as devenv pushes it; `build`: the build that its label names."""
    place, lock = Memory(), examples.lock()
    below = [layer(place, "base"), layer(place, "own")]
    config = {
        "architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20Z",
        "config": {"Labels": {"dev.devenv.image.build": build}},
        "rootfs": {"type": "layers", "diff_ids": [dict(one.annotations)[DIFF_ID] for one in below]},
        "history": [{"created": "2023-11-14T22:13:20Z", "created_by": f"devenv {name}"} for name in ("base", "own")],
    }  # fmt: skip
    more = added(place, volumes=volumes) if snapshot else None
    data = recipe.pack(preset_folder(folder, lock), more)
    place.add(data)
    identity = digest_of(document(config))
    contents = manifests.Contents(
        identity=identity, recipe=data, about={BUILD: build, LOCK: lock.digest}, delta=more.layer if more else None
    )
    annotations = contents.annotations()
    if more and more.layer:
        config = json.loads(manifests.with_delta(document(config), more.sha256, more.snapshot))
        annotations["dev.devenv.delta"] = more.sha256
        below.append(more.layer)
    found = Shared(
        place=place, lock=lock, config=config, layers=below, annotations=annotations, identity=identity
    )  # fmt: skip
    found.put()
    return found
