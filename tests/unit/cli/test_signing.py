from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from devenv.cli import signing
from devenv.errors import UsageError

PATH = Path("/keys/a\x1b.pem")


def test_without_the_option_there_is_no_key() -> None:
    nothing: Any = SimpleNamespace()
    assert signing.key_for(None, nothing) is None


def test_the_passphrase_comes_from_the_variable_or_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(click, "prompt", lambda text, **options: asked.append((text, options)) or "typed")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv(signing.PASSPHRASE, "")
    assert signing._passphrase(PATH) == ""
    assert asked == []
    monkeypatch.delenv(signing.PASSPHRASE)
    assert signing._passphrase(PATH) == "typed"
    assert asked == [("passphrase of /keys/a\\x1b.pem", {"hide_input": True, "err": True})]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    with pytest.raises(UsageError, match="no terminal") as caught:
        signing._passphrase(PATH)
    assert signing.PASSPHRASE in str(caught.value.hint)
