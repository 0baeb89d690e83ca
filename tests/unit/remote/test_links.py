"""Links: which ports stand where, and what is printed of them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from devenv.doors import process
from devenv.errors import TargetError
from devenv.remote import links
from devenv.remote.links import Link, Links, ports_of, rewritten


def test_ports_of_addresses_that_a_box_printed() -> None:
    urls = {
        "ide": "http://127.0.0.1:8443/?token=a:1",
        "x": "https://portal/x:5",
        "y": "http://127.0.0.1:99999/",
        "z": 7,
        "w": "http://10.127.0.0.1:80/",
    }
    assert ports_of(urls) == (8443,)


def test_addresses_become_those_here() -> None:
    text = 'ide http://127.0.0.1:8443/?token=x {"u": "http://localhost:8888/"} 127.0.0.1:84430 1127.0.0.1:8443 127.0.0.1:8443.5'
    assert rewritten(text, {8443: 18443, 8888: 18888, 18443: 1}) == (
        'ide http://127.0.0.1:18443/?token=x {"u": "http://localhost:18888/"} 127.0.0.1:84430 1127.0.0.1:8443 127.0.0.1:8443.5'
    )


def test_the_same_port_where_it_is_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        chosen = dict(links._chosen((port, 80), {}))
    assert chosen[port] != port
    assert chosen[80] >= 1024
    again = dict(links._chosen((port, 80), {80: chosen[80]}))
    assert again[port] == port
    assert again[80] == chosen[80]


def test_what_is_kept_has_no_token_and_is_this_users_alone(tmp_path: Path) -> None:
    one = Links.of(tmp_path, "box", "me@box")
    assert Links.of(tmp_path, "other-name", "me@box").folder == one.folder
    link = Link(
        target="box", destination="me@box", name="env", key="k", ports=((8443, 18443),), process=process.this_process()
    )
    links.keep(one.path("env"), link)
    assert one.path("env").stat().st_mode & 0o777 == 0o600
    assert one.get("env") == link
    assert list(one.every()) == [link]
    assert not links.is_gone(link)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"target": 1}', '{"ports": "x"}', "null"])
def test_a_damaged_file_is_no_link(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert links.read(path) is None


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A" * 300, "x\x00", "None"])
def test_a_box_cannot_name_a_file_here(tmp_path: Path, name: str) -> None:
    with pytest.raises(TargetError, match="no name of an environment"):
        Links.of(tmp_path, "box", "me@box").path(name)


def test_another_process_of_that_number_is_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devenv.doors.streams.end", lambda *_: pytest.fail("a signal was sent"))
    one = Links.of(tmp_path, "box", "me@box")
    mine = process.this_process()
    link = Link(target="box", destination="me@box", name="env", key="k", ports=(), process=mine[:-1] + "0" + mine[-1])
    links.keep(one.path("env"), link)
    one.end("env")
    assert one.get("env") is None
