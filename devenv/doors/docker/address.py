"""The address of this user's Docker Engine, and other settings of docker's config.json, found as the
docker client finds them."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devenv.doors import files
from devenv.doors.settings import tool_configs
from devenv.doors.untrusted import from_json
from devenv.errors import EngineError

_DEFAULT = Path("/var/run/docker.sock")
_DEFAULT_TLS = "tcp://localhost:2376"
_ALERT_S = 2.0
TLS_HINT = (
    "correct DOCKER_CERT_PATH and DOCKER_TLS_VERIFY, or the docker context: docker context update NAME --docker "
    "host=…,ca=…,cert=…,key=…"
)
_PROXIES = {
    "httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY", "ftpProxy": "FTP_PROXY", "noProxy": "NO_PROXY",
    "allProxy": "ALL_PROXY",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS to an engine. `folder` has `ca.pem`, `cert.pem` and `key.pem`, the docker client's own names for them;
    without `verify` any certificate of the engine is accepted, as with DOCKER_TLS and a context's SkipTLSVerify."""

    folder: Path
    verify: bool = True

    @property
    def ca(self) -> Path:
        """The certificate authority that checks the engine's certificate."""
        return self.folder / "ca.pem"

    def context(self) -> ssl.SSLContext:
        """The TLS context of a connection. Raises EngineError for missing or unusable files."""
        # Not Python's default context: its strictness differs from one version to the next, and from the docker client.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.verify:
            if not self.ca.exists():
                raise _missing("CA certificate", self.ca)
            _load(context.load_verify_locations, self.ca)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        if key.exists() and not cert.exists():
            raise _missing("client certificate", cert)
        if cert.exists():  # an engine may not require one
            if not key.exists():
                raise _missing("client key", key)
            _load(context.load_cert_chain, cert, key, lambda: "")  # OpenSSL would ask for a password on the terminal
        return context


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An engine: its address as a DOCKER_HOST value, and TLS where it is used. All connections use both from here."""

    address: str
    tls: Tls | None = None

    @property
    def is_socket(self) -> bool:
        """Whether it is a socket of this machine."""
        return self.address.startswith("unix://")

    def variables(self) -> dict[str, str | None]:
        """The environment variables that lead a docker client to this engine only; None removes one."""
        verified = self.tls is not None and self.tls.verify
        return {
            "DOCKER_HOST": self.address,
            "DOCKER_CONTEXT": None,
            "DOCKER_TLS": "1" if self.tls and not verified else None,
            "DOCKER_TLS_VERIFY": "1" if verified else None,
            "DOCKER_CERT_PATH": str(self.tls.folder) if self.tls else None,
        }


def endpoint(variables: Mapping[str, str], home: Path) -> Endpoint:
    """DOCKER_HOST, else the current docker context's endpoint, else the usual sockets (system, then rootless).

    A context lies in `$DOCKER_CONFIG/contexts/meta/<sha256 of its name>/meta.json`, its certificates in `…/tls/<the
    same>/docker`. For all else DOCKER_TLS_VERIFY, DOCKER_TLS and DOCKER_CERT_PATH say how; on a socket of this machine
    they say nothing. Raises EngineError for a context that is named but not there.
    """
    host, name = variables.get("DOCKER_HOST"), variables.get("DOCKER_CONTEXT")
    name = name or str(_config(variables, home).get("currentContext") or "")
    if host or not name or name == "default":
        tls = _tls(variables, home)
        address = host or (_DEFAULT_TLS if tls else _usual_socket(variables))
    else:
        address, tls = _context(_folder(variables, home) / "contexts", name)
    return Endpoint(address=address, tls=None if address.startswith("unix://") else tls)


def _usual_socket(variables: Mapping[str, str]) -> str:
    rootless = Path(variables.get("XDG_RUNTIME_DIR") or "/nonexistent") / "docker.sock"
    return f"unix://{rootless if not _DEFAULT.exists() and rootless.exists() else _DEFAULT}"


def _tls(variables: Mapping[str, str], home: Path) -> Tls | None:
    verify = bool(variables.get("DOCKER_TLS_VERIFY"))
    if not verify and not variables.get("DOCKER_TLS"):
        return None
    return Tls(folder=Path(variables.get("DOCKER_CERT_PATH") or _folder(variables, home)).absolute(), verify=verify)


def _context(contexts: Path, name: str) -> tuple[str, Tls | None]:
    key = hashlib.sha256(name.encode()).hexdigest()
    try:
        meta = contexts / "meta" / key / "meta.json"
        settings_ = from_json("" if tool_configs.passes_over(meta) else files.read_text(meta))["Endpoints"]["docker"]
        host, verify = str(settings_["Host"]), not settings_.get("SkipTLSVerify")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise EngineError(
            f"the docker context {name!r} does not exist",
            hint="list them: docker context ls; or use the default: docker context use default",
        ) from None
    folder = contexts / "tls" / key / "docker"
    return host, Tls(folder=folder, verify=verify) if folder.exists() or not verify else None


def _missing(what: str, path: Path) -> EngineError:
    return EngineError(f"the {what} for the Docker Engine does not exist", where=str(path), hint=TLS_HINT)


def _load(load: Callable[..., None], *arguments: Any) -> None:
    """Load a file into a context. Raises EngineError, by the file's name."""
    try:
        load(*arguments)
    except OSError as error:  # OpenSSL's error is an OSError, too
        why = error.strerror if not isinstance(error, ssl.SSLError) else (error.reason or str(error))
        what = str(why).lower().replace("_", " ")
        raise EngineError(
            f"the TLS files for the Docker Engine cannot be used: {what}", where=str(arguments[0]), hint=TLS_HINT
        ) from None


