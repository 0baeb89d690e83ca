"""Several blobs to a repository at once."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from devenv.doors.http.registry.upload import CHUNK_BYTES, Blob, Sent, Upload
from devenv.doors.http.registry.uploads import session
from devenv.doors.terminal.progress import Progress

if TYPE_CHECKING:
    from devenv.doors.http.registry.repository import Repository

PARALLEL = 4


def push(
    repository: Repository, blobs: Iterable[Blob], progress: Progress, *, parallel: int = PARALLEL,
    chunk_bytes: int = CHUNK_BYTES,
) -> Sent:  # fmt: skip
    """Push these blobs to the repository. What was sent before a failure is continued by the next call, in another
    process too. Raises ShareError, CancelledError; after a failure the registry is halted."""
    wanted = {one.descriptor.digest: one for one in blobs}
    left = deque(sorted(wanted.values(), key=lambda blob: -blob.descriptor.size))
    registry, total, guard = repository.registry, Sent(), threading.Lock()
    task = f"push to {repository}"

    def one(blob: Blob) -> Sent:
        target = f"{repository}@{blob.descriptor.digest}"

        def waiting() -> None:
            progress.message(f"another devenv pushes {target}: waiting")

        with session(registry.settings.dirs.uploads, target, waiting, registry.cancel) as kept:
            return Upload(repository, blob, kept, lambda count: progress.advance(task, count), chunk_bytes).run()

    def work() -> None:
        while True:
            with guard:
                blob = left.popleft() if left else None
            if blob is None:
                return
            sent = one(blob)
            with guard:
                for field in dataclasses.fields(Sent):
                    setattr(total, field.name, getattr(total, field.name) + getattr(sent, field.name))

    progress.start(task, sum(one.descriptor.size for one in wanted.values()))
    try:
        registry.together("push", work, min(parallel, len(left)))
    finally:
        progress.finish(task)
    return total
