"""Blobs to a registry: existing ones are not sent, large ones go in chunks that continue at the registry's offset.

Format: OCI distribution specification 1.1, "Pushing blobs". Docker's own registry (2.8) gives up an upload whose last
chunk broke off in the middle: it signs the offset into the address, and keeps more bytes than it signed. There such a
blob begins again; blobs that are complete stay.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.doors.http.partial_file import Again
from devenv.doors.http.registry.client import Call
from devenv.doors.http.registry.faults import RegistryError, Rejected, refused, wrong
from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.http.registry.uploads import Session
from devenv.doors.http.retry import Tries
from devenv.errors import ShareError

if TYPE_CHECKING:
    from devenv.doors.http.connections import Answer
    from devenv.doors.http.registry.repository import Repository

WHOLE_BYTES = 4 << 20
"""A blob up to this size goes in one request."""
CHUNK_BYTES = 64 << 20
_LEAST_CHUNK_BYTES = 1 << 20
_PIECE_BYTES = 256 << 10
_FINISH_S = 900.0
"""A registry may read and hash the whole blob before it answers the last request."""
_NO_CHUNKS = (400, 405, 411, 501)
_RANGE = re.compile(r"(?:bytes[= ])?0-(\d+)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A blob to push: `content` is its file or its bytes. `origins`: repositories of the same registry that may
    have it."""

    descriptor: Descriptor
    content: Path | bytes
    origins: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True, kw_only=True)
class Sent:
    """What a push moved, in bytes of blobs: sent from here, there already, and taken from another repository."""

    sent: int = 0
    present: int = 0
    mounted: int = 0


