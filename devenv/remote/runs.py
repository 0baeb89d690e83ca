"""`up` on a box, apart from the connection that started it: a cut does not end it, and whoever comes back reads on
where it stopped. One folder for each run: what it printed, and its status in the end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from devenv.doors import streams
from devenv.errors import UsageError

DONE, INTERRUPT = b"done\n", b"interrupt\n"
_LOOK_EVERY_S = 0.03
_KEPT_S = 7 * 24 * 3600
_MOST_SAID = 1 << 16
# In the foreground of its shell, because a program in the background ignores Ctrl-C's signal.
_SCRIPT = (
    'cd "$1" || exit 1; run=$2; shift 2; sh -c \'echo $$ >"$1/pid.new"; mv "$1/pid.new" "$1/pid"; run=$1; shift; '
    'exec "$@" >"$run/out" 2>"$run/said"\' devenv "$run" "$@"; echo $? >"$run/status.new"; '
    'mv "$run/status.new" "$run/status"'
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, in its folder."""

    folder: Path

    @classmethod
    def of(cls, top: Path, name: str) -> Run:
        """The run `name`. Raises UsageError for what is no name."""
        if not re.fullmatch(r"[0-9a-f]{16}", name):
            raise UsageError(f"{name!r} names no run")
        return cls(folder=top / "runs" / name)

    def start(self, command: Sequence[str], cwd: Path) -> None:
        """Start it, unless it was started before."""
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(self.folder.parent)
        try:
            self.folder.mkdir(mode=0o700)
        except FileExistsError:
            return
        for name in ("out", "said"):
            (self.folder / name).touch(mode=0o600)
        streams.background(("sh", "-c", _SCRIPT, "devenv", str(cwd), str(self.folder), *command))

    def follow(self, offset: int, heard: IO[bytes], tell: IO[bytes]) -> None:
        """Print its events from `offset` bytes on, then how it ended; until the reader has all, or is gone. A line
        `interrupt` interrupts it, a line `done` removes the folder."""
        tell.write(b'{"event": "begin"}\n')
        if not self.folder.is_dir():
            tell.write(b'{"event": "gone"}\n')
            tell.flush()
            return
        listening = threading.Thread(target=self._listen, args=(heard,), daemon=True)
        listening.start()
        with contextlib.suppress(BrokenPipeError), (self.folder / "out").open("rb") as out:
            out.seek(offset)
            while True:
                status = self._status()  # before the last read: what it printed is complete then
                while piece := out.read(1 << 16):
                    tell.write(piece)
                tell.flush()
                if status is not None:
                    break
                if not listening.is_alive():  # the connection ended
                    return
                time.sleep(_LOOK_EVERY_S)
            said = (self.folder / "said").read_bytes()[-_MOST_SAID:].decode(errors="replace")
            tell.write(json.dumps({"event": "exit", "status": status, "said": said}).encode() + b"\n")
            tell.flush()
            listening.join()

    def _listen(self, heard: IO[bytes]) -> None:
        for line in iter(heard.readline, b""):
            if line == DONE:
                shutil.rmtree(self.folder, ignore_errors=True)
                return
            if line == INTERRUPT:
                with contextlib.suppress(OSError, ValueError):
                    streams.end(int((self.folder / "pid").read_text()), signal.SIGINT)

    def _status(self) -> int | None:
        try:
            return int((self.folder / "status").read_text())
        except (OSError, ValueError):
            return None


def _sweep(folder: Path) -> None:
    """Remove what laptops never came back for."""
    for one in folder.iterdir():
        with contextlib.suppress(OSError):
            if (one / "status").exists() and time.time() - one.stat().st_mtime > _KEPT_S:
                shutil.rmtree(one, ignore_errors=True)
