"""What `devenv exec`, `shell` and `run` start ends with them, however they end, and with nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
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


def _runs() -> list[str]:
    """The containers of one-off commands beside the environment."""
    return docker("ps", "-a", "--format", "{{.Names}}", "--filter", "label=dev.devenv.run=t-python").split()


@contextlib.contextmanager
def _run(cli: Cli, script: str) -> Iterator[subprocess.Popen[str]]:
    """A one-off command that has begun: its script prints `up`."""
    with subprocess.Popen(
        cli.command("-q", "run", "t-python", "--", "sh", "-c", script), env=cli.env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=_mind_signals,  # noqa: PLW1509  (no threads here)
    ) as client:  # fmt: skip
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == "up\n"
            yield client
        finally:
            client.kill()


def test_one_off_commands_run_beside_the_environment(cli: Cli, mark: str, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from the host\n")
    tmp_path.chmod(0o755)
    script = f"cat; cat /data/given; echo $A; cat > /workspace/{mark} < /data/given; ls /run/devenv/sv/ide/run; exit 7"
    with _run(cli, "echo up; sleep 300"):
        done = subprocess.run(
            cli.command("-q", "run", "t-python", "-e", "A=it's", "-v", f"{tmp_path}:/data:ro", "--", "sh", "-c", script),
            env=cli.env, input="piped\n", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (7, "piped\nfrom the host\nit's\n/run/devenv/sv/ide/run\n"), (
            done.stderr
        )
        (other,) = _runs()
        facts = json.loads(docker("inspect", other))[0]
        assert facts["HostConfig"]["PortBindings"] in (None, {})
        assert "sv ide" not in docker("exec", other, "ps", "-eo", "args").replace("runsv", "sv")
        assert docker("exec", BOX, "cat", f"/workspace/{mark}") == "from the host\n"
        assert [one["runs"] for one in cli.ok("ps", "--json").json() if one["name"] == "t-python"] == [[other]]
    until(lambda: _runs() == [])


def test_a_one_off_command_hears_every_signal_and_ends_when_it_likes(cli: Cli) -> None:
    traps = "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'sleep 1; echo saved; exit 5' TERM"
    with _run(cli, f"{traps}; echo up; while :; do sleep 0.1; done") as client:
        assert client.stdout is not None
        for number, told in ((signal.SIGUSR1, "usr1\n"), (signal.SIGHUP, "hup\n")):
            client.send_signal(number)
            assert client.stdout.readline() == told
        client.terminate()
        assert client.communicate(timeout=60)[0] == "saved\n"
        assert client.returncode == 5
    assert _runs() == []


def test_the_second_ctrl_c_kills_a_one_off_command(cli: Cli) -> None:
    with _run(cli, "trap 'echo heard' INT; echo up; while :; do sleep 0.1; done") as client:
        assert client.stdout is not None
        client.send_signal(signal.SIGINT)
        assert client.stdout.readline() == "heard\n"
        client.send_signal(signal.SIGINT)
        assert client.wait(timeout=60) == 137
    assert _runs() == []


def test_a_killed_client_leaves_no_container(cli: Cli, mark: str) -> None:
    with _run(
        cli, f"trap 'echo {mark} > /workspace/{mark}; exit' TERM; echo up; while :; do sleep 0.1; done"
    ) as client:
        os.killpg(client.pid, signal.SIGKILL)
        until(lambda: _runs() == [])
    assert docker("exec", BOX, "cat", f"/workspace/{mark}") == f"{mark}\n"  # it could save its work


def test_a_one_off_command_ends_with_its_terminal(cli: Cli) -> None:
    pid, terminal = _on_terminal(cli, "-q", "run", "t-python", "--", "sh", "-c", "tty; sleep 300")
    said = b""
    try:
        while b"/dev/pts" not in said:
            said += os.read(terminal, 1024)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    until(lambda: _runs() == [])
