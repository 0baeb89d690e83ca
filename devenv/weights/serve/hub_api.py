"""The store over HTTP, in the Hugging Face hub's protocol: the requests of `huggingface_hub` only."""

from __future__ import annotations

import contextlib
import hmac
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from devenv.doors.untrusted import from_json
from devenv.errors import UsageError
from devenv.lock.model import LockedModel, ModelFile, ModelSource
from devenv.weights.serve.server import Listening, reachable
from devenv.weights.store import Stored, Weights

_LARGEST_REQUEST = 1 << 20
_LOOK_EVERY_S = 1.0
_POINTER_BYTES = 134
"""How long a git-lfs pointer is: clients are told, and do nothing with it."""


class Server:
    """A server with threads, until it is closed."""

    def __init__(
        self, store: Weights, *, host: str, port: int, token: str | None,
        on_request: Callable[[str], None] | None = None, unconfirmed: bool = False,
    ) -> None:  # fmt: skip
        owner = self

        class Handler(_Handler):
            server_of = owner

        self.store = store
        self.looked_s = 0.0
        self._every: tuple[Stored, ...] = ()
        self.token = token
        self.on_request = on_request
        self.unconfirmed = unconfirmed
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._http = type("_Bound", (Listening,), {"address_family": family})((host, port), Handler)
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host} port {port}: {error.strerror or error}", hint="choose another: --port, --host"
            ) from None
        self.port: int = self._http.server_address[1]
        self.url = f"http://{reachable(host)}:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Serve until Ctrl-C."""
        while self._thread.is_alive():
            self._thread.join(1)

    def close(self) -> None:
        """Stop the server."""
        self._http.shutdown()
        self._http.server_close()

    def every(self) -> tuple[Stored, ...]:
        """The store's models, read at most once a second, because a read checks every file's state."""
        now = time.monotonic()
        if now - self.looked_s > _LOOK_EVERY_S or not self.looked_s:
            self._every = self.store.every()
            self.looked_s = now
        return self._every

    def models(self) -> tuple[str, ...]:
        """The keys of the models that it can serve."""
        return tuple(stored.model.key for stored in self.every() if stored.complete)

    def find(self, id_: str, revision: str) -> tuple[LockedModel, str] | None:
        """A complete model by hub id and revision (a branch's name: the last one fetched), with its commit. Only
        under names that the hub itself has confirmed for this content."""
        found = []
        for stored in self.every():
            for source in self.names(stored):
                if source.id == id_ and stored.complete:
                    commit = _commit(stored.model, source.revision)
                    if revision in (source.revision, commit):
                        return stored.model, commit
                    found.append((stored.folder.stat().st_mtime_ns, stored.model, commit))
        if revision in ("main", "master", "HEAD") and found:
            _, model, commit = max(found, key=lambda each: each[0])
            return model, commit
        return None

    def has(self, id_: str) -> bool:
        """Whether the store has any revision of this model."""
        return any(source.id == id_ for stored in self.every() for source in self.names(stored))

    def names(self, stored: Stored) -> tuple[ModelSource, ...]:
        """The names of a model on this server."""
        return stored.model.sources if self.unconfirmed else stored.confirmed


@contextlib.contextmanager
def serving(
    store: Weights, *, host: str, port: int, token: str | None, on_request: Callable[[str], None] | None = None,
    unconfirmed: bool = False,
) -> Iterator[Server]:  # fmt: skip
    """A server for the length of a `with`. Raises UsageError when it cannot listen."""
    server = Server(store, host=host, port=port, token=token, on_request=on_request, unconfirmed=unconfirmed)
    try:
        yield server
    finally:
        server.close()


def _commit(model: LockedModel, revision: str) -> str:
    """A commit for clients: 40 hexadecimal digits, for a tag of ModelScope's the digest's."""
    is_commit = len(revision) == 40 and all(digit in "0123456789abcdef" for digit in revision)
    return revision if is_commit else model.digest[:40]


