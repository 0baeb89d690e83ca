"""Registries on loopback: one made for tests, with faults on demand, and Debian's own."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import itertools
import json
import pickle
import random
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from devenv.doors.dirs import Dirs
from devenv.doors.http.registry.manifest import OCI_INDEX, Descriptor, digest_of
from devenv.doors.settings.config_yaml import RegistrySettings
from devenv.doors.settings.settings import Settings
from tests.integration.mirror import QuietServer
from tests.waiting import until

USER, PASSWORD = "me", "pa55-word"
_HTPASSWD = "me:$2y$04$aw8SjUUoc4RQM3ef5dVDbuLiDkGIq.aeMJ79DlEa.aWFsro6pGM1e\n"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def body(seed: int, size: int) -> bytes:
    """Bytes without a pattern."""
    return random.Random(seed).randbytes(size)


def described(data: bytes) -> Descriptor:
    """As a layer."""
    return Descriptor.of(data, "application/octet-stream")


def settings(root: Path, host: str = "", *, login: str | None = None, **registry: Any) -> Settings:
    """A user's settings; `login`: NAME:PASSWORD in docker's config.json."""
    config = root / "docker/config.json"
    config.parent.mkdir(exist_ok=True)
    auth = {"auth": base64.b64encode(login.encode()).decode()} if login else None
    config.write_text(json.dumps({"auths": {host: auth} if auth else {}}))
    return Settings(
        dirs=Dirs(cache=root / "cache", state=root / "state", config=root / "config"), uid=1000, gid=1000, arch="amd64",
        docker_config=config, registries=(RegistrySettings(host=host, **registry),) if registry else (),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as the server saw it. `kind`: what of the API, such as `blobs`."""

    method: str
    kind: str
    host: str
    path: str
    headers: Mapping[str, str]
    login: str


class FakeRegistry:
    """Keeps everything in memory. `faults` (such as "GET blobs" → names) are taken one a request; `always` stays.

    `login`: "basic" or "bearer"; a token is good for `uses` requests. `lists`: whether it has the referrers API.
    It also listens on 127.0.0.2, as the host of an object store.
    """

    def __init__(self, *, login: str = "", context: ssl.SSLContext | None = None) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[bytes, str]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.faults: dict[str, list[str]] = {}
        self.always: dict[str, str] = {}
        self.login = login
        self.uses = 10**9
        self.identity = ""
        self.tokens: dict[str, int] = {}
        self.asked: list[dict[str, list[str]]] = []
        self.lists = False
        self.seen: list[Seen] = []
        self.sent = self.received = 0
        self.released = threading.Event()
        self.numbers = itertools.count()
        self.guard = threading.RLock()
        owner = self

        class Handler(_Handler):
            registry = owner

        first = QuietServer(("127.0.0.1", 0), Handler)
        self.port = first.server_port
        self.host = f"127.0.0.1:{self.port}"
        self._servers = [first, QuietServer(("127.0.0.2", self.port), Handler)]
        for server in self._servers:
            if context is not None:
                server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add(self, data: bytes) -> Descriptor:
        """Have a blob."""
        self.blobs[digest_of(data)] = data
        return described(data)

    def count(self, method: str, kind: str) -> int:
        """How many requests of that kind came."""
        return sum((one.method, one.kind) == (method, kind) for one in self.seen)

    def fault(self, key: str) -> str:
        """What goes wrong with this request."""
        with self.guard:
            waiting = self.faults.get(key)
            return waiting.pop(0) if waiting else self.always.get(key, "")


