from __future__ import annotations

import dataclasses
import errno
import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import docker.errors
import pytest
import requests
import requests.exceptions
import urllib3.exceptions

from devenv.doors.docker import container_files, engine, sdk
from devenv.doors.docker.address import Endpoint, Tls
from devenv.doors.docker.faults import unreachable
from devenv.doors.docker.output import KEPT_BYTES, both, frames, last, lines, overheard
from devenv.doors.docker.values import ContainerSpec, HealthCheck
from devenv.errors import EngineError, UsageError


@pytest.fixture(autouse=True)
def _no_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """So all of it goes through the SDK."""

    def ask(*_: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(engine, "ask", ask)
    monkeypatch.setattr(sdk, "ask", ask)


class _Client:
    def __init__(self, version: str) -> None:
        self.api = self
        self._version = version
        self.adapters: dict[str, Any] = {}

    def mount(self, prefix: str, adapter: Any) -> None:
        self.adapters[prefix] = adapter

    def version(self, **_: bool) -> dict[str, str]:
        return {"Version": self._version, "ApiVersion": "1.45"}


def _clients(monkeypatch: pytest.MonkeyPatch, version: str | Exception) -> None:
    def make(**_: Any) -> _Client:
        if isinstance(version, Exception):
            raise version
        return _Client(version)

    monkeypatch.setattr(docker, "DockerClient", make)


@pytest.mark.parametrize("version", ["23.0.0", "26.1.5+dfsg1", "28.2.2", "29.0.0-rc.1"])
def test_new_engines_are_taken(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _clients(monkeypatch, version)
    assert engine.connect(Endpoint(address="unix:///x")).version == version


@pytest.mark.parametrize("version", ["20.10.24+dfsg1", "19.03.0"])
def test_old_engines_are_refused_with_the_remedy(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _clients(monkeypatch, version)
    with pytest.raises(EngineError, match=r"is (20|19)\.") as told:
        engine.connect(Endpoint(address="unix:///x"))
    assert told.value.exit_code == 6
    assert told.value.hint


@pytest.mark.parametrize(
    ("error", "message", "remedy"),
    [
        (
            docker.errors.DockerException("Error while fetching: PermissionError(13, 'Permission denied')"),
            "may not use",
            "usermod",
        ),
        (
            docker.errors.DockerException("Error while fetching: FileNotFoundError(2)"),
            "no Docker Engine answers",
            "start it",
        ),
    ],
)
def test_no_engine_and_no_permission_are_told_apart(
    error: Exception, message: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clients(monkeypatch, error)
    with pytest.raises(EngineError, match=message) as told:
        engine.connect(Endpoint(address="unix:///x"))
    assert remedy in (told.value.hint or "")


@pytest.mark.parametrize(
    ("words", "name"),
    [  # as Python says them of dockerd's
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)",
            "expired",
        ),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] … unable to get local issuer certificate", "from another CA"),
        ("… IP address mismatch, certificate is not valid for '127.0.0.1'.", "for another host"),
        ("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired", "client certificate .* expired"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", "requires a client certificate"),
        ("SSLEOFError(8, 'EOF occurred in violation of protocol (_ssl.c:2427)')", "rejects the client"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "does not use TLS"),
        ("[Errno 111] Connection refused", "no Docker Engine answers"),
    ],
)
def test_every_fault_of_tls_has_its_own_name(words: str, name: str) -> None:
    over_tls = Endpoint(address="tcp://127.0.0.1:2376", tls=Tls(folder=Path("/certs")))
    told = unreachable(requests.exceptions.SSLError(words), over_tls)
    assert re.search(name, told.message)
    assert told.hint


def test_an_engine_that_wants_tls_is_said() -> None:
    answer = docker.errors.APIError('400 Bad Request ("Client sent an HTTP request to an HTTPS server.")')
    told = unreachable(answer, Endpoint(address="tcp://127.0.0.1:2376"))
    assert "requires TLS" in told.message
    assert "DOCKER_TLS_VERIFY" in (told.hint or "")


def test_the_environments_proxies_and_bundles_are_not_for_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    _clients(monkeypatch, "26.1")
    over_tls = Endpoint(address="tcp://127.0.0.1:1", tls=Tls(folder=Path("/certs"), verify=False))
    api = engine.connect(over_tls)._api
    assert api.trust_env is False
    assert api.verify is False
    assert list(api.adapters) == ["https://"]


class _Piecemeal:
    """A TLS connection that has already read everything from its socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.timeout: float | None = 60
        self.closed = False

    def settimeout(self, seconds: float | None) -> None:
        self.timeout = seconds

    def close(self) -> None:
        self.closed = True

    def recv(self, size: int) -> bytes:
        piece, self._data = self._data[: min(size, 5)], self._data[min(size, 5) :]
        return piece


def test_frames_are_read_without_waiting_on_the_socket() -> None:
    sent = b"\1\0\0\0\0\0\0\7first\nx" + b"\2\0\0\0\0\0\0\1e" + b"\1\0\0\0\0\0\0\1\n"
    stream = _Piecemeal(sent)
    assert list(frames(stream)) == [(b"first", None), (b"\nx", None), (None, b"e"), (b"\n", None)]
    assert stream.timeout is None
    assert stream.closed
    assert list(lines(both(frames(_Piecemeal(sent))))) == ["first", "xe"]
    assert list(frames(_Piecemeal(b"\1\0\0"))) == []


def test_an_address_that_is_no_engines_is_said() -> None:
    wrong = ("nonsense", "fd://x", "tcp://h:abc", "tcp://", "npipe:////./pipe/docker_engine")
    for address in (*wrong, "tcp://127.0.0.1:999999", "tcp://127.0.0.1:0", "tcp://[::::]:1"):
        with pytest.raises(EngineError, match="not the address of a Docker Engine"):
            engine.connect(Endpoint(address=address))
    with pytest.raises(EngineError, match="on another machine"):
        engine.connect(Endpoint(address="ssh://user@host"))


@pytest.mark.parametrize(
    "config", ['{"proxies": []}', '{"proxies": {"default": "x"}}', '{"auths": 7}', '{"auths": {"x": "y"}}', "[]"]
)
def test_a_config_of_another_shape_is_said_by_its_name(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(config)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(EngineError, match=r"cannot read docker's config\.json"):
        engine.connect(Endpoint(address="unix:///nowhere.sock"))


def _refusing(error: Exception) -> EngineError:
    """The error of devenv's for a call whose answer is `error`."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    raised = engine.Engine(
        SimpleNamespace(api=SimpleNamespace(start=fail)), version="26", endpoint=Endpoint(address="")
    )
    with pytest.raises(EngineError) as told:
        raised.start("devenv-x")
    return told.value


@pytest.mark.parametrize(
    ("words", "name", "remedy"),
    [
        ("mkdir /var/lib/docker/x: no space left on device", "disk is full", "prune"),
        ("pull access denied for x, repository does not exist or may require 'docker login'", "does not give", "login"),
        ("toomanyrequests: You have reached your pull rate limit", "no more pulls", "registry-mirrors"),
        ("manifest for x:1 not found: manifest unknown: manifest unknown", "does not have the image", "tag"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "this machine's platform", "another"),
        ('Get "https://r/v2/": x509: certificate signed by unknown authority', "certificate", "certs.d"),
        ('Get "https://r/v2/": http: server gave HTTP response to HTTPS client', "plain HTTP", "insecure-registries"),
        ('Get "https://r/v2/": dial tcp: lookup r on 10.0.0.1:53: no such host', "cannot reach", "daemon.json"),
        ("No such image: sha256:1", "an image is no longer", "again"),
        ("No such container: devenv-x", "container no longer exists", "again"),
        ("get devenv-x-data: no such volume", "volume no longer exists", "again"),
        ("removal of container 1 is already in progress", "just being removed", "again"),
        ("Container 1 is paused, unpause the container before exec", "is paused", "unpause"),
        ("container 1 is not running", "is not running", "devenv start"),
        ('Conflict. The container name "/devenv-x" is already in use by container "1".', "named devenv-x", "ps -a"),
        ("remove devenv-x-data: volume is in use - [1]", "still uses a volume", "ps -a"),
        ("unknown or invalid runtime name: nvidia", "no runtime 'nvidia'", "doctor"),
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', "its GPUs", "doctor"),
        ('invalid mount config for type "bind": bind source path does not exist: /x', "cannot see a folder", "machine"),
        ("authorization denied by plugin guard: no", "plugin guard denies", "administrator"),
        ("network 8cf6709b1681 not found", "network no longer exists", "again"),
        ("could not find an available, non-overlapping IPv4 address pool", "no address range", "network prune"),
        ("fork/exec /usr/bin/runc: cannot allocate memory", "no more memory", "again"),
        ("failed to register layer: exit status 1", "damaged", "rmi"),
        ("client version 1.20 is too old. Minimum supported API version is 1.24", "in common", "newer"),
    ],
)
def test_every_refusal_has_its_own_name_and_remedy(words: str, name: str, remedy: str) -> None:
    told = _refusing(docker.errors.APIError("500 Server Error", explanation=words))
    assert re.search(name, told.message)
    assert told.detail == words
    assert remedy in (told.hint or "")


def test_a_refusal_without_a_name_is_told_in_the_engines_words() -> None:
    words = "driver failed programming external connectivity: Bind for 127.0.0.1:1 failed: port is already allocated"
    assert words in _refusing(docker.errors.APIError("500", explanation=words)).message
    told = _refusing(docker.errors.APIError("500", explanation="open /x: permission denied"))
    assert "docker group" not in (told.hint or "")


def test_what_is_no_refusal_is_told_apart() -> None:
    helper = "Credentials store error: StoreError('docker-credential-desktop not installed or not available in PATH')"
    told = _refusing(docker.errors.DockerException(helper))
    assert "'docker-credential-desktop', which docker's config.json names, is not installed" in told.message
    assert "credsStore" in (told.hint or "")
    assert "did not answer in time" in _refusing(requests.exceptions.ReadTimeout("Read timed out.")).message
    assert "lost the Docker Engine" in _refusing(requests.exceptions.ConnectionError("Connection aborted.")).message
    assert "lost the Docker Engine" in _refusing(urllib3.exceptions.ProtocolError("Connection broken")).message


def test_a_full_disk_of_this_machine_is_no_fault_of_the_engines() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    stub = SimpleNamespace(api=SimpleNamespace(start=lambda _: (_ for _ in ()).throw(full)))
    with pytest.raises(OSError, match="No space left") as told:
        engine.Engine(stub, version="26", endpoint=Endpoint(address="")).start("devenv-x")
    assert told.value is full


def test_no_proxy_of_dockers_settings_gets_into_a_containers_configuration() -> None:
    made: list[dict[str, Any]] = []

    def create(**more: Any) -> dict[str, str]:
        made.append(more)
        return {"Id": "made"}

    api = SimpleNamespace(
        create_container=create,
        create_host_config=lambda **_: {},
        remove_container=lambda *_, **__: None,
        containers=lambda **_: [],
    )
    own = engine.Engine(SimpleNamespace(api=api), version="26", endpoint=Endpoint(address=""))
    own.create(
        ContainerSpec(
            name="devenv-x", image="i", hostname="x", environment=(), labels=(), mounts=(), tmpfs=(), ports=(),
            shm_size_bytes=0,
        )
    )  # fmt: skip
    own.take_out("image", {})
    assert [one["use_config_proxy"] for one in made] == [False, False]


def test_a_container_has_a_limit_of_processes_and_of_its_own_log() -> None:
    from docker.types import HostConfig

    made: list[dict[str, Any]] = []

    def create(**more: Any) -> dict[str, str]:
        made.append(more["host_config"])
        return {"Id": "made"}

    api = SimpleNamespace(
        create_container=create, create_host_config=lambda **wishes: HostConfig(version="1.43", **wishes)
    )
    spec = ContainerSpec(
        name="devenv-x", image="i", hostname="x", environment=(), labels=(), mounts=(), tmpfs=(), ports=(),
        shm_size_bytes=0,
    )  # fmt: skip
    engine.Engine(SimpleNamespace(api=api), version="26", endpoint=Endpoint(address="")).create(spec)
    assert 0 < made[0]["PidsLimit"] <= 1 << 15
    assert made[0]["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}
    assert made[0]["NetworkMode"] == "default"
    engine.Engine(SimpleNamespace(api=api), version="26", endpoint=Endpoint(address="")).create(
        dataclasses.replace(spec, network="devenv-x")
    )
    assert made[1]["NetworkMode"] == "devenv-x"
    assert "RestartPolicy" not in made[1]


def test_a_container_that_serves_is_checked_by_the_engine_and_restarted() -> None:
    from docker.types import ContainerConfig, HostConfig

    made: list[dict[str, Any]] = []

    def create(**more: Any) -> dict[str, str]:
        made.append(more["host_config"])
        made.append(ContainerConfig(version="1.43", image="i", command=None, healthcheck=more["healthcheck"]))
        return {"Id": "made"}

    api = SimpleNamespace(
        create_container=create, create_host_config=lambda **wishes: HostConfig(version="1.43", **wishes)
    )
    spec = ContainerSpec(
        name="devenv-x", image="i", hostname="x", environment=(), labels=(), mounts=(), tmpfs=(), ports=(),
        shm_size_bytes=0, restart="unless-stopped",
        health=HealthCheck(command=("/healthy",), interval_s=10, timeout_s=5, retries=3, start_s=60),
    )  # fmt: skip
    engine.Engine(SimpleNamespace(api=api), version="26", endpoint=Endpoint(address="")).create(spec)
    host, config = made
    assert host["RestartPolicy"] == {"Name": "unless-stopped"}
    assert config["Healthcheck"] == {
        "Test": ["CMD", "/healthy"], "Interval": 10**10, "Timeout": 5 * 10**9, "Retries": 3,
        "StartPeriod": 60 * 10**9,
    }  # fmt: skip


class _Archives:
    """An engine with one container that never starts, whose every path is `data`."""

    def containers(self, **_: object) -> list[dict[str, Any]]:
        return []

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sending = False

    def create_host_config(self, **_: Any) -> dict[str, Any]:
        return {}

    def create_container(self, **_: Any) -> dict[str, str]:
        return {"Id": "made"}

    def remove_container(self, *_: Any, **__: Any) -> None:
        assert not self.sending, "a real engine waits until all is sent"

    def _send(self, data: bytes) -> Iterator[bytes]:
        self.sending = True
        try:
            yield data
        finally:
            self.sending = False

    def get_archive(self, *_: Any) -> tuple[Iterator[bytes], None]:
        with io.BytesIO() as stream:
            with tarfile.open(fileobj=stream, mode="w") as tar:
                member = tarfile.TarInfo("file")
                member.size = len(self.data)
                tar.addfile(member, io.BytesIO(self.data))
            return self._send(stream.getvalue()), None


def _engine(data: bytes) -> engine.Engine:
    return engine.Engine(SimpleNamespace(api=_Archives(data)), version="26", endpoint=Endpoint(address=""))


def test_what_is_taken_out_of_an_image_has_a_limit(tmp_path: Path) -> None:
    _engine(b"text").take_out("image", {"/etc/x": tmp_path / "x"}, most_bytes=1 << 20)
    assert (tmp_path / "x").read_bytes() == b"text"
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        _engine(bytes(2 << 20)).take_out("image", {"/etc/x": tmp_path / "y"}, most_bytes=1 << 20)
    assert not (tmp_path / "y").exists()


def test_a_file_that_is_read_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _engine(b"text").read_file("made", "/etc/os-release") == "text"
    monkeypatch.setattr(container_files, "_READ_BYTES", 1 << 10)
    with pytest.raises(UsageError, match="larger than"):
        _engine(bytes(1 << 20)).read_file("made", "/etc/os-release")


def test_of_what_is_printed_the_end_is_kept() -> None:
    pairs = [(b"out %d\n" % number, None if number % 2 else b"err\n") for number in range(10)]
    assert last(pairs) == ("".join(f"out {number}\n" for number in range(10)), "err\n" * 5)
    out, err = last((b"x" * (1 << 20), None) for _ in range(40))
    assert len(out) == KEPT_BYTES
    assert err == ""


def test_a_line_without_an_end_is_cut() -> None:
    found = list(lines(iter([b"a\nb", b"c\n", *[b"x" * (1 << 20)] * 9])))
    assert found[:2] == ["a", "bc"]
    assert sum(map(len, found[2:])) == 9 << 20
    assert max(map(len, found)) <= KEPT_BYTES + (1 << 20)


def test_the_newest_line_is_told_and_everything_is_passed_on() -> None:
    told: list[str] = []
    chunks = [(b"one\ntw", None), (None, b"error\n"), (b"o\n\n", None), (b"rest", None)]
    assert list(overheard(chunks, told.append)) == chunks
    assert told == ["one", "two"]


@pytest.mark.parametrize(("config", "labels"), [({"Labels": {"a": "b"}}, {"a": "b"}), ({"Labels": None}, {}), ({}, {})])
def test_an_images_labels(config: dict[str, Any], labels: dict[str, str]) -> None:
    client = SimpleNamespace(api=SimpleNamespace(inspect_image=lambda _: {"Config": config}))
    made = engine.Engine(client, version="28.0", endpoint=Endpoint(address="unix:///x"))
    assert made.image_labels("devenv/demo:1") == labels


class _Loads:
    """An API that answers a request for loading."""

    base_url, api_version = "http+unix://x", "1.45"

    def __init__(self, *rows: bytes, status: int = 200) -> None:
        self.rows, self.status = rows, status

    def post(self, url: str, *, data: Iterator[bytes], timeout: float, **_: Any) -> requests.Response:
        self.url, self.body, self.timeout = url, b"".join(data), timeout
        answer = requests.Response()
        answer.status_code = self.status
        answer.raw = io.BytesIO(b"".join(one + b"\r\n" for one in self.rows))
        return answer


def test_a_large_layer_may_be_unpacked_in_silence_and_what_is_unpacked_is_told() -> None:
    api, told = _Loads(
        b'{"status":"Loading layer","progressDetail":{"current":5,"total":9},"id":"a"}',
        b'{"status":"Loading layer","progressDetail":{"current":9,"total":9},"id":"a"}',
        b'{"status":"Loading layer","progressDetail":{"current":2,"total":2},"id":"b"}',
        b'{"stream":"Loaded image: devenv/x:1\\n"}',
    ), list[int]()  # fmt: skip
    own = engine.Engine(SimpleNamespace(api=api), version="26", endpoint=Endpoint(address=""))
    own.load(iter([b"ab", b"c"]), told.append)
    assert (api.url, api.body, told) == ("http+unix://x/v1.45/images/load", b"abc", [5, 9, 11])
    assert api.timeout > 600


def test_a_line_s_end_may_come_in_two_pieces() -> None:
    """requests reads 512 bytes at once."""
    first = b'{"status":"Loading layer","progressDetail":{"current":5,"total":9},"id":"a"}'
    api, told = _Loads(first.ljust(511), b'{"stream":"Loaded image: devenv/x:1\\n"}'), list[int]()
    engine.Engine(SimpleNamespace(api=api), version="26", endpoint=Endpoint(address="")).load(iter([b""]), told.append)
    assert told == [5]


def test_an_image_that_the_engine_does_not_take_is_an_error() -> None:
    api = _Loads(b'{"errorDetail":{"message":"no space left on device"},"error":"no space left on device"}')
    own = engine.Engine(SimpleNamespace(api=api), version="26", endpoint=Endpoint(address=""))
    with pytest.raises(EngineError, match="the engine's disk is full"):
        own.load(iter([b""]))
    refusing = _Loads(b'{"message":"unexpected EOF"}', status=500)
    own = engine.Engine(SimpleNamespace(api=refusing), version="26", endpoint=Endpoint(address=""))
    with pytest.raises(EngineError, match="unexpected EOF"):
        own.load(iter([b""]))


def test_what_is_only_read_needs_no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(where: Endpoint, path: str) -> Any:
        asked.append(path)
        one = {"Id": "1", "Name": "/devenv-x", "Image": "sha256:0", "Config": {}, "State": {"Status": "running"},
               "HostConfig": {}}  # fmt: skip
        answers = {
            "/version": {"Version": "28.2.2"},
            "/containers/1/json": one,
            "/images/a/b:1/json": {"Id": "sha256:9"},
        }
        return [{"Id": "1"}, {"Id": "gone"}] if path.startswith("/containers/json?") else answers.get(path)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the SDK was used")

    monkeypatch.setattr(engine, "ask", ask)
    monkeypatch.setattr(sdk, "ask", ask)
    monkeypatch.setattr(docker, "DockerClient", refuse)
    own = engine.connect(Endpoint(address="unix:///x"))
    assert own.version == "28.2.2"
    assert [one.name for one in own.containers("l=1")] == ["devenv-x"]
    assert own.image_id("a/b:1") == "sha256:9"
    assert own.volume("a b") is None
    assert asked[1].startswith("/containers/json?all=1&filters=%7B%22label%22%3A+%5B%22l%3D1%22%5D%7D")
    assert asked[-1] == "/volumes/a%20b"


def test_a_read_that_fails_is_asked_again_through_the_sdk() -> None:
    def missing(*_: Any) -> None:
        raise docker.errors.NotFound("no such volume")

    api = SimpleNamespace(inspect_volume=missing, inspect_image=lambda _: {"Id": "sha256:1"})
    own = engine.Engine(SimpleNamespace(api=api), version="26", endpoint=Endpoint(address="unix:///x"))
    assert (own.volume("x"), own.image_id("x")) == (None, "sha256:1")


@pytest.mark.parametrize(("driver", "known"), [("overlay2", 2), ("overlayfs", 0), ("overlay", 0)])
def test_the_layers_that_an_engine_has(driver: str, known: int) -> None:
    images = {"1": ["a", "x", "c"], "2": ["a", "b", "x", "d"], "3": None}
    api = SimpleNamespace(
        info=lambda: {"Driver": driver}, images=lambda: [{"Id": name} for name in images],
        inspect_image=lambda name: {"RootFS": {"Layers": images[name]}},
    )  # fmt: skip
    own = engine.Engine(SimpleNamespace(api=api), version="26", endpoint=Endpoint(address="unix:///x"))
    assert own.layers_here(["a", "b", "c"]) == known
