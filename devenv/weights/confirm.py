"""Whether a hub has a model under its name in a lock: the hub's listing against the verified files."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devenv.doors.http.hubs import HubFile, hub
from devenv.doors.settings.config_yaml import HubSettings
from devenv.errors import FetchError
from devenv.lock.model import ModelFile, ModelSource
from devenv.weights.store import Stored, Weights

_LARGEST_UNHASHED = 64 << 20
_JOBS = 8


def confirm(store: Weights, settings: HubSettings) -> tuple[str, ...]:
    """Ask the hubs about every unconfirmed source of a complete model; returns a remark for each that fails."""
    open_ = [
        (stored, source) for stored in store.every() if stored.complete
        for source in stored.model.sources if source not in stored.confirmed
    ]  # fmt: skip

    def ask(pair: tuple[Stored, ModelSource]) -> str | None:
        stored, source = pair
        try:
            listed = {file.path: file for file in hub(source.hub, settings).files(source.id, source.revision)}
        except FetchError as error:
            return error.message
        other = next(
            (file.path for file in stored.model.files if not same(file, listed.get(file.path), stored.folder)), None
        )
        return None if other is None else f"its {other} is another"

    with ThreadPoolExecutor(_JOBS, thread_name_prefix="confirm") as pool:
        reasons = list(pool.map(ask, open_))
    remarks = []
    for (stored, source), why in zip(open_, reasons, strict=True):
        if why is None:
            store.confirm(stored.model.key, source)
        else:
            remarks.append(f"{stored.model.key} is not known to be {source.hub}'s {source.id}@{source.revision}: {why}")
    return tuple(remarks)


def same(file: ModelFile, listed: HubFile | None, folder: Path) -> bool:
    """Whether a hub's listing is of this same file."""
    if listed is None or listed.size != file.size:
        return False
    if listed.sha256 is not None:
        return listed.sha256 == file.sha256
    if listed.git is None or file.size > _LARGEST_UNHASHED:
        return False
    git = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    git.update((folder / file.path).read_bytes())
    return git.hexdigest() == listed.git
