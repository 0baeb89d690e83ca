"""This command line, for processes that devenv starts."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def program() -> tuple[str, ...]:
    """This command line, for a process that has another PATH. It takes no module from the folder where it starts, which
    may be a stranger's project."""
    here = Path(sys.argv[0])
    found = shutil.which("devenv") if here.name == "devenv" else None
    if found and here.exists() and Path(found).samefile(here):
        return (str(Path(found).absolute()),)
    return (sys.executable, "-P", "-m", "devenv")
