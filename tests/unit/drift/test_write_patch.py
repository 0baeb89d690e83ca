"""A patch written beside a preset."""

from __future__ import annotations

from devenv.drift import write_patch
from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import Scanner


def test_a_patch_copies_no_secret_out_of_a_folder() -> None:
    """A folder is copied as a whole, so its files are judged one by one, by their path too."""
    contents = {"/srv/app/main.py": (b"x = 1\n", 0o644), "/srv/app/.env": (b"MODE=1\n", 0o600)}
    assert [one.name for one in write_patch._secrets(contents, Scanner(KnownValues()))] == ["/srv/app/.env"]
