"""The images of an engine: looked up, pulled, tagged, removed, and files copied out of them."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from devenv.doors.docker import faults
from devenv.doors.docker.changes import Changes
from devenv.doors.docker.sdk import checked, guarded
from devenv.doors.process import is_gone, this_process
from devenv.doors.untar import MOST_BYTES, unpack
from devenv.doors.untrusted import from_json

_READING = "dev.devenv.reading"
"""The label of containers that are there to be read, and never started."""
_MOST_READING_S = 3600
_LOADING_S = 3600
# os-release is usually a link to this one, and an archive of a link holds no content.
_BASE_FILES = ("/usr/lib/os-release", "/var/lib/dpkg/status")


class Images(Changes):
    """Images. Every method raises EngineError."""

    @guarded
    def image_id(self, reference: str) -> str | None:
        """The image's id (config digest), or None when it is not here."""
        facts = self._image(reference)
        return str(facts["Id"]) if facts else None

    def _image(self, reference: str) -> Mapping[str, Any] | None:
        facts: Mapping[str, Any] | None = self._read(
            f"/images/{reference}/json", lambda: self._api.inspect_image(reference)
        )
        return facts

    @guarded
    def image_facts(self, reference: str) -> Mapping[str, Any]:
        """The engine's description of an image (`docker image inspect`). Raises EngineError when it is not here."""
        # What is not here is asked for again: the SDK's error says so.
        facts: Mapping[str, Any] = self._image(reference) or self._api.inspect_image(reference)
        return facts

    def image_labels(self, reference: str) -> Mapping[str, str]:
        """An image's labels. Raises EngineError when it is not here."""
        labels: Mapping[str, str] = self.image_facts(reference)["Config"].get("Labels") or {}
        return labels

    @guarded
    def pulled(self, reference: str) -> Mapping[str, Any]:
        """`image_facts`, pulled unless it is here."""
        import docker.errors

        with contextlib.suppress(docker.errors.ImageNotFound):
            return cast("Mapping[str, Any]", self._api.inspect_image(reference))
        try:
            self._client.images.pull(reference)
        except (AttributeError, TypeError) as error:
            raise faults.misconfigured(error) from None
        return cast("Mapping[str, Any]", self._api.inspect_image(reference))

    @guarded
    def build_cache_bytes(self) -> int | None:
        """The bytes of the builder's cache that no build uses and no image has, too; None where the engine does not
        tell them apart (podman)."""
        told = self._read("/system/df", self._api.df, {"type": "build-cache"})
        rows = told.get("BuildCache") if isinstance(told, dict) else None
        if not isinstance(rows, list):
            return None
        return sum(int(row["Size"]) for row in rows if not row["InUse"] and not row["Shared"])

    @guarded
    def takes_rest(self) -> bool:
        """Whether it takes an image without the first layers, which it has: not with containerd's image store, and not
        podman."""
        facts: Mapping[str, Any] = self._read("/info", lambda: self._api.info())  # noqa: PLW0108
        return facts.get("Driver") == "overlay2"

    @guarded
    def layers_here(self, diff_ids: Sequence[str]) -> int:
        """How many of an image's first layers, by the hashes of their content, an image of this engine has, too. 0 for
        engines that take no image without all of its layers."""
        if not self.takes_rest():
            return 0
        most = 0
        for row in self._read("/images/json", lambda: self._api.images()):  # noqa: PLW0108
            layers = ((self._image(row["Id"]) or {}).get("RootFS") or {}).get("Layers") or ()
            same = next((n for n, (a, b) in enumerate(zip(layers, diff_ids, strict=False)) if a != b), None)
            most = max(most, min(len(layers), len(diff_ids)) if same is None else same)
        return most

    @guarded
    def load(self, archive: Iterator[bytes], tell: Callable[[int], None] = lambda _: None) -> None:
        """Load images from an archive as `docker save` writes it. `tell` gets the bytes of layers, as they lie in the
        archive, that were unpacked so far, where the engine says it."""
        import docker.errors

        # Not by the SDK, which gives up after a minute: a large layer is written to the disk without a word.
        answer = checked(self._api.post(
            f"{self._api.base_url}/v{self._api.api_version}/images/load", params={"quiet": "0"}, data=archive,
            headers={"Content-Type": "application/x-tar"}, stream=True, timeout=_LOADING_S,
        ))  # fmt: skip
        unpacked: dict[str, int] = {}
        # A line's end (CR LF) that comes in two pieces counts as two, so that an empty line follows.
        for row in map(from_json, filter(None, answer.iter_lines())):
            if "error" in row:
                raise docker.errors.ImageLoadError(str(row["error"]))
            if done := (row.get("progressDetail") or {}).get("current"):
                unpacked[str(row.get("id"))] = int(done)
                tell(sum(unpacked.values()))

    @guarded
    def tag(self, reference: str, name: str) -> None:
        """Give an image (by tag or id) the further tag `name`."""
        self._api.tag(reference, *name.rsplit(":", 1))

    @guarded
    def images(self, repository_prefix: str) -> tuple[tuple[str, str, int], ...]:
        """(tag, id, size in bytes) of every local tag that begins with `repository_prefix`."""
        rows = [
            (tag, image["Id"], int(image["Size"]))
            for image in self._api.images()
            for tag in image.get("RepoTags") or ()
            if tag.startswith(repository_prefix)
        ]
        return tuple(sorted(rows))

    @guarded
    def remove_image(self, reference: str) -> None:
        """Remove a tag, and with its last tag the image."""
        self._api.remove_image(reference, noprune=False)

    @guarded
    def base_facts(self, reference: str) -> tuple[str, tuple[str, ...], str, str]:
        """(id, NAME@DIGEST at every registry that has it, /etc/os-release, /var/lib/dpkg/status) of a base
        image, pulled unless it is here. Read from a container that is created, never started."""
        facts = self.pulled(reference)
        with self.laid_open(reference) as made:
            os_release, status = (self.read_file(made, path) for path in _BASE_FILES)
        return str(facts["Id"]), tuple(facts.get("RepoDigests") or ()), os_release, status

    def take_out(self, reference: str, paths: Mapping[str, Path], *, most_bytes: int = MOST_BYTES) -> None:
        """Copy files and folders (path in the image → path here, which must not exist) out of an image that is not
        trusted; missing paths are left out. Raises UsageError for links and devices, and above `most_bytes`."""
        with self.laid_open(reference) as made:
            for inside, target in paths.items():
                with tempfile.TemporaryFile() as spool:
                    if self.archive_of(made, inside, spool, most_bytes):
                        spool.seek(0)
                        unpack(spool, target, source=f"the image {reference}")

    @guarded
    @contextlib.contextmanager
    def laid_open(self, reference: str, volumes: Mapping[str, str] | None = None) -> Iterator[str]:
        """A container of the image that is never started, for its files and those of `volumes` (mount point → name). It
        has nothing of the host."""
        self.remove_readers()
        made = self._create_idle(reference, volumes or {})
        try:
            yield made
        finally:
            self.remove(made)

    @guarded
    def remove_readers(self) -> None:
        """Remove the containers of runs that were killed within `laid_open`: at once where this machine can tell, else
        after an hour."""
        for row in self._api.containers(all=True, filters={"label": _READING, "status": "created"}):
            reader = str((row.get("Labels") or {}).get(_READING, ""))
            if is_gone(reader) or time.time() - row["Created"] > _MOST_READING_S:
                self.remove(row["Id"])

    @guarded
    def _create_idle(self, reference: str, volumes: Mapping[str, str]) -> str:
        mounts = [{"Type": "volume", "Source": name, "Target": target} for target, name in volumes.items()]
        # Without the proxies of docker's config.json, which would stay in the container's configuration.
        made = self._api.create_container(
            image=reference, command=["true"], labels={_READING: this_process()}, use_config_proxy=False,
            host_config=self._api.create_host_config(mounts=mounts),
        )  # fmt: skip
        return str(made["Id"])
