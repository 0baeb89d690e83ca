from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.registry.logins import Login, find
from devenv.errors import ShareError

PAIR = base64.b64encode(b"me:pa:55").decode()


def _find(tmp_path: Path, host: str, **config: Any) -> Login | None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return find(host, path)


@pytest.mark.parametrize("key", ["r.example:5000", "https://r.example:5000", "https://r.example:5000/v1/"])
def test_a_login_is_found_under_any_form_of_its_host(key: str, tmp_path: Path) -> None:
    found = _find(tmp_path, "r.example:5000", auths={"r.example": {"auth": PAIR + "x"}, key: {"auth": PAIR}})
    assert found == Login(origin=str(tmp_path / "config.json"), user="me", password="pa:55")
    assert "pa:55" not in repr(found)
    assert "pa:55" not in str(found)
    assert PAIR in found.secrets


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        ({"username": "me", "password": "pw"}, Login(origin="", user="me", password="pw")),
        ({"auth": PAIR, "identitytoken": "long"}, Login(origin="", user="me", password="pa:55", identity_token="long")),
        ({"registrytoken": "raw"}, Login(origin="", registry_token="raw")),
        ({}, None), ("x", None), ({"auth": 3}, None), ({"auth": ""}, None),
    ],
)  # fmt: skip
def test_what_an_entry_may_hold(entry: Any, login: Login | None, tmp_path: Path) -> None:
    found = _find(tmp_path, "r.example", auths={"r.example": entry})
    assert (found and found.secrets) == (login and login.secrets)
    assert (found and found.user) == (login and login.user)


@pytest.mark.parametrize("config", [{}, {"auths": []}, {"auths": {"other.example": {"auth": PAIR}}}])
def test_no_login_is_none(config: dict[str, Any], tmp_path: Path) -> None:
    assert _find(tmp_path, "r.example", **config) is None
    assert find("r.example", None) is None
    assert find("r.example", tmp_path / "missing") is None


@pytest.mark.parametrize("text", ["{", '{"auths": {"r.example": {"auth": "%"}}}', "[" * 100_000])
def test_a_file_that_cannot_be_read_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ShareError, match="docker's logins") as caught:
        find("r.example", path)
    assert caught.value.where == str(path)


def test_a_list_is_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[]")
    assert find("r.example", tmp_path / "config.json") is None
