"""Environments as hosts of OpenSSH's client: keys, entries for ~/.ssh/config, and the command behind a connection.

No port is opened: the client's ProxyCommand starts a server in the container through the engine.
Formats: ssh_config(5); public keys: RFC 4253, section 6.6.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import re
import shlex
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from devenv.doors import atomic, files, process, secret_file
from devenv.errors import NotReadyError, UsageError
from devenv.plan.inside import USER, WORKSPACE

_SERVER = "/usr/local/lib/devenv/ssh-server"
VARIABLE = "DEVENV_SSH_KEY"
"""What tells the server in the container the one public key that may log in."""
_KINDS = {
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-rsa",
}  # fmt: skip
_LEAST_RSA_BITS = 2048
_KEY_BYTES = 16 << 10
_CONFIG_BYTES = 1 << 20
_ABOVE = "# devenv's environments as hosts; 'devenv ssh-config --remove' takes these two lines out."


def host(name: str) -> str:
    """An environment's name for SSH clients."""
    return f"devenv-{name}"


def address(name: str) -> str:
    """The URI with which VS Code opens the environment's files by Remote - SSH."""
    return f"vscode-remote://ssh-remote+{host(name)}{WORKSPACE}"


def command(container: str) -> list[str]:
    """One connection to a container, on standard input and output. The variable comes from the process's own."""
    return ["docker", "exec", "-i", "--user", USER, "-e", VARIABLE, container, "devenv-exec", _SERVER]


