from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import pytest

from devenv.doors.dirs import Dirs
from devenv.doors.http.web import Origin, Web, _charset
from devenv.doors.settings.pip_settings import PipSettings
from devenv.doors.settings.settings import Settings

_TEXT = "machine files.example.org login me password pa55\nmachine nobody.example.org login me\n"


def _web(folder: Path, netrc: str) -> Web:
    (folder / "netrc").write_text(netrc)
    settings = Settings(dirs=Dirs(cache=folder, state=folder, config=folder), uid=1, gid=1, arch="amd64")
    return Web(dataclasses.replace(settings, pip=PipSettings(netrc=folder / "netrc")))


@pytest.mark.parametrize(
    ("netrc", "origin", "login"),
    [
        (_TEXT, Origin(url="https://files.example.org/a", channel="pip"), "me:pa55"),
        (_TEXT, Origin(url="https://other.example.org/a", channel="pip"), None),
        (_TEXT, Origin(url="https://nobody.example.org/a", channel="pip"), None),
        (_TEXT, Origin(url="https://files.example.org/a", channel="npm"), None),
        (_TEXT, Origin(url="https://you:p%40@files.example.org/a", channel="pip"), "you:p@"),
        ("machine files.example.org {", Origin(url="https://files.example.org/a", channel="pip"), None),
    ],
)
def test_logins_of_netrc_are_for_pips_hosts(netrc: str, origin: Origin, login: str | None, tmp_path: Path) -> None:
    sent = _web(tmp_path, netrc)._own(origin).get("Authorization")
    assert sent == (None if login is None else "Basic " + base64.b64encode(login.encode()).decode())


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [("text/html; charset=ISO-8859-1", "iso-8859-1"), ("text/html", "utf-8"), ("", "utf-8"), ("text/html; charset=x", "utf-8")],
)  # fmt: skip
def test_the_encoding_of_a_page(content_type: str, charset: str) -> None:
    assert _charset(content_type) == charset
