"""`weights serve` against the real clients: the one that is installed, and versions before it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.doors.http.ranges import Ranges
from devenv.doors.http.web import Web
from devenv.fetch.store import Store
from devenv.lock.model import ModelSource
from devenv.preset.model import Model
from devenv.resolve.model import resolve_model
from devenv.weights.confirm import confirm
from devenv.weights.download.prefetch import prefetch
from devenv.weights.serve.hub_api import Server, serving
from devenv.weights.store import Weights
from tests.integration.hub import COMMIT, ID, Hub, locked, settings
from tests.waiting import until

TOKEN = "teammates-only"
FILES = {
    "config.json": b'{"model_type": "tiny"}', "model-00001-of-00002.safetensors": os.urandom(3_000_000),
    "model-00002-of-00002.safetensors": os.urandom(1_000_001), "tokenizer/vocab.txt": b"a\nb\n",
}  # fmt: skip
_CLIENT = """
import json, sys
from pathlib import Path
import huggingface_hub
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
id_, commit = sys.argv[1:3]
folder = snapshot_download(id_, revision=commit)
branch = snapshot_download(id_)
one = hf_hub_download(id_, "tokenizer/vocab.txt", revision=commit)
api = HfApi()
tree = [(type(one).__name__, one.path, getattr(one, "size", 0)) for one in api.list_repo_tree(id_, recursive=True)]
info = api.model_info(id_, revision=commit, files_metadata=True)
facts = api.get_paths_info(id_, ["config.json"], revision=commit)
try:
    hf_hub_download(id_, "not-there.bin", revision=commit)
    missing = "found"
except huggingface_hub.utils.EntryNotFoundError:
    missing = "EntryNotFoundError"
try:
    hf_hub_download("acme/nothing", "config.json")
    nothing = "found"
except huggingface_hub.utils.RepositoryNotFoundError:
    nothing = "RepositoryNotFoundError"
print(json.dumps({
    "version": huggingface_hub.__version__, "folder": folder, "branch": branch, "one": Path(one).read_text(),
    "tree": sorted(tree), "sha": info.sha, "missing": missing, "nothing": nothing,
    "lfs": sorted((one.rfilename, one.size) for one in info.siblings), "paths": [one.path for one in facts],
}))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    root = tmp_path_factory.mktemp("served")
    with Hub(FILES) as hub:
        chosen = settings(root, huggingface=hub)
        prefetch(locked(FILES), store=Weights(chosen.hubs.dir), settings=chosen)
    return Weights(root / "weights")


@pytest.fixture
def server(store: Weights) -> Iterator[Server]:
    with serving(store, host="127.0.0.1", port=0, token=TOKEN) as one:
        yield one


def _client(server: Server, tmp_path: Path, *path: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.port}", "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": token, "PYTHONPATH": ":".join(path), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    command = [sys.executable, *(["-S"] if path else []), "-c", _CLIENT, ID, COMMIT]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