class _Handler(http.server.BaseHTTPRequestHandler):
    registry: FakeRegistry
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_: object) -> None: ...

    def _serve(self) -> None:
        registry, path = self.registry, urlsplit(self.path).path
        match = re.fullmatch(r"/v2/(?:(.+?)/)?(manifests|blobs|referrers|blobs/uploads)?/?([^/]*)", path)
        kind = {"/token": "token", "/store": "store"}.get(path[:6]) or (match and match[2]) or "base"
        self.name, self.last = (match[1] or "", match[3]) if match else ("", path.rpartition("/")[2])
        if kind == "blobs/uploads":
            kind = "upload" if self.last else "uploads"
        address = self.headers.get("Host", "")
        login = self.headers.get("Authorization", "")
        seen = Seen(
            method=self.command, kind=kind, host=address, path=self.path, headers=dict(self.headers), login=login
        )  # fmt: skip
        registry.seen.append(seen)
        self.fault = registry.fault(f"{self.command} {kind}")
        if self.fault.isdigit():
            self.answer(int(self.fault), _errors(f"HAPPENED: {login}"), Retry_After="0", Connection="close")
        elif self.fault == "reset":
            self._reset()
        elif self.fault == "loop":
            self.answer(307, Location=self.path)
        elif self.fault == "hang":
            registry.released.wait(60)
            self.close_connection = True
        elif self.fault == "endless":
            self._endless()
        elif kind in ("token", "store") or self._may_pass():
            getattr(self, f"_{kind}")()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _serve

    def _may_pass(self) -> bool:
        registry, login = self.registry, self.headers.get("Authorization", "")
        if not registry.login or (registry.login == "basic" and login == BASIC):
            return True
        if registry.login == "basic":
            self.answer(401, _errors("UNAUTHORIZED"), WWW_Authenticate='Basic realm="here"', Connection="close")
            return False
        with registry.guard:
            token = login.removeprefix("Bearer ")
            if registry.tokens.get(token, 0) > 0:
                registry.tokens[token] -= 1
                return True
        told = f'Bearer realm="http://{registry.host}/token",service="tests",scope="repository:{self.name}:pull"'
        self.answer(401, _errors(f"UNAUTHORIZED: {login}"), WWW_Authenticate=told, Connection="close")
        return False

    def _token(self) -> None:
        registry = self.registry
        fields = parse_qs(urlsplit(self.path).query or self.body().decode())
        registry.asked.append(fields)
        right = self.headers.get("Authorization") == BASIC
        if registry.identity:
            right = self.command == "POST" and fields.get("refresh_token") == [registry.identity]
        if not right:
            self.answer(401, _errors("UNAUTHORIZED"))
            return
        token = f"token-{next(registry.numbers)}"
        registry.tokens[token] = registry.uses
        self.answer(200, json.dumps({"access_token": token, "expires_in": 300}).encode())

    def _base(self) -> None:
        self.answer(200, b"{}")

    # ---- manifests

    def _manifests(self) -> None:
        registry, key = self.registry, f"{self.name}:{self.last}"
        if self.command == "PUT":
            data = self.body()
            subject = json.loads(data).get("subject") if registry.lists else None
            for version in (self.last, digest_of(data)):
                registry.manifests[f"{self.name}:{version}"] = (data, self.headers["Content-Type"])
            more = {"OCI_Subject": subject["digest"]} if subject else {}
            self.answer(201, Docker_Content_Digest=digest_of(data), **more)
            return
        if key not in registry.manifests:
            self.answer(404, _errors("MANIFEST_UNKNOWN"))
            return
        data, kind = registry.manifests[key]
        more = {} if self.fault == "no-digest" else {"Docker_Content_Digest": digest_of(data)}
        if self.fault == "flip":
            data = data.replace(b"2", b"2 ", 1)
        self.answer(200, data, Content_Type=kind, **more)

    def _referrers(self) -> None:
        if not self.registry.lists:
            self.answer(404)
            return
        found = [
            Descriptor.of(data, kind, artifact_type=json.loads(data).get("artifactType")).document()
            for key, (data, kind) in self.registry.manifests.items()
            if self.last in json.dumps(json.loads(data).get("subject")) and "@" not in key and key.endswith(digest_of(data))
        ]  # fmt: skip
        at = int(parse_qs(urlsplit(self.path).query).get("at", ["0"])[0])
        more = {"Link": f'<{urlsplit(self.path).path}?at={at + 1}>; rel="next"'} if at + 1 < len(found) else {}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found[at : at + 1]}
        self.answer(200, json.dumps(index).encode(), Content_Type=OCI_INDEX, **more)

    # ---- blobs

    def _blobs(self) -> None:
        data = self.registry.blobs.get(self.last)
        if data is None:
            self.answer(404, _errors("BLOB_UNKNOWN"))
        elif self.fault == "away":
            self.answer(307, Location=f"http://127.0.0.2:{self.registry.port}/store/{self.last}?signature=s3cret")
        else:
            self._send_blob(data)

    def _store(self) -> None:
        self._send_blob(self.registry.blobs[self.last])

    def _send_blob(self, data: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, end = (int(asked[1]), int(asked[2]) + 1) if asked and self.fault != "no-range" else (0, len(data))
        if self.fault == "flip":
            data = bytes([data[0] ^ 1]) + data[1:]
        total = len(data) + 5 if self.fault == "longer" else len(data)
        more = {"Content_Range": f"bytes {start}-{end - 1}/{total}"} if asked and self.fault != "no-range" else {}
        if self.fault == "longer" and not asked:
            data, end = data + b"12345", end + 5
        status = 206 if more else 200
        if self.fault == "cut":
            self.answer(status, data[start:end], stop=(end - start) // 2, **more)
            self.close_connection = True
        else:
            self.answer(status, data[start:end], **more)

    # ---- uploads

    def _uploads(self) -> None:
        registry, query = self.registry, parse_qs(urlsplit(self.path).query)
        self.body()
        if query.get("mount", [""])[0] in registry.blobs and query.get("from") == ["has/it"]:
            self.answer(201, Location="/v2/x/blobs/y")
            return
        number = f"u{next(registry.numbers)}"
        registry.uploads[number] = bytearray()
        base = f"http://127.0.0.2:{registry.port}" if self.fault == "elsewhere" else ""
        location = {"none": "", "ftp": "ftp://127.0.0.1/x", "invalid": "http://["}.get(
            self.fault, f"{base}/v2/{self.name}/blobs/uploads/{number}?state=a"
        )
        self.answer(202, Location=location, Range="0-0")

    def _upload(self) -> None:
        registry = self.registry
        kept = registry.uploads.get(self.last)
        if kept is None or self.fault == "gone":
            registry.uploads.pop(self.last, None)
            self.body()
            self.answer(404, _errors("BLOB_UPLOAD_UNKNOWN"))
        elif self.command == "GET":
            self._stands(204, kept)
        elif self.command == "PATCH":
            self._patch(kept)
        else:
            kept += self.body()
            digest = parse_qs(urlsplit(self.path).query)["digest"][0]
            if digest_of(bytes(kept)) != digest:
                self.answer(400, _errors("DIGEST_INVALID"))
                return
            registry.blobs[digest] = bytes(kept)
            del registry.uploads[self.last]
            if self.fault == "lose-answer":
                self._reset()
            else:
                self.answer(201, Docker_Content_Digest=digest)

    def _patch(self, kept: bytearray) -> None:
        start = int(self.headers["Content-Range"].partition("-")[0])
        if start != len(kept) or self.fault == "moved":
            self.body()
            self.answer(416, Range=f"0-{len(kept) - 1}")
        elif self.fault == "break":  # half arrives and stays
            kept += self.body(2)
            self._reset()
        elif self.fault == "forgets":  # a part is not kept
            kept += self.body()[:-1000]
            self._stands(202, kept)
        elif self.fault == "drops":  # nothing is
            self.body()
            self._stands(202, kept)
        elif self.fault == "too-far":
            kept += self.body()
            self._stands(202, kept + bytes(10**6))
        else:
            kept += self.body()
            self._stands(202, kept)

    def _stands(self, status: int, kept: bytearray) -> None:
        self.answer(status, Location=self.path, Range=f"0-{max(len(kept) - 1, 0)}")

    # ---- bytes

    def body(self, part: int = 1) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0) // part)
        self.registry.received += len(data)
        return data

    def answer(self, status: int, data: bytes = b"", *, stop: int | None = None, **headers: str) -> None:
        if status >= 400 and self.command in ("PUT", "PATCH"):
            self.close_connection = True
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:stop])
            self.registry.sent += len(data[:stop])

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.registry.released.is_set():
                self.wfile.write(bytes(1 << 16))
        self.close_connection = True

    def _reset(self) -> None:
        self.wfile.flush()
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True


