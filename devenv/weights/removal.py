"""Models that are removed from the store, with their volumes. Those that an environment uses stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devenv.doors.docker.engine import Engine
from devenv.errors import UsageError
from devenv.weights import volume
from devenv.weights.store import Weights


def remove(
    names: Sequence[str], store: Weights, engine: Callable[[], Engine], *, note: Callable[[str], None]
) -> tuple[str, ...]:
    """Remove the models of these keys, names or hub ids; returns their keys. When an environment uses one of them,
    none is removed. Raises UsageError, EngineError."""
    keys = tuple(dict.fromkeys(store.named(name).model.key for name in names))
    for key in keys:
        if users := volume.users_of(key, engine()):
            raise UsageError(
                f"{key} is in use by {', '.join(users)}", hint=f"devenv down {users[0]}, then run the command again"
            )
    for key in keys:
        with store.only(key, lambda: note("another devenv command is using it; waiting")), store.unused(key):
            if volume.users_of(key, engine()):  # an environment began to use it after the first check
                raise UsageError(f"{key} is in use now", hint="devenv weights list")
            volume.remove(key, engine())
            store.remove(key)
        note(f"{key} is removed")
    return keys
