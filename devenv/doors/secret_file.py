"""Random tokens in files that only their user can read."""

from __future__ import annotations

import re
import secrets
import shlex
from pathlib import Path

from devenv.doors import atomic, files
from devenv.errors import NotReadyError

_TOKEN_BYTES = 4096


def secret(path: Path) -> str:
    """The random token in a file; made at the first call, 0600. Raises NotReadyError for a file without a token."""
    try:
        if token := kept(path):
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
    write(path, token + "\n")
    return token


def kept(path: Path) -> str | None:
    """The token in a file; None when it is empty. Raises OSError for text that cannot be a header's value."""
    token = files.read_text(path, most_bytes=_TOKEN_BYTES).strip()
    if token and not re.fullmatch(r"[!-~]+", token):
        raise files.RefusedError(path, "it holds no token", "remove it")
    return token or None


def write(path: Path, text: str) -> None:
    """Write `text` to a 0600 file in a 0700 folder, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write(path, text, mode=0o600)
    except OSError as error:
        raise NotReadyError(
            f"cannot keep this environment's state: {error}", hint=files.place_hint(error, "set XDG_STATE_HOME")
        ) from None
