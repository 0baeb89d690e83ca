"""A registry that has an image for every name, and logs every request.

    python3 hostileregistry.py LOG

It runs in a second engine's network namespace, so it is a separate program.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import platform
import sys
import tarfile
from pathlib import Path

PORT = 5000
"""Of a namespace where nothing else listens."""
PLANTED = "opt/code-server/planted"
"""The file in its image."""
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def _layer() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(PLANTED))
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _described(kind: str, data: bytes) -> dict[str, str | int]:
    return {"mediaType": kind, "digest": _digest(data), "size": len(data)}


_LAYER = _layer()
_CONFIG = json.dumps({
    "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()], "os": "linux", "config": {},
    "rootfs": {"type": "layers", "diff_ids": [_digest(_LAYER)]},
}).encode()  # fmt: skip
_IMAGE = json.dumps({
    "schemaVersion": 2, "mediaType": _MANIFEST,
    "config": _described("application/vnd.oci.image.config.v1+json", _CONFIG),
    "layers": [_described("application/vnd.oci.image.layer.v1.tar", _LAYER)],
}).encode()  # fmt: skip
_BLOBS = {_digest(data): data for data in (_LAYER, _CONFIG)}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: Path

    def do_GET(self) -> None:
        self._record()
        place = self.path.partition("?")[0]
        kind, name = place.split("/")[-2:]
        if kind == "manifests" and (name == _digest(_IMAGE) or not name.startswith("sha256:")):
            self._answer(200, _IMAGE, _MANIFEST)
        elif kind == "blobs" and name in _BLOBS:
            self._answer(200, _BLOBS[name], "application/octet-stream")
        else:
            self._answer(200 if place == "/v2/" else 404, b"{}", "application/json")

    do_HEAD = do_GET

    def do_CONNECT(self) -> None:
        """Asked as a proxy."""
        self._record()
        self.send_error(502)

    def _record(self) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{self.command} {self.path}\n")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", _digest(body))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent: the log is the record."""


if __name__ == "__main__":
    _Handler.log = Path(sys.argv[1])
    http.server.ThreadingHTTPServer(("127.0.0.1", PORT), _Handler).serve_forever()
