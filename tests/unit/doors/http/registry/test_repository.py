from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.dirs import Dirs
from devenv.doors.http.connections import Connections, Request
from devenv.doors.http.registry.client import Registry
from devenv.doors.http.registry.faults import RegistryError
from devenv.doors.http.registry.repository import Repository
from devenv.doors.settings.settings import Settings


@pytest.mark.parametrize(("status", "fits"), [(200, True), (404, True), (401, False), (403, False)])
def test_a_login_is_tried_without_a_blob_or_a_manifest(
    status: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    @contextlib.contextmanager
    def ask(_: Connections, request: Request) -> Iterator[Any]:
        asked.append(request.method)
        yield type("Answer", (), {
            "status": status, "url": request.url, "why": "refused", "headers": {},
            "read": lambda *_, **__: b"", "wait_s": lambda *_: None,
        })()  # fmt: skip

    monkeypatch.setattr(Connections, "ask", ask)
    dirs = Dirs(cache=tmp_path, state=tmp_path, config=tmp_path)
    repository = Repository(Registry("r.example", Settings(dirs=dirs, uid=1, gid=1, arch="amd64")), "team/x")
    with contextlib.nullcontext() if fits else pytest.raises(RegistryError, match=r"cannot push to r.example/team/x"):
        repository.check()
    assert asked == ["HEAD"]
