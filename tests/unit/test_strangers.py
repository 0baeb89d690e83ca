"""What others wrote (locks, labels, listings, state, what programs inside print): whatever it is, no bug comes of it.

Each is given to the public function that reads it. What comes out is a value, or an error of devenv's own family.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.checks import gpu, passed
from devenv.checks.smoke import smoke
from devenv.container import container as boot
from devenv.container import labels as container_labels
from devenv.container.gpu import Access, to_json
from devenv.container.ports import choose_ports
from devenv.container.state import Environment
from devenv.doors.docker.local_tag import VERIFY_TAG
from devenv.doors.docker.values import ContainerFacts, Mount
from devenv.doors.http.hubs import HubFile, listing
from devenv.doors.terminal.progress import Silent
from devenv.errors import BuildError, DevenvError, FetchError, LockError, NotReadyError
from devenv.fetch.sources import kinds
from devenv.lock import consistency
from devenv.lock.diff import changes
from devenv.lock.drift import compare, require_fit
from devenv.lock.model import Lock, parse
from devenv.plan.inside import PlannedCheck, PlannedService
from devenv.preset.model import Model
from devenv.render.sbom import provenance, sbom
from devenv.resolve import model, npm
from devenv.up import preflight
from devenv.up.preflight import Asked
from devenv.verify.identity import identities
from devenv.verify.tar_entry import Entry
from devenv.weights.store import Weights
from tests.unit.checks.test_readiness import _running
from tests.unit.examples import loaded, lock
from tests.unit.examples import npm as npm_section

numbers = st.integers(-10, 70_000) | st.integers() | st.floats()
words = st.text(max_size=12) | st.sampled_from(["..", "a/b", "\x1b[31m", "x" * 300, "{token}", "\ud800", "1.0", "é"])
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
DEEP = "[" * 100_000


def texts(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """JSON of such values, cut off at times, and what is no JSON at all."""
    whole = strategy.map(json.dumps)
    cut = st.tuples(whole, st.integers(0, 40)).map(lambda both: both[0][: -both[1]] if both[1] else both[0])
    return cut | st.text(max_size=30) | st.just(DEEP)


def spots(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, one in inner for place in spots(one, (*at, key)))]


def put(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of the document with another value at one place."""
    if not place:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


# ---- locks

INPUTS = {"base": "debian/bookworm", "pip": ["pillow==1.0"], "npm": ["@acme/cli@3.1.0"], "cuda": "12.8"}
DOCUMENT: dict[str, Any] = json.loads(lock(npm=npm_section(), inputs=INPUTS).dump())
PLACES = spots(DOCUMENT)


def read_and_use(text: str) -> None:
    """As commands do: read it, hold it to a preset, list it, describe it."""
    try:
        found = parse(text, Path("devenv.lock"))
    except LockError:
        return
    preset = loaded().preset
    compare(found, preset)
    with pytest.raises(LockError):
        require_fit(found, preset)
    assert set(kinds(found)) == {one.sha256 for one in found.artifacts()}
    changes(lock(), found)
    sbom(found)
    provenance(found, "0" * 64)
    parse(found.dump(), Path("devenv.lock"))


@given(st.sampled_from(PLACES), values)
def test_a_lock_with_another_value_somewhere(place: tuple[Any, ...], value: Any) -> None:
    read_and_use(json.dumps(put(DOCUMENT, place, value)))


