"""An environment's own state on this host: token, ports, and the folder its container reads.

Docker's labels tell which environments exist; this folder holds what must not be in Docker (the token), and the ports
that stay the environment's for its life.
"""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devenv.container.names import is_name
from devenv.doors import files, secret_file
from devenv.doors.cancellation import Cancellation
from devenv.doors.docker.engine import LABEL
from devenv.doors.file_lock import hold
from devenv.doors.untrusted import from_json
from devenv.errors import NotReadyError, UsageError

_BUNDLE_BYTES = 16 << 20
_FILLING = "filling.json"


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
        """A further volume of the preset."""
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
        """The files for the container, mounted read-only at /run/devenv-host."""
        return self.folder / "host"

    def labels(self, project: str) -> dict[str, str]:
        """The labels of a volume or network: its environment, its project and its owner."""
        return {f"{LABEL}name": self.name, f"{LABEL}project": project, f"{LABEL}owner": str(self.folder)}

    @property
    def token_file(self) -> Path:
        """Where the token lies."""
        return self.host_folder / "token"

    def token(self) -> str:
        """The environment's token; made at the first call, 0600. For `up` alone: others have `kept_token`."""
        return secret_file.secret(self.token_file)

    def new_token(self) -> str:
        """Replace the token with a new one."""
        return secret_file.new_secret(self.token_file)

    def session(self) -> None:
        """Make what the gateway's cookies depend on beside the token, unless it is there: for `up`."""
        secret_file.secret(self._session_file)

    def end_sessions(self) -> None:
        """From the next start on no browser is logged in any more: open tabs sent their cookies to the port meanwhile,
        whoever had it."""
        secret_file.new_secret(self._session_file)

    @property
    def _session_file(self) -> Path:
        return self.host_folder / "session"

    def kept_token(self) -> str:
        """The token that `up` made. Raises NotReadyError when there is none."""
        if not files.is_there(self.token_file):
            raise NotReadyError(
                "the token does not exist", where=str(self.token_file), hint="make a new one: devenv up --new-token"
            )
        return secret_file.secret(self.token_file)

    def known_token(self) -> str | None:
        """The token, if it can be read."""
        try:
            return secret_file.kept(self.token_file)
        except OSError:
            return None

    def bring(
        self, variables: Mapping[str, str], ca_bundle: Path | None, apt_sources: str, git_config: str = ""
    ) -> bool:
        """Write this host's settings for the container: proxies and mirrors, its CA bundle, apt's sources, git's
        settings.

        Returns whether anything changed.
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
                secret_file.write(path, text)
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

    def filling(self) -> frozenset[str]:
        """The mount points whose new volumes a run that was stopped had not filled yet."""
        kept = self.kept(_FILLING)
        return frozenset(one for one in kept if isinstance(one, str)) if isinstance(kept, list) else frozenset()

    def keep_filling(self, mounts: Collection[str]) -> None:
        """Remember the mount points whose volumes are about to be filled; none of them once all are."""
        if mounts:
            self.keep(_FILLING, sorted(mounts))
        else:
            (self.folder / _FILLING).unlink(missing_ok=True)

    def keep(self, file: str, value: Any) -> None:
        """Remember a JSON value under a file name."""
        secret_file.write(self.folder / file, json.dumps(value) + "\n")

    def kept(self, file: str) -> Any:
        """The value kept under a file name; None when there is no readable one."""
        try:
            return from_json(files.read_text(self.folder / file))
        except (OSError, ValueError):
            return None

    def page(self, service: str, url: str) -> Path:
        """An HTML file (0600) that leads to `url`: how to hand a browser a token without showing it."""
        path = self.folder / f"open-{service}.html"
        address = html.escape(url, quote=True)
        secret_file.write(
            path, f'<!doctype html><meta http-equiv="refresh" content="0;url={address}"><a href="{address}">open</a>\n'
        )
        return path

    def forget(self) -> None:
        """Delete token and ports."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def locked(self, waiting: Callable[[], None], cancel: Cancellation | None = None) -> Iterator[None]:
        """Hold the environment for one command; calls `waiting` when another command holds it. A kill frees it."""
        with hold(self.folder / "lock", waiting, cancel, leave_nothing=True):
            yield


def is_models(name: str) -> bool:
    """Whether an environment's volumes would have the names of model volumes, `devenv-model-…`."""
    return name == "model" or name.startswith("model-")


def environment(name: str, root: Path) -> Environment:
    """The environment `name` with its state below `root`. Raises UsageError for a name Docker would refuse."""
    if not is_name(name):
        raise UsageError(
            f"{name!r} is not a name for an environment",
            hint="use 1 to 40 lower-case letters, digits and dashes, such as 'my-env'",
        )
    return Environment(name=name, folder=root / name)


def _read(path: Path) -> str:
    try:
        return files.read(path, most_bytes=_BUNDLE_BYTES).decode(errors="replace")
    except OSError as error:
        raise NotReadyError(
            f"cannot read {path}: {files.reason(error)}", hint="correct SSL_CERT_FILE, or remove that file"
        ) from None


def _port(value: object) -> int | None:
    """A port's number from a JSON key or value; None for anything else."""
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value, re.ASCII) else value
    return number if isinstance(number, int) and 0 < number < 65536 else None