def _conforms(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    for folder in (told["folder"], told["branch"]):
        assert {
            str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
        } == FILES
    assert told["one"] == "a\nb\n"
    assert told["sha"] == COMMIT
    assert told["lfs"] == sorted([path, len(body)] for path, body in FILES.items())
    assert sorted(one[1] for one in told["tree"]) == sorted([*FILES, "tokenizer"])
    assert told["paths"] == ["config.json"]
    assert (told["missing"], told["nothing"]) == ("EntryNotFoundError", "RepositoryNotFoundError")
    return str(told["version"])


def test_the_installed_client_gets_everything(server: Server, tmp_path: Path) -> None:
    _conforms(_client(server, tmp_path))


@pytest.mark.parametrize("version", ["0.23.5", "0.30.2", "0.36.0", "1.0.1"])
def test_other_versions_of_the_client_get_everything(
    version: str, server: Server, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"hub-{version}"
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", sys.executable, "--target", str(folder)]
    done = subprocess.run([*install, f"huggingface_hub=={version}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _conforms(_client(server, tmp_path, str(folder))) == version


def test_the_hf_command_downloads(server: Server, tmp_path: Path) -> None:
    env = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.port}", "HF_TOKEN": TOKEN,
           "HF_HOME": str(tmp_path / "hf")}  # fmt: skip
    hf = Path(sys.executable).with_name("hf")
    command = [str(hf), "download", ID, "--revision", COMMIT, "--local-dir", str(tmp_path / "out")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "tokenizer" / "vocab.txt").read_bytes() == b"a\nb\n"


def test_devenv_itself_locks_and_prefetches_from_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    chosen = settings(tmp_path)
    chosen = _at(chosen, f"http://127.0.0.1:{server.port}")
    wish = Model.model_validate({"huggingface": {"id": ID, "revision": COMMIT}})
    with Web(chosen) as web:
        model = resolve_model(wish, settings=chosen, web=web, store=Store(tmp_path / "store")).model
    assert model == locked(FILES)
    store = Weights(tmp_path / "weights")
    assert prefetch(model, store=store, settings=chosen, ranges=Ranges(chosen)).bytes == model.size
    assert not store.rehash(model)


def _at(chosen: object, url: str) -> object:
    import dataclasses

    hubs = dataclasses.replace(chosen.hubs, huggingface=url)  # type: ignore[attr-defined]
    return dataclasses.replace(chosen, hubs=hubs)  # type: ignore[type-var]


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x"])
def test_without_the_token_nothing_is_told(token: str, server: Server) -> None:
    for path in (f"/api/models/{ID}", f"/{ID}/resolve/{COMMIT}/config.json", "/acme/other/resolve/main/x"):
        status, _, body = _get(server, path, {"Authorization": f"Bearer {token}"} if token else {})
        assert status == 401
        assert b"tiny" not in body
        assert ID.encode() not in body


def test_no_token_when_told(store: Weights) -> None:
    with serving(store, host="127.0.0.1", port=0, token=None) as open_to_all:
        assert _get(open_to_all, f"/{ID}/resolve/{COMMIT}/config.json")[2] == FILES["config.json"]


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=10-5", 200, slice(None)),
        ("bytes=0-1,3-4", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
        ("bytes=99-", 416, slice(0, 0)),
        ("bytes=0-99999", 206, slice(None)),
    ],
)
def test_ranges(asked: str, status: int, part: slice, server: Server) -> None:
    path = f"/{ID}/resolve/{COMMIT}/config.json"
    got, headers, body = _get(server, path, {"Authorization": f"Bearer {TOKEN}", "Range": asked})
    assert (got, body) == (status, FILES["config.json"][part])
    assert headers["X-Repo-Commit"] == COMMIT
    if status == 206:
        assert headers["Content-Range"].endswith(f"/{len(FILES['config.json'])}")


@pytest.mark.parametrize(
    "path",
    ["/%2e%2e/%2e%2e/etc/passwd", f"/{ID}/resolve/{COMMIT}/../../state", f"/{ID}/resolve/{COMMIT}/%2e%2e/x", "/"],
)
def test_only_files_of_models_are_served(path: str, server: Server) -> None:
    assert _get(server, path, {"Authorization": f"Bearer {TOKEN}"})[0] == 404


def test_a_model_is_served_as_what_a_hub_confirmed_and_as_nothing_else(tmp_path: Path) -> None:
    """A lock names evil files as acme's. acme's hub has other files, and mallory's hub has these."""
    good, evil = {"model.safetensors": b"G" * 5000, "x.py": b"1"}, {"model.safetensors": b"E" * 5000, "x.py": b"1"}
    own, alien = (ModelSource(hub="huggingface", id=ID, revision=COMMIT),
                  ModelSource(hub="modelscope", id="mallory/x", revision="v1"))  # fmt: skip
    model = locked(evil, "huggingface", "modelscope").model_copy(update={"sources": (own, alien)})
    with Hub(good) as theirs, Hub(evil) as mallorys:
        mallorys.id = "mallory/x"
        chosen = settings(tmp_path, huggingface=theirs, modelscope=mallorys)
        store = Weights(chosen.hubs.dir)
        prefetch(model, store=store, settings=chosen)
        prefetch(model, store=store, settings=chosen)  # present: nothing is asked, and nothing becomes known by it
        assert store.confirmed(model.key) == ()
        (remark,) = confirm(store, chosen.hubs)
        assert ID in remark
        assert "model.safetensors" in remark
        assert store.confirmed(model.key) == (alien,)
    with serving(store, host="127.0.0.1", port=0, token=None) as one:
        assert _get(one, f"/{ID}/resolve/{COMMIT}/model.safetensors")[0] == 404
        assert _get(one, f"/{ID}/resolve/main/model.safetensors")[0] == 404
        assert _get(one, "/mallory/x/resolve/v1/model.safetensors")[2] == evil["model.safetensors"]
    with serving(store, host="127.0.0.1", port=0, token=None, unconfirmed=True) as one:
        assert _get(one, f"/{ID}/resolve/{COMMIT}/model.safetensors")[2] == evil["model.safetensors"]


@pytest.mark.parametrize(("listed", "knows"), [({}, True), ({"size": 5}, False), ({"blobId": "0" * 40}, False)])
def test_a_small_file_is_confirmed_by_gits_hash(listed: dict[str, object], knows: bool, tmp_path: Path) -> None:
    files = {"a.json": b"{}", "empty.txt": b""}
    with Hub(files) as hub:
        hub.listed["a.json"] = listed
        chosen = settings(tmp_path, huggingface=hub)
        store = Weights(chosen.hubs.dir)
        prefetch(locked(files), store=store, settings=chosen)
        assert bool(confirm(store, chosen.hubs)) is not knows
        assert bool(store.confirmed(locked(files).key)) is knows


def test_a_hub_that_cannot_be_asked_confirms_nothing(tmp_path: Path) -> None:
    files = {"a.json": b"{}", "empty.txt": b""}
    with Hub(files) as hub:
        chosen = settings(tmp_path, huggingface=hub)
        store = Weights(chosen.hubs.dir)
        prefetch(locked(files), store=store, settings=chosen)
    assert "cannot ask" in confirm(store, chosen.hubs)[0]


def test_an_incomplete_model_is_not_served(store: Weights, server: Server) -> None:
    model = store.every()[0].model
    path = store.folder(model.key) / "config.json"
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, 0))
    server.looked_s = 0
    try:
        got = _get(server, f"/{ID}/resolve/{COMMIT}/config.json", {"Authorization": f"Bearer {TOKEN}"})
        assert (got[0], got[1]["X-Error-Code"]) == (404, "RevisionNotFound")
    finally:
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _get(server: Server, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_the_address_is_loopback() -> None:
    from devenv.cli.weights import serve

    option = next(one for one in serve.params if one.name == "host")
    assert option.default == "127.0.0.1"


# ---- strangers


@pytest.mark.parametrize("path", ["x%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>", "%E6%A8%A1.bin", "%00", "%1b[2J"])
def test_a_path_is_no_header(path: str, server: Server) -> None:
    status, headers, body = _get(server, f"/{ID}/resolve/{COMMIT}/{path}", {"Authorization": f"Bearer {TOKEN}"})
    assert (status, headers["X-Error-Code"]) == (404, "EntryNotFound")
    assert "Set-Cookie" not in headers
    assert all(" " <= one <= "~" for one in headers["X-Error-Message"])
    assert json.loads(body)["error"]


def test_what_is_told_moves_no_cursor(store: Weights) -> None:
    told: list[str] = []
    with serving(store, host="127.0.0.1", port=0, token=TOKEN, on_request=told.append) as one:
        _raw(one, b"GET /\x1b[2J\x1b]0;x\x07 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert len(told) == 1
    assert told[0].isprintable()


def _raw(server: Server, sent: bytes, *, timeout_s: float = 10) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout_s) as connection:
        connection.sendall(sent)
        got = b""
        while chunk := connection.recv(9999):
            got += chunk
        return got


def test_a_strangers_body_is_not_waited_for(server: Server) -> None:
    head = f"POST /api/models/{ID}/paths-info/{COMMIT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    assert _raw(server, head.encode(), timeout_s=3).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"POST /x HTTP/1.1\r\nAuthorization: Bearer %s\r\nContent-Length: 9\r\n\r\n1"])  # fmt: skip
def test_a_request_that_does_not_come_ends(sent: bytes, server: Server) -> None:
    server._http.guests.first_s = 0.3
    _raw(server, sent.replace(b"%s", TOKEN.encode()))  # until the server hangs up


def test_a_file_on_its_way_is_not_cut_by_the_time_for_requests(server: Server) -> None:
    server._http.guests.first_s = server._http.guests.next_s = 0.3
    path = "model-00001-of-00002.safetensors"
    request = f"GET /{ID}/resolve/{COMMIT}/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(request.encode())
        time.sleep(0.8)
        got = b""
        while chunk := connection.recv(1 << 20):
            got += chunk
    assert got.endswith(FILES[path])


def test_one_connection_too_many_is_told_so_and_a_free_place_is_used(server: Server) -> None:
    guests = server._http.guests
    guests.connections = 2
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    time.sleep(0.3)
    for key in tuple(guests._here):
        guests.asked(key, known=True)  # as if it got a file: such a one does not give way
    assert _raw(server, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    for one in held:
        one.close()
    until(lambda: _raw(server, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 401 "))


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\n\r\n"], ids=["silent", "half", "refused"])
def test_connections_of_strangers_keep_no_client_out(sent: bytes, server: Server, tmp_path: Path) -> None:
    held = []
    for _ in range(2 * server._http.guests.connections):
        held.append(socket.create_connection(("127.0.0.1", server.port)))
        held[-1].sendall(sent)
    _conforms(_client(server, tmp_path))
    for one in held:
        one.close()


def test_without_a_descriptor_to_spare_it_waits_and_does_not_spin(store: Weights) -> None:
    """In a separate process with a low limit."""
    code = (
        "import resource, sys, time\nfrom pathlib import Path\n"
        "from devenv.weights.serve.hub_api import serving\nfrom devenv.weights.store import Weights\n"
        f"with serving(Weights(Path({str(store.root)!r})), host='127.0.0.1', port=0, token='x') as one:\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))\n    print(one.port, flush=True)\n"
        "    sys.stdin.readline()\n    began = time.process_time()\n    time.sleep(1.5)\n"
        "    print(time.process_time() - began, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        time.sleep(0.3)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert float(process.stdout.readline()) < 0.5
        for one in held:
            one.close()


@pytest.mark.parametrize(
    ("headers", "status", "part"),
    [
        ({"If-None-Match": "{etag}"}, 304, slice(0, 0)),
        ({"If-None-Match": '"other"'}, 200, slice(None)),
        ({"If-Range": "{etag}", "Range": "bytes=2-4"}, 206, slice(2, 5)),
        ({"If-Range": '"other"', "Range": "bytes=2-4"}, 200, slice(None)),
    ],
)
def test_what_a_client_knows_already(headers: dict[str, str], status: int, part: slice, server: Server) -> None:
    body = FILES["config.json"]
    etag = f'"{hashlib.sha256(body).hexdigest()}"'
    asked = {name: value.replace("{etag}", etag) for name, value in headers.items()}
    got = _get(server, f"/{ID}/resolve/{COMMIT}/config.json", {"Authorization": f"Bearer {TOKEN}", **asked})
    assert (got[0], got[2]) == (status, body[part])
    assert got[1]["ETag"] == etag


def test_head_tells_what_get_would(server: Server) -> None:
    path = f"/{ID}/resolve/{COMMIT}/model-00001-of-00002.safetensors"
    request = f"HEAD {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    head, _, body = _raw(server, request.encode()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: 3000000\r\n" in head + b"\r\n"
    assert f'X-Linked-Etag: "{hashlib.sha256(FILES[path.rpartition("/")[2]]).hexdigest()}"'.encode() in head
    assert body == b""
