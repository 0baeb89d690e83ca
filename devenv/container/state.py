"""An environment's own state on this host: token, ports, and the folder its container reads.

Docker's labels tell which environments exist; here lies only what must not be in Docker (the token), and the ports
that stay the environment's for its life.
"""

from __future__ import annotations

import dataclasses
import fcntl
import html
import json
import os
import re
import secrets
import shlex
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devenv.doors import files
from devenv.doors.docker.engine import LABEL
from devenv.doors.untrusted import from_json
from devenv.errors import NotReadyError, UsageError

_TOKEN_BYTES = 4096
_BUNDLE_BYTES = 16 << 20
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One environment's folder: `DIR/host` is mounted read-only into its container, `DIR/ports.json` stays here."""

    name: str
    folder: Path

    @property
    def container(self) -> str:
        """The container's name."""
        return f"devenv-{self.name}"

    @property
    def data_volume(self) -> str:
        """The persistent volume at /mnt/<env>."""
        return f"devenv-{self.name}-data"

    @property
    def workspace_volume(self) -> str:
        """The volume at /workspace, unless a project folder is mounted there."""
        return f"devenv-{self.name}-workspace"

    def volume(self, name: str) -> str:
        """A further volume of the preset's."""
        return f"devenv-{self.name}-vol-{name}"

    @property
    def volume_prefix(self) -> str:
        """How the names of all its volumes begin."""
        return f"devenv-{self.name}-"

    @property
    def network(self) -> str:
        """The network that its container alone is on."""
        return f"devenv-{self.name}"

    @property
    def host_folder(self) -> Path:
        """What the container gets from this host, mounted read-only at /run/devenv-host."""
        return self.folder / "host"

    def labels(self, project: str) -> dict[str, str]:
        """What a volume or network says of its environment, of the project that it was made for, and of whose it is."""
        return {f"{LABEL}name": self.name, f"{LABEL}project": project, f"{LABEL}owner": str(self.folder)}

    @property
    def token_file(self) -> Path:
        """Where the token lies."""
        return self.host_folder / "token"

    def token(self) -> str:
        """The environment's token; made at the first call, 0600. For `up` alone: others have `kept_token`."""
        return secret(self.token_file)

    def new_token(self) -> str:
        """Another token in place of the one there is."""
        return new_secret(self.token_file)

    def kept_token(self) -> str:
        """The token that `up` made. Raises NotReadyError when there is none."""
        if not files.is_there(self.token_file):
            raise NotReadyError(
                "the token is gone", where=str(self.token_file), hint="'devenv up --new-token' makes another"
            )
        return secret(self.token_file)

    def known_token(self) -> str | None:
        """The token if there is one that can be read."""
        try:
            return _token(self.token_file)
        except OSError:
            return None

    def bring(
        self, variables: Mapping[str, str], ca_bundle: Path | None, apt_sources: str, git_config: str = ""
    ) -> bool:
        """Write what the container shall know of this host: proxies and mirrors, its CA bundle, apt's sources, git's
        settings.

        Returns whether anything is other than before.
        """
        texts = {
            "env": "".join(f"{k}={v}\n" for k, v in sorted(variables.items())),
            "ca.crt": _read(ca_bundle) if ca_bundle else "",
            "apt.sources": apt_sources,
            "gitconfig": git_config,
        }
        changed = False
        for name, text in texts.items():
            path = self.host_folder / name
            if text == (_read(path) if files.is_there(path) else ""):
                continue
            changed = True
            if text:
                _write(path, text)
            else:
                path.unlink(missing_ok=True)
        return changed

    def ports(self) -> dict[int, int]:
        """The host port of each container port chosen so far."""
        kept = self.kept("ports.json")
        pairs = [(_port(k), _port(v)) for k, v in kept.items()] if isinstance(kept, dict) else []
        return {inside: outside for inside, outside in pairs if inside and outside}

    def keep_ports(self, ports: Mapping[int, int]) -> None:
        """Remember the ports for the environment's life."""
        self.keep("ports.json", {str(k): v for k, v in sorted(ports.items())})

    def keep(self, file: str, value: Any) -> None:
        """Remember a JSON value under a file name."""
        _write(self.folder / file, json.dumps(value) + "\n")

    def kept(self, file: str) -> Any:
        """What was kept under a file name; None when there is nothing readable."""
        try:
            return from_json(files.read_text(self.folder / file))
        except (OSError, ValueError):
            return None

    def page(self, service: str, url: str) -> Path:
        """An HTML file (0600) that leads to `url`: how to hand a browser a token without showing it."""
        path = self.folder / f"open-{service}.html"
        address = html.escape(url, quote=True)
        _write(
            path, f'<!doctype html><meta http-equiv="refresh" content="0;url={address}"><a href="{address}">open</a>\n'
        )
        return path

    def forget(self) -> None:
        """Delete token and ports."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def locked(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the environment for one command; `waiting` is called when another one has it. Freed by a kill."""
        with hold(self.folder / "lock", waiting):
            yield