class _Handler(http.server.BaseHTTPRequestHandler):
    server_of: Server
    protocol_version = "HTTP/1.1"
    server_version = "devenv"
    sys_version = ""
    timeout = 120
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        """Log nothing, because a request's line may hold a secret."""

    def handle_one_request(self) -> None:
        """Read head and body within a time limit."""
        assert isinstance(self.server, Listening)
        self.server.guests.waits(self.connection)
        super().handle_one_request()

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self._serve()

    def do_GET(self) -> None:
        """A model's description, its list of files, or a file."""
        self._serve()

    def do_POST(self) -> None:
        """Facts about named paths."""
        self._serve()

    def _serve(self) -> None:
        assert isinstance(self.server, Listening)
        path = urlsplit(self.path).path
        if self.server_of.on_request is not None:
            self.server_of.on_request(f"{self.client_address[0]} {self.command} {_plain(path)}")
        may = self._may()
        body = self._body() if may else None
        self.server.guests.asked(self.connection, known=may and self.server_of.token is not None)
        if not may:  # a stranger's body is not read, and its connection is closed
            self.close_connection = True
            self._refuse(401, "Unauthorized", "a token is needed: set HF_TOKEN to the one that 'weights serve' printed")
            return
        if body is None:
            self._refuse(413, "TooLarge", "the request is too large")
            return
        words = [unquote(part) for part in path.strip("/").split("/")]
        if words[:2] == ["api", "models"] and len(words) >= 4:
            self._api("/".join(words[2:4]), words[4:], body)
        elif words == ["api", "whoami-v2"]:
            self._json({"type": "user", "name": "devenv", "fullname": "devenv weights serve", "orgs": [], "auth": {}})
        elif len(words) >= 5 and words[2] == "resolve":
            self._file("/".join(words[:2]), words[3], "/".join(words[4:]))
        else:
            self._refuse(404, "RepoNotFound", "not found")

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _LARGEST_REQUEST or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            return None
        return self.rfile.read(int(length))

    def _may(self) -> bool:
        if self.server_of.token is None:
            return True
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode(), self.server_of.token.encode()
        )  # fmt: skip

    def _api(self, id_: str, words: list[str], body: bytes) -> None:
        what = words[0] if words else "revision"
        revision = words[1] if len(words) > 1 else "main"
        found = self._found(id_, revision) if what in ("revision", "tree", "paths-info") else None
        if found is None:
            if what not in ("revision", "tree", "paths-info"):
                self._refuse(404, "EntryNotFound", "not found")
            return
        model, commit = found
        if what == "revision":
            self._json(_info(id_, model, commit))
        elif what == "tree":
            self._tree(model, commit, "/".join(words[2:]))
        else:
            asked = self._paths(body)
            self._json([_entry(file, commit) for file in model.files if file.path in asked])

    def _paths(self, body: bytes) -> set[str]:
        if self.headers.get("Content-Type", "").startswith("application/json"):
            with contextlib.suppress(ValueError, AttributeError, TypeError):
                return {str(path) for path in from_json(body).get("paths", [])}
            return set()
        return set(parse_qs(body.decode(errors="replace")).get("paths", []))

    def _tree(self, model: LockedModel, commit: str, below: str) -> None:
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() in ("true", "1")
        start = f"{below}/" if below else ""
        rows: list[dict[str, Any]] = []
        folders: set[str] = set()
        for file in model.files:
            if not file.path.startswith(start):
                continue
            inside = file.path[len(start) :].split("/")[:-1]
            for depth in range(1, len(inside) + 1) if recursive else range(1, min(len(inside), 1) + 1):
                folders.add(start + "/".join(inside[:depth]))
            if recursive or not inside:
                rows.append(_entry(file, commit))
        rows += [{"type": "directory", "oid": commit, "size": 0, "path": folder} for folder in folders]
        self._json(sorted(rows, key=lambda row: str(row["path"])))

    def _found(self, id_: str, revision: str) -> tuple[LockedModel, str] | None:
        found = self.server_of.find(id_, revision)
        if found is None:
            if self.server_of.has(id_):
                self._refuse(404, "RevisionNotFound", f"{id_} is here, but not complete at {revision}")
            else:
                self._refuse(404, "RepoNotFound", f"{id_} is not in this store")
        return found

    def _file(self, id_: str, revision: str, path: str) -> None:
        found = self._found(id_, revision)
        if found is None:
            return
        model, commit = found
        file = next((file for file in model.files if file.path == path), None)
        if file is None:
            self._refuse(404, "EntryNotFound", f"{id_} has no {path}")
            return
        headers = {
            "X-Repo-Commit": commit,
            "ETag": f'"{file.sha256}"',
            "X-Linked-Etag": f'"{file.sha256}"',
            "X-Linked-Size": str(file.size),
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            "Content-Disposition": "attachment",
        }
        if self.headers.get("If-None-Match") == headers["ETag"]:
            self._head(304, 0, headers)
            return
        span = _span(self.headers.get("Range", ""), file.size)
        if self.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
            span = (0, file.size, False)
        if span is None:
            self._head(416, 0, {**headers, "Content-Range": f"bytes */{file.size}"})
            return
        start, end, ranged = span
        if ranged:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        self._send_file(self.server_of.store.folder(model.key) / path, start, end, 206 if ranged else 200, headers)

    def _send_file(self, path: Path, start: int, end: int, status: int, headers: Mapping[str, str]) -> None:
        try:
            source = path.open("rb")
        except OSError:
            self._refuse(404, "EntryNotFound", "the file no longer exists")
            return
        with source:
            self._head(status, end - start, headers)
            if self.command == "HEAD":
                return
            # The kernel sends the bytes; a file that became shorter, or a client that reads none, ends the connection.
            try:
                whole = self.connection.sendfile(source, start, end - start) == end - start
            except OSError:
                whole = False
            self.close_connection = self.close_connection or not whole

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def _refuse(self, status: int, code: str, text: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": _plain(text), "Content-Type": "application/json"}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
            if code == "Unauthorized":
                del headers["X-Error-Code"]
        self._answer(status, json.dumps({"error": text}).encode(), headers)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._head(status, len(body), headers)
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        closing = {"Connection": "close"} if self.close_connection else {}
        for name, value in {**headers, **closing, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()


def _plain(text: str) -> str:
    """Foreign text for a header or a terminal: printable ASCII, the rest as escapes."""
    return "".join(character if " " <= character <= "~" else ascii(character)[1:-1] for character in text)


def _span(text: str, size: int) -> tuple[int, int, bool] | None:
    """(start, end, whether it is a part) of a Range header; None when it has no byte of the file. A header other than a
    single byte range is ignored (RFC 9110)."""
    unit, _, ranges = text.partition("=")
    first, dash, last = ranges.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or "," in ranges or not (first or last):
        return 0, size, False
    if (first and not first.isdecimal()) or (last and not last.isdecimal()):
        return 0, size, False
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return 0, size, False
    return (start, end, True) if start < end else None


def _info(id_: str, model: LockedModel, commit: str) -> dict[str, Any]:
    siblings = [
        {"rfilename": file.path, "size": file.size, "blobId": file.sha256[:40], "lfs": _lfs(file)}
        for file in model.files
    ]
    return {
        "_id": model.digest[:24], "id": id_, "modelId": id_, "author": id_.partition("/")[0], "sha": commit,
        "private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [],
        "usedStorage": model.size, "siblings": siblings,
    }  # fmt: skip


def _lfs(file: ModelFile) -> dict[str, Any]:
    return {"sha256": file.sha256, "size": file.size, "pointerSize": _POINTER_BYTES}


def _entry(file: ModelFile, commit: str) -> dict[str, Any]:
    return {
        "type": "file", "oid": file.sha256[:40], "size": file.size, "path": file.path,
        "lfs": {"oid": file.sha256, "size": file.size, "pointerSize": _POINTER_BYTES},
        "lastCommit": {"id": commit, "title": "", "date": "1970-01-01T00:00:00.000Z"},
    }  # fmt: skip