@given(texts(values))
def test_a_lock_that_is_none(text: str) -> None:
    read_and_use(text)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("inputs", "pip"), 5),
        (("inputs", "pip"), [5]),
        (("inputs", "model"), {"a": 1}),
        (("npm", "package_lock", "packages", "node_modules/@acme/cli", "version"), ["3.1.0"]),
        (("npm", "package_lock", "packages", "node_modules/@acme/cli", "name"), {}),
        (("npm", "package_lock", "packages", ""), None),
        (("wheels", 0, "size"), 10**400),
        (("wheels", 0, "layer"), 10**100),
        (("wheels",), [{}] * 90_000),
    ],
)
def test_locks_that_were_bugs(place: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(LockError, match="inconsistent"):
        parse(json.dumps(put(DOCUMENT, place, value)), Path("devenv.lock"))


def test_a_lock_that_is_nested_deeply() -> None:
    for depth in (70, 900, 100_000):
        text = json.dumps(put(DOCUMENT, ("npm", "package_lock", "x"), "DEEP")).replace(
            '"DEEP"', "[" * depth + "]" * depth
        )
        with pytest.raises(LockError, match="nested more than"):
            parse(text, Path("devenv.lock"))


def test_the_example_is_read() -> None:
    found = parse(json.dumps(DOCUMENT), Path("devenv.lock"))
    assert isinstance(found, Lock)
    assert not list(consistency.contradictions(found))


# ---- labels

SERVICE = PlannedService(
    name="api", command=("run",), port=9000, auth="token", listen=None, url="/", health_path="/", health_status=200,
    env=(("A", "b"),), timeout_s=3,
)  # fmt: skip
CHECK = PlannedCheck(name="ok", run=("true",), timeout_s=9)
LABELS = {
    "services": [dataclasses.asdict(SERVICE)],
    "smoke": [dataclasses.asdict(CHECK)],
    "ports": [["api", 9000]],
    "gpu": to_json(Access(mode="runtime", devices=())),
}


def described(labels: dict[str, str]) -> container_labels.Running:
    facts = ContainerFacts(
        id="1", name="devenv-demo", state="running", exit_code=0, image="i", started_at="", mounts=(),
        labels={f"dev.devenv.{name}": text for name, text in labels.items()}, ports=((9000, 9000),),
    )  # fmt: skip
    return container_labels.describe(facts)


def test_our_own_labels_are_read_whole() -> None:
    found = described({name: json.dumps(value) for name, value in LABELS.items()})
    assert (found.services, found.checks, found.named_ports) == ((SERVICE,), (CHECK,), (("api", 9000),))
    assert found.gpu == Access(mode="runtime", devices=())


@given(st.sampled_from(sorted(LABELS)), st.data())
def test_labels_of_others(label: str, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(spots(LABELS[label])))
    changed = data.draw(values.map(lambda value: json.dumps(put(LABELS[label], place, value))) | texts(values))
    found = described({**{name: json.dumps(value) for name, value in LABELS.items()}, label: changed})
    assert all(isinstance(text, str) for text in found.urls("token").values())
    assert all(
        isinstance(one.timeout_s, int) and all(isinstance(word, str) for word in one.run) for one in found.checks
    )
    assert found.gpu is None or all(isinstance(one.uuid, str) for one in found.gpu.devices)


@given(st.sampled_from(["services", "smoke", "ports", "devcontainer"]), st.data())
def test_labels_of_a_repository_s_devcontainer_json(label: str, data: st.DataObject) -> None:
    whole: dict[str, Any] = {**LABELS, "devcontainer": 1}
    place = data.draw(st.sampled_from(spots(whole[label])))
    changed = data.draw(values.map(lambda value: json.dumps(put(whole[label], place, value))) | texts(values))
    facts = ContainerFacts(
        id="1", name="quiet_ada", state="running", exit_code=0, image="i", started_at="", ports=((9000, 9000),),
        mounts=(Mount(kind="bind", source="/home/me/project", target="/workspace"),),
        labels={f"dev.devenv.{name}": text for name, text in ({n: json.dumps(v) for n, v in whole.items()} | {label: changed}).items()},
    )  # fmt: skip
    found = container_labels.of_devcontainer(facts)
    assert (found.name, found.project) == ("quiet_ada", "/home/me/project")
    for url in [] if found.unreadable else found.urls("token").values():
        assert url.startswith("http://127.0.0.1:9000/")
        assert url.isascii()
        assert url.isprintable()


@pytest.mark.parametrize(
    ("container", "labels"),
    [
        ("x", {"name": "../../etc"}),
        ("x", {"name": ""}),
        ("x", {"name": "demo"}),
        ("devenv-demo", {"name": "x"}),
        ("devenv-demo", {"services": "garbage"}),
        ("devenv-demo", {"services": DEEP}),
        ("devenv-demo", {"smoke": "{}"}),
        ("devenv-demo", {"ports": ""}),
    ],
)
def test_a_container_that_we_did_not_make_is_marked(container: str, labels: dict[str, str]) -> None:
    ours = {"name": "demo", **{name: json.dumps(value) for name, value in LABELS.items()}}
    host = Mount(kind="bind", source="/home/me/host", target=container_labels.HOST_MOUNT)

    def facts(labels: dict[str, str], mounts: tuple[Mount, ...]) -> ContainerFacts:
        return ContainerFacts(
            id="1", name=container, state="running", exit_code=0, image="i", started_at="", mounts=mounts, ports=(),
            labels={f"dev.devenv.{name}": value for name, value in labels.items()},
        )  # fmt: skip

    every = (facts({**ours, **labels}, (host,)), facts(ours, ()))
    engine: Any = SimpleNamespace(containers=lambda _: every)
    assert all(one.unreadable for one in boot.everything(engine))
    assert {one.name for one in boot.everything(engine)} <= {container, "demo"}
    good = dataclasses.replace(facts(ours, (host,)), name="devenv-demo")
    assert not container_labels.describe(good).unreadable


# ---- state of an environment


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    (tmp_path / "demo" / "host").mkdir(parents=True)
    return Environment(name="demo", folder=tmp_path / "demo")


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("null", {}),
        ("[1]", {}),
        ('{"8443": 99999}', {}),
        ('{"8443": 0, "8888": -1, "x": 1, "9": null, "10": [1], "11": 1e999, "12": true}', {12: 1}),
        ('{"8443": 8443, "8888": "9000"}', {8443: 8443, 8888: 9000}),
        (DEEP, {}),
    ],
)
def test_ports_that_are_none(text: str, ports: dict[int, int], environment: Environment) -> None:
    (environment.folder / "ports.json").write_text(text)
    assert environment.ports() == ports


