from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devenv.doors import process
from devenv.doors.cancellation import Cancellation
from devenv.doors.dirs import Dirs
from devenv.doors.process import Outcome
from devenv.doors.settings.settings import Settings
from devenv.errors import CancelledError, ShareError, UsageError
from devenv.share.signatures import ssh
from devenv.share.signatures.ssh import SshKey, Verdict, check, find_key, nobody, sign

LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@home"
GOOD = 'Good "devenv-image" signature for {} with ED25519 key SHA256:abc\n'


def user(tmp_path: Path, signing_key: str | None = None) -> Settings:
    (tmp_path / ".ssh").mkdir(exist_ok=True)
    return Settings(
        dirs=Dirs(cache=tmp_path, state=tmp_path, config=tmp_path), uid=1, gid=1, arch="amd64",
        ssh_folder=tmp_path / ".ssh", ssh_signing_key=signing_key,
    )  # fmt: skip


class Programs:
    """Answers instead of processes: by the word after `-Y`, or the program's name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: tuple[int, str, str]) -> None:
        self.answers = answers
        self.seen: list[list[str]] = []
        monkeypatch.setattr(process, "run", self.run)

    def run(self, command: list[str], **_: Any) -> Outcome:
        self.seen.append(command)
        name = command[2] if command[0] == "ssh-keygen" else command[0]
        if name not in self.answers:
            raise FileNotFoundError(name)
        code, out, err = self.answers[name]
        principal = command[command.index("-I") + 1] if "-I" in command else ""
        return Outcome(command=tuple(command), code=code, out=out.format(principal), err=err)


def test_gits_key_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(monkeypatch, **{"ssh-add": (0, f"{LINE}\n", "")})
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/mine.pub").touch()
    for told in ("~/.ssh/mine.pub", str(tmp_path / ".ssh/mine.pub")):
        assert find_key(user(tmp_path, told)).path == tmp_path / ".ssh/mine.pub"
    for told in (LINE, f"key::{LINE}"):
        assert find_key(user(tmp_path, told)).public == LINE
    for told in ("~/.ssh/gone", ".ssh/mine.pub", "~", "/", "-f"):
        with pytest.raises(UsageError, match="names no file"):
            find_key(user(tmp_path, told))
    assert programs.seen == []


def test_then_the_agents_and_then_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ssh").mkdir()
    for name in ("id_rsa", "id_ed25519_sk", "other"):
        (tmp_path / ".ssh" / name).touch()
    Programs(monkeypatch, **{"ssh-add": (0, f"{LINE}\nssh-rsa BBBB you\n", "")})
    assert find_key(user(tmp_path)) == SshKey(public=LINE, origin="the first key of the SSH agent")
    for answers in ({"ssh-add": (1, "The agent has no identities.\n", "")}, {"ssh-add": (2, "", "no agent")}, {}):
        Programs(monkeypatch, **answers)
        assert find_key(user(tmp_path)).path == tmp_path / ".ssh/id_ed25519_sk"


def test_no_key_is_an_error_with_two_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Programs(monkeypatch)
    with pytest.raises(UsageError, match="no SSH key to sign with") as caught:
        find_key(user(tmp_path))
    assert "ssh-keygen -t ed25519" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("code", "error"), [(255, ShareError), (0, ShareError), (-2, CancelledError), (130, CancelledError)]
)
def test_a_failed_signing(code: int, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def interactive(command: list[str]) -> int:
        seen.append(command)
        assert Path(command[-1]).read_bytes() == b"data"
        assert Path(command[-2]).read_text() == f"{LINE}\n"
        return code

    monkeypatch.setattr(process, "interactive", interactive)
    with pytest.raises(error):
        sign(SshKey(public=LINE, origin="agent"), b"data")
    assert seen[0][:6] == ["ssh-keygen", "-q", "-Y", "sign", "-n", "devenv-image"]


def test_the_principal_that_ssh_keygen_accepts_is_the_signer(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(monkeypatch, **{"find-principals": (0, "me@x\nyou@x\n", ""), "verify": (0, GOOD, "")})
    assert check(b"s", b"p", b"me@x,you@x key", Cancellation()) == Verdict(
        principal="me@x", key="ED25519 key SHA256:abc"
    )
    assert [command[2] for command in programs.seen] == ["find-principals", "verify"]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (
            {"find-principals": (255, "me@x\n", "No principal matched."), "check-novalidate": (255, "", "")},
            "was altered",
        ),
        (
            {"find-principals": (255, "", "x/signers:1: key has expired: y\n"), "check-novalidate": (0, GOOD, "")},
            "ED25519 key SHA256:abc is not allowed: key has expired: y",
        ),
        ({"find-principals": (255, "", ""), "check-novalidate": (0, GOOD, "")}, "is not allowed to sign"),
        (
            {"find-principals": (0, "a\nb\n", ""), "verify": (255, GOOD, ""), "check-novalidate": (0, GOOD, "")},
            "is not allowed to sign",
        ),
        ({"find-principals": (0, "", ""), "check-novalidate": (0, GOOD, "")}, "is not allowed to sign"),
    ],
)
def test_only_the_exit_status_of_verify_accepts(
    answers: dict[str, tuple[int, str, str]], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Programs(monkeypatch, **answers)
    verdict = check(b"s", b"p", b"signers", Cancellation())
    assert verdict.principal == ""
    assert why in verdict.why


def test_what_is_not_ascii_reaches_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(monkeypatch)
    assert check(b"s", "é".encode(), b"signers", Cancellation()).principal == ""
    assert programs.seen == []
    with pytest.raises(ShareError, match="not installed"):
        check(b"s", b"p", b"signers", Cancellation())


def test_a_file_that_allows_nobody() -> None:
    assert nobody(b"")
    assert nobody(b"# me@x ssh-ed25519 AAAA\n\n  \n\t# more")
    assert not nobody(b"# team\nme@x ssh-ed25519 AAAA")
    assert ssh.NAMESPACE == "devenv-image", "stands in the allowed_signers of teams"