def _errors(message: str) -> bytes:
    code, _, text = message.partition(": ")
    return json.dumps({"errors": [{"code": code, "message": text or "no"}]}).encode()


# ---- Debian's


@contextlib.contextmanager
def docker_registry(
    folder: Path, *, tls: Path | None = None, login: bool = False, host: str = "127.0.0.1", port: int = 0
) -> Iterator[str]:
    """Debian's docker-registry; its host. `tls`: a folder with cert.pem and key.pem; `port` 0: a free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        port = probe.getsockname()[1]
    http_part: dict[str, Any] = {"addr": f"{host}:{port}"}
    if tls is not None:
        http_part["tls"] = {"certificate": str(tls / "cert.pem"), "key": str(tls / "key.pem")}
    config: dict[str, Any] = {
        "version": 0.1, "log": {"level": "warn"}, "http": http_part,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
    }  # fmt: skip
    if login:
        (folder / "htpasswd").write_text(_HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "here", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )  # fmt: skip
    try:
        until(lambda: _listens(port, host))
        yield f"{host}:{port}"
    finally:
        server.terminate()
        server.wait()


def _listens(port: int, host: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def sha256(data: bytes) -> str:
    """In hex."""
    return hashlib.sha256(data).hexdigest()


_KILLED = """
import os, pickle, signal, sys
from devenv.doors.http.registry.client import Registry
from devenv.doors.http.registry.pull import pull
from devenv.doors.http.registry.push import push
from devenv.doors.http.registry.repository import Repository
from devenv.doors.terminal.progress import Silent
host, settings, blobs, folder, left = pickle.load(sys.stdin.buffer)
class Counting(Silent):
    def advance(self, task, bytes_):
        global left
        left -= bytes_
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
with Registry(host, settings) as registry:
    repository = Repository(registry, "killed/image", writing=True)
    if folder is None:
        push(repository, blobs, Counting(), chunk_bytes=2_000_000)
    else:
        pull(repository, blobs, folder, Counting(), piece_bytes=1_000_000)
"""


def killed_transfer(host: str, mine: Settings, blobs: list[Any], folder: Path | None, after: int) -> None:
    """Push blobs to killed/image, or pull them to a folder, in a process that is killed after so many bytes."""
    told = pickle.dumps((host, mine, blobs, folder, after))
    done = subprocess.run([sys.executable, "-c", _KILLED], input=told, check=False)
    assert done.returncode == -signal.SIGKILL