@given(text=texts(values | st.dictionaries(st.integers(0, 70_000).map(str), numbers)))
def test_state_of_others(text: str, environment: Environment) -> None:
    for name in ("ports.json", "smoke.json", "gpu.json"):
        (environment.folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    ports = environment.ports()
    assert all(0 < one < 65536 for pair in ports.items() for one in pair)
    choose_ports((), ports, frozenset())
    preflight.remembered(environment, Asked()).check()
    report, proved = passed.known(environment, _running())
    assert report is None
    assert proved is None


def test_state_that_is_no_file(environment: Environment) -> None:
    (environment.folder / "ports.json").mkdir()
    (environment.folder / "smoke.json").symlink_to("/dev/zero")
    assert environment.ports() == {}
    assert environment.kept("smoke.json") is None


CHECKED = {"name": "ok", "passed": True, "exit_code": 0, "seconds": 1.0, "report": {"a": 1}, "tail": ""}
REPORT = {"container": "1", "report": {"checks": [CHECKED]}}


@given(place=st.sampled_from(spots(REPORT)), value=values)
def test_a_smoke_report_with_another_value_somewhere(
    place: tuple[Any, ...], value: Any, environment: Environment
) -> None:
    (environment.folder / "smoke.json").write_text(json.dumps(put(REPORT, place, value)))
    report, _ = passed.known(environment, _running())
    assert report is None or all(isinstance(one.line, str) for one in report.checks)


def test_our_own_smoke_report_is_recalled(environment: Environment) -> None:
    environment.keep("smoke.json", REPORT)
    report, _ = passed.known(environment, _running())
    assert report is not None
    assert report.passed


@pytest.mark.parametrize("data", [None, b"", b"\n", b"\xff\xfe", b"a b", b"a\r\nX: y", "é".encode(), b"x" * 10_000])
def test_a_token_that_is_none(data: bytes | None, environment: Environment) -> None:
    path = environment.host_folder / "token"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)
    assert environment.known_token() is None
    with pytest.raises(NotReadyError, match="cannot read the token") as caught:
        environment.token()
    assert caught.value.where == str(path)
    assert "rm -r" in str(caught.value.hint)


# ---- hubs and registries


@given(st.lists(st.fixed_dictionaries({"path": values, "size": values, "sha256": values, "git": values}), max_size=4))
def test_rows_of_a_hub(rows: list[dict[str, Any]]) -> None:
    try:
        found = listing("huggingface", "a/b", rows, lambda row: HubFile(**row))
    except FetchError:
        return
    assert all(isinstance(one.path, str) and isinstance(one.size, int) for one in found)


@pytest.mark.parametrize("size", [-1, 10**400])
def test_a_hubs_file_of_no_size(size: int) -> None:
    with pytest.raises(FetchError, match="does not speak the hub's API"):
        listing("huggingface", "a/b", [size], lambda row: HubFile(path="x", size=row))


