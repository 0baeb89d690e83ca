"""`render --online`: a folder in a project's repository that builds the same image without devenv, over the network."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.handwritten import _secrets
from tests.integration.conftest import Cli, docker

pytestmark = pytest.mark.engine
BASE, IMAGE = "t-online-base", "t-online-image"
PRESET = """\
name: t-online
base: {bootstrap: debian/bookworm}
python: "3.11"
node: 24.19.0
apt: [less]
pip: [six==1.17.0, docopt==0.6.2]
npm: ["@sindresorhus/is@7.0.1", is-odd@3.0.1]
workspace: work
files:
  /usr/local/bin/hello: hello
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A locked project that has been built by devenv and rendered for others."""
    folder = tmp_path_factory.mktemp("t-online")
    (folder / "devenv.yaml").write_text(PRESET)
    (folder / "hello").write_text("#!/bin/sh\necho hello\n")
    (folder / "hello").chmod(0o755)
    (folder / "work").mkdir()
    (folder / "work" / "a b.txt").write_text("of the preset's\n")
    cli.ok("lock", cwd=folder)
    cli.ok("build", cwd=folder)
    cli.ok("render", "--online", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Iterator[str]:
    """An image with apt and without history, in place of a registry's Debian image."""
    whole = tmp_path_factory.mktemp("whole") / "out"
    cli.ok("render", "python", "--with-artifacts", "-o", str(whole))
    docker(
        "buildx", "build", "-q", "--network", "none", "--target", "base", "--tag", f"{BASE}-stage", "--load", str(whole)
    )
    box = docker("create", f"{BASE}-stage", "true").strip()
    try:
        exported = whole.parent / "base.tar"
        docker("export", "-o", str(exported), box)
        docker("import", str(exported), BASE)
    finally:
        docker("rm", box)
        docker("rmi", f"{BASE}-stage")
    yield BASE
    docker("rmi", BASE)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This machine's own mirrors and certificates, as a company's would be given."""
    folder = tmp_path_factory.mktemp("secrets")
    for name, text in _secrets(SimpleNamespace(cache=folder, folder=folder)).items():  # type: ignore[arg-type]
        (folder / name).write_text(text)
    return folder


def _build(folder: Path, base: str, secrets: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The host's network: the address of the engine's bridge may change while other containers come and go, and breaks
    # connections. Steps with --network=none have none all the same.
    given = ["--network=host"] + [f"--secret=id={one.name},src={one}" for one in sorted(secrets.iterdir())]
    return subprocess.run(
        ["docker", "buildx", "build", "--progress", "plain", "--build-arg", f"BASE={base}", *given, *arguments, str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def _checkout(project: Path, target: Path) -> Path:
    """The folder as git leaves it on another machine: another umask, other times, another order."""
    folder = target / ".devcontainer"
    for path in sorted((project / ".devcontainer").rglob("*"), reverse=True):
        copy = folder / path.relative_to(project / ".devcontainer")
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(0o700 if path.stat().st_mode & 0o100 else 0o600)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
    return folder


def test_a_teammate_without_devenv_builds_the_same_image(
    cli: Cli, project: Path, base: str, secrets: Path, tmp_path: Path
) -> None:
    folder = _checkout(project, tmp_path)
    # A cache of its own: every file has to come over the network.
    text = (folder / "Dockerfile").read_text()
    assert text.count("id=devenv-artifacts") == 1
    (folder / "Dockerfile").write_text(text.replace("id=devenv-artifacts", f"id=t-online-{time.time_ns()}"))
    done = _build(folder, base, secrets, "--no-cache", "--load", "--tag", IMAGE)
    assert done.returncode == 0, done.stderr[-4000:]
    count = len({one["sha256"] for one in _locked(project)})
    assert f"{count} locked files: 0 are here, {count} to download" in done.stderr
    try:
        ours = cli.ok("verify", "--digest", "--json", cwd=project).json()
        theirs = cli.ok("verify", IMAGE, "--digest", "--json").json()
        assert [one["diff_id"] for one in theirs["layers"]] == [one["diff_id"] for one in ours["layers"]]
        assert theirs["digest"] == ours["digest"]
        said = docker(
            "run",
            "--rm",
            "--network",
            "none",
            IMAGE,
            "sh",
            "-c",
            "hello; cat '/workspace/a b.txt'; ls /opt/npm/node_modules/@sindresorhus; python -c 'import six'",
        )
        assert said.split("\n")[:3] == ["hello", "of the preset's", "is"]
        history = docker("history", "--no-trunc", IMAGE)
        for secret in secrets.iterdir():
            for line in filter(None, secret.read_text().splitlines()[:20]):
                assert line not in history
    finally:
        docker("rmi", IMAGE)


def _locked(project: Path) -> list[dict[str, str]]:
    lock = json.loads((project / "devenv.lock").read_text())
    npm, sources = lock["npm"]["packages"], lock["sources"]["packages"]
    built = [*sources, *(wheel for source in sources for wheel in source["requires"])]
    return [*built, *lock["base"]["packages"], *lock["apt"], *lock["wheels"], lock["uv"], lock["node"], *npm]


@pytest.mark.parametrize("kind", ["deb", "wheel", "tarball"])
def test_a_wrong_hash_fails_with_the_name_of_the_file(
    kind: str, project: Path, base: str, secrets: Path, tmp_path: Path
) -> None:
    lock = json.loads((project / "devenv.lock").read_text())
    one = {"deb": lock["apt"][0], "wheel": lock["wheels"][0], "tarball": lock["npm"]["packages"][0]}[kind]
    flipped = one["sha256"][:-1] + ("0" if one["sha256"][-1] != "0" else "1")
    folder = _checkout(project, tmp_path)
    # In the lock alone: it does not fit the folder's list of files any more.
    copy = folder / "image/etc/devenv/devenv.lock"
    copy.write_text(copy.read_text().replace(one["sha256"], flipped))
    done = _build(folder, base, secrets)
    assert done.returncode != 0
    assert one["file"] in done.stderr
    assert "Run again: devenv render --online" in done.stderr
    # In both: what comes over the network is not that.
    sums = folder / "artifacts/SHA256SUMS"
    sums.write_text(sums.read_text().replace(one["sha256"], flipped))
    done = _build(folder, base, secrets)
    assert done.returncode != 0
    assert f"  {kind}: {one['file']} (sha256 {flipped})" in done.stderr
    assert "locked files that could not be had with their hash" in done.stderr
    assert done.stderr.count(f"  {kind}: ") == done.stderr.count(one["file"] + " (sha256"), "the others came"


def test_a_folder_that_was_changed_does_not_build(project: Path, base: str, secrets: Path, tmp_path: Path) -> None:
    """What git, an editor or a colleague did to it would make another image without a word."""
    folder = _checkout(project, tmp_path)
    (folder / "image/etc/profile.d/devenv.sh").write_text("echo hello\r\n")
    (folder / "image/etc/planted").write_text("!")
    (folder / "workspace/a b.txt").unlink()
    done = _build(folder, base, secrets, "--target", "own")
    assert done.returncode != 0
    told = {line.split(" ", 2)[-1] for line in done.stderr.splitlines() if line.startswith("#")}
    assert {
        "image/etc/profile.d/devenv.sh: was changed",
        "image/etc/planted: is not devenv's",
        "workspace/a b.txt: is missing",
    } <= told


def test_check_sees_what_is_not_as_rendered(cli: Cli, project: Path, tmp_path: Path) -> None:
    cli.ok("render", "--online", "-o", str(tmp_path), cwd=project)
    cli.ok("render", "--online", "--check", "-o", str(tmp_path), cwd=project)
    (tmp_path / ".devcontainer/image/planted").write_text("!")
    done = cli("render", "--online", "--check", "-o", str(tmp_path), cwd=project)
    assert done.code == 12
    assert "image/planted" in done.out
