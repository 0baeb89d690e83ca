"""Bring this devenv to a box: one tar by the open connection, unpacked beside its place, then moved there."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from devenv.doors.process import Outcome
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.targets import SshTarget
from devenv.doors.ssh import LOST, Ssh
from devenv.doors.terminal.console import bytes_text
from devenv.doors.terminal.stages import Stages
from devenv.errors import TargetError
from devenv.fetch.store import Store
from devenv.remote import parcel, probe
from devenv.remote.probe import Box
from devenv.remote.talk import places

_UNPACK = r"""
import os, shutil, sys, tarfile, time
top, key = os.path.join(sys.argv[1], "devenv-remote"), sys.argv[2]
os.makedirs(os.path.join(top, "versions"), mode=0o700, exist_ok=True)
fresh, place = os.path.join(top, "versions", ".new-%s-%d" % (key, os.getpid())), os.path.join(top, "versions", key)
try:
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as archive:
        archive.extractall(fresh)
    quoted = lambda text: "'" + text.replace("'", "'\"'\"'") + "'"
    with open(os.path.join(fresh, "run"), "w") as script:
        script.write("#!/bin/sh\nPYTHONPATH=%s PYTHONSAFEPATH=1 PYTHONNOUSERSITE=1 exec %s -m devenv \"$@\"\n"
            % (quoted(os.path.join(place, "lib")), quoted(sys.executable)))
    os.chmod(os.path.join(fresh, "run"), 0o755)
    if os.path.isdir(place):
        shutil.rmtree(place)
    os.rename(fresh, place)
    # Versions that other laptops use stay; of the rest the three that were used last.
    versions = os.path.join(top, "versions")
    every = [os.path.join(versions, name) for name in os.listdir(versions) if name[0] != "."]
    for old in sorted(every, key=os.path.getmtime)[:-3]:
        if time.time() - os.path.getmtime(old) > 86400:
            shutil.rmtree(old, ignore_errors=True)
except OSError as error:
    print("cannot write: %s" % error, file=sys.stderr)
    sys.exit(28 if error.errno in (28, 122) else 1)
finally:
    shutil.rmtree(fresh, ignore_errors=True)
"""
_NEEDED_BYTES = 600 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bringing:
    """What bringing needs."""

    target: SshTarget
    settings: Settings
    store: Store
    stages: Stages


def ready(ssh: Ssh, needs: Bringing) -> Box | None:
    """Have this devenv on the box; its facts, when they had to be asked for. Raises TargetError."""
    key = parcel.key()
    done = hello(ssh, key)
    if done.code == 0 and key in done.out.split():
        return None
    with needs.stages.stage("devenv") as stage:
        stage.message(f"looking at {ssh.name}")
        box = probe.probe(ssh, needs.target.python)
        python = probe.chosen(box, ssh.name)
        probe.require_engine(box, ssh.name)
        if box.free_bytes is not None and box.free_bytes < _NEEDED_BYTES:
            raise TargetError(
                f"a disk of {ssh.name} is full: {bytes_text(box.free_bytes)} are free in {box.data}",
                hint=f"devenv needs {bytes_text(_NEEDED_BYTES)} there: free space, or set XDG_DATA_HOME there",
            )
        stage.message("gathering its packages")
        files = {**parcel.packages(box, python, needs.settings, needs.store), **parcel.own_files()}
        stage.message(f"bringing devenv to {ssh.name}")
        send(ssh, box, python.path, files)
        if key not in (done := hello(ssh, key)).out.split():
            raise TargetError(
                f"devenv does not start on {ssh.name}", detail=done.err[-2000:] or None,
                hint=f"see what Python says there: ssh {ssh.destination} {python.path} -V",
            )  # fmt: skip
        stage.message(
            f"{bytes_text(sum(path.stat().st_size for path in files.values()))} in {box.data}/{places.FOLDER}"
        )
    return box


def hello(ssh: Ssh, key: str) -> Outcome:
    """What the devenv `key` says on the box: its name, where it is there and starts. Raises TargetError."""
    return ssh.run(places.start(key, "on-box", "hello"), timeout_s=120)


def send(ssh: Ssh, box: Box, python: str, files: dict[str, Path]) -> None:
    """Send the files as one version. What was cut is removed there, or by the next attempt. Raises TargetError."""
    with ssh.talking((python, "-I", "-c", _UNPACK, box.data, parcel.key())) as talk:
        with contextlib.suppress(BrokenPipeError):
            parcel.write(talk.tell, files)
        outcome = talk.outcome(timeout_s=120)
    if outcome.code == LOST:
        raise ssh.fault(outcome.err)
    if outcome.code == 28:
        raise TargetError(
            f"a disk of {ssh.name} is full", detail=outcome.err[-500:], hint=f"free space in {box.data} there"
        )
    if outcome.code != 0:
        raise TargetError(
            f"devenv could not be unpacked on {ssh.name}", detail=outcome.err[-2000:] or None,
            hint=f"make {box.data} a folder there that you may write",
        )  # fmt: skip
