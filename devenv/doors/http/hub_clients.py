"""The user's certificates for the HTTP clients of the hubs' own libraries: as values, not by way of the environment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from devenv.doors.http.trust import trusting

_CHOSEN: ContextVar[Any] = ContextVar("_CHOSEN", default=None)
_GUARD = threading.Lock()


class _Chosen:
    """Replaces the only HTTP client of `huggingface_hub`, and passes on to the client that each thread chose."""

    def __init__(self, usual: Any) -> None:
        self._usual = usual

    def __getattr__(self, name: str) -> Any:
        return getattr(_CHOSEN.get() or self._usual, name)


@contextlib.contextmanager
def huggingface_trusts(bundle: Path | None) -> Iterator[None]:
    """Within the `with`, requests of `huggingface_hub` in this thread trust the bundle, too. Raises FetchError.

    The library has one client for the process. Replacing it closes the client that other threads use, so the first call
    sets a client that passes on to those of all threads, and it stays.
    """
    from huggingface_hub import get_session, set_client_factory

    with _GUARD:
        if not isinstance(get_session(), _Chosen):
            usual: Any = get_session()
            set_client_factory(lambda: _Chosen(_new_client(usual)))  # type: ignore[arg-type, return-value]
        usual = get_session()
    if bundle is None:
        yield
        return
    with _new_client(usual, verify=trusting([bundle])) as client:
        before = _CHOSEN.set(client)
        try:
            yield
        finally:
            _CHOSEN.reset(before)


def _new_client(client: Any, **more: Any) -> Any:
    """A new client: of httpx or httpx2, whichever the library took."""
    kind = type(client._usual if isinstance(client, _Chosen) else client)
    return kind(
        event_hooks=client.event_hooks, follow_redirects=client.follow_redirects, timeout=client.timeout, **more
    )


def modelscope_trusts(api: Any, bundle: Path | None) -> None:
    """Let a client of `modelscope_hub` trust the bundle, unless REQUESTS_CA_BUNDLE names another for its library."""
    if bundle is None:
        return
    # It takes neither a session nor certificates: pyproject.toml has an upper bound for it because of these names.
    for session in (api.legacy._session, api.legacy._read_session):
        session.verify = str(bundle)