@contextmanager
def hold(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file between processes. The kernel frees it when the holder dies."""
    told = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Not emptied, because it may be a link; and for reading too: a pipe without a reader does not hold us up.
            handle = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        except OSError as error:
            raise NotReadyError(
                f"cannot write {path}: {error.strerror}", hint="free disk space, or that folder"
            ) from None
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    waiting()
                told = True
                fcntl.flock(handle, fcntl.LOCK_EX)
            # 'down --volumes' and 'prune' take the folder away with the lock in it: then wait at the new one.
            if _is_still(path, handle.fileno()):
                yield
                return


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def is_name(name: str) -> bool:
    """Whether an environment can be called so."""
    return _NAME.fullmatch(name) is not None


def is_models(name: str) -> bool:
    """Whether an environment's volumes would be called as models' are, `devenv-model-…`."""
    return name == "model" or name.startswith("model-")


def environment(name: str, root: Path) -> Environment:
    """The environment called `name` with its state below `root`. Raises UsageError for a name Docker would refuse."""
    if not is_name(name):
        raise UsageError(
            f"{name!r} cannot name an environment",
            hint="use 1 to 40 lower-case letters, digits and dashes, such as 'my-env'",
        )
    return Environment(name=name, folder=root / name)


def choose_ports(wanted: tuple[int, ...], kept: Mapping[int, int], taken: frozenset[int]) -> dict[int, int]:
    """A free loopback port for each container port: the kept one where there is one, else a new one.

    `taken` are ports that other environments own even while they are stopped.
    """
    chosen = {inside: kept[inside] for inside in wanted if inside in kept}
    for inside in wanted:
        if inside not in chosen:
            chosen[inside] = _free(inside, taken | frozenset(chosen.values()))
    return chosen


def _free(preferred: int, taken: frozenset[int]) -> int:
    """`preferred` or one of the next hundred when free, else any: so that URLs stay easy to remember."""
    for port in range(max(preferred, 1024), min(max(preferred, 1024) + 100, 65536)):
        if port not in taken and port_is_free(port):
            return port
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def port_is_free(port: int) -> bool:
    """Whether this host's loopback port can be bound now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def kept_ports(root: Path, but: str) -> frozenset[int]:
    """Every host port that an environment other than `but` has chosen, whether its container is there or not."""
    others = (Environment(name=one.name, folder=one) for one in root.glob("*") if one.name != but)
    return frozenset(outside for one in others for outside in one.ports().values())


def _read(path: Path) -> str:
    try:
        return files.read(path, most_bytes=_BUNDLE_BYTES).decode(errors="replace")
    except OSError as error:
        raise NotReadyError(
            f"cannot read {path}: {files.reason(error)}", hint="correct SSL_CERT_FILE, or remove that file"
        ) from None


def _port(value: object) -> int | None:
    """A port's number, as JSON has it as a key or as a value; None for what is none."""
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value, re.ASCII) else value
    return number if isinstance(number, int) and 0 < number < 65536 else None


def secret(path: Path) -> str:
    """The random token kept in a file; made at the first call, 0600. Raises NotReadyError for what is no token."""
    try:
        if token := _token(path):
            return token
        why = "the file is empty"
    except FileNotFoundError:
        return new_secret(path)
    except OSError as error:
        why = files.reason(error)
    raise NotReadyError(
        f"cannot read the token: {why}",
        where=str(path),
        hint=f"remove it, and the next 'devenv up' makes another: rm -r {shlex.quote(str(path))}",
    )


def new_secret(path: Path) -> str:
    """Write a new random token to a file, 0600. Raises NotReadyError when it cannot be written."""
    token = secrets.token_urlsafe(32)
    _write(path, token + "\n")
    return token


def _token(path: Path) -> str | None:
    """The token in a file; None when it is empty. Raises OSError: what cannot stand in a header is none."""
    token = files.read_text(path, most_bytes=_TOKEN_BYTES).strip()
    if token and not re.fullmatch(r"[!-~]+", token):
        raise files.RefusedError(path, "it holds no token", "remove it")
    return token or None


def _write(path: Path, text: str) -> None:
    """Write `text` to a 0600 file in a 0700 folder, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        fresh.replace(path)
    except OSError as error:
        raise NotReadyError(
            f"cannot keep this environment's state: {error}", hint="free disk space, or set XDG_STATE_HOME"
        ) from None
