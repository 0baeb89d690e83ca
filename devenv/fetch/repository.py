"""One commit of a git repository as a tar that is the same on every machine. Nothing of the repository runs.

git gets none of the user's settings: no hook, filter, credential helper, submodule or other protocol. It writes no work
tree, and the attributes that a repository gives its files do not count.
"""

from __future__ import annotations

import contextlib
import re
import signal
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from devenv.doors.cancellation import Cancellation
from devenv.doors.process import ProcessError, TimeoutExpired, run
from devenv.doors.settings.settings import Settings
from devenv.errors import FetchError
from devenv.fetch.deb_file import Member
from devenv.fetch.store import Store
from devenv.preset.repository import Repository

_TIME_S = 1_700_000_000
_LONGEST_S = 1800
_MOST_BYTES = 2 << 30
_MOST_MEMBERS = 200_000
_MOST_BLOCKS = 4 << 21
"""Of 512 bytes, in one file that git writes: a commit of a few kilobytes may stand for any number of files."""
_MOST_PATH = 4096
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NOT_FOUND = 127
"""How the shell ends that finds no such program."""
_HEAD = "refs/devenv/HEAD"
_CONFIG = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.attributesFile=/dev/null", "credential.helper=",
    "protocol.allow=never", "protocol.http.allow=always", "protocol.https.allow=always", "gc.auto=0",
    "maintenance.auto=false", "submodule.recurse=false", "fetch.recurseSubmodules=false", "tar.umask=0022",
    "http.lowSpeedLimit=1000", "http.lowSpeedTime=60",
)  # fmt: skip
_ATTRIBUTES = "* -export-ignore -export-subst -text -eol -ident -filter -working-tree-encoding\n"
_OWN: Mapping[str, str | None] = {
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true",
    "GIT_ALLOW_PROTOCOL": "http:https", "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C",
    **dict.fromkeys((
        "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_EXEC_PATH", "GIT_TEMPLATE_DIR", "GIT_SSH", "GIT_SSH_COMMAND",
        "GIT_NAMESPACE", "GIT_COMMON_DIR", "GIT_TRACE", "GIT_TRACE_CURL", "GIT_CURL_VERBOSE", "GIT_TRACE_PACKET",
    )),
}  # fmt: skip


def at_commit(
    wanted: Repository, commit: str | None, *, store: Store, settings: Settings, cancel: Cancellation,
    sha256: str | None = None,
) -> tuple[str, str]:  # fmt: skip
    """(commit, sha256 of the tar, which the store has then) of a repository at `commit`, else at its revision. With
    `sha256` the tar has to have that hash. Raises FetchError."""
    with tempfile.TemporaryDirectory() as scratch:
        git = _Git(Path(scratch) / "git", wanted, settings, cancel)
        found = git.fetch(commit or wanted.revision)
        packed, plain = Path(scratch) / "packed.tar", Path(scratch) / "plain.tar"
        git.archive(found, packed)
        try:
            _write(packed, plain, f"{wanted.name}-{found[:12]}")
        except (OSError, ValueError, tarfile.TarError) as error:
            raise FetchError(
                f"commit {found[:12]} of {wanted.name} cannot be used: {error}", hint="name another commit"
            ) from None
        return found, store.adopt(plain, sha256)


class _Git:
    def __init__(self, folder: Path, wanted: Repository, settings: Settings, cancel: Cancellation) -> None:
        self._folder = folder
        self._wanted = wanted
        self._cancel = cancel
        bundle = settings.ca_bundle or settings.pip.cert
        self._env = {**_OWN, **({"GIT_SSL_CAINFO": str(bundle)} if bundle else {})}
        self._run("init", "--quiet", "--bare", "--template=", str(folder))
        (folder / "info").mkdir(exist_ok=True)
        (folder / "info" / "attributes").write_text(_ATTRIBUTES)

    def fetch(self, revision: str) -> str:
        """Bring the commit, with its history only where the server gives it no other way; returns its full name."""
        with contextlib.suppress(FetchError):
            self._in("fetch", "--quiet", "--depth=1", "--no-tags", self._wanted.url, revision)
            return self._named("FETCH_HEAD")
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", f"+HEAD:{_HEAD}")
        self._in("fetch", "--quiet", "--no-tags", self._wanted.url, *refs)
        return self._named(_HEAD if revision == "HEAD" else revision)

    def archive(self, commit: str, target: Path) -> None:
        """The commit's files as git writes them."""
        tree = f"{commit}:{self._wanted.folder}" if self._wanted.folder else commit
        self._in("archive", "--format=tar", f"--output={target}", tree)

    def _named(self, revision: str) -> str:
        name = self._in("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
        if not _COMMIT.fullmatch(name):
            raise FetchError(f"the repository of {self._wanted.name} has no {revision}", hint="name another revision")
        return name

    def _in(self, *arguments: str) -> str:
        config = (part for each in _CONFIG for part in ("-c", each))
        return self._run(*config, f"--git-dir={self._folder}", *arguments)

    def _run(self, *arguments: str) -> str:
        try:
            limited = ("sh", "-c", f'ulimit -f {_MOST_BLOCKS} && exec "$@"', "sh", "git", *arguments)
            return run(limited, env=self._env, timeout_s=_LONGEST_S, cancel=self._cancel).out
        except TimeoutExpired:
            raise FetchError(f"the repository of {self._wanted.name} sends too slowly", hint="run it again") from None
        except ProcessError as error:
            if error.outcome.code == _NOT_FOUND:
                raise FetchError("this machine has no git, which brings repositories", hint="install git") from None
            if error.outcome.code == -signal.SIGXFSZ:
                raise FetchError(
                    f"the commit of {self._wanted.name} holds more than the source of a package does",
                    hint="name another commit",
                ) from None
            raise FetchError(
                f"git cannot bring {self._wanted.name} at {self._wanted.revision} from {self._wanted.url}",
                detail="\n".join(error.outcome.err.strip().splitlines()[-5:]),
                hint="check the address and the revision; logins come from netrc",
            ) from None


def _write(packed: Path, plain: Path, top: str) -> None:
    """The same files sorted, below one folder, with fixed times and owners. Raises ValueError, tarfile.TarError."""
    with tarfile.open(packed, "r:", tarinfo=Member) as archive:
        members = sorted(_bounded(archive), key=lambda member: member.name)
        with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as copy:
            for member in members:
                fresh = tarfile.TarInfo(f"{top}/{member.name.strip('/')}")
                fresh.type, fresh.linkname, fresh.size = member.type, member.linkname, member.size
                fresh.mode, fresh.mtime = (0o755 if member.mode & 0o100 else 0o644), _TIME_S
                copy.addfile(fresh, archive.extractfile(member) if member.isreg() else None)
                cast("Any", copy).members.clear()  # tarfile would keep every member


def _bounded(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    left = _MOST_BYTES
    for number, member in enumerate(archive):
        left -= member.size
        if number >= _MOST_MEMBERS or left < 0 or len(member.name) > _MOST_PATH:
            raise ValueError("it holds more than the source of a package does")
        if member.isreg() or member.issym():
            yield member