def resolved(monkeypatch: pytest.MonkeyPatch, *rows: HubFile) -> None:
    told = SimpleNamespace(files=lambda *_: rows)
    monkeypatch.setattr(model, "hub", lambda *_: told)
    wish = Model.model_validate({"huggingface": {"id": "a/b", "revision": "0" * 40}})
    nothing: Any = SimpleNamespace(hubs=SimpleNamespace(order=()))
    model.resolve_model(wish, settings=nothing, web=nothing, store=nothing)


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a", "a"), ("../a",), ("",), ("a\nb",), ("x" * 2000,)])
def test_a_listing_that_is_no_models(paths: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LockError, match="cannot be locked") as caught:
        resolved(monkeypatch, *(HubFile(path=one, size=1, sha256="0" * 64) for one in paths))
    assert "deny" in str(caught.value.hint)


@given(rows=st.lists(st.tuples(words.filter(lambda one: "\ud800" not in one), st.integers())))
def test_listings(rows: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        try:
            resolved(patch, *(HubFile(path=path, size=size, sha256="0" * 64) for path, size in rows))
        except DevenvError:
            return


SHRINKWRAP = {"packages": {"": {}, "node_modules/a": {"version": "1.0.0", "integrity": "sha512-eA=="}}}


@given(texts(st.tuples(st.sampled_from(spots(SHRINKWRAP)), values).map(lambda both: put(SHRINKWRAP, *both))))
def test_shrinkwraps(text: str) -> None:
    try:
        found = npm.shrinkwraps([text], "amd64")
        for integrity in found.values():
            npm.digests(integrity)
    except LockError:
        return
    assert all(isinstance(name, str) and isinstance(version, str) for name, version in found)


def test_a_note_in_the_store_that_is_none(tmp_path: Path) -> None:
    for data in (b"\xff", b"../../x", b"0" * 100):
        (tmp_path / "note").write_bytes(data)
        assert npm._noted(tmp_path / "note") is None
        assert not (tmp_path / "note").exists()
    (tmp_path / "note").mkdir()
    assert npm._noted(tmp_path / "note") is None
    (tmp_path / "note").write_text("0" * 64)
    assert npm._noted(tmp_path / "note") == "0" * 64


# ---- the store of weights


@given(text=texts(values))
def test_state_of_the_store_of_weights(text: str, tmp_path: Path) -> None:
    store = Weights(tmp_path)
    (tmp_path / "state").mkdir(exist_ok=True)
    for name in ("key.json", "key.stamps", "key.confirmed"):
        (tmp_path / "state" / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    assert store.every() == ()
    assert store.confirmed("key") == ()
    assert isinstance(store._stamps("key"), dict)


# ---- what programs inside print


@given(texts(values), st.text(max_size=20))
def test_what_a_smoke_check_prints(out: str, err: str) -> None:
    engine: Any = SimpleNamespace(exec=lambda *_, **__: (0, f"words\n{out}", err))
    running = dataclasses.replace(_running(), checks=(CHECK,))
    (check,) = smoke(running, engine, progress=Silent()).checks
    assert isinstance(check.report, dict)
    assert check.passed
    assert isinstance(check.line, str)
    json.dumps(dataclasses.asdict(check))


PROOF = {"passed": True, "problem": "", "seconds": 1.0, "cuda": "12", "devices": [{"uuid": "GPU-1", "name": "H100"}]}


@given(texts(st.tuples(st.sampled_from(spots(PROOF)), values).map(lambda both: put(PROOF, *both))))
def test_what_the_check_of_gpus_prints(out: str) -> None:
    found = gpu.read(out, "", 0)
    assert isinstance(found.problem, str)
    assert all(isinstance(one, dict) for one in found.devices)
    assert found.seconds >= 0


ROWS = [{
    "name": "base", "diff_id": f"sha256:{0:064}", "size_bytes": 1,
    "entries": [list(dataclasses.astuple(Entry(path="a", kind="file", mode=0o644, uid=0, gid=0)))],
}]  # fmt: skip


@given(text=texts(st.tuples(st.sampled_from(spots(ROWS)), values).map(lambda both: put(ROWS, *both))))
def test_what_an_image_says_of_itself(text: str) -> None:
    def write(arguments: list[str], *_: Any) -> None:
        target = Path(arguments[-1].rpartition("dest=")[2]) / "0"
        target.mkdir(parents=True)
        (target / "canonical.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    facts = {"Architecture": "amd64", "Os": "linux", "Config": {}}
    engine: Any = SimpleNamespace(image_facts=lambda _: facts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("devenv.build.build.buildx", write)
        try:
            (found,) = identities([f"{VERIFY_TAG}x"], engine, progress=Silent(), base=lock().base)
        except BuildError:
            return
    assert all(isinstance(one.size_bytes, int) for one in found.layers)
