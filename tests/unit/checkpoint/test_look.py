"""Which hub is asked for a model, and what is said where none answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from devenv.checkpoint.look import Named, look
from devenv.doors.http.hubs import UnreachedError
from devenv.errors import FetchError
from tests.unit.handmade import settings


def test_no_hub_that_answers_is_an_error_that_names_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on(asked: Any, *_: Any) -> None:
        raise UnreachedError(f"cannot ask {asked.name} for a/b", detail="[Errno 111] Connection refused", hint="wait")

    monkeypatch.setattr("devenv.checkpoint.look._on", on)
    said: list[str] = []
    with pytest.raises(FetchError) as caught:
        look(Named.parse("a/b"), settings(tmp_path), cast("Any", None), note=said.append)
    assert caught.value.message == "none of the model's hubs can be reached: huggingface, modelscope"
    assert (caught.value.detail or "").splitlines() == [
        "cannot ask huggingface for a/b ([Errno 111] Connection refused)",
        "cannot ask modelscope for a/b ([Errno 111] Connection refused)",
    ]
    assert said == ["cannot ask huggingface for a/b; asking modelscope"]
    with pytest.raises(FetchError, match="cannot ask modelscope for a/b"):
        look(Named.parse("a/b"), settings(tmp_path), cast("Any", None), asked=("modelscope",), note=said.append)
