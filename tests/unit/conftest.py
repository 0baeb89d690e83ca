"""Unit tests start no process and open no connection: both raise here."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # jsonschema's grammar of addresses takes 3 s to build


@pytest.fixture(autouse=True)
def _no_side_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **_: Any) -> Any:
        raise AssertionError(f"a unit test reached outside: {args[:1]}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
