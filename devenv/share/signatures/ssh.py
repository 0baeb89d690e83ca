"""Signatures by SSH keys: OpenSSH's own `ssh-keygen -Y` signs and decides, so keys in agents and hardware work too.

Format: OpenSSH's PROTOCOL.sshsig; allowed signers: ssh-keygen(1).
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files, process
from devenv.errors import CancelledError, ShareError, UsageError

if TYPE_CHECKING:
    from devenv.doors.cancellation import Cancellation
    from devenv.doors.settings.settings import Settings

NAMESPACE = "devenv-image"
"""Signatures for another purpose (git, files) do not count here, and these not there."""
MOST_BYTES = 64 << 10
"""The size limit of a signature: one by a certificate with many principals is some kB."""
_NAMES = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa")
_PUBLIC = re.compile(r"(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+")
_MADE_BY = re.compile(r'^Good ".*" signature .*?with (\S+ key \S+)$', re.MULTILINE)
_MOST_PRINCIPALS = 16
_TIMEOUT_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SshKey:
    """A key to sign with: a file, or the public half of a key that an agent has. `origin`: why this one."""

    origin: str
    path: Path | None = None
    public: str = ""

    def __str__(self) -> str:
        return f"{self.path or self.public.rpartition(' ')[2]} ({self.origin})"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What ssh-keygen says of a signature: `principal` is who made it, empty when it is not accepted, and then `why`.
    `key`: kind and fingerprint."""

    principal: str = ""
    key: str = ""
    why: str = ""


def find_key(settings: Settings) -> SshKey:
    """The key that this user signs with: git's, else the agent's first, else a file in ~/.ssh. Raises UsageError."""
    if settings.ssh_signing_key:
        return _of_git(settings.ssh_signing_key, settings)
    with contextlib.suppress(FileNotFoundError, process.TimeoutExpired):
        listed = process.run(["ssh-add", "-L"], check=False, timeout_s=_TIMEOUT_S)
        first = listed.out.splitlines()[0] if listed.code == 0 and listed.out.strip() else ""
        if _PUBLIC.match(first):
            return SshKey(public=first, origin="the first key of the SSH agent")
    for name in _NAMES:
        if settings.ssh_folder is not None and (path := settings.ssh_folder / name).is_file():
            return SshKey(path=path, origin="the first of your SSH keys")
    raise UsageError(
        "no SSH key to sign with: git has no user.signingkey, no agent has a key, and there is none in ~/.ssh",
        hint="make one: ssh-keygen -t ed25519; or name yours: git config --global gpg.format ssh && "
        "git config --global user.signingkey ~/.ssh/KEY.pub",
    )


def sign(key: SshKey, payload: bytes) -> bytes:
    """The signature, armoured. ssh-keygen may ask on this terminal for a passphrase, a PIN or a touch. Raises
    ShareError, CancelledError."""
    with tempfile.TemporaryDirectory(prefix="devenv-sign-") as place:
        folder = Path(place)
        (folder / "payload").write_bytes(payload)
        (folder / "key.pub").write_text(f"{key.public}\n")
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key.path or folder / "key.pub")]
        with _installed():
            code = process.interactive([*command, str(folder / "payload")])
        if code in (-signal.SIGINT, 128 + signal.SIGINT):
            raise CancelledError("cancelled: not signed")
        signature = folder / "payload.sig"
        if code != 0 or not signature.is_file():
            raise ShareError(
                f"ssh-keygen cannot sign with {key}: it ended with status {code}",
                hint="its own message is above; a key with a passphrase needs a terminal or an agent: ssh-add",
            )
        return files.read(signature, most_bytes=MOST_BYTES)


def fingerprint(signature: bytes, payload: bytes, cancel: Cancellation) -> str:
    """Kind and fingerprint of the key that made a signature of this payload; empty when it does not fit. Raises
    ShareError."""
    with _placed(signature=signature) as folder:
        return _key(_keygen(["check-novalidate", *_of(folder)], cancel, payload))


def check(signature: bytes, payload: bytes, signers: bytes, cancel: Cancellation) -> Verdict:
    """Whether one of the allowed signers made this signature of the payload, and may now. Raises ShareError."""
    if not payload.isascii():
        return Verdict(why="its payload is not ASCII")
    with _placed(signature=signature, signers=signers) as folder:
        allowed = ["-f", str(folder / "signers")]
        listed = _keygen(["find-principals", "-s", str(folder / "signature"), *allowed], cancel)
        principals = listed.out.splitlines() if listed.code == 0 else []
        told = [listed.err]
        for principal in principals[:_MOST_PRINCIPALS]:
            checked = _keygen(["verify", *_of(folder), *allowed, "-I", principal], cancel, payload)
            if checked.code == 0:
                return Verdict(principal=principal, key=_key(checked))
            told.append(checked.err)
        key = _key(_keygen(["check-novalidate", *_of(folder)], cancel, payload))
    if not key:
        return Verdict(why="the signature does not fit: it or its payload was altered, or it is for another purpose")
    reasons = re.findall(r"signers:\d+: (.+)", "\n".join(told))
    return Verdict(key=key, why=f"{key} is not allowed" + (f": {reasons[-1]}" if reasons else " to sign"))


def nobody(signers: bytes) -> bool:
    """Whether a file of allowed signers has no entry."""
    return all(line.strip()[:1] in (b"", b"#") for line in signers.splitlines())


def _of_git(told: str, settings: Settings) -> SshKey:
    literal = told.removeprefix("key::")
    if _PUBLIC.match(literal):
        return SshKey(public=literal, origin="git's user.signingkey")
    home = settings.ssh_folder.parent if settings.ssh_folder else Path("/")
    path = home / told.removeprefix("~/") if told.startswith("~/") else Path(told)
    if not path.is_absolute() or not path.is_file():
        raise UsageError(
            f"git's user.signingkey names no file: {told}",
            hint="name your key by its path from / or ~: git config --global user.signingkey ~/.ssh/id_ed25519.pub",
        )
    return SshKey(path=path, origin="git's user.signingkey")


def _of(folder: Path) -> list[str]:
    return ["-n", NAMESPACE, "-s", str(folder / "signature")]


def _key(outcome: process.Outcome) -> str:
    found = _MADE_BY.search(outcome.out) if outcome.code == 0 else None
    return found[1] if found else ""


def _keygen(arguments: Sequence[str], cancel: Cancellation, payload: bytes | None = None) -> process.Outcome:
    stdin = None if payload is None else payload.decode("ascii")
    with _installed():
        try:
            return process.run(
                ["ssh-keygen", "-Y", *arguments], env={"LC_ALL": "C"}, stdin=stdin, check=False, timeout_s=_TIMEOUT_S,
                cancel=cancel,
            )  # fmt: skip
        except process.TimeoutExpired:
            raise ShareError("ssh-keygen does not end", hint="run the command again") from None


@contextlib.contextmanager
def _placed(**contents: bytes) -> Iterator[Path]:
    """A folder with these files: what ssh-keygen reads cannot change between two questions."""
    with tempfile.TemporaryDirectory(prefix="devenv-check-") as place:
        for name, data in contents.items():
            (Path(place) / name).write_bytes(data)
        yield Path(place)


@contextlib.contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ShareError(
            "ssh-keygen is not installed, which signs and checks with SSH keys",
            hint="install OpenSSH's client (openssh-client, openssh-clients), version 8.2 or later",
        ) from None
