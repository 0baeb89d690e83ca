"""Images in a file or folder: the second kind of place. What is in it is what a registry would have."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors.file_lock import hold
from devenv.doors.http.registry.manifest import MEDIA_TYPES, MOST_BYTES, OCI_INDEX, Descriptor, Manifest
from devenv.doors.http.registry.upload import Blob, Sent
from devenv.doors.terminal.console import bytes_text
from devenv.errors import ShareError
from devenv.share.formats import LARGE, TITLE
from devenv.share.layout_files import LayoutFiles, Opened, layout_files
from devenv.share.layout_index import BLOBS, INDEX, Named, attached_to
from devenv.share.layout_write import Writer, disk, require_space, writer
from devenv.share.parts import sync
from devenv.share.place import no_hook
from devenv.share.signatures.policy import policy_of_files

if TYPE_CHECKING:
    from devenv.doors.http.registry.pull import Grew, Placed
    from devenv.doors.terminal.progress import Progress
    from devenv.share.signatures.check import Signer
    from devenv.up.session import Session

_CHUNK_BYTES = 1 << 20
_MOST_ATTACHED = 1000
_TASK = "copy"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InLayout:
    """An OCI image layout with one image or recipe: a folder, a tar, or (`parts`) a tar in parts.

    To write: `tar` decides between the two, and `part_bytes` has it written in parts; layers and files whose sha256 is
    in `left_out` are left out. To read: blobs that it lacks may lie in the layouts `others`.
    """

    path: Path
    parts: tuple[Path, ...] = ()
    tar: bool = False
    part_bytes: int | None = None
    left_out: frozenset[str] = frozenset()
    others: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return str(self.path)

    @property
    def near(self) -> bool:
        """It is on this machine."""
        return True

    def at(self, digest: str) -> str:
        """PATH@sha256:…"""
        return f"{self.path}@{digest}"

    @contextlib.contextmanager
    def opened(self, session: Session, *, writing: bool = False) -> Iterator[Layout]:
        """Read it, or write it; what was written counts when the `with` ends without an error."""
        if writing:
            with writer(self.path, session, tar=self.tar, part_bytes=self.part_bytes) as written:
                layout = Layout(self, session, writer=written)
                yield layout
                layout.finish()
        else:
            with layout_files(self.path, self.parts, self.others) as found:
                yield Layout(self, session, found=found)


class Layout:
    """The manifests and blobs of a layout. Every method raises ShareError, CancelledError."""

    def __init__(
        self, place: InLayout, session: Session, *, found: LayoutFiles | None = None, writer: Writer | None = None
    ) -> None:
        self._place = place
        self._session = session
        self._files = found
        self._writer = writer
        self._top: Manifest | None = None
        self._attached: list[Manifest] = []
        self._progress: Progress | None = None

    # ---- reading

    def manifest(self, version: str | None = None) -> Manifest:
        """The manifest of a digest; without one, that of the only image."""
        if version is not None:
            return self._manifest(Descriptor(media_type="", digest=version, size=0), any_size=True)
        entries = self._index().manifests
        if len(entries) != 1:
            raise self._refused(
                f"it has {len(entries)} images, and devenv's layouts have one",
                "copy one to a layout of its own: skopeo copy oci:DIR:TAG oci:NEW:TAG",
            )
        return self._manifest(entries[0])

    def attached(self, subject: Manifest) -> tuple[Manifest, ...]:
        """What is attached to the image."""
        if (named := attached_to(self._index())) is None:
            return ()
        entries = self._manifest(named).manifests
        if len(entries) > _MOST_ATTACHED:
            raise self._refused(f"it has more than {_MOST_ATTACHED} attached documents")
        found = [self._manifest(one) for one in entries]
        return tuple(one for one in found if one.subject and one.subject.digest == subject.digest)

    def blob(self, wanted: Descriptor, *, most_bytes: int) -> bytes:
        """A small blob, verified."""
        if wanted.size > most_bytes:
            raise self._refused(f"{wanted.digest} has {wanted.size:,} bytes, and {most_bytes:,} are the most here")
        return b"".join(self.chunks(wanted))

    def bring(
        self, wanted: Iterable[Descriptor], folder: Path, progress: Progress, *, placed: Placed = no_hook,
        grew: Grew = no_hook,
    ) -> None:  # fmt: skip
        """Copy blobs to a folder, verified, each under its sha256 in hex; hooks as in `Images`."""
        every = {one.digest: one for one in wanted}.values()
        with disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = folder / ".lock"
            with hold(lock, self._session.waiting_for(f"brings images to {folder}"), self._session.cancel):
                left = [one for one in every if not _is_placed(folder, one)]
                size = sum(one.size for one in left)
                require_space(folder, size)
                progress.start(_TASK, size)
                try:
                    for one in every:
                        if one in left:
                            self._copy(one, folder, progress, grew)
                        placed(folder / one.hex)
                finally:
                    progress.finish(_TASK)
                lock.unlink()

    def lacks(self) -> tuple[Descriptor, ...]:
        """The layers and files of the image and of what is attached to it that the layout does not have."""
        top, there = self.manifest(), self._found.blobs()
        every = {one.digest: one for manifest in (top, *self.attached(top)) for one in manifest.layers}.values()
        return tuple(one for one in every if one.hex not in there)

    def signers(self, manifest: Manifest, project: Path | None) -> tuple[Signer, ...]:
        """Nobody: a signature counts for a name in a registry, and a file has none. Raises ShareError where this
        machine or the project requires signatures of all images."""
        if demands := policy_of_files(self._session.settings, project):
            raise ShareError(
                f"{self._place} is not used: a signature is required of all images, and only a registry has them",
                where=demands[0].where, detail=f"the image: {manifest.digest}",
                hint="push it to a registry of yours with --sign, or require signatures of registries by name",
            )  # fmt: skip
        return ()

    def chunks(self, wanted: Descriptor) -> Iterator[bytes]:
        """A blob's bytes; the last piece comes after all were verified."""
        digest, size, last = hashlib.sha256(), 0, b""
        try:
            with self._opened(_name(wanted)) as (file, length):
                if length != wanted.size:
                    raise self._refused(f"its {wanted.digest} has {length:,} bytes instead of {wanted.size:,}")
                while chunk := file.read(_CHUNK_BYTES):
                    self._session.cancel.check()
                    digest.update(chunk)
                    size += len(chunk)
                    yield last
                    last = chunk
        except FileNotFoundError:
            name = dict(wanted.annotations).get(TITLE, "")
            raise self._refused(
                f"it lacks {wanted.digest}" + (f" ({name[:100]})" if name else ""),
                "copy it again; if it was exported with --have, name the earlier export too: --with FILE",
            ) from None
        if size != wanted.size or digest.hexdigest() != wanted.hex:
            raise self._refused(f"its {wanted.digest} has other content", "it was altered or damaged: copy it again")
        yield last

    # ---- writing

    def send(self, blobs: Iterable[Blob], progress: Progress) -> Sent:
        """Add blobs."""
        every = self._wanted(blobs)
        self._progress = progress
        written = self._out.add(every, progress)
        total = sum({blob.descriptor.digest: blob.descriptor.size for blob in every}.values())
        return Sent(sent=written, present=total - written)

    def put(self, manifest: Manifest) -> None:
        """Have this image."""
        self._top = manifest
        self._add([Blob(descriptor=Descriptor.of(manifest.data, manifest.media_type), content=manifest.data)])

    def attach(self, manifest: Manifest) -> None:
        """Have a manifest about the image."""
        self._add([Blob(descriptor=Descriptor.of(manifest.data, manifest.media_type), content=manifest.data)])
        self._attached.append(manifest)

    def finish(self) -> None:
        """Make it a layout."""
        assert self._top is not None
        named = Named.of(self._top, self._attached)
        self._add([Blob(descriptor=Descriptor.of(named.attached.data, OCI_INDEX), content=named.attached.data)])
        self._out.finish(named)

    # ---- inner

    @property
    def _out(self) -> Writer:
        assert self._writer is not None, "opened for reading"
        return self._writer

    def _add(self, blobs: Iterable[Blob]) -> None:
        assert self._progress is not None
        self._out.add(self._wanted(blobs), self._progress)

    def _wanted(self, blobs: Iterable[Blob]) -> tuple[Blob, ...]:
        out = self._place.left_out
        return tuple(
            one for one in blobs
            if not (one.descriptor.hex in out and one.descriptor.media_type in LARGE)
        )  # fmt: skip

    def _opened(self, name: str) -> contextlib.AbstractContextManager[tuple[Opened, int]]:
        return self._found.opened(name)

    @property
    def _found(self) -> LayoutFiles:
        assert self._files is not None, "opened for writing"
        return self._files

    def _index(self) -> Manifest:
        try:
            with self._opened(INDEX) as (file, _):
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                raise ValueError(f"it has more than {bytes_text(MOST_BYTES)}")
            return Manifest.read(data, OCI_INDEX)
        except FileNotFoundError:
            raise self._refused(
                f"it has no {INDEX}, so it is no image layout, or one that is not finished", "export it again"
            ) from None
        except ValueError as error:
            raise self._refused(f"its {INDEX} cannot be used: {error}", "export it again") from None

    def _manifest(self, wanted: Descriptor, *, any_size: bool = False) -> Manifest:
        if any_size:
            try:
                with self._opened(_name(wanted)) as (_, size):
                    wanted = dataclasses.replace(wanted, size=size)
            except FileNotFoundError:
                raise self._refused(f"it lacks {wanted.digest}", "copy or export it again") from None
        elif wanted.media_type not in MEDIA_TYPES:
            raise self._refused(f"{wanted.media_type[:100]!r} is no image's format")
        data = self.blob(wanted, most_bytes=MOST_BYTES)
        try:
            return Manifest.read(data, wanted.media_type)
        except ValueError as error:
            raise self._refused(f"its manifest {wanted.digest} cannot be used: {error}") from None

    def _copy(self, wanted: Descriptor, folder: Path, progress: Progress, grew: Grew) -> None:
        fresh = folder / f".{wanted.hex}"
        fresh.unlink(missing_ok=True)
        try:
            with fresh.open("xb") as file:
                for chunk in self.chunks(wanted):
                    file.write(chunk)
                    file.flush()
                    grew(folder / wanted.hex, fresh, file.tell())
                    progress.advance(_TASK, len(chunk))
                sync(file)
            fresh.replace(folder / wanted.hex)
        finally:
            fresh.unlink(missing_ok=True)

    def _refused(self, why: str, hint: str = "it was not made by 'devenv export'") -> ShareError:
        return ShareError(f"{self._place} cannot be used: {why}", hint=hint)


def _name(descriptor: Descriptor) -> str:
    return f"{BLOBS}/{descriptor.hex}"


def _is_placed(folder: Path, blob: Descriptor) -> bool:
    path = folder / blob.hex
    return path.is_file() and not path.is_symlink() and path.stat().st_size == blob.size