def proxies(variables: Mapping[str, str], home: Path) -> dict[str, str]:
    """The proxies that docker's config.json names for programs inside containers, as the variables that the docker
    client would set: `HTTP_PROXY`, `http_proxy`, …

    It has them for each engine by its address, and for every other under `default`.
    """
    named = _config(variables, home).get("proxies")
    if not isinstance(named, dict):
        return {}
    try:
        address = endpoint(variables, home).address
    except EngineError:
        address = ""  # a command that needs the engine reports it
    own = named.get(address, named.get("default"))
    found = {} if not isinstance(own, dict) else {_PROXIES[key]: own[key] for key in _PROXIES if own.get(key)}
    return {each: str(value) for name, value in found.items() for each in (name, name.lower())}


def _config(variables: Mapping[str, str], home: Path) -> Mapping[str, Any]:
    """The docker client's config.json; empty when it cannot be read."""
    path = _folder(variables, home) / "config.json"
    if tool_configs.passes_over(path):
        return {}
    try:
        value = from_json(files.read_text(path))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _folder(variables: Mapping[str, str], home: Path) -> Path:
    return Path(variables.get("DOCKER_CONFIG") or home / ".docker")


def ask(where: Endpoint, path: str, *, timeout_s: float = 10) -> Any:
    """One GET request to the engine: its JSON, or None when it answers 404.

    For read-only callers, because the SDK takes longer to import than the engine to answer.
    Raises OSError, ValueError, EngineError.
    """
    link = _connection(where, timeout_s)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from None
    finally:
        link.close()
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise OSError(f"HTTP {answer.status}")
    return from_json(body)


def refusal(where: Endpoint) -> OSError | None:
    """Why an engine refuses this client before any request; None where it waits for one.

    The engine sends an alert after the handshake and hangs up. A request in flight would lose the alert.
    """
    link = _connection(where, _ALERT_S)
    try:
        link.connect()
        link.sock.recv(1)
    except TimeoutError:
        return None
    except OSError as error:
        return error
    finally:
        link.close()
    return None


def _connection(where: Endpoint, timeout_s: float) -> http.client.HTTPConnection:
    if where.address.startswith("unix://"):
        return _UnixConnection(where.address.removeprefix("unix://"), timeout_s)
    parts = urlsplit(where.address)
    if parts.scheme != "tcp" or not parts.hostname:
        raise ValueError("neither a socket of this machine nor a TCP address")
    if where.tls is None:
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=where.tls.context())


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
