"""`devenv push`, `pull`, `up REF` and `verify REF`: two users, Debian's registry with TLS and a password, one small
preset. The tests stand in the order of a story: pushed, pulled, changed, pushed again, built from the recipe."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from devenv.doors.http.registry.manifest import Descriptor, Manifest
from devenv.share.formats import PREDICATE, STATEMENT
from tests.integration.conftest import Cli, Done, docker
from tests.integration.hub import COMMIT, ID, Hub
from tests.integration.killing import dice, killed, kills
from tests.integration.registries import BASIC, PASSWORD, USER, body, docker_registry, sha256
from tests.integration.secondengine import second_engine
from tests.integration.tlsengine import Authority

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("cli")]

NAME = "t-share"
PRESET = """\
name: t-share
base: {bootstrap: debian/bookworm}
python: '3.11'
pip: [six==1.17.0PACKAGE]
smoke:
  python:
    run: [python, -c, import six]
model: {huggingface: {id: HUB, revision: COMMIT}}
""".replace("HUB", ID).replace("COMMIT", COMMIT)
MODEL = {"config.json": b'{"model_type": "tiny"}', "sub/model.safetensors": body(1, 300_000)}
CHANGES = """
printf changed > /home/dev/note && chown 4321:1234 /home/dev/note && chmod 2640 /home/dev/note && rm /etc/issue
"""
LOOK = "stat -c '%a %u:%g %s' /home/dev/note; cat /home/dev/note; ls /etc/issue 2>&1; true"
SEEN = "2640 4321:1234 7\nchangedls: cannot access '/etc/issue': No such file or directory\n"
KILLS = kills(2)
SMALL_BYTES = 200_000
"""More than preset, lock, bill of materials and what the image says of them take; less than any other layer."""

_ENGINE = """\
set -eu
ip link set lo up
mount -t tmpfs tmpfs /run
exec dockerd --config-file {top}/daemon.json --data-root {top}/data --exec-root {top}/exec --pidfile {top}/pid \
    -H unix://{top}/docker.sock --bridge none --iptables=false --ip6tables=false
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A registry, and two users of it with a state of their own. `ann` has the project and this machine's cache; the
    cache of `ben` is empty at first."""

    host: str
    data: Path
    ann: Cli
    ben: Cli
    project: Path

    def ref(self, tag: str, repository: str = "team/share") -> str:
        return f"{self.host}/{repository}:{tag}"

    def blob(self, digest: str) -> Path:
        """The file that has a blob."""
        sha256 = digest.removeprefix("sha256:")
        return self.data / "docker/registry/v2/blobs/sha256" / sha256[:2] / sha256 / "data"

    def blobs(self) -> set[Path]:
        return {*self.data.glob("docker/registry/v2/blobs/sha256/*/*/data")}

    def manifest(self, digest: str) -> Manifest:
        return Manifest.read(self.blob(digest).read_bytes(), "")

    def push(self, user: Cli, *words: str) -> Any:
        return user.ok("push", *words, "--json", cwd=self.project).json()


def _user(folder: Path, host: str, ca: Path) -> Cli:
    """A user with a login and that CA; all other settings are those of the user that runs the tests."""
    found = Cli(folder / "state")
    home = Path.home()
    for variable, usual, own in (("XDG_CONFIG_HOME", ".config", "devenv"), ("DOCKER_CONFIG", ".docker", "config.json")):
        place, old = folder / usual.strip("."), Path(os.environ.get(variable) or home / usual)
        place.mkdir(parents=True)
        for one in old.iterdir() if old.is_dir() else ():
            if one.name != own:
                (place / one.name).symlink_to(one)
        found.env[variable] = str(place)
    (folder / "config/devenv").mkdir()
    (folder / "config/devenv/config.yaml").write_text(json.dumps({"registries": {host: {"ca": str(ca)}}}))
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "docker/config.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
    return found


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    top = tmp_path_factory.mktemp("share")
    (top / "registry").mkdir()
    tls = Authority().folder(top / "tls")
    project = top / NAME
    project.mkdir()
    (project / "devenv.yaml").write_text(PRESET.replace("PACKAGE", ""))
    with docker_registry(top / "registry", tls=tls, login=True) as host, Hub(MODEL) as hub:
        ann, ben = (_user(top / name, host, tls / "ca.pem") for name in ("ann", "ben"))
        for user, url in ((ann, hub.url), (ben, "http://127.0.0.1:9")):  # where nothing answers
            user.env |= {"HF_ENDPOINT": url, "HF_HOME": str(top / "hf"), "DEVENV_WEIGHTS_DIR": str(top / "weights")}
        ben.env["XDG_CACHE_HOME"] = str(top / "ben/cache")
        yield Team(host=host, data=top / "registry/data", ann=ann, ben=ben, project=project)
        for user, name in ((ann, f"{NAME}-ann"), (ben, f"{NAME}-ben")):
            user("down", "--volumes", name)
            for one in json.loads(user("snapshots", "list", "--json").out or "[]"):
                user("snapshots", "rm", one["name"])
        for one in json.loads(ann("weights", "list", "--json").out or "[]"):
            ann("weights", "rm", one["model"])
    _remove_images()


@pytest.fixture(scope="module")
def first(team: Team) -> Any:
    """What the first push says."""
    team.ann.ok("build", cwd=team.project)
    return team.push(team.ann, "devenv.yaml", team.ref("1"))


def _images() -> list[str]:
    return docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference=devenv/{NAME}").split()


def _remove_images() -> None:
    """From the engine; the caches of builds stay."""
    if tags := _images():
        docker("rmi", "-f", *tags)


def _in(script: str, name: str) -> str:
    return docker("exec", "-u", "root", f"devenv-{name}", "sh", "-c", script)


def _model(up: Done) -> str:
    return f"/mnt/{up.json()['name']}/model"


def _is_containerd() -> bool:
    return "containerd.snapshotter" in docker("info", "--format", "{{json .DriverStatus}}")


def test_the_second_push_sends_nothing(team: Team, first: Any) -> None:
    assert first["reference"] == f"{team.host}/team/share@{first['digest']}"
    assert first["sent"] == first["size"] > 10_000_000
    assert team.push(team.ann, "devenv.yaml", team.ref("1")) == {**first, "sent": 0}


def test_the_provenance_is_attached_once_and_names_the_image(team: Team, first: Any) -> None:
    tags = team.data / "docker/registry/v2/repositories/team/share/_manifests/tags"
    index = team.manifest((tags / first["digest"].replace(":", "-") / "current/link").read_text())
    (entry,) = [one for one in index.manifests if one.artifact_type == STATEMENT]
    assert dict(entry.annotations) == {PREDICATE: "https://slsa.dev/provenance/v1"}
    statement = json.loads(team.blob(team.manifest(entry.digest).layers[0].digest).read_bytes())
    assert statement["subject"] == [{"name": NAME, "digest": {"sha256": first["digest"].removeprefix("sha256:")}}]
    files = {one["name"] for one in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert {"devenv.lock", "six-1.17.0-py2.py3-none-any.whl"} <= files


def test_a_model_goes_along_when_asked_and_stands_in_for_the_hub(team: Team, first: Any) -> None:
    words = ("push", "devenv.yaml", team.ref("1"), "--weights")
    refused = team.ann(*words, cwd=team.project)
    assert (refused.code, "devenv prefetch" in refused.err) == (2, True), refused.err
    model = team.ann.ok("prefetch", "--json", cwd=team.project).json()["model"]
    pushed = team.push(team.ann, *words[1:])
    size = sum(map(len, MODEL.values()))
    assert size < pushed["sent"] < size + 5000
    assert {**pushed, "weights": None} == {**first, "size": first["size"] + pushed["sent"], "sent": pushed["sent"]}
    assert {one.size for one in team.manifest(pushed["weights"]).layers} == {*map(len, MODEL.values())}
    team.ann.ok("weights", "rm", model)  # so that the next test brings it from the registry


def test_a_new_package_sends_its_layer_and_the_small_ones(team: Team, first: Any) -> None:
    path, before = team.project / "devenv.yaml", team.blobs()
    text, lock = path.read_text(), (team.project / "devenv.lock").read_bytes()
    path.write_text(PRESET.replace("PACKAGE", ", iniconfig==2.0.0"))
    try:
        team.ann.ok("lock", cwd=team.project)
        pushed = team.push(team.ann, "devenv.yaml", team.ref("more"))
    finally:
        path.write_text(text)
        (team.project / "devenv.lock").write_bytes(lock)
    old, new = (team.manifest(one["digest"]).layers for one in (first, pushed))
    other = {dict(layer.annotations)["org.opencontainers.image.title"]: layer.size for layer in {*new} - {*old}}
    assert "wheels-0.tar.zst" in other
    assert {"base.tar.zst", "system.tar.zst"}.isdisjoint(other)
    assert sum(other.values()) < pushed["sent"] < other["wheels-0.tar.zst"] + SMALL_BYTES
    manifests = {team.blob(pushed["digest"])} | {
        one for one in team.blobs() - before if b'"schemaVersion":2' in one.read_bytes()
    }
    assert pushed["sent"] == sum(one.stat().st_size for one in team.blobs() - before - manifests)


def test_a_teammate_is_up_with_the_same_image_and_its_change_comes_back(team: Team, first: Any) -> None:
    _remove_images()
    up = team.ben.ok("up", team.ref("1"), "--name", f"{NAME}-ben", "--json")
    assert "is pulled: " in up.err
    assert f"{up.json()['model']} from {team.ref('1')}" in up.err
    for path, data in MODEL.items():
        assert docker("exec", f"devenv-{NAME}-ben", "sha256sum", f"{_model(up)}/{path}")[:64] == sha256(data)
    assert up.json()["smoke"]["passed"] is True
    if not _is_containerd():
        assert docker("images", "-q", "--no-trunc", up.json()["image"]["reference"]).strip() == first["identity"]
    assert team.ben.ok("diff", f"{NAME}-ben", "--json").json()["items"] == []
    assert not [*Path(team.ben.env["XDG_CACHE_HOME"]).glob("devenv/blobs/*")]

    _in(CHANGES, f"{NAME}-ben")
    changed = team.push(team.ben, f"{NAME}-ben", team.ref("changed"))
    assert (changed["identity"], changed["sent"] < SMALL_BYTES) == (first["identity"], True)
    assert changed["digest"] != first["digest"]
    up = team.ann.ok("up", team.ref("changed"), "--name", f"{NAME}-ann", "--json")
    assert up.json()["smoke"]["passed"] is True
    assert _in(LOOK, f"{NAME}-ann") == SEEN


def test_what_the_pusher_states_is_read_without_a_layer_and_names_the_snapshot(team: Team, first: Any) -> None:
    """The rebuild that proves it takes a minute: the next test builds the recipe, which has to give this identity, and
    tests/e2e/test_identity.py compares rebuilds."""
    found = team.ann.ok("verify", team.ref("changed"), "--digest", "--expect", first["identity"], "--json").json()
    assert found["digest"] == first["identity"]
    (kept,) = team.ben.ok("snapshots", "list", "--json").json()
    assert found["snapshot"] == kept["name"]
    assert not [*Path(team.ann.env["XDG_STATE_HOME"]).glob("devenv/blobs/*")]


def test_layers_of_other_images_are_not_pulled_again(team: Team, first: Any) -> None:
    """Of a version with one more package, beside the image of before."""
    team.ben.ok("pull", team.ref("1"))
    told = team.ben.ok("pull", team.ref("more")).err
    if _is_containerd():
        return
    match = re.search(r"is pulled: ([0-9.]+) ([kM]?B) to pull", told)
    assert match, told
    layers = team.manifest(team.ben.ok("pull", team.ref("more"), "--json").json()["digest"]).layers
    size = float(match[1]) * {"B": 1, "kB": 1e3, "MB": 1e6}[match[2]]
    assert size < sum(layer.size for layer in layers) / 2


def test_a_recipe_gives_the_same_image_and_that_the_same_push(team: Team, first: Any) -> None:
    tag = min(_images(), key=len)  # the snapshot's has its digest behind
    pushed = team.push(team.ann, "devenv.yaml", team.ref("recipe"), "--recipe")
    assert (pushed["identity"], pushed["recipe"], pushed["sent"]) == (first["identity"], first["recipe"], 0)
    assert pushed["size"] < SMALL_BYTES
    docker("rm", "-f", f"devenv-{NAME}-ann", f"devenv-{NAME}-ben")
    _remove_images()
    up = team.ann.ok("up", team.ref("recipe"), "--name", f"{NAME}-ann", "--json").json()
    assert (up["image"]["reference"], up["smoke"]["passed"]) == (tag, True)
    assert team.push(team.ann, "devenv.yaml", team.ref("rebuilt")) == {**first, "sent": 0}


def test_nothing_secret_is_in_the_registry(team: Team, first: Any) -> None:
    words = {PASSWORD, BASIC.partition(" ")[2]}
    words |= {path.read_text().strip() for path in Path(team.ann.env["XDG_STATE_HOME"]).parents[1].rglob("host/token")}
    assert all(words)
    layers = 0
    for path in team.blobs():
        data = path.read_bytes()
        if data.startswith(zstandard.FRAME_HEADER):
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
            layers += 1
        assert not [word for word in words if word.encode() in data], path
    assert layers > 5


# ---- killed


def test_after_every_kill_the_next_push_and_pull_complete(team: Team, first: Any) -> None:
    ann, ben, project = team.ann, team.ben, team.project
    known = Path(ann.env["XDG_STATE_HOME"]) / "devenv/pushes"
    shutil.rmtree(known)  # else the registry takes every blob from the first repository
    whole = ann.ok("push", "devenv.yaml", team.ref("1", "killed/whole"), cwd=project).seconds
    shutil.rmtree(known)
    docker("rm", "-f", f"devenv-{NAME}-ann")
    _, moments = dice()
    for _ in range(KILLS):
        delay = moments.uniform(0.2 * whole, whole)
        killed(ann, delay, "push", "devenv.yaml", team.ref("1", "killed/push"), cwd=project)
    assert team.push(ann, "devenv.yaml", team.ref("1", "killed/push"))["digest"] == first["digest"]
    assert not [*Path(ann.env["XDG_STATE_HOME"]).glob("devenv/uploads/*")]

    _remove_images()
    whole = ben.ok("pull", team.ref("1")).seconds
    for _ in range(KILLS):
        _remove_images()
        killed(ben, moments.uniform(0.2 * whole, whole), "pull", team.ref("1", "killed/push"), cwd=project)
        for tag in _images():  # whole, or not there
            assert _is_containerd() or docker("images", "-q", "--no-trunc", tag).strip() == first["identity"]
    tag = ben.ok("pull", team.ref("1", "killed/push")).out.strip()
    assert _images() == [tag]
    assert _is_containerd() or docker("images", "-q", "--no-trunc", tag).strip() == first["identity"]
    assert not [*Path(ben.env["XDG_CACHE_HOME"]).glob("devenv/blobs/*")]
    assert not [*Path(ben.env["XDG_STATE_HOME"]).glob("devenv/recipes/.*/*")]


# ---- other machines


def test_an_altered_layer_is_refused_by_name(team: Team, first: Any) -> None:
    _remove_images()
    worst = max(team.manifest(first["digest"]).layers, key=lambda layer: layer.size)
    with _altered(team, worst):
        done = team.ben("pull", team.ref("1"))
    assert (done.code, done.err.count("error:")) == (11, 1), done.err
    assert worst.digest in done.err
    assert _images() == []


def test_wrong_bytes_of_an_earlier_pull_are_not_what_the_engine_gets(team: Team, first: Any) -> None:
    """It has got them already when they turn out to be wrong."""
    _remove_images()
    layer = max(team.manifest(first["digest"]).layers, key=lambda layer: layer.size)
    blobs = Path(team.ben.env["XDG_CACHE_HOME"]) / "devenv/blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / f"{layer.hex}.part").write_bytes(os.urandom(layer.size - 1))
    done = team.ben.ok("pull", team.ref("1"))
    assert _is_containerd() or docker("images", "-q", "--no-trunc", done.out.strip()).strip() == first["identity"]
    assert not [*blobs.glob("*")]


@contextlib.contextmanager
def _altered(team: Team, blob: Descriptor) -> Iterator[None]:
    """The registry's disk has another byte in the middle of it."""
    with team.blob(blob.digest).open("r+b") as file:
        file.seek(blob.size // 2)
        right = file.read(1)
        file.seek(blob.size // 2)
        file.write(bytes([right[0] ^ 1]))
        file.flush()
        try:
            yield
        finally:
            file.seek(blob.size // 2)
            file.write(right)


def test_another_engine_with_the_other_image_store_has_the_same_image(team: Team, first: Any) -> None:
    top = Path(tempfile.mkdtemp(prefix="t-share-", dir="/var/tmp"))
    (top / "daemon.json").write_text(json.dumps({"features": {"containerd-snapshotter": not _is_containerd()}}))
    there = Cli(Path(team.ben.env["XDG_STATE_HOME"]))
    there.env |= team.ben.env | {"DOCKER_HOST": f"unix://{top}/docker.sock"}
    try:
        with second_engine(_ENGINE.format(top=top), top / "docker.sock", top / "log"):
            tag = there.ok("pull", team.ref("1")).out.strip()
            assert there.ok("verify", tag, "--digest").out.strip() == first["identity"]
            run = ("-H", there.env["DOCKER_HOST"], "run", "--rm", "--network", "none", "--entrypoint", "python", tag)
            docker(*run, "-c", "import six")
    finally:
        shutil.rmtree(top, ignore_errors=True)
