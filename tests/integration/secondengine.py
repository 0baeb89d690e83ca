"""A second engine beside the machine's own, in its own namespaces. Needs root."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def second_engine(script: str, socket: Path, log: Path) -> Iterator[None]:
    """Run the shell script, which becomes a dockerd that listens at `socket`, while it is needed; `log` has its words."""
    assert os.getuid() == 0, "a second engine has namespaces of its own: run this test as root"
    with log.open("wb") as words:
        engine = subprocess.Popen(
            ["unshare", "--mount", "--uts", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script],
            stdout=words, stderr=words, start_new_session=True,
        )  # fmt: skip
    try:
        _wait(engine, socket, log)
        yield
    finally:
        os.killpg(engine.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            engine.wait(timeout=5)  # all that it has is thrown away
        with contextlib.suppress(ProcessLookupError):
            os.killpg(engine.pid, signal.SIGKILL)
        engine.wait()


def _wait(engine: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and engine.poll() is None:
        done = subprocess.run(["docker", "-H", f"unix://{socket}", "version"], capture_output=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.2)
    raise AssertionError(f"the second engine did not start:\n{log.read_text(errors='replace')[-3000:]}")
