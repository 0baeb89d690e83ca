"""The docker SDK's client for an engine, reached through its endpoint only."""

from __future__ import annotations

import ssl
from typing import Any

from devenv.doors.docker import address, faults
from devenv.doors.docker.address import Endpoint


def connected(endpoint: Endpoint) -> tuple[Any, str]:
    """(the client, the engine's version). Raises EngineError when no engine answers, or it refuses this user."""
    import docker
    import docker.constants
    import docker.errors
    import requests.exceptions

    faults.check_address(endpoint.address)
    tls = endpoint.tls.context() if endpoint.tls else None
    try:
        versions = _client(endpoint, tls, docker.constants.DEFAULT_DOCKER_API_VERSION).api.version(api_version=False)
        return _client(endpoint, tls, versions["ApiVersion"]), str(versions.get("Version", ""))
    except docker.errors.InvalidConfigFile as error:
        raise faults.misconfigured(error) from None
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        said = address.refusal(endpoint) if endpoint.tls else None
        raise faults.unreachable(said or error, endpoint) from None
    except (AttributeError, TypeError, ValueError) as error:  # the SDK does not check the values of config.json
        raise faults.misconfigured(error) from None


def _client(endpoint: Endpoint, tls: ssl.SSLContext | None, version: str) -> Any:
    """The client for a version of the API. It sends no request yet."""
    import docker
    from requests.adapters import DEFAULT_POOLSIZE, HTTPAdapter

    client = docker.DockerClient(base_url=endpoint.address, version=version, tls=tls is not None, timeout=60)
    # An engine of this machine has no proxy before it, and the user's CA bundle is for other servers.
    client.api.trust_env = False
    if endpoint.tls:
        adapter = HTTPAdapter()
        adapter.init_poolmanager(DEFAULT_POOLSIZE, DEFAULT_POOLSIZE, ssl_context=tls)
        client.api.mount("https://", adapter)
        client.api.verify = str(endpoint.tls.ca) if endpoint.tls.verify else False
    return client
