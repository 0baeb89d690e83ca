from __future__ import annotations

from pathlib import Path

import pytest

from devenv.container import ports
from devenv.container import state as module
from devenv.container.ports import choose_ports, kept_ports
from devenv.container.state import environment


@pytest.fixture
def env(tmp_path: Path) -> module.Environment:
    return environment("ocr", tmp_path)


def test_ports_of_other_environments_are_known_without_their_containers(
    env: module.Environment, tmp_path: Path
) -> None:
    env.keep_ports({8443: 9000})
    environment("other", tmp_path).keep_ports({8443: 9001})
    assert kept_ports(tmp_path, "ocr") == {9001}


def test_ports_prefer_the_containers_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "port_is_free", lambda _: True)
    assert choose_ports((8443, 8888), {}, frozenset()) == {8443: 8443, 8888: 8888}


def test_ports_avoid_what_others_own_and_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "port_is_free", lambda port: port != 8444)
    assert choose_ports((8443,), {}, frozenset({8443})) == {8443: 8445}


def test_kept_ports_stay_and_dropped_ones_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "port_is_free", lambda _: True)
    assert choose_ports((8443, 9000), {8443: 12345, 7000: 7001}, frozenset()) == {8443: 12345, 9000: 9000}


def test_two_container_ports_never_share_a_host_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "port_is_free", lambda port: port > 8443)
    chosen = choose_ports((8443, 8444), {}, frozenset())
    assert len(set(chosen.values())) == 2
