"""The option `--sign`: the key is opened before the command's work, so that a mistake costs none of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devenv.cli import complete
from devenv.cli.app import App
from devenv.doors.terminal.console import printable
from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.share.signatures.pem import PemKey
    from devenv.share.signatures.ssh import SshKey

PASSPHRASE = "DEVENV_SIGN_PASSPHRASE"  # noqa: S105 (a variable's name)

sign_option = click.option(
    "--sign", "sign_with", metavar="ssh|KEY.pem", shell_complete=complete.keys,
    help="Sign what is pushed: 'ssh' with your SSH key (of git, the agent or ~/.ssh), or with an ECDSA key in PEM.",
)  # fmt: skip


def key_for(sign_with: str | None, app: App) -> SshKey | PemKey | None:
    """The key that the option names; None without the option. Raises UsageError, ShareError."""
    from devenv.share.signatures.sign import signing_key

    return None if sign_with is None else signing_key(sign_with, app.settings, _passphrase)


def _passphrase(path: Path) -> str:
    """From the variable, or asked for on the terminal."""
    if (known := os.environ.get(PASSPHRASE)) is not None:
        return known
    if not sys.stdin.isatty():
        raise UsageError(
            "the key has a passphrase, and there is no terminal to ask for it",
            where=str(path),
            hint=f"put it into the variable {PASSPHRASE}",
        )
    return str(click.prompt(f"passphrase of {printable(str(path), one_line=True)}", hide_input=True, err=True))
