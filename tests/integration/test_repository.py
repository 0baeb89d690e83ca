"""Packages in git repositories, from a server on loopback."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import logging
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.cancellation import Cancellation
from devenv.errors import FetchError
from devenv.fetch import source_file
from devenv.fetch.fetch import fetch
from devenv.fetch.repository import at_commit
from devenv.fetch.store import Store
from devenv.lock.model import LockedSources, Source
from devenv.preset.repository import Repository, repository
from tests.unit.handmade import lock, preset, settings

ATTRIBUTES = "*.py filter=evil text eol=crlf ident export-subst\nsecret export-ignore\n"


def git(folder: Path, *arguments: str) -> str:
    """git as a user with a name and no settings."""
    env = {
        "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(folder),
        **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }  # fmt: skip
    return subprocess.run(
        ("git", *arguments), cwd=folder, env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


class Served:
    """A repository with traps, served as plain files."""

    def __init__(self, root: Path) -> None:
        self.work = root / "work"
        self.bare = root / "www" / "odd.git"
        self.work.mkdir(parents=True)
        git(self.work, "init", "--quiet", "--initial-branch=main")
        self.first = self.commit({
            "setup.py": "# $Id$ $Format:%H$\nfrom setuptools import setup\nsetup()\n", ".gitattributes": ATTRIBUTES,
            "secret": "kept", "sub/pyproject.toml": "", "run": "#!/bin/sh\n",
        })  # fmt: skip
        git(self.work, "tag", "v1")
        self.second = self.commit({"new.py": ""})
        self.url = ""

    def commit(self, files: dict[str, str]) -> str:
        for name, text in files.items():
            (self.work / name).parent.mkdir(exist_ok=True)
            (self.work / name).write_text(text)
            (self.work / name).chmod(0o755 if name == "run" else 0o644)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--message=x")
        return git(self.work, "rev-parse", "HEAD")

    def publish(self) -> None:
        git(self.work, "clone", "--quiet", "--bare", ".", str(self.bare))
        git(self.bare, "update-server-info")
        hook = self.bare / "hooks" / "post-checkout"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\ntouch /tmp/x-devenv-hook\n")
        hook.chmod(0o755)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing."""