def test() -> list[str]:
    """What succeeds in a container that has a server."""
    return ["sh", "-c", f"test -x {_SERVER} && test -x /usr/sbin/sshd"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Keys and entries below `folder`, of this user alone. `engine`: the address of the engine, whose environments have
    a file of their own."""

    folder: Path
    engine: str

    @property
    def own(self) -> Path:
        """devenv's own private key."""
        return self.folder / "id_ed25519"

    @property
    def entries(self) -> Path:
        """The hosts of this engine, as a file for the client."""
        return self.folder / "hosts" / f"{hashlib.sha256(self.engine.encode()).hexdigest()[:12]}.conf"

    @property
    def include(self) -> str:
        """The line of ~/.ssh/config that takes all engines' hosts in."""
        folder = self.folder / "hosts"
        return f'Include "{folder}/*.conf"'

    def choose(self, key: Path | None) -> Path:
        """The file of the key that may log in, which is remembered: `key`, else the one of before, else a new one of
        devenv's own. Raises UsageError, NotReadyError."""
        if key is not None:
            public(key)
            secret_file.write(self.folder / "key", f"{key.absolute()}\n")
            return key
        if kept := self.chosen():
            return kept
        if not files.is_there(self.own):
            self._make()
        return self.own

    def chosen(self) -> Path | None:
        """The user's own key of an earlier `choose`."""
        try:
            text = files.read_text(self.folder / "key", most_bytes=_KEY_BYTES).rstrip("\n")
        except OSError:
            return None
        return Path(text) if text else None

    def renew(self) -> None:
        """Make a new key of devenv's own, which counts from now on. Raises NotReadyError."""
        self._make()
        (self.folder / "key").unlink(missing_ok=True)

    def line(self) -> str:
        """The public key that may log in. Raises UsageError, NotReadyError."""
        path = self.chosen() or self.own
        if not files.is_there(path):
            raise NotReadyError("no key for SSH was made yet", hint="make one: devenv ssh-config --install")
        return public(path)

    def _make(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.folder / "fresh"
        for path in (fresh, fresh.with_suffix(".pub")):
            path.unlink(missing_ok=True)
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "devenv", "-f", str(fresh)]
        try:
            process.run(make)
        except FileNotFoundError:
            raise NotReadyError("ssh-keygen is not installed", hint="install OpenSSH's client") from None
        except process.ProcessError as error:
            raise NotReadyError("ssh-keygen made no key", detail=error.outcome.err) from None
        fresh.with_suffix(".pub").replace(self.own.with_suffix(".pub"))
        fresh.replace(self.own)


def public(path: Path) -> str:
    """The public key that belongs to a key's file, in one line: PATH.pub, or PATH itself where it is one. Raises
    UsageError for what is none, and for kinds that OpenSSH's server no longer takes."""
    private = path.with_suffix("") if path.suffix == ".pub" else path
    file = private.with_name(f"{private.name}.pub")
    try:
        text = files.read_text(file, most_bytes=_KEY_BYTES).strip()
    except OSError as error:
        raise UsageError(
            f"cannot read the public key: {files.reason(error)}", where=str(file),
            hint=f"write it: ssh-keygen -y -f {shlex.quote(str(private))} > {shlex.quote(str(file))}",
        ) from None  # fmt: skip
    if why := _unusable(text):
        raise UsageError(why, where=str(file), hint="make a key that works: ssh-keygen -t ed25519; or leave --key out")
    return text


def _unusable(text: str) -> str | None:
    """Why a line is no public key that the server takes; None for one that is."""
    kind, _, rest = text.partition(" ")
    if "PRIVATE KEY" in text:
        return "it is a private key, and its public one has to lie beside it as FILE.pub"
    if kind == "ssh-dss":
        return "it is a DSA key, which OpenSSH no longer takes"
    if kind not in _KINDS or not text.isprintable():
        return "it is no public key of OpenSSH's (ssh-ed25519 …)"
    try:
        fields = _fields(base64.b64decode(rest.split(" ")[0], validate=True))
    except (ValueError, binascii.Error, struct.error):
        return "it is a damaged public key"
    if not fields or fields[0] != kind.encode() or len(fields) < 2:
        return "it is a damaged public key"
    bits = int.from_bytes(fields[-1], "big").bit_length()
    if kind == "ssh-rsa" and bits < _LEAST_RSA_BITS:
        return f"it is an RSA key of {bits} bits; OpenSSH takes {_LEAST_RSA_BITS} or more"
    return None


def _fields(blob: bytes) -> list[bytes]:
    """The strings of which a public key consists."""
    found = []
    while blob:
        (size,) = struct.unpack(">I", blob[:4])
        if size > len(blob) - 4:
            raise ValueError("it ends early")
        found.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return found


def entry(name: str, *, proxy: Sequence[str], variables: Mapping[str, str], key: Path) -> str:
    """A host for ~/.ssh/config. `proxy` begins the command of a connection, the name follows; `variables`: which engine
    and which state it is.

    The host key is of the container's boot and not kept: the engine, not the network, leads to the container.
    """
    settings = ("env", *(f"{one}={value}" for one, value in sorted(variables.items()))) if variables else ()
    words = shlex.join((*settings, *proxy, name)).replace("%", "%%")  # the client's own placeholders begin with %
    rows = {
        "HostName": host(name), "User": USER, "ProxyCommand": words, "IdentityFile": _word(_private(key)),
        "IdentitiesOnly": "yes", "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR",
    }  # fmt: skip
    return "".join((f"Host {host(name)}\n", *(f"  {setting} {value}\n" for setting, value in rows.items())))


def write_entries(keys: Keys, entries: Iterable[str]) -> None:
    """Replace the entries of this engine. Raises NotReadyError."""
    secret_file.write(keys.entries, "\n".join(entries))


def installed(text: str, line: str) -> str:
    """A client's settings with the line `Include …` first: below a `Host` it would count for that host alone."""
    rest = removed(text)
    return f"{_ABOVE}\n{line}\n" + (f"\n{rest}" if rest else "")


def removed(text: str) -> str:
    """A client's settings without it."""
    return re.sub(rf"^{re.escape(_ABOVE)}\nInclude [^\n]*\n\n?", "", text, flags=re.M)


def change_config(path: Path, line: str | None) -> bool:
    """Put the line `Include …` into the client's settings, or with None take it out; whether that changed anything.

    Links stay links, and modes stay as they are. Raises UsageError for a file that cannot be read or written.
    """
    there = path.resolve()  # a link into a folder of settings that is kept in git
    try:
        text = files.read_text(there, most_bytes=_CONFIG_BYTES) if files.is_there(path) else ""
        new = removed(text) if line is None else installed(text, line)
        if new == text:
            return False
        there.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = there.stat().st_mode & 0o777 if there.exists() else 0o600
        atomic.write(there, new, mode=mode)
    except OSError as error:
        remedy = f"put this line at its top yourself: {line}" if line else "take devenv's two lines out yourself"
        raise UsageError(f"cannot change it: {files.reason(error)}", where=str(path), hint=remedy) from None
    return True


def includes(path: Path, line: str) -> bool:
    """Whether the client's settings have the line `Include …` where `change_config` puts it."""
    try:
        return line in files.read_text(path.resolve(), most_bytes=_CONFIG_BYTES).splitlines()
    except OSError:
        return False


def _private(key: Path) -> str:
    """The file of a private key, which the client reads; for a key in hardware or an agent the public one will do."""
    private = key.with_suffix("") if key.suffix == ".pub" else key
    return str((private if files.is_there(private) else key).absolute())


def _word(text: str) -> str:
    """A file's name for the client: quoted, and % doubled."""
    return f'"{text}"'.replace("%", "%%")
