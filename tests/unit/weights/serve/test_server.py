"""The address of a server, for other machines."""

from __future__ import annotations

import socket

import pytest

from devenv.weights.serve.server import reachable


@pytest.mark.parametrize(
    ("host", "name"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", "this-machine"), ("::", "this-machine")],
)
def test_the_name_of_a_host_as_an_address_has_it(host: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "this-machine")
    assert reachable(host) == name
