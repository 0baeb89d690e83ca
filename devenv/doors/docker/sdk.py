"""A part of the engine: it talks to the docker SDK, whose failures become errors with a remedy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from devenv.doors.docker import faults

_Call = TypeVar("_Call", bound=Callable[..., Any])


def guarded(call: _Call) -> _Call:
    """Turn the SDK's failures into EngineError with a remedy."""

    @functools.wraps(call)
    def act(*args: Any, **kwargs: Any) -> Any:
        import docker.errors
        import requests.exceptions
        import urllib3.exceptions

        known = (
            docker.errors.DockerException, requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError
        )  # fmt: skip
        try:
            return call(*args, **kwargs)
        except known as error:
            if faults.is_local(error):
                raise
            raise faults.failed(error) from None

    return cast("_Call", act)


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
    """What every part of the engine has: the SDK's low-level client."""

    _api: Any
    _client: Any
