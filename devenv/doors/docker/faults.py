"""The failures of the Docker Engine and its SDK, by name, each with a remedy."""

from __future__ import annotations

import errno
import re
from urllib.parse import urlsplit

from devenv.doors.docker.address import TLS_HINT, Endpoint
from devenv.errors import EngineError

_AGAIN = "another program may have removed it: run the command again"
_REFUSALS = (
    # (pattern in the engine's message, the failure's name, remedy); the first match counts
    (
        r"no space left on device",
        "the engine's disk is full",
        "free space with 'devenv prune' or 'docker system prune'",
    ),
    (
        r"(docker-credential-\S+?) not installed",
        "the credential helper '{0}', which docker's config.json names, is not installed",
        "install it, or remove it from ~/.docker/config.json ('credsStore', 'credHelpers')",
    ),
    (
        r"credentials store error",
        "docker's credential helper failed",
        "try: docker login; or remove it from docker's config.json ('credsStore', 'credHelpers')",
    ),
    (
        r"authorization denied by plugin ([^\s:]+)",
        "the engine's authorization plugin {0} denies this",
        "ask the engine's administrator",
    ),
    (
        r"toomanyrequests|rate limit",
        "the registry allows no more pulls for now",
        "docker login, wait, or name a mirror under 'registry-mirrors' in the engine's daemon.json",
    ),
    (
        r"pull access denied|docker login|unauthorized|no basic auth credentials|access to the resource is denied",
        "the registry does not give the image",
        "correct the image's name; for a private one: docker login REGISTRY",
    ),
    (
        r"no matching manifest|does not match the (?:specified|detected) (?:host )?platform",
        "the registry has no such image for this machine's platform",
        "name another image",
    ),
    (r"manifest unknown|manifest for .* not found", "the registry does not have the image", "correct its name and tag"),
    (
        r"x509: |failed to verify certificate",
        "the engine does not trust the registry's certificate",
        "put its CA into /etc/docker/certs.d/REGISTRY/ca.crt on the engine's machine",
    ),
    (
        r"server gave http response to https client",
        "the registry speaks plain HTTP",
        "name it under 'insecure-registries' in the engine's daemon.json",
    ),
    (
        r"no such host|dial tcp|proxyconnect|client\.timeout exceeded|tls handshake timeout|network is unreachable",
        "the engine cannot reach the registry",
        "the engine's settings count: 'registry-mirrors', 'proxies' in its daemon.json; a 'bootstrap' base needs none",
    ),
    (r"no such image", "an image is no longer on the engine", _AGAIN),
    (r"no such (?:container|exec instance)", "the container no longer exists", _AGAIN),
    (r"no such volume|volume .* not found", "a volume no longer exists", _AGAIN),
    (r"network \S+ not found|no such network", "a network no longer exists", _AGAIN),
    (
        r"removal of container \S+ is already in progress|is marked for removal",
        "the container is just being removed",
        "run the command again",
    ),
    (r"container \S+ is paused", "the container is paused", "devenv start NAME, or docker unpause NAME"),
    (r"container \S+ is (?:not running|restarting)", "the container is not running", "devenv start NAME"),
    (
        r"container name \"?/?([^\" ]+)\"? is already in use",
        "a container named {0} exists already",
        "another program may have made it: look with docker ps -a, and run the command again",
    ),
    (r"volume is in use", "a container still uses a volume", "docker ps -a shows it; remove it first"),
    (
        r"unknown or invalid runtime name: ([\w.-]+)",
        "the engine has no runtime {0!r}",
        "see what it has: devenv doctor; or give the GPUs in another way: devenv up --gpu-mode",
    ),
    (
        r"could not select device driver|unresolvable cdi devices|cdi device injection failed",
        "the engine cannot give the container its GPUs",
        "see what is missing: devenv doctor; or give the GPUs in another way: devenv up --gpu-mode",
    ),
    (
        r"bind source path does not exist|mounts denied|error while creating mount source path",
        "the engine cannot see a folder of this machine",
        "share the folder with the engine's virtual machine, or use an engine that runs on this machine itself",
    ),
    (
        r"all predefined address pools|could not find an available.* ipv4 address pool",
        "the engine has no address range left for a network, and every environment needs its own",
        "docker network prune (devenv makes its own again); or 'default-address-pools' in the engine's daemon.json",
    ),
    (
        r"cannot allocate memory|too many open files|resource temporarily unavailable",
        "the engine's machine has no more memory, processes or open files",
        "stop other programs there, and run the command again",
    ),
    (
        r"failed to register layer|layer does not exist|content digest \S+ not found",
        "an image on the engine is damaged",
        "remove it (docker rmi), and run the command again",
    ),
    (
        r"client version \S+ is too (?:old|new)",
        "the engine and devenv's Docker SDK have no version of the API in common",
        "install a newer Docker Engine",
    ),
    (r"oci runtime|runc create failed", "the engine could not start the program in the container", None),
)  # fmt: skip
_TLS = (
    # As _REFUSALS; {0} is the engine's address.
    (
        r"certificate has expired",
        "the certificate of the Docker Engine at {0} has expired",
        "give the engine another one (--tlscert, --tlskey)",
    ),
    (r"not yet valid", "the certificate of the Docker Engine at {0} is not valid yet", "check the clock: date"),
    (
        r"mismatch, certificate is not valid for",
        "the certificate of the Docker Engine at {0} is for another host",
        "use a name from the certificate in DOCKER_HOST or the docker context",
    ),
    (r"CERTIFICATE_VERIFY_FAILED", "the certificate of the Docker Engine at {0} is from another CA", TLS_HINT),
    (r"alert certificate expired", "the client certificate for the Docker Engine at {0} has expired", TLS_HINT),
    (
        r"alert certificate required",
        "the Docker Engine at {0} requires a client certificate",
        "put cert.pem and key.pem beside ca.pem in DOCKER_CERT_PATH, or into the docker context",
    ),
    (
        r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE",
        "the server at {0} does not use TLS",
        "unset DOCKER_TLS_VERIFY and DOCKER_TLS, or correct DOCKER_HOST or the docker context",
    ),
    (
        r"\balert\b|EOF occurred|Connection ?[Rr]eset|Broken ?[Pp]ipe",
        "the Docker Engine at {0} rejects the client certificate",
        "use a certificate from the CA that the engine trusts (--tlscacert)",
    ),
)
_ADDRESS = re.compile(r"unix:///.+|(?:tcp|https?)://(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d+)?(?:/.*)?", re.ASCII)
_LOCAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}
"""Faults of this machine's files, not of the connection."""


