"""Entries and keys for SSH clients. That they work is in tests/integration/test_ssh.py."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import pytest

from devenv.container import ssh
from devenv.errors import NotReadyError, UsageError

INCLUDE, ELSEWHERE = (f'Include "/{one}/devenv/ssh/hosts/*.conf"' for one in "ab")
OTHERS = "# mine\nHost box\n  User me\n"


def _key(kind: str, *fields: bytes) -> str:
    blob = b"".join(struct.pack(">I", len(one)) + one for one in (kind.encode(), *fields))
    return f"{kind} {base64.b64encode(blob).decode()} me@laptop\n"


ED25519 = _key("ssh-ed25519", bytes(32))


@pytest.mark.parametrize("text", [
    ED25519, _key("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:"), _key("ecdsa-sha2-nistp256", b"nistp256", bytes(65)),
    _key("ssh-rsa", b"\1\0\1", b"\x80" + bytes(255)),
])  # fmt: skip
def test_public_keys_that_the_server_takes(tmp_path: Path, text: str) -> None:
    (tmp_path / "id.pub").write_text(text)
    assert ssh.public(tmp_path / "id.pub") == ssh.public(tmp_path / "id") == text.strip()


@pytest.mark.parametrize(("text", "why"), [
    (_key("ssh-dss", bytes(20)), "it is a DSA key, which OpenSSH no longer takes"),
    (_key("ssh-rsa", b"\1\0\1", b"\x80" + bytes(127)), "it is an RSA key of 1024 bits; OpenSSH takes 2048 or more"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "it is a private key"),
    ("ssh-ed25519 AAAA\n", "it is a damaged public key"),
    ("ssh-ed25519 !!!\n", "it is a damaged public key"),
    ("ssh-ed25519\n", "it is a damaged public key"),
    (ED25519.replace("ssh-ed25519", "ssh-rsa"), "it is a damaged public key"),
    (ED25519 * 2, "it is no public key"),
    ("ssh-ed25519 AAAA \x1b[2J", "it is no public key"),
    ('command="x" ' + ED25519, "it is no public key"),
    ("", "it is no public key"),
])  # fmt: skip
def test_what_is_no_key_that_works_is_one_error(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "id.pub").write_text(text)
    with pytest.raises(UsageError, match=why) as caught:
        ssh.public(tmp_path / "id.pub")
    assert caught.value.where == str(tmp_path / "id.pub")
    assert "ssh-keygen -t ed25519" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["my key", "my key.pub"])
def test_a_key_without_its_public_half_says_how_to_get_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="the file does not exist") as caught:
        ssh.public(tmp_path / name)
    assert caught.value.hint == f"write it: ssh-keygen -y -f '{tmp_path}/my key' > '{tmp_path}/my key.pub'"


def test_the_users_key_is_remembered_until_a_new_one_is_made(tmp_path: Path) -> None:
    keys = ssh.Keys(folder=tmp_path / "ssh", engine="unix:///x")
    with pytest.raises(NotReadyError, match="no key for SSH was made yet"):
        keys.line()
    (tmp_path / "id.pub").write_text(ED25519)
    assert keys.choose(tmp_path / "id.pub") == keys.choose(None) == keys.chosen() == tmp_path / "id.pub"
    assert keys.line() == ED25519.strip()
    assert (keys.folder.stat().st_mode & 0o777, (keys.folder / "key").stat().st_mode & 0o777) == (0o700, 0o600)


def test_an_entry() -> None:
    text = ssh.entry(
        "ocr", proxy=("/opt/my tools/devenv", "ssh-proxy"), variables={"XDG_STATE_HOME": "/s%d"}, key=Path("/k/id%h")
    )
    assert text == (
        "Host devenv-ocr\n"
        "  HostName devenv-ocr\n"
        "  User dev\n"
        "  ProxyCommand env XDG_STATE_HOME=/s%%d '/opt/my tools/devenv' ssh-proxy ocr\n"
        '  IdentityFile "/k/id%%h"\n'
        "  IdentitiesOnly yes\n"
        "  StrictHostKeyChecking no\n"
        "  UserKnownHostsFile /dev/null\n"
        "  LogLevel ERROR\n"
    )


def test_a_key_in_an_agent_is_named_by_its_public_half(tmp_path: Path) -> None:
    (tmp_path / "id.pub").write_text(ED25519)
    entry = ssh.entry("a", proxy=("x",), variables={}, key=tmp_path / "id.pub")
    assert f'IdentityFile "{tmp_path}/id.pub"' in entry
    (tmp_path / "id").write_text("secret")
    entry = ssh.entry("a", proxy=("x",), variables={}, key=tmp_path / "id.pub")
    assert f'IdentityFile "{tmp_path}/id"' in entry


def test_engines_have_files_of_their_own(tmp_path: Path) -> None:
    one, other = (ssh.Keys(folder=tmp_path, engine=engine) for engine in ("unix:///a", "tcp://b"))
    assert one.entries != other.entries
    assert one.include == other.include == f'Include "{tmp_path}/hosts/*.conf"'


@pytest.mark.parametrize("text", ["", OTHERS, "Include other\n" + OTHERS])
def test_the_line_is_put_first_once_and_taken_out_again(text: str) -> None:
    new = ssh.installed(text, INCLUDE)
    assert new.splitlines()[1] == INCLUDE
    assert new.endswith(text)
    assert ssh.installed(new, INCLUDE) == new
    assert ssh.installed(new, ELSEWHERE).count('Include "/') == 1
    assert ssh.removed(new) == text


@pytest.mark.parametrize("mine", ["Include mine.conf\n", "\n", "# mine\n", 'Include "/x/hosts/*.conf"\n', "Include \n"])
@pytest.mark.parametrize("rest", ["", "\n" + OTHERS])
def test_a_line_of_the_users_between_devenvs_two_lines_stays(mine: str, rest: str) -> None:
    mark, line = ssh.installed("", INCLUDE).splitlines()
    assert ssh.removed(f"{mark}\n{mine}{line}\n{rest}") == mine + rest
    assert ssh.removed(f"{mark}\n{mine}{line}") == mine
    assert ssh.removed(f"{mark}\n{mine}") == mine


def test_settings_stay_a_link_with_their_mode(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles" / "ssh", tmp_path / ".ssh" / "config"
    real.parent.mkdir()
    link.parent.mkdir()
    real.write_text(OTHERS)
    real.chmod(0o640)
    link.symlink_to(real)
    assert ssh.change_config(link, INCLUDE)
    assert not ssh.change_config(link, INCLUDE)
    assert (link.is_symlink(), real.stat().st_mode & 0o777) == (True, 0o640)
    assert ssh.includes(link, INCLUDE)
    assert ssh.change_config(link, None)
    assert real.read_text() == OTHERS
    assert not ssh.includes(link, INCLUDE)


def test_new_settings_are_the_users_alone(tmp_path: Path) -> None:
    path = tmp_path / ".ssh" / "config"
    assert not ssh.change_config(path, None)
    assert ssh.change_config(path, INCLUDE)
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_settings_that_cannot_be_read_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"Host \xff\n")
    with pytest.raises(UsageError, match="it is not UTF-8 text") as caught:
        ssh.change_config(path, INCLUDE)
    assert caught.value.hint == f"put this line at its top yourself: {INCLUDE}"
    assert path.read_bytes() == b"Host \xff\n"


@pytest.mark.parametrize("remove", [False, True])
def test_a_loop_of_links_is_one_error(remove: bool, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.symlink_to("other")
    (tmp_path / "other").symlink_to("config")
    with pytest.raises(UsageError, match="it is a link that leads back to itself") as caught:
        ssh.change_config(path, None if remove else INCLUDE)
    assert caught.value.hint == "remove the link, and run the command again"
    assert not ssh.includes(path, INCLUDE)


def test_a_link_to_a_file_still_to_come_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.symlink_to(tmp_path / "dotfiles" / "ssh")
    with pytest.raises(UsageError, match="dotfiles/ssh, which does not exist") as caught:
        ssh.change_config(path, INCLUDE)
    assert caught.value.hint == "make that file, or remove the link; then run the command again"
    assert [one.name for one in tmp_path.iterdir()] == ["config"]
    assert not ssh.change_config(path, None)


@pytest.mark.parametrize("odd", ['"', "\\", "[", "*", "?", "%", "${", "\n", "\udcff"])
def test_a_state_folder_that_the_client_cannot_name_is_refused(odd: str) -> None:
    with pytest.raises(UsageError, match="ssh's configuration cannot hold") as caught:
        ssh.Keys(folder=Path(f"/s/a{odd}b/devenv/ssh"), engine="x").check()
    assert caught.value.hint == "set XDG_STATE_HOME to a folder without such characters in its path"


def test_other_folders_are_taken() -> None:
    ssh.Keys(folder=Path("/s/a b'c#d$e~f{g}é\u3000]/devenv/ssh"), engine="x").check()


@pytest.mark.parametrize("odd", ['"', "\\", "${HOME}", "\t"])
def test_a_key_that_the_client_cannot_name_is_refused_and_not_remembered(odd: str, tmp_path: Path) -> None:
    keys, key = ssh.Keys(folder=tmp_path / "ssh", engine="x"), tmp_path / f"a{odd}b"
    key.with_name(f"{key.name}.pub").write_text(ED25519)
    with pytest.raises(UsageError, match="ssh's configuration cannot hold"):
        keys.choose(key)
    assert not keys.folder.exists()
    keys.folder.mkdir()
    (keys.folder / "key").write_text(f"{key}\n")  # by an older devenv
    with pytest.raises(UsageError, match="ssh's configuration cannot hold"):
        keys.choose(None)


def test_a_command_that_the_client_cannot_hold_is_refused() -> None:
    ssh.check_command(("/a 'b\" c/devenv", "ssh-proxy"), {"XDG_CONFIG_HOME": "/[x]/${y}"})
    with pytest.raises(UsageError) as caught:
        ssh.check_command(("/a\\/devenv", "ssh-proxy"), {})
    assert "install devenv in a folder" in str(caught.value.hint)
    with pytest.raises(UsageError) as caught:
        ssh.check_command(("devenv",), {"XDG_CONFIG_HOME": "/a\nb"})
    assert "set XDG_CONFIG_HOME" in str(caught.value.hint)


@pytest.mark.parametrize(("name", "authority"), [
    ("ocr", "devenv-ocr"), ("a_b.c-1", "devenv-a_b.c-1"),
    ("My_App", b'{"hostName":"devenv-My_App"}'.hex()), ("a+b", b'{"hostName":"devenv-a+b"}'.hex()),
])  # fmt: skip
def test_an_editor_s_address_survives_lower_case(name: str, authority: str) -> None:
    assert ssh.address(name) == f"vscode-remote://ssh-remote+{authority}/workspace"
