"""A command's surroundings: home, XDG folders, current folder, terminal. They are corrected once, for
libraries and other programs as well, or refused with one error."""

from __future__ import annotations

import codecs
import io
import os
import pwd
import sys
from collections.abc import Callable
from pathlib import Path

from devenv.doors.files import is_text
from devenv.errors import UsageError

_XDG = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")


def open_streams() -> None:
    """Open on /dev/null those of standard input, output and error that the caller closed. The next file that is opened
    would have their number, and other programs would read or write it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)
            os.set_inheritable(number, True)
            if opened != number:
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def use_utf8() -> None:
    """Start this program again in Python's UTF-8 mode where the locale has another encoding.

    Names of files are UTF-8 in presets, labels and the engine's API, independent of the terminal, which keeps its own
    encoding; characters that it cannot show are escaped.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name == "utf-8" or "utf8" in sys._xoptions:
        return
    kept = {"PYTHONIOENCODING": f"{sys.stdout.encoding}:backslashreplace", **os.environ}
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], kept)  # noqa: S606 - this program


def settle(warn: Callable[[str], None]) -> None:
    """Correct the environment variables. Raises UsageError where no command could work."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ["HOME"] = _home(os.environ.get("HOME", ""))
    for name in _XDG:
        value = os.environ.get(name)
        if not value:
            continue
        if not Path(value).is_absolute():
            warn(f"{name} is {value!r}, which is not an absolute path: devenv ignores it, as its specification says")
            del os.environ[name]
        elif not is_text(value):
            raise UsageError(f"{name} is not UTF-8 text", hint="name another folder: Docker cannot mount that one")
    try:
        Path.cwd()
    except OSError:
        raise UsageError("the current folder no longer exists", hint="change to another folder: cd ~") from None


def _home(named: str) -> str:
    if not Path(named).is_absolute():
        try:
            named = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            named = ""
        if not Path(named).is_absolute():
            raise UsageError(
                f"HOME names no folder, and the system has no home folder for uid {os.getuid()}",
                hint="export HOME=FOLDER, an absolute path to a folder of yours",
            )
    if not is_text(named):
        raise UsageError("HOME is not UTF-8 text", hint="name another folder: Docker cannot mount that one")
    return named