class Upload:
    """One blob. `advance` gets every number of bytes that are done, negative when some have to be sent again."""

    def __init__(
        self, repository: Repository, blob: Blob, session: Session, advance: Callable[[int], None],
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:  # fmt: skip
        self._repository = repository
        self._registry = repository.registry
        self._blob = blob
        self._size = blob.descriptor.size
        self._digest = blob.descriptor.digest
        self._session = session
        self._advance = advance
        self._chunk = chunk_bytes
        self._chunked = self._size > WHOLE_BYTES
        self._shown = 0
        self._sent = 0
        self._confirmed = self._furthest = 0
        self._resumed = False
        self._what = f"push {self._digest} to {repository}"

    def run(self) -> Sent:
        """Push the blob. Raises RegistryError, ShareError (its file), CancelledError."""
        if self._repository.has(self._digest):
            self._show(self._size)
            return Sent(present=self._size)
        started = False if self._session.location() else self._mount()
        if started is True:
            self._show(self._size)
            return Sent(mounted=self._size)
        tries = Tries(self._registry.policy, self._registry.stop)
        location = started or None
        while True:
            try:
                self._once(location)
            except Again as fault:
                if self._repository.has(self._digest):  # the response was lost, and not the blob
                    break
                further = self._confirmed > self._furthest
                self._furthest = max(self._furthest, self._confirmed)
                self._registry.again(self._what, fault, tries, further=further)
            except Rejected as rejected:
                self._other_way(rejected)
            else:
                break
            location = None
        self._session.forget()
        self._show(self._size)
        return Sent(sent=self._sent)

    def _once(self, location: str | None) -> None:
        """One session from where it stands to its end. Raises Again, Rejected, RegistryError."""
        if not self._chunked:
            self._show(0)
            self._finish(location or self._begin(), whole=True)
            return
        location, offset = (location, 0) if location else self._continued()
        while True:
            self._show(offset)
            self._confirmed = offset
            if offset == self._size:
                break
            location, reached = self._send(location, offset)
            self._session.keep(location)
            if reached <= offset:
                raise Again(f"keeps nothing of what it gets after byte {offset}")
            offset = reached
        self._finish(location, whole=False)

    def _continued(self) -> tuple[str, int]:
        """The session of an earlier try or run and its offset, or a new one."""
        if location := self._session.location():
            call = self._call(location, "GET", (204, 200), once=True)
            try:
                location, offset = self._registry.ask(call, lambda answer: self._state(answer, 0, self._size))
            except Rejected:  # it has ended, or this registry does not report its offset
                self._session.forget()
            else:
                self._resumed = self._resumed or offset > 0
                self._session.keep(location)
                return location, offset
        location = self._begin()
        self._session.keep(location)
        return location, 0

    def _begin(self) -> str:
        call = self._call(self._repository.path("blobs", "uploads") + "/", "POST", (202,))
        return self._registry.ask(call, self._started)

    def _started(self, answer: Answer) -> str:
        least = answer.headers.get("oci-chunk-min-length", "")
        if least.isdigit():
            self._chunk = max(self._chunk, min(int(least), self._size))
        return self._registry.located(answer, self._what)

    def _mount(self) -> str | bool:
        """Mount it from another repository: True, or the address of an upload that was begun instead, or False."""
        begun: str | bool = False
        for origin in self._blob.origins:
            url = f"{self._repository.path('blobs', 'uploads')}/?mount={self._digest}&from={origin}"
            call = dataclasses.replace(
                self._call(url, "POST", (201, 202)),
                scopes=self._repository.scopes | {f"repository:{origin}:pull"},
            )
            try:
                found = self._registry.ask(call, lambda answer: answer.status == 201 or self._started(answer))
            except RegistryError:  # no right to read there, or no mounting: the bytes are sent
                continue
            if found is True:
                return True
            begun = found
        return begun

    def _send(self, location: str, offset: int) -> tuple[str, int]:
        """One chunk; the next address and the offset that the registry confirms. Raises Again, Rejected."""
        count = min(self._chunk, self._size - offset)
        headers = {
            "Content-Type": "application/octet-stream", "Content-Length": str(count),
            "Content-Range": f"{offset}-{offset + count - 1}",
        }  # fmt: skip
        call = self._call(location, "PATCH", (202, 201, 204), once=True)
        call = dataclasses.replace(call, headers=headers, body=lambda: self._pieces(offset, count))
        try:
            return self._registry.ask(call, lambda answer: self._state(answer, offset + count, offset + count))
        except Rejected as rejected:
            match rejected.refusal.status:
                case 413 if self._chunk > _LEAST_CHUNK_BYTES:
                    self._chunk = max(self._chunk // 2, _LEAST_CHUNK_BYTES)
                    raise Again(rejected.refusal.why) from None
                case 404 | 416:  # the session ended, or has another offset: the next try requests it
                    raise Again(f"lost the upload: {rejected.refusal.why}") from None
            raise

    def _state(self, answer: Answer, otherwise: int, most: int) -> tuple[str, int]:
        """Address and offset of a session. Raises Again for an impossible offset."""
        location = answer.headers.get("location", "")
        url = self._registry.located(answer, self._what) if location else answer.url
        stored_range = _RANGE.match(answer.headers.get("range", ""))
        # An empty session and one of a single byte both have the range 0-0.
        offset = otherwise if stored_range is None else int(stored_range[1]) + 1 if int(stored_range[1]) else 0
        if offset > most:
            self._session.forget()
            raise Again(f"claims {offset} bytes, and {most} were sent")
        return url, offset

    def _finish(self, location: str, *, whole: bool) -> None:
        """The last request, which names the digest. Raises Again, Rejected, RegistryError."""
        count = self._size if whole else 0
        url = f"{location}{'&' if '?' in location else '?'}digest={self._digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(count)}
        call = self._call(url, "PUT", (201, 204), once=True)
        body = (lambda: self._pieces(0, count)) if count else b""
        call = dataclasses.replace(call, headers=headers, body=body, patience_s=_FINISH_S)
        stored_digest = self._registry.ask(call, lambda answer: answer.headers.get("docker-content-digest", ""))
        if stored_digest and stored_digest != self._digest:
            raise wrong(self._what, self._registry.host, f"stored another blob: {stored_digest}")

    def _other_way(self, rejected: Rejected) -> None:
        """What to try after a refusal, each once: again without an earlier run's bytes, and without chunks. Raises
        RegistryError when nothing is left."""
        refusal = rejected.refusal
        denied = refusal.status in (401, 403)
        if not denied:  # with another login, the next run can continue
            self._session.forget()
        if self._resumed and not denied:
            self._resumed = False
        elif self._chunked and refusal.status in (*_NO_CHUNKS, 404, 416):
            self._chunked = False
        else:
            error = refused(self._what, self._registry.host, refusal, self._registry.describe_login())
            if refusal.status == 400 and not self._is_whole():
                error.hint = (
                    f"the local file is not what {self._digest} stands for, because it was changed: make it again"
                )
            raise error

    def _is_whole(self) -> bool:
        import hashlib

        digest = hashlib.sha256()
        for piece in self._read(0, self._size):
            digest.update(piece)
        return f"sha256:{digest.hexdigest()}" == self._digest

    def _pieces(self, offset: int, count: int) -> Iterator[bytes]:
        self._show(offset)
        for piece in self._read(offset, count):
            yield piece
            self._sent += len(piece)
            self._show(self._shown + len(piece))

    def _read(self, offset: int, count: int) -> Iterator[bytes]:
        content = self._blob.content
        if isinstance(content, bytes):
            yield from (content[at : at + _PIECE_BYTES] for at in range(offset, offset + count, _PIECE_BYTES))
            return
        try:
            with files.opened(content) as file:
                file.seek(offset)
                while count:
                    piece = file.read(min(_PIECE_BYTES, count))
                    if not piece:
                        raise ShareError(f"cannot {self._what}: the file became shorter", where=str(content))
                    yield piece
                    count -= len(piece)
        except OSError as error:  # otherwise it would count as a failure of the connection
            raise ShareError(f"cannot {self._what}: {files.reason(error)}", where=str(content)) from None

    def _show(self, done: int) -> None:
        if done != self._shown:
            self._advance(done - self._shown)
            self._shown = done

    def _call(self, url: str, method: str, expect: tuple[int, ...], *, once: bool = False) -> Call:
        return Call(
            what=self._what, url=url, scopes=self._repository.scopes, method=method, expect=expect, once=once,
            body=b"" if method in ("POST", "PUT") else None,
        )  # fmt: skip
