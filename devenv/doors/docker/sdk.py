"""A part of the engine: it talks to the docker SDK, whose failures become errors with a remedy."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode

from devenv.doors.docker import faults
from devenv.doors.docker.address import Endpoint, ask
from devenv.doors.docker.client import connected
from devenv.errors import EngineError

_Call = TypeVar("_Call", bound=Callable[..., Any])


def guarded(call: _Call) -> _Call:
    """Turn the SDK's failures into EngineError with a remedy."""

    @functools.wraps(call)
    def act(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if not _is_known(error) or faults.is_local(error):
                raise
            raise faults.failed(error) from None

    return cast("_Call", act)


def _is_known(error: Exception) -> bool:
    """Whether an engine, or the way to it, fails like that."""
    import docker.errors
    import requests.exceptions
    import urllib3.exceptions

    return isinstance(error, (
        docker.errors.DockerException, requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError
    ))  # fmt: skip


def checked(answer: Any) -> Any:
    """An answer to a request of our own. Raises what the SDK raises for its own requests."""
    import docker.errors
    import requests.exceptions

    try:
        answer.raise_for_status()
    except requests.exceptions.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)
    return answer


class Part:
    """What every part of the engine has: its address, and the SDK's client, connected when it is first needed."""

    endpoint: Endpoint
    _connected: Any = None

    @property
    def _client(self) -> Any:
        if self._connected is None:
            self._connected, _ = connected(self.endpoint)
        return self._connected

    @property
    def _api(self) -> Any:
        return self._client.api

    def _read(self, path: str, again: Callable[[], Any], query: Mapping[str, Any] = MappingProxyType({})) -> Any:
        """The engine's answer to one GET, or None where it has no such thing. What fails is asked `again` through the
        SDK: importing that takes longer than all answers, but it knows what the failures mean, and elsewhere than on
        this machine it keeps its connection."""
        if self.endpoint.is_socket and self._connected is None:
            with contextlib.suppress(OSError, ValueError, EngineError):
                return ask(self.endpoint, quote(path, safe="/:") + (f"?{urlencode(query)}" if query else ""))
        import docker.errors

        try:
            return again()
        except docker.errors.NotFound:
            return None


def filtered(filters: Mapping[str, str]) -> dict[str, Any]:
    """The query for things, also stopped ones, that fit the engine's filters."""
    return {"all": 1, "filters": json.dumps({name: [wanted] for name, wanted in filters.items()})}
