from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.dirs import Dirs
from devenv.doors.http.connections import Connections, Request
from devenv.doors.http.partial_file import Again, Refused
from devenv.doors.http.registry.client import Registry
from devenv.doors.http.registry.faults import RegistryError
from devenv.doors.settings.config_yaml import RegistrySettings
from devenv.doors.settings.settings import Settings


@dataclasses.dataclass
class Speaking:
    """What a host does at each scheme: a status, or a fault."""

    does: dict[str, int | Exception]
    asked: list[str] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def ask(self, request: Request) -> Iterator[Any]:
        scheme = request.url.partition(":")[0]
        self.asked.append(scheme)
        assert request.own == {}
        done = self.does[scheme]
        if isinstance(done, Exception):
            raise done
        yield type("Answer", (), {"status": done})


REFUSED, UNTRUSTED = Again("cannot connect", offline=True), Refused("its certificate is not trusted", offline=True)


@pytest.mark.parametrize(
    ("host", "registry", "does", "asked", "scheme"),
    [
        ("r.example", {}, {}, [], "https"),
        ("r.example", {"insecure": True}, {"https": 401}, ["https"], "https"),
        ("r.example", {"insecure": True}, {"https": REFUSED, "http": 200}, ["https", "http"], "http"),
        ("r.example", {"insecure": True}, {"https": UNTRUSTED}, ["https"], None),
        ("r.example", {"insecure": True}, {"https": REFUSED, "http": REFUSED}, ["https", "http"], None),
        ("localhost:5000", {}, {"http": 401}, ["http"], "http"),
        ("localhost:5000", {}, {"http": 400, "https": 200}, ["http", "https"], "https"),
        ("localhost:5000", {}, {"http": REFUSED, "https": UNTRUSTED}, ["http", "https"], None),
        ("127.0.0.1:5000", {"ca": Path("/ca.pem")}, {}, [], "https"),
    ],
)  # fmt: skip
def test_plain_http_is_used_for_this_machine_or_where_the_user_allows_it(
    host: str, registry: dict[str, Any], does: dict[str, Any], asked: list[str], scheme: str | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    speaking = Speaking(does)
    monkeypatch.setattr(Connections, "ask", lambda _, request: speaking.ask(request))
    settings = Settings(
        dirs=Dirs(cache=tmp_path, state=tmp_path, config=tmp_path), uid=1, gid=1, arch="amd64",
        registries=(RegistrySettings(host=host, **registry), RegistrySettings(host="other.example", insecure=True)),
    )  # fmt: skip
    client = Registry(host, settings)
    if scheme is None:
        with pytest.raises(RegistryError, match=f"cannot reach {host}"):
            _ = client.address
    else:
        assert client.address == f"{scheme}://{host}"
    assert speaking.asked == asked
