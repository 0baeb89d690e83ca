"""Files copied out of containers, running or not."""

from __future__ import annotations

import contextlib
import tarfile
import tempfile
from typing import IO

from devenv.doors.docker.sdk import Part, guarded
from devenv.errors import UsageError

_READ_BYTES = 32 << 20


class ContainerFiles(Part):
    """Files of containers. Every method raises EngineError."""

    @guarded
    def read_file(self, name: str, path: str) -> str:
        """A text file of a container, running or not; empty when it does not exist."""
        with tempfile.TemporaryFile() as spool:
            if not self.archive_of(name, path, spool, _READ_BYTES):
                return ""
            spool.seek(0)
            with tarfile.open(fileobj=spool, mode="r:") as archive:
                first = archive.next()
                member = archive.extractfile(first) if first and first.isreg() else None
                return member.read().decode(errors="replace") if member else ""

    def archive_of(self, container: str, path: str, spool: IO[bytes], most_bytes: int) -> bool:
        """Write the tar of a path to `spool`; False when it does not exist. Raises UsageError above `most_bytes`."""
        import docker.errors

        try:
            chunks, _ = self._api.get_archive(container, path)
        except docker.errors.NotFound:
            return False
        # Close it, because the engine keeps the container busy while it sends.
        with contextlib.closing(chunks):
            for chunk in chunks:
                spool.write(chunk)
                if spool.tell() > most_bytes:
                    raise UsageError(
                        f"{path} in that image is larger than {most_bytes >> 20} MiB",
                        hint="verify only images that devenv built",
                    )
        return True

    @guarded
    def put_archive(self, container: str, folder: str, archive: IO[bytes]) -> None:
        """Unpack a tar in a folder of a container, running or not; volumes mounted there included."""
        self._api.put_archive(container, folder, archive)

    @guarded
    def remove(self, name: str) -> None:
        """Remove a container, running or not. Volumes stay."""
        import docker.errors

        try:
            self._api.remove_container(name, force=True)
        except docker.errors.NotFound:
            return
