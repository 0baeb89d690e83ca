"""The downloads and builds that a preset still needs, from its lock, the store and the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from devenv.doctor.examine import needs
from devenv.doctor.finding import Needs
from devenv.errors import LockError, PresetError

if TYPE_CHECKING:
    from devenv.doors.settings.settings import Settings
    from devenv.preset.load import LoadedPreset


def needs_of(
    loaded: LoadedPreset,
    settings: Settings,
    *,
    elsewhere: bool = False,
    has_image: Callable[[str], bool] = lambda _: False,
) -> Needs:
    """`elsewhere`: for another machine, which has no files yet; `has_image`: whether the engine has one."""
    from devenv.fetch.store import Store
    from devenv.lock import files
    from devenv.lock.model import read
    from devenv.plan.plan import plan
    from devenv.resolve.pin_model import known
    from devenv.weights.local_copies import needed_bytes
    from devenv.weights.store import Weights

    try:
        lock = read(files.lock_path(loaded, settings.dirs))
    except LockError:  # a preset that was never locked has no known sizes
        weights_known = loaded.preset.model is None
        return Needs(
            kinds=frozenset({"deb", "wheel", *(() if weights_known else ("weights",))}), weights_known=weights_known
        )
    if elsewhere:
        return needs(lock, lock.artifacts(), image_here=False, weights_bytes=lock.model.size if lock.model else 0)
    lock = known(lock, settings)
    hubs = settings.hubs
    weights = needed_bytes(lock.model, store=Weights(hubs.dir), caches=hubs.caches)
    try:
        if has_image(plan(loaded, lock).image):
            return needs(lock, (), image_here=True, weights_bytes=weights)
    except PresetError:
        pass  # it cannot be built as it is, but its needs are known
    return needs(lock, Store(settings.dirs.store).missing(lock), image_here=False, weights_bytes=weights)


def wants_weights(loaded: LoadedPreset, settings: Settings) -> bool:
    """Whether `up` would ask the hubs of the preset's model: weights are missing, or not pinned yet."""
    return loaded.preset.model is not None and "weights" in needs_of(loaded, settings).kinds
