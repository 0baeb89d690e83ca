"""A model hub on loopback that speaks the APIs of Hugging Face and ModelScope, with faults on demand."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from devenv.doors.dirs import Dirs
from devenv.doors.settings.config_yaml import HubSettings
from devenv.doors.settings.settings import Settings
from devenv.lock.model import LockedModel, ModelFile, ModelSource, files_digest
from devenv.resolve.model import model_name
from tests.integration.mirror import QuietServer

ID, COMMIT = "acme/Tiny-1.0", "c0ffee" + "0" * 34
PASSING = (
    "429",
    "500",
    "502",
    "503",
    "reset",
    "truncated",
    "stall",
    "wrong-range",
    "416",
    "no-range",
    "expired",
    "slow",
)
"""Faults after which a further try at the same hub gets the file."""
LASTING = ("401", "403", "404", "410", "flip", "long", "short", "moved", "portal", "loop", "packed", "trickle")
"""Faults of a hub whose file is of no use."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as the server saw it: `host` is the address it came to."""

    host: str
    path: str
    range: str
    token: str


class Hub:
    """Serves `files` (path → bytes, or a file of this machine) as model ID at COMMIT."""

    def __init__(self, files: Mapping[str, bytes | Path], *, token: str | None = None, lfs_bytes: int = 1000) -> None:
        self.files = dict(files)
        self.token = token
        self.lfs_bytes = lfs_bytes
        self.id, self.commit = ID, COMMIT
        self.redirect = False
        """Send large files by way of a signed address on another host (127.0.0.2)."""
        self.rate_bytes_s = 0.0
        """How fast all of it together is; 0 for as fast as it goes."""
        self.faults: dict[str, list[str]] = {}
        self.always: dict[str, str] = {}
        self.seen: list[Seen] = []
        self.sent = 0
        self.injected: list[str] = []
        self.listed: dict[str, dict[str, Any]] = {}
        """Lies of the listing, by path: what is said instead."""
        self.facts: dict[str, Any] = {}
        """What the metadata say besides, in Hugging Face's words: `gated`, `cardData`, `pipeline_tag`, …"""
        self.names: tuple[str, ...] = ()
        """Names that a search finds."""
        self.signatures: set[str] = set()
        self._guard = threading.Lock()
        self._next = 0.0
        self._digests: dict[str, str] = {}
        hub = self

        class Handler(_Handler):
            owner = hub

        self._servers = [QuietServer((host, 0), Handler) for host in ("127.0.0.1",)]
        port = self._servers[0].server_port
        self._servers.append(QuietServer(("127.0.0.2", port), Handler))
        self._threads = [
            threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            for one in self._servers
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def other_url(self) -> str:
        return f"http://127.0.0.2:{self._servers[0].server_port}"

    def __enter__(self) -> Self:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._servers:
            one.shutdown()
            one.server_close()

    def size(self, path: str) -> int:
        body = self.files[path]
        return len(body) if isinstance(body, bytes) else body.stat().st_size

    def sha256(self, path: str) -> str:
        if path not in self._digests:
            body = self.files[path]
            if isinstance(body, bytes):
                return hashlib.sha256(body).hexdigest()
            with body.open("rb") as file:
                self._digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[path]

    def next_fault(self, path: str) -> str | None:
        with self._guard:
            fault = self.always.get(path) or (self.faults[path].pop(0) if self.faults.get(path) else None)
            if fault:
                self.injected.append(fault)
            return fault

    def turn(self, count: int) -> None:
        """Wait until so many bytes may go out, when the rate is limited."""
        if not self.rate_bytes_s:
            return
        with self._guard:
            now = time.monotonic()
            self._next = max(self._next, now) + count / self.rate_bytes_s
            pause = self._next - now
        time.sleep(pause)

    def count(self, sent: int) -> None:
        """Bytes of files that went out."""
        with self._guard:
            self.sent += sent


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: Hub
    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.owner
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or _cookie(self.headers.get("Cookie", ""))
        host = self.headers.get("Host", "").partition(":")[0]
        hub.seen.append(Seen(host=host, path=self.path, range=self.headers.get("Range", ""), token=token))
        words = unquote(parts.path).strip("/").split("/")
        if words[:1] == ["signed"]:
            if query.get("key") not in hub.signatures:
                self._answer(403, b"expired")
                return
            self._file("/".join(words[1:]), hub.next_fault("signed:" + "/".join(words[1:])))
            return
        if parts.path.startswith("/loop"):
            self._answer(302, b"", {"Location": f"/loop{time.monotonic_ns()}"})
            return
        if hub.token is not None and token != hub.token:
            self._answer(401 if not token else 403, b'{"error":"no"}', {"X-Error-Code": "GatedRepo"})
            return
        owner_name = "/".join(words[2:4])
        if words == ["api", "models"]:
            self._json([{"_id": str(at), "id": name, "modelId": name} for at, name in enumerate(hub.names)])
        elif words[:3] == ["openapi", "v1", "models"]:
            self._openapi("/".join(words[3:5]))
        elif words[:2] == ["api", "models"] and owner_name == hub.id:
            self._huggingface_api(words[4:], query)
        elif words[:3] == ["api", "v1", "models"] and "/".join(words[3:5]) == hub.id:
            self._modelscope(words[5:], query)
        elif "/".join(words[:2]) == hub.id and words[2:3] == ["resolve"]:
            self._resolve("/".join(words[4:]), words[3])
        else:
            self._answer(404, b'{"error":"no such thing"}', {"X-Error-Code": "RepoNotFound"})

    # ---- Hugging Face

    def _huggingface_api(self, words: list[str], query: Mapping[str, str]) -> None:
        hub = self.owner
        revision = words[1] if words[:1] in (["revision"], ["tree"]) else "main"
        if revision not in (hub.commit, "main"):
            self._answer(404, b'{"error":"no revision"}', {"X-Error-Code": "RevisionNotFound"})
            return
        rows = []
        for path in sorted(hub.files):
            size, sha256 = hub.size(path), hub.sha256(path)
            row: dict[str, Any] = {"rfilename": path, "size": size, "blobId": _git(hub.files[path])}
            if size >= hub.lfs_bytes:
                row["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 130}
            rows.append({**row, **hub.listed.get(path, {})})
        if words[:1] == ["tree"]:
            tree = [
                {"type": "file", "path": row["rfilename"], "size": row["size"], "oid": row["blobId"],
                 **({"lfs": {"oid": row["lfs"]["sha256"], **row["lfs"]}} if "lfs" in row else {})}
                for row in rows
            ]  # fmt: skip
            self._json(tree)
            return
        self._json({
            "_id": "1", "id": hub.id, "modelId": hub.id, "sha": hub.commit, "private": False, "gated": False,
            "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": rows, **hub.facts,
        })  # fmt: skip

    def _resolve(self, path: str, revision: str) -> None:
        hub = self.owner
        if revision not in (hub.commit, "main"):
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        if path not in hub.files:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        fault = hub.next_fault(path) if self.command == "GET" else None
        size = hub.size(path)
        facts = {"X-Repo-Commit": hub.commit, "ETag": f'"{hub.sha256(path)}"'}
        if size >= hub.lfs_bytes:
            facts.update({"X-Linked-Etag": f'"{hub.sha256(path)}"', "X-Linked-Size": str(size)})
        if fault == "expired" or (hub.redirect and size >= hub.lfs_bytes and fault is None):
            key = hashlib.sha256(random.randbytes(8)).hexdigest()
            if fault != "expired":
                hub.signatures.add(key)
            location = f"{hub.other_url}/signed/{quote(path)}?key={key}"
            self._answer(302, b"", {**facts, "Location": location})
            return
        self._file(path, fault, facts)

    # ---- ModelScope

    def _modelscope(self, words: list[str], query: Mapping[str, str]) -> None:
        hub = self.owner
        if words == ["repo", "files"]:
            rows = [
                {"Name": Path(path).name, "Path": path, "Size": hub.size(path), "Sha256": hub.sha256(path),
                 "Type": "blob", "Revision": hub.commit, **hub.listed.get(path, {})}
                for path in sorted(hub.files)
            ]  # fmt: skip
            self._json({"Code": 200, "Data": {"Files": rows, "LatestCommitter": {}}, "Message": "", "Success": True})
        elif words == ["repo"]:
            path = query.get("FilePath", "")
            if path not in hub.files:
                self._answer(404, b'{"Code":404,"Success":false}')
                return
            fault = hub.next_fault(path) if self.command == "GET" else None
            if fault == "expired" or (hub.redirect and fault is None):
                key = hashlib.sha256(random.randbytes(8)).hexdigest()
                if fault != "expired":
                    hub.signatures.add(key)
                self._answer(302, b"", {"Location": f"{hub.other_url}/signed/{quote(path)}?key={key}"})
                return
            self._file(path, fault, {"ETag": f'"{hub.sha256(path)}"'})
        elif words[:1] == ["revisions"]:
            self._json({"Code": 200, "Success": True, "Data": {"RevisionMap": {
                "Branches": [{"Revision": "master"}], "Tags": [{"Revision": "v1"}]}}})  # fmt: skip
        else:
            self._json({"Code": 200, "Success": True, "Data": {"Id": 1, "Name": hub.id.partition("/")[2]}})

    def _openapi(self, id_: str) -> None:
        """ModelScope's newer interface: one model's metadata, or a search."""
        hub = self.owner
        if not id_:
            rows = [{"owner": name.partition("/")[0], "name": name.partition("/")[2]} for name in hub.names]
            self._json({"success": True, "data": {"models": rows, "total_count": len(rows)}})
        elif id_ == hub.id:
            owner, _, name = id_.partition("/")
            self._json({"success": True, "data": {
                "id": id_, "owner": owner, "name": name, "license": hub.facts.get("cardData", {}).get("license"),
                "gated": bool(hub.facts.get("gated")), "tasks": [hub.facts.get("pipeline_tag", "text-generation")],
            }})  # fmt: skip
        else:
            self._answer(404, b'{"success":false,"message":"no such model"}')

    # ---- files and faults

    def _file(self, path: str, fault: str | None, facts: Mapping[str, str] | None = None) -> None:
        hub = self.owner
        body = hub.files.get(path)
        if body is None:
            self._answer(404, b"")
            return
        size = hub.size(path)
        wanted = self.headers.get("Range", "")
        start, end = 0, size
        if wanted and fault not in ("no-range",):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1 if last else size, size)
        if start >= size and size and wanted:
            self._answer(416, b"")
            return
        ranged = (start, end) != (0, size) or (bool(wanted) and fault != "no-range")
        headers = {**(facts or {}), "Accept-Ranges": "bytes"}
        if ranged:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        status = 206 if ranged else 200
        if isinstance(body, Path):
            self._head(status, end - start, headers)
            if self.command == "GET":
                self._sendfile(body, start, end)
            return
        rest = body[start:end]
        match fault:
            case "401" | "403" | "404" | "410" | "500" | "502":
                self._answer(int(fault), b"x" * 30)
            case "429" | "503":
                self._answer(int(fault), b"later", {"Retry-After": "0"})
            case "416":
                self._answer(416, b"")
            case "reset":
                self._head(status, len(rest), headers)
                self._send(rest[: len(rest) // 3])
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with contextlib.suppress(OSError):
                    self.connection.close()
                self.close_connection = True
            case "truncated":
                self._head(status, len(rest), headers)
                self._send(rest[: len(rest) // 2])
                self.close_connection = True
            case "stall":
                self._head(status, len(rest), headers)
                self._send(rest[: len(rest) // 2])
                self.wfile.flush()
                time.sleep(0.8)
                self.close_connection = True
            case "trickle":
                self._head(status, len(rest), headers)
                for at in range(len(rest)):
                    self._send(rest[at : at + 1])
                    time.sleep(0.03)
            case "slow":
                self._head(status, len(rest), headers)
                step = max(1, len(rest) // 4)
                for at in range(0, len(rest), step):
                    self._send(rest[at : at + step])
                    time.sleep(0.01)
            case "wrong-range" if wanted:
                self._answer(206, body[1:], {"Content-Range": f"bytes 1-{size - 1}/{size}"})
            case "flip":
                self._head(status, len(rest), headers)
                at = len(rest) // 2
                self._send(rest[:at] + bytes([rest[at] ^ 1]) + rest[at + 1 :] if rest else b"")
            case "moved":  # another revision under the same name
                other = hashlib.sha512(body).digest() * (len(body) // 64 + 1)
                self._head(status, len(rest), headers)
                self._send(other[start:end])
            case "short" | "long":
                other = body[:-1] if fault == "short" else body + b"!"
                if ranged:
                    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(other)}"
                    other = other[start : end - (fault == "short")]
                self._answer(status, other, headers)
            case "portal":
                self._answer(200, b"<html>Please log in to the network</html>")
            case "loop":
                self._answer(302, b"", {"Location": "/loop"})
            case "packed":
                import gzip

                self._answer(200, gzip.compress(body), {"Content-Encoding": "gzip"})
            case _:
                self._head(status, len(rest), headers)
                self._send(rest)

    def _send(self, data: bytes) -> None:
        if self.command == "HEAD":
            return
        step = 512 if self.owner.rate_bytes_s else max(1, len(data))
        for at in range(0, len(data), step):
            chunk = data[at : at + step]
            self.owner.turn(len(chunk))
            self.wfile.write(chunk)
            self.owner.count(len(chunk))

    def _sendfile(self, path: Path, start: int, end: int) -> None:
        self.wfile.flush()
        step = 1 << 20 if self.owner.rate_bytes_s else 1 << 26
        with path.open("rb") as file:
            while start < end:
                sent = self.connection.sendfile(file, start, min(end - start, step))
                if sent == 0:
                    return
                self.owner.count(sent)
                self.owner.turn(sent)
                start += sent

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._head(status, len(body), headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)


def _cookie(text: str) -> str:
    return next((part.partition("=")[2] for part in text.split("; ") if part.startswith("m_session_id=")), "")


def _git(body: bytes | Path) -> str:
    data = body if isinstance(body, bytes) else b"" if body.stat().st_size >= 1 << 20 else body.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def locked(files: Mapping[str, bytes | Path], *hubs: str) -> LockedModel:
    """The lock of such files on these hubs."""
    rows = []
    for path, body in sorted(files.items()):
        data = body if isinstance(body, bytes) else body.read_bytes()
        rows.append(ModelFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest()))
    sources = tuple(
        ModelSource(hub=name, id=ID, revision=COMMIT)  # type: ignore[arg-type]
        for name in (hubs or ("huggingface",))
    )
    return LockedModel(name=model_name(ID), digest=files_digest(rows), sources=sources, files=tuple(rows))


def settings(root: Path, *, huggingface: Hub | None = None, modelscope: Hub | None = None, **more: Any) -> Settings:
    """A user's settings that name these hubs."""
    return Settings(
        dirs=Dirs(cache=root / "cache", state=root / "state", config=root / "config"), uid=1000, gid=1000, arch="amd64",
        hubs=HubSettings(
            dir=root / "weights", huggingface=huggingface.url if huggingface else "http://127.0.0.1:9",
            modelscope=modelscope.url if modelscope else "http://127.0.0.1:9", **more,
        ),
    )  # fmt: skip


def main(folder: str) -> None:
    """Serve a folder until stdin is closed; prints the address."""
    import sys

    root = Path(folder)
    with Hub({str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}) as hub:
        for path in hub.files:
            hub.sha256(path)
        print(hub.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    import sys

    main(sys.argv[1])