class Smart(http.server.BaseHTTPRequestHandler):
    """git's own server behind a login."""

    root: Path
    log_message = Quiet.log_message

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"me:hunter2").decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_USER": "me",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
        }  # fmt: skip
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(("git", "http-backend"), env=env, input=body, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            name, _, value = line.partition(": ")
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET


@pytest.fixture
def smart(served: Served) -> Iterator[str]:
    """The address of the same repository at that server."""
    handler = type("Handler", (Smart,), {"root": served.bare.parent})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/odd.git"
        server.shutdown()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("repository"))
    made.publish()
    handler = functools.partial(Quiet, directory=str(made.bare.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_address[1]}/odd.git"
        yield made
        server.shutdown()


def named(served: Served, revision: str = "v1", folder: str = "") -> Repository:
    return Repository(name="odd", url=served.url, revision=revision, folder=folder)


def bring(wanted: Repository, root: Path, commit: str | None = None, sha256: str | None = None) -> tuple[str, Path]:
    mine, store = settings(root), Store(root / "store")
    found, digest = at_commit(wanted, commit, store=store, settings=mine, cancel=Cancellation(), sha256=sha256)
    return found, store.path(digest)


def test_a_tag_a_branch_and_a_commit_are_brought(served: Served, tmp_path: Path) -> None:
    assert bring(named(served), tmp_path)[0] == served.first
    assert bring(named(served, "main"), tmp_path)[0] == served.second
    assert bring(named(served, "HEAD"), tmp_path)[0] == served.second
    assert bring(named(served, served.first), tmp_path)[0] == served.first
    assert bring(named(served, served.first[:9]), tmp_path)[0] == served.first
    assert bring(named(served, "main"), tmp_path, served.first)[0] == served.first


def test_the_archive_is_the_same_on_every_machine_and_holds_the_files_as_they_are(
    served: Served, tmp_path: Path
) -> None:
    _, one = bring(named(served), tmp_path / "a")
    _, other = bring(named(served), tmp_path / "b")
    assert one.read_bytes() == other.read_bytes()
    with tarfile.open(one) as archive:
        members = {member.name.partition("/")[2]: member for member in archive}
        script = archive.extractfile(members["setup.py"])
        assert script is not None
        assert script.read().startswith(b"# $Id$ $Format:%H$\nfrom")
    assert members.keys() == {".gitattributes", "run", "secret", "setup.py", "sub/pyproject.toml"}
    assert {member.mtime for member in members.values()} == {1_700_000_000}
    assert (members["run"].mode, members["secret"].mode) == (0o755, 0o644)
    assert source_file.read(one, ("sub/pyproject.toml",)).texts == {"sub/pyproject.toml": ""}


def test_a_folder_of_it_may_be_the_package(served: Served, tmp_path: Path) -> None:
    _, path = bring(named(served, folder="sub"), tmp_path)
    assert source_file.read(path, ()).names == ("pyproject.toml",)


def test_other_content_than_the_locks_is_refused(served: Served, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="is not the file that was pinned"):
        bring(named(served), tmp_path, served.first, "0" * 64)


@pytest.mark.parametrize("revision", ["nosuch", "0" * 40])
def test_what_is_not_there_is_one_error(revision: str, served: Served, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="odd"):
        bring(named(served, revision), tmp_path)


def test_a_locked_commit_is_fetched_from_the_presets_repository(served: Served, tmp_path: Path) -> None:
    commit, path = bring(named(served), tmp_path / "first")
    data = path.read_bytes()
    source = Source(
        name="odd", version="1", file=f"odd-{commit[:12]}.tar", size=len(data), sha256=hashlib.sha256(data).hexdigest(),
        layer=0, backend="x", commit=commit,
    )  # fmt: skip
    made = lock(preset(), sources=LockedSources(packages=(source,)))
    only = made.model_copy(
        update={
            "base": made.base.model_copy(update={"packages": ()}),
            "apt": (),
            "wheels": (),
            "editor": None,
            "node": None,
        }
    )
    mine, store = settings(tmp_path), Store(tmp_path / "store")
    store.path(only.uv.sha256).parent.mkdir(parents=True)
    (tmp_path / "uv").write_bytes(b"uv")
    only = only.model_copy(
        update={"uv": only.uv.model_copy(update={"sha256": store.adopt(tmp_path / "uv"), "size": 2})}
    )
    with pytest.raises(FetchError, match="names no repository"):
        fetch(only, store=store, settings=mine)
    wanted = repository(f"odd @ git+{served.url}@v1")
    assert wanted is not None
    fetch(only, store=store, settings=mine, repositories={"odd": wanted})
    assert store.has(source)


def test_nothing_of_the_users_or_the_repositorys_settings_counts(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter, a hook or a rewritten address would leave a file, or bring another repository."""
    trap = tmp_path / "trap"
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.gitconfig").write_text(
        f'[filter "evil"]\nsmudge = touch {trap}\nclean = touch {trap}\nrequired = true\n'
        f'[core]\nhooksPath = {tmp_path}\n[url "file:///"]\ninsteadOf = http://\n'
        f'[credential]\nhelper = "!touch {trap}"\n'
    )
    (tmp_path / "post-checkout").write_text(f"#!/bin/sh\ntouch {trap}\n")
    (tmp_path / "post-checkout").chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {trap}")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert bring(named(served), tmp_path)[0] == served.first
    assert not trap.exists()


@pytest.mark.parametrize("url", ["file:///etc", "ext::sh -c touch% /tmp/x", "ssh://127.0.0.1/x"])
def test_other_protocols_are_not_spoken(url: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as told:
        bring(Repository(name="odd", url=url, revision="main", folder=""), tmp_path)
    assert "not allowed" in (told.value.detail or "")


@pytest.mark.parametrize("revision", ["v1", "first"])
def test_a_login_comes_from_netrc_and_is_kept_nowhere(
    revision: str,
    smart: str,
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = Repository(name="odd", url=smart, revision=revision if revision == "v1" else served.first, folder="")
    with pytest.raises(FetchError) as told:
        bring(wanted, tmp_path)
    assert "netrc" in (told.value.hint or "")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    (tmp_path / ".netrc").chmod(0o600)
    commit, path = bring(wanted, tmp_path)
    assert commit == served.first
    assert path.read_bytes() == bring(named(served), tmp_path / "other")[1].read_bytes()
    assert "hunter2" not in caplog.text + repr(told.value)
    assert b"hunter2" not in path.read_bytes()


def test_a_small_commit_that_stands_for_more_than_there_is_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = Served(tmp_path / "large")
    large.commit({f"zeros{number}": "0" * (1 << 20) for number in range(4)})
    large.publish()
    monkeypatch.setattr("devenv.fetch.repository._MOST_BLOCKS", 4000)
    handler = functools.partial(Quiet, directory=str(large.bare.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        large.url = f"http://127.0.0.1:{server.server_address[1]}/odd.git"
        with pytest.raises(FetchError, match="more than the source of a package"):
            bring(named(large, "main"), tmp_path)
        server.shutdown()


def test_without_git_it_is_said_what_it_is_for(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="this machine has no git"):
        bring(named(served), tmp_path)
