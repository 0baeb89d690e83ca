"""A registry of editor extensions on loopback that speaks Open VSX's API, with lies on demand."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import json
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.integration.mirror import QuietServer
from tests.unit.packages import vsix

LIES = (
    "file",
    "hash",
    "no-hash",
    "local-file",
    "engine",
    "name",
    "portal",
    "404",
    "endless",
    "huge",
    "other-host-hash",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of an extension for one platform."""

    namespace: str
    name: str
    version: str
    platform: str
    engine: str
    pre_release: bool
    body: bytes
    told: Mapping[str, Any]

    @property
    def order(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.partition("-")[0].split("."))


class Registry:
    """Serves `releases`. `login`: USER:PASSWORD that requests must have. `away`: files are on another host
    (127.0.0.2). `lies`: by id, how the registry lies about it."""

    def __init__(self, *, login: str = "", away: bool = False, prefix: str = "") -> None:
        self.releases: list[Release] = []
        self.lies: dict[str, str] = {}
        self.login = login
        self.away = away
        self.prefix = prefix
        self.huge_bytes = 0
        self.seen: list[tuple[str, str]] = []
        """Host and path of each request."""
        self.leaked: list[str] = []
        """Requests to another host that had a login."""
        registry = self

        class Handler(_Handler):
            owner = registry

        self._servers = [QuietServer(("127.0.0.1", 0), Handler)]
        self._servers.append(QuietServer(("127.0.0.2", self.port), Handler))

    @property
    def port(self) -> int:
        return self._servers[0].server_port

    @property
    def url(self) -> str:
        login = f"{self.login}@" if self.login else ""
        return f"http://{login}127.0.0.1:{self.port}{self.prefix}"

    def __enter__(self) -> Self:
        for one in self._servers:
            threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._servers:
            one.shutdown()
            one.server_close()

    def add(
        self, id_: str, version: str = "1.0.0", platform: str = "universal", *, engine: str = "^1.90.0",
        needs: tuple[str, ...] = (), pack: tuple[str, ...] = (), pre_release: bool = False,
        files: Mapping[str, str] = MappingProxyType({}), **more: Any,
    ) -> bytes:  # fmt: skip
        """Publish it; returns the .vsix."""
        namespace, _, name = id_.partition(".")
        told = {
            "engines": {"vscode": engine},
            "extensionDependencies": list(needs),
            "extensionPack": list(pack),
            **more,
        }
        body = vsix(namespace, name, version, files, **{**told, "platform": platform})
        self.releases.append(
            Release(namespace=namespace, name=name, version=version, platform=platform, engine=engine,
                    pre_release=pre_release, body=body, told=told)
        )  # fmt: skip
        return body

    def find(self, *path: str) -> Release | None:
        return next(
            (one for one in self.releases if (one.namespace, one.name, one.platform, one.version) == path), None
        )


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: Registry
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        registry, parts = self.owner, urlsplit(self.path)
        host = self.headers.get("Host", "")
        registry.seen.append((host, parts.path))
        own = host == f"127.0.0.1:{registry.port}"
        if not own and self.headers.get("Authorization"):
            registry.leaked.append(self.path)
        wanted = f"Basic {base64.b64encode(registry.login.encode()).decode()}" if registry.login else None
        if own and wanted and self.headers.get("Authorization") != wanted:
            self._answer(401, b"log in")
            return
        if "portal" in registry.lies.values():
            self._answer(200, b"<html>Please log in to the network</html>")
            return
        path = parts.path.removeprefix(registry.prefix)
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        words = path.strip("/").split("/")
        if path == "/api/v2/-/query":
            self._query(asked)
        elif path == "/api/-/search":
            names = {(one.namespace, one.name) for one in registry.releases}
            found = [{"namespace": one[0], "name": one[1]} for one in sorted(names) if asked["query"] in one[1]]
            self._json({"offset": 0, "totalSize": len(found), "extensions": found})
        elif len(words) == 2 and words[0] == "api" and any(one.namespace == words[1] for one in registry.releases):
            own = {one.name: "" for one in registry.releases if one.namespace == words[1]}
            self._json({"name": words[1], "extensions": own})
        elif len(words) == 7 and words[5] == "file" and (release := registry.find(*words[1:5])):
            self._file(release, words[6])
        else:
            self._answer(404, b'{"error":"not found"}')

    def _query(self, asked: Mapping[str, str]) -> None:
        """As LocalRegistryService.queryV2: ids without regard to case, exactly that platform, the newest first."""
        registry = self.owner
        rows = [
            one for one in registry.releases
            if f"{one.namespace}.{one.name}".lower() == asked["extensionId"].lower()
            and asked.get("targetPlatform", one.platform) == one.platform
            and asked.get("extensionVersion", one.version) == one.version
        ]  # fmt: skip
        rows.sort(key=lambda one: one.order, reverse=True)
        if asked["includeAllVersions"] == "false":
            rows = list({one.platform: one for one in reversed(rows)}.values())[::-1]
        at, size = int(asked.get("offset", 0)), int(asked.get("size", 100))
        shown = [self._described(one) for one in rows[at : at + size]]
        self._json({"offset": at, "totalSize": len(rows), "extensions": shown})

    def _described(self, one: Release) -> dict[str, Any]:
        registry, lie = self.owner, self.owner.lies.get(f"{one.namespace}.{one.name}")
        base = f"http://127.0.0.1:{registry.port}{registry.prefix}/api"
        base = f"{base}/{one.namespace}/{one.name}/{one.platform}/{one.version}/file"
        stem = f"{one.namespace}.{one.name}-{one.version}"
        files = {
            "download": f"{base}/{stem}.vsix",
            "sha256": f"{base}/{stem}.sha256",
            "manifest": f"{base}/package.json",
        }
        if lie == "no-hash":
            del files["sha256"]
        if lie == "local-file":
            files["download"] = "file:///etc/hostname"
        return {
            "namespace": "other" if lie == "name" else one.namespace, "name": one.name, "version": one.version,
            "targetPlatform": one.platform, "preRelease": one.pre_release, "files": files,
            "engines": {"vscode": "*" if lie == "engine" else one.engine}, "displayName": "\x1b[31m",
        }  # fmt: skip

    def _file(self, release: Release, name: str) -> None:
        registry, lie = self.owner, self.owner.lies.get(f"{release.namespace}.{release.name}")
        if registry.away and self.headers.get("Host") == f"127.0.0.1:{registry.port}":
            self._answer(302, b"", {"Location": f"http://127.0.0.2:{registry.port}{self.path}"})
            return
        if lie == "404" and name.endswith(".vsix"):
            self._answer(404, b"")
        elif name.endswith(".sha256"):
            body = b"another" if lie == "hash" else release.body
            self._answer(200, hashlib.sha256(body).hexdigest().encode())
        elif lie == "endless":
            self._endless()
        elif lie == "huge":
            self._answer(200, bytes(registry.huge_bytes))
        else:
            self._answer(200, release.body + b"!" if lie == "file" else release.body)

    def _endless(self) -> None:
        """A body without length and end."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(1 << 16))

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
