from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from devenv.container import state as module
from devenv.container.state import environment
from devenv.errors import NotReadyError, UsageError


@pytest.fixture
def env(tmp_path: Path) -> module.Environment:
    return environment("ocr", tmp_path)


def test_token_is_random_private_and_kept(env: module.Environment, tmp_path: Path) -> None:
    token = env.token()
    assert len(token) >= 43
    assert env.token() == token
    assert environment("other", tmp_path).token() != token
    assert stat.S_IMODE((env.host_folder / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(env.host_folder.stat().st_mode) == 0o700


def test_forget_gives_a_new_token(env: module.Environment) -> None:
    token = env.token()
    env.forget()
    assert env.token() != token


def test_a_new_token_takes_the_others_place(env: module.Environment) -> None:
    token = env.token()
    assert env.new_token() != token
    assert env.token() == env.kept_token() == env.known_token() != token


def test_no_token_is_made_by_those_who_only_need_it(env: module.Environment) -> None:
    with pytest.raises(NotReadyError, match="the token does not exist") as caught:
        env.kept_token()
    assert caught.value.where == str(env.token_file)
    assert not env.folder.exists()


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a_b", "a" * 41, "a/b", "ä", "a\n"])
def test_bad_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        environment(name, tmp_path)


def test_bring_writes_and_removes_the_ca(env: module.Environment, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("CERT")
    env.bring({"https_proxy": "http://p:1"}, bundle, "Types: deb\n")
    assert (env.host_folder / "env").read_text() == "https_proxy=http://p:1\n"
    assert (env.host_folder / "ca.crt").read_text() == "CERT"
    assert (env.host_folder / "apt.sources").read_text() == "Types: deb\n"
    assert stat.S_IMODE((env.host_folder / "apt.sources").stat().st_mode) == 0o600
    env.bring({}, None, "")
    assert {path.name for path in env.host_folder.iterdir()} == set()


def test_a_page_for_the_browser_is_private(env: module.Environment) -> None:
    page = env.page("ide", "http://127.0.0.1:1/?token=a&b")
    assert "token=a&amp;b" in page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_kept_survives_garbage(env: module.Environment) -> None:
    env.keep_ports({8443: 9000})
    assert env.ports() == {8443: 9000}
    (env.folder / "ports.json").write_text("{ not json")
    assert env.ports() == {}
    env.keep("ports.json", [1])
    assert env.ports() == {}


def test_a_command_that_kept_nothing_leaves_nothing(env: module.Environment) -> None:
    with pytest.raises(NotReadyError), env.locked(lambda: None):
        raise NotReadyError("refused")
    assert not env.folder.exists()
    with env.locked(lambda: None):
        env.token()
    assert (env.folder / "lock").exists(), "others wait at it"


def test_what_another_command_holds_by_now_is_left(env: module.Environment) -> None:
    """'down --volumes' takes the folder away while it is held."""
    with env.locked(lambda: None):
        env.forget()
        env.folder.mkdir()
        (env.folder / "lock").touch()
    assert (env.folder / "lock").exists()


def test_a_folder_that_cannot_be_is_not_a_full_disk(env: module.Environment) -> None:
    env.folder.parent.mkdir(exist_ok=True)
    env.folder.touch()
    for act in (env.new_token, env.locked(lambda: None).__enter__):
        with pytest.raises(NotReadyError) as caught:
            act()
        assert "is a file, where a folder must be" in str(caught.value.hint)


@pytest.mark.timeout(60)
def test_a_lock_that_is_a_pipe_or_leads_elsewhere_hurts_nobody(env: module.Environment, tmp_path: Path) -> None:
    env.folder.mkdir()
    os.mkfifo(env.folder / "lock")
    with pytest.raises(NotReadyError, match="cannot write"), env.locked(lambda: None):
        pass
    (tmp_path / "precious").write_text("precious")
    (env.folder / "lock").unlink()
    (env.folder / "lock").symlink_to(tmp_path / "precious")
    with env.locked(lambda: None):
        assert (tmp_path / "precious").read_text() == "precious"