def is_local(error: Exception) -> bool:
    """Whether it is a fault of a file on this machine, and not of the engine."""
    return isinstance(error, OSError) and error.errno in _LOCAL


def failed(error: Exception) -> EngineError:
    """The error for an SDK exception during a call to a connected engine."""
    import requests.exceptions

    refused = hasattr(error, "explanation")  # the SDK's error for an answer of the engine
    words = str(getattr(error, "explanation", None) or error)
    for pattern, name, remedy in _REFUSALS:
        if found := re.search(pattern, words, re.IGNORECASE):
            return EngineError(name.format(*found.groups()), detail=words, hint=remedy)
    if refused:
        return EngineError(f"Docker refused: {words}", hint=_permission(words))
    if isinstance(error, (requests.exceptions.Timeout, TimeoutError)):
        return EngineError(
            "the Docker Engine did not answer in time", detail=words, hint="see whether it is busy: docker info"
        )
    return EngineError(f"lost the Docker Engine: {words}", hint="check that dockerd is running: docker info")


def _permission(words: str) -> str | None:
    if "permission denied" in words.lower():
        return "the engine itself lacks that permission: a rootless engine may only use what you may"
    return None


def check_address(address: str) -> None:
    """Refuse an address that is not of an engine on this machine. Raises EngineError."""
    if address.startswith("ssh://"):
        raise EngineError(
            f"the Docker Engine at {address} is on another machine; devenv works with one on this machine",
            hint="unset DOCKER_HOST, or: docker context use default; or run devenv on that machine",
        )
    if not _ADDRESS.fullmatch(address) or not _has_port(address):
        raise EngineError(
            f"{address!r} is not the address of a Docker Engine",
            hint="correct DOCKER_HOST or the docker context: unix:///PATH, tcp://HOST:PORT",
        )


def _has_port(address: str) -> bool:
    """Whether the port of an address, where it has one, is one that there can be."""
    try:
        return urlsplit(address).port != 0
    except ValueError:
        return False


def unreachable(error: Exception, endpoint: Endpoint) -> EngineError:
    """The error when no engine can be reached at an endpoint."""
    words, address = str(error), endpoint.address
    for pattern, name, remedy in _TLS if endpoint.tls else ():
        if re.search(pattern, words):
            return EngineError(name.format(address), where=str(endpoint.tls and endpoint.tls.folder), hint=remedy)
    if "HTTP request to an HTTPS server" in words:
        return EngineError(
            f"the Docker Engine at {address} requires TLS",
            hint="set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem",
        )
    if "ermission denied" in words:
        return EngineError(
            f"this user may not use the Docker Engine at {address}",
            hint="join its group: sudo usermod -aG docker $USER, then log in again (or: newgrp docker)",
        )
    if "nvalid response" in words or "Expecting value" in words or "BadStatusLine" in words:
        return EngineError(
            f"the server at {address} is not a Docker Engine", hint="correct DOCKER_HOST or the docker context"
        )
    if "imed out" in words:
        return EngineError(
            f"the Docker Engine at {address} does not answer in time", hint="see whether it is busy: docker info"
        )
    return EngineError(
        f"no Docker Engine answers at {address}",
        hint="start it (sudo systemctl start docker), or install one: 'make engine' in a checkout, or your "
        "distribution's docker.io and docker-buildx packages; DOCKER_HOST names another one",
    )


def misconfigured(error: Exception) -> EngineError:
    """docker's config.json holds something of another type than the SDK expects there."""
    return EngineError(
        f"cannot read docker's config.json: {error}",
        hint="correct it ('proxies', 'auths', 'HttpHeaders', 'credsStore'): ~/.docker/config.json, or "
        "$DOCKER_CONFIG/config.json",
    )
