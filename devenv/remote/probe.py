"""What a box is: one call with a script for any POSIX shell, its answer as a value, and the judgement."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from devenv.doors.ssh import Ssh
from devenv.errors import TargetError

OLDEST = (3, 11)
_BEGIN = "devenv-probe"
_MOST_VALUE = 300
_SCRIPT = r"""
echo devenv-probe
data="${XDG_DATA_HOME:-$HOME/.local/share}"
echo "system=$(uname -s) $(uname -m)"
echo "home=$HOME"
echo "data=$data"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc=$(ldd --version 2>&1 | head -n 1)
echo "libc=$libc"
echo "cpus=$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
at="$data"; while [ ! -d "$at" ] && [ "$at" != / ]; do at=$(dirname "$at"); done
echo "free=$(df -Pk "$at" 2>/dev/null | tail -n 1 | awk '{print $4}')"
says='import sys; print("python=%d.%d.%d" % sys.version_info[:3], sys.implementation.name, sys.executable)'
for one in "$1" python3.14 python3.13 python3.12 python3.11 python3 /usr/local/bin/python3 "$HOME/.local/bin/python3"
do [ -n "$one" ] && found=$(command -v "$one" 2>/dev/null) && "$found" -c "$says" 2>/dev/null
done
if engine=$(docker version --format '{{.Server.Version}}' 2>&1); then echo "engine=$engine"
else echo "no_engine=$(printf %s "$engine" | tail -n 1)"; fi
for one in "$data"/devenv-remote/versions/*/run; do [ -x "$one" ] && echo "devenv=$(basename "$(dirname "$one")")"; done
if tools=$(command -v nvidia-smi); then echo "gpus=$("$tools" -L 2>/dev/null | wc -l)"; fi
true
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """An interpreter of the box."""

    version: tuple[int, int, int]
    implementation: str
    path: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Facts of a box. `libc`: `glibc` or `musl`, with `libc_version`; `data`: the folder that holds devenv's; `engine`:
    its version, or None and the reason in `no_engine`; `devenvs`: the keys of the devenv there."""

    system: str
    machine: str
    home: str
    data: str
    libc: str
    libc_version: tuple[int, int]
    cpus: int
    free_bytes: int | None
    pythons: tuple[Python, ...]
    engine: str | None
    no_engine: str
    devenvs: tuple[str, ...]
    gpus: int


def probe(ssh: Ssh, python: str | None) -> Box:
    """Look at a box. Raises TargetError."""
    done = ssh.run(("sh", "-c", _SCRIPT, "probe", python or ""), timeout_s=60)
    return read(done.out, ssh.name, done.err)


def read(text: str, name: str, said: str = "") -> Box:
    """The answer of the script; what a login prints before it is passed over. Raises TargetError."""
    _, begun, answer = text.partition(f"{_BEGIN}\n")
    if not begun:
        raise TargetError(
            f"{name} runs no POSIX shell",
            detail=said[-500:] or None,
            hint="a login there must allow commands: ssh HOST uname",
        )
    values: dict[str, list[str]] = {}
    for line in answer.splitlines():
        key, _, value = line.partition("=")
        values.setdefault(key, []).append(value[:_MOST_VALUE])
    first = {key: rows[0] for key, rows in values.items()}
    system, _, machine = first.get("system", "").partition(" ")
    libc = first.get("libc", "")
    number = re.search(r"(\d+)\.(\d+)", libc)
    return Box(
        system=system, machine=machine, home=first.get("home", ""), data=first.get("data", ""),
        libc="musl" if "musl" in libc else "glibc", libc_version=(int(number[1]), int(number[2])) if number else (0, 0),
        cpus=_number(first, "cpus") or 1, free_bytes=kib << 10 if (kib := _number(first, "free")) is not None else None,
        pythons=tuple(filter(None, map(_python, dict.fromkeys(values.get("python", ()))))),
        engine=first.get("engine") or None, no_engine=first.get("no_engine", ""),
        devenvs=tuple(values.get("devenv", ())), gpus=_number(first, "gpus") or 0,
    )  # fmt: skip


def _number(values: Mapping[str, str], key: str) -> int | None:
    text = values.get(key, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None


def _python(text: str) -> Python | None:
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3}) (\w+) (/\S.*)", text)
    if not found:
        return None
    return Python(version=(int(found[1]), int(found[2]), int(found[3])), implementation=found[4], path=found[5])


def chosen(box: Box, name: str) -> Python:
    """The Python that devenv runs with there. Raises TargetError with the remedy."""
    if box.system != "Linux":
        raise TargetError(
            f"{name} runs {box.system or 'an unknown system'}; devenv works on Linux", hint="take another target"
        )
    for one in box.pythons:
        if one.implementation == "cpython" and one.version[:2] >= OLDEST:
            return one
    has = ", ".join(".".join(map(str, one.version)) for one in box.pythons) or "none"
    raise TargetError(
        f"{name} has no Python {OLDEST[0]}.{OLDEST[1]} or newer (found: {has})",
        hint="install one there without root: uv python install 3.12, or ask for the package python3.11; then name it: "
        "devenv targets add NAME DESTINATION --python FILE",
    )


def require_engine(box: Box, name: str) -> None:
    """Raise TargetError where the user may not use an engine there."""
    if box.engine:
        return
    why = box.no_engine or "no answer"
    if "permission denied" in why.lower():
        hint = f"let your user there use it: sudo usermod -aG docker USER on {name}, then log in again"
    else:
        hint = f"install and start Docker on {name}; 'docker version' must work there by SSH"
    raise TargetError(f"{name} has no Docker Engine that you may use", detail=why, hint=hint)
