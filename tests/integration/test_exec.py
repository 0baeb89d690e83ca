"""What `devenv exec` and `devenv shell` start ends with them, however they end, and with nothing else."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.integration.conftest import Cli, docker
from tests.waiting import until

pytestmark = pytest.mark.engine
BOX = "devenv-t-python"


@pytest.fixture(autouse=True)
def _environment(up_python: Mapping[str, Any]) -> Iterator[None]:
    """All these tests run in the environment that read-only tests share, and leave nothing in it."""
    yield
    docker("exec", "-u", "root", BOX, "sh", "-c", "pkill -9 -x sleep; true")


@pytest.fixture
def mark() -> str:
    """A word that the test's own processes inside carry."""
    return f"mark-{uuid.uuid4().hex}"


def _count(mark: str) -> int:
    return docker("exec", BOX, "ps", "-eo", "args").count(mark)


def _sleepers(mark: str) -> int:
    """How many shells of their own sleep under the mark."""
    rows = docker("exec", BOX, "ps", "-eo", "args").splitlines()
    return sum(row.startswith(f"sh -c sleep 300; : {mark}") for row in rows)


def _script(mark: str, *, stubborn: bool = False) -> str:
    """Two processes with the mark, one below the other."""
    trap = "trap '' HUP INT TERM; " if stubborn else ""
    return f"{trap}sh -c 'sleep 300; : {mark}'; : {mark}"


def _mind_signals() -> None:
    """As a program in a terminal: the tests' own process may ignore some signals, like `nohup` and background jobs."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _engine_ignores_hangups() -> bool:
    """Whether everything inside ignores SIGHUP, because the engine began under `nohup`."""
    lines = docker("exec", BOX, "cat", "/proc/self/status").splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return bool(mask & 1 << (signal.SIGHUP - 1))


@contextlib.contextmanager
def _client(cli: Cli, *command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        cli.command("exec", "--name", "t-python", "--", *command), env=cli.env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=_mind_signals,  # noqa: PLW1509  (no threads here)
    ) as client:  # fmt: skip
        try:
            yield client
        finally:
            client.kill()


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_client(cli: Cli, mark: str, number: signal.Signals, stubborn: bool) -> None:
    with _client(cli, "sh", "-c", _script(mark, stubborn=stubborn)) as client:
        until(lambda: _count(mark) >= 2)
        os.killpg(client.pid, number)
        code = client.wait(timeout=30)
        until(lambda: _count(mark) == 0)
    if number in (signal.SIGKILL, signal.SIGHUP):
        assert code == -number
    else:
        assert code == (137 if stubborn else 128 + number), "what the command ended with"


@pytest.mark.parametrize(("number", "left"), [(signal.SIGHUP, 1), (signal.SIGINT, 0)])
def test_under_nohup_it_minds_ctrl_c_but_no_hangup(cli: Cli, mark: str, number: signal.Signals, left: int) -> None:
    with _client(cli, "nohup", "sh", "-c", f"sleep 300; : {mark}") as client:
        until(lambda: _sleepers(mark) == 1)
        os.killpg(client.pid, number)
        client.wait(timeout=30)
    time.sleep(4)  # longer than the guard waits before it kills
    # Where all ignore SIGHUP, nothing tells what was detached on purpose, and a left process would be the worse mistake.
    assert _sleepers(mark) == (0 if _engine_ignores_hangups() else left)


def test_a_polite_end_is_heard_and_its_status_kept(cli: Cli, mark: str) -> None:
    with _client(cli, "sh", "-c", f"trap 'echo saved; exit 5' TERM; echo up; sleep 300 & wait; : {mark}") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "up\n"
        client.terminate()
        assert client.communicate(timeout=30)[0] == "saved\n"
        assert client.returncode == 5
    until(lambda: _count(mark) == 0)


def _on_terminal(cli: Cli, *arguments: str) -> tuple[int, int]:
    pid, terminal = pty.fork()
    if pid == 0:
        _mind_signals()
        command = cli.command(*arguments)
        os.execvpe(command[0], command, cli.env)
    return pid, terminal


@pytest.mark.parametrize("arguments", [("exec", "--name", "t-python", "bash"), ("shell", "t-python")])
@pytest.mark.parametrize("kill", [False, True])
def test_a_closed_terminal_ends_it(cli: Cli, mark: str, arguments: tuple[str, ...], kill: bool) -> None:
    pid, terminal = _on_terminal(cli, *arguments)
    try:
        os.write(terminal, (_script(mark) + "\n").encode())
        until(lambda: _count(mark) >= 1)
        if kill:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    until(lambda: _count(mark) == 0)


def test_ctrl_c_on_a_terminal_goes_inside(cli: Cli) -> None:
    pid, terminal = _on_terminal(cli, "exec", "--name", "t-python", "sh", "-c", "echo up; sleep 300")
    said = b""
    try:
        while b"up" not in said:
            said += os.read(terminal, 1024)
        ended: list[int] = []

        def pressed() -> bool:
            """Again where docker's client had not taken the terminal over yet: then it gets the first one, and drops it."""
            os.write(terminal, b"\x03")
            time.sleep(1)
            found, status = os.waitpid(pid, os.WNOHANG)
            ended.extend([os.waitstatus_to_exitcode(status)] if found else [])
            return bool(found)

        until(pressed)
        assert ended == [130]
    finally:
        os.close(terminal)


def test_what_was_detached_on_purpose_goes_on(cli: Cli, mark: str) -> None:
    kept = f"{mark}-kept"
    inner = f"nohup sh -c 'sleep 300; : {kept}' > /dev/null 2>&1 & setsid sh -c 'sleep 300; : {kept}' &"
    with _client(cli, "sh", "-c", f"{inner} sh -c 'sleep 300; : {mark}-x'; true") as client:
        until(lambda: _sleepers(mark) == 3)
        client.kill()
        client.wait()
        until(lambda: _sleepers(mark) <= 2)
    time.sleep(4)  # longer than the guard waits before it kills
    assert _sleepers(kept) == (1 if _engine_ignores_hangups() else 2)


def test_the_end_of_input_is_not_the_end_of_the_client(cli: Cli) -> None:
    with _client(cli, "sh", "-c", "cat; sleep 4; echo later; exit 3") as client:
        assert client.communicate(timeout=60)[0] == "later\n"
        assert client.returncode == 3
    piped = subprocess.run(
        cli.command("exec", "--name", "t-python", "--", "sh", "-c", "cat; sleep 1; echo after"),
        env=cli.env, input="x\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert piped.stdout == "x\nafter\n"


def test_an_ordinary_end_kills_nothing_and_leaves_nothing(cli: Cli, mark: str) -> None:
    cli.ok("exec", "--name", "t-python", "sh", "-c", f"sh -c 'sleep 300; : {mark}' > /dev/null 2>&1 &")
    until(lambda: "os.getpid" not in docker("exec", BOX, "ps", "-eo", "args"))  # the guard's own text
    assert _sleepers(mark) == 1
    assert ".devenv-exec-" not in docker("exec", BOX, "ls", "-A", "/tmp")
