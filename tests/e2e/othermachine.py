"""A stand-in for another machine: a second engine with its own host name and clock, and a user with other settings.

The engine runs in namespaces of its own (host name, network, mounts, processes), keeps its data on a tmpfs, which lists
folders in another order than a disk, and starts its build steps through a runc that gives them another time. The user
has another number, umask, time zone, locale, home, and a checkout at another path. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import devenv
from devenv.doors.dirs import presets_dir, templates_dir
from tests.integration.secondengine import second_engine

UID = 4321
CLOCK = "@2031-03-04 05:06:07"
HOSTNAME = "somewhere-else"

_RUNC = """\
#!{python}
import json, os, sys
arguments = sys.argv[1:]
if "run" in arguments or "create" in arguments:
    bundle = arguments[arguments.index("--bundle") + 1] if "--bundle" in arguments else os.getcwd()
    path = os.path.join(bundle, "config.json")
    with open(path) as file:
        config = json.load(file)
    # Below /dev, which is a tmpfs: a mount point anywhere else would stay in the image.
    config["mounts"].append(
        {{"destination": "/dev/faketime.so", "type": "bind", "source": {library!r}, "options": ["bind", "ro"]}}
    )
    config["process"]["env"] += ["LD_PRELOAD=/dev/faketime.so", "FAKETIME={clock}", "DONT_FAKE_MONOTONIC=1"]
    with open(path, "w") as file:
        json.dump(config, file)
os.execv({runc!r}, ["runc", *arguments])
"""

_ENGINE = """\
set -eu
hostname {hostname}
mount -t tmpfs tmpfs /run
mkdir -p {data}
mount -t tmpfs -o size=12g tmpfs {data}
export PATH={bin}:$PATH DOCKER_RAMDISK=1
umask 022
exec dockerd --data-root {data} --exec-root {top}/exec --pidfile {top}/pid -H unix://{socket} \
    --bridge none --iptables=false --ip6tables=false
"""


class OtherMachine:
    """devenv on the other machine. `saw` is the time that a build step printed."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.socket = top / "docker.sock"
        self.home = top / "home"
        self.checkout = top / "another" / "path to it"
        self.uid = UID
        self._log = top / "dockerd.log"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start the engine, stop it at the end."""
        shim = self.top / "bin" / "runc"
        shim.parent.mkdir(parents=True)
        (library,) = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        shim.write_text(
            _RUNC.format(python=sys.executable, library=str(library), clock=CLOCK, runc=shutil.which("runc"))
        )
        shim.chmod(0o755)
        script = _ENGINE.format(
            hostname=HOSTNAME, data=self.top / "data", bin=shim.parent, top=self.top, socket=self.socket
        )
        with second_engine(script, self.socket, self._log):
            self._settle()
            yield

    def _settle(self) -> None:
        """The user's home, cache and checkout, all theirs alone."""
        package = Path(devenv.__file__).parent
        shutil.copytree(package, self.checkout / "devenv", ignore=shutil.ignore_patterns("__pycache__", "_share"))
        shutil.copytree(templates_dir(), self.checkout / "templates")
        shutil.copytree(presets_dir(), self.checkout / "presets")
        store = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "devenv" / "store"
        shutil.copytree(
            store, self.home / "cache/devenv/store", ignore=shutil.ignore_patterns("tmp", "apt", "derived", "*.lock")
        )
        self.socket.chmod(0o666)
        for place in (self.top, *self.top.parents):
            if place.stat().st_mode & 0o005 != 0o005:
                place.chmod(place.stat().st_mode | 0o055)
        for top in (self.home, self.checkout):
            for folder, _, files in os.walk(top):
                for path in (Path(folder), *(Path(folder) / name for name in files)):
                    os.chown(path, self.uid, self.uid)
                    path.chmod(path.stat().st_mode & 0o700)  # as its umask leaves a checkout: programs stay programs

    def devenv(self, *arguments: str) -> str:
        """Run devenv as that user; its stdout."""
        done = subprocess.run(
            _as_user(self.uid, _python(self.uid), "-m", "devenv", *arguments),
            cwd=self.checkout, env=self._environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def _environment(self) -> dict[str, str]:
        packages = os.pathsep.join(path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "PYTHONPATH": f"{self.checkout}{os.pathsep}{packages}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "DOCKER_HOST": f"unix://{self.socket}",
            "TZ": "Pacific/Chatham",
            "LC_ALL": "tr_TR.UTF-8",
            "HOSTNAME": HOSTNAME,
        }


def _as_user(uid: int, *command: str) -> list[str]:
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all"]
    return [*user, "sh", "-c", 'umask 077; exec "$@"', "sh", *command]


def _python(uid: int) -> str:
    """A Python of this version that the user may run: this one may lie in root's own home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for found in (sys.executable, f"/usr/local/bin/{version}", f"/usr/bin/{version}"):
        tried = subprocess.run(_as_user(uid, found, "-c", ""), capture_output=True, check=False)
        if tried.returncode == 0:
            return found
    raise AssertionError(f"user {uid} may run no {version} on this machine")
