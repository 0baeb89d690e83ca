"""Model weights: `devenv prefetch` beside the hubs' own commands, and `weights serve` beside nginx, on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.command import Bench, FailedError, Ran, call, measured, tell
from benchmarks.measure import Series, alternate, ratios
from benchmarks.result import Goal, Result, Table, row, table

_SHARDS, _SHARD_BYTES = 4, 480_000_000
_SMALL, _SMALL_BYTES = 500, 120_000
_MANY, _MANY_BYTES = 5_000, 4_000
_SERVED_BYTES = 1_500_000_000
_ID, _COMMIT = "acme/Tiny-1.0", "c0ffee" + "0" * 34
_MAX_RSS_BYTES = 200_000_000
_CURL = ("curl", "-sf", "-o", "/dev/null")


def weights(bench: Bench) -> Result:
    """All of it."""
    rounds = max(3, bench.rounds // 2)
    large, many = bench.folder / "large", bench.folder / "many"
    for number in range(_SHARDS):
        _write(large / f"model-{number + 1:05}-of-{_SHARDS:05}.safetensors", _SHARD_BYTES, number)
    for number in range(_SMALL):
        _write(large / "small" / f"{number}.json", _SMALL_BYTES, 100 + number)
    for number in range(_MANY):
        _write(many / f"{number // 100}" / f"{number}.txt", _MANY_BYTES, 1000 + number)
    total = sum(path.stat().st_size for path in large.rglob("*") if path.is_file())
    tell(f"  {total / 1e9:.2f} GB in large and small files")
    with _hub(large) as url:
        big = _compare(bench, "big", url, max(5, bench.rounds), warm_up=1)
        here = _here(bench, "big", url)
        linked = _from_cache(bench, "big", url, max(5, bench.rounds))
    with _hub(many) as url:
        little = _compare(bench, "little", url, rounds, warm_up=0)
    served = _serve(bench, rounds)
    ours, theirs = big
    ours_many, theirs_many = little
    rss = max(one.rss_bytes for one in ours.ran)
    rows = [
        *(row(one.series(), "s") for one in (ours, *theirs)),
        *(row(one, "×") for one in _ratios(ours, theirs)),
    ]  # fmt: skip
    rows_many = [
        *(row(one.series(), "s") for one in (ours_many, *theirs_many)),
        *(row(one, "×") for one in _ratios(ours_many, theirs_many)),
    ]  # fmt: skip
    fastest, fastest_many = _worst(ours, theirs), _worst(ours_many, theirs_many)
    return Result(
        name="weights",
        title="Model weights",
        goals=(
            _goal(f"{total / 1e9:.1f} GB against the faster of the hubs' commands", fastest.median, 0.8, "×"),
            _goal(f"{_MANY} small files against the faster of them", fastest_many.median, 0.3, "×"),
            _goal("already here, inside the command", here.median, 0.05, "ms"),
            _goal("from an existing hub cache, inside the command", linked.median, 1.0, "s"),
            _goal("`weights serve` against nginx, time for one large file", served[2].median, 1 / 0.8, "×"),
            _goal("memory of `devenv prefetch` against 200 MB", rss / _MAX_RSS_BYTES, 1.0, "×"),
        ),
        tables=(
            table(
                f"{_SHARDS} files of {_SHARD_BYTES / 1e6:.0f} MB and {_SMALL} of {_SMALL_BYTES / 1e3:.0f} kB, from "
                "nothing:", tuple(rows),
            ),
            table(f"{_MANY} files of {_MANY_BYTES / 1e3:.0f} kB, from nothing:", tuple(rows_many)),
            table(
                f"`weights serve` and nginx, {_SERVED_BYTES / 1e9:.1f} GB over one connection:",
                (row(served[0], "s"), row(served[1], "s"), row(served[2], "×")),
            ),
            Table(
                title="Most memory held at once:", columns=("", "large set", "many files"),
                rows=tuple(
                    (a.name, a.memory(), b.memory())
                    for a, b in zip((ours, *theirs), (ours_many, *theirs_many), strict=True)
                ),
            ),
        ),
        remarks=(
            "devenv hashes every byte within the time shown; `hf download` hashes none, `modelscope download` all.",
            "The server is the tests' hub (sendfile), on the same machine: it competes for the same processors.",
            "An uncounted round comes before the large set and before the cache, none before the many files.",
        ),
        data={
            "large": {one.name: one.series().as_json() for one in (ours, *theirs)},
            "many": {one.name: one.series().as_json() for one in (ours_many, *theirs_many)},
            "here": here.as_json(), "linked": linked.as_json(), "rss_bytes": rss,
            "serve": [one.as_json() for one in served],
        },
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """All runs of one program."""

    name: str
    ran: tuple[Ran, ...]

    def memory(self) -> str:
        """The most of all runs."""
        return f"{max(one.rss_bytes for one in self.ran) / 1e6:.0f} MB"

    def series(self) -> Series:
        """Their times."""
        return Series(name=f"`{self.name}`", samples=tuple(one.seconds for one in self.ran))


def _goal(text: str, figure: float, limit: float, unit: str) -> Goal:
    return Goal(text=text, figure=figure, limit=limit, unit=unit)


def _ratios(ours: _Runs, theirs: tuple[_Runs, ...]) -> tuple[Series, ...]:
    return tuple(ratios(f"against `{one.name}`", ours.series(), one.series()) for one in theirs)


def _worst(ours: _Runs, theirs: tuple[_Runs, ...]) -> Series:
    return max(_ratios(ours, theirs), key=lambda one: one.median)


def _write(path: Path, size: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(rng.randbytes(min(size, 1 << 22)))


@contextlib.contextmanager
def _hub(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.integration.hub", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()
            server.wait()


def _preset(bench: Bench, name: str, url: str) -> Path:
    """A project whose preset names the model, locked."""
    folder = bench.folder / f"preset-{name}"
    folder.mkdir(exist_ok=True)
    preset = f"name: bench-{name}\nextends: python\nmodel:\n  huggingface: {{id: {_ID}, revision: {_COMMIT}}}\n"
    (folder / "devenv.yaml").write_text(preset)
    if not (folder / "devenv.lock").exists():
        bench.devenv("lock", cwd=folder, env={"HF_ENDPOINT": url})
    return folder


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _compare(bench: Bench, name: str, url: str, rounds: int, *, warm_up: int) -> tuple[_Runs, tuple[_Runs, ...]]:
    """devenv, `hf download` and `modelscope download` in turns, each time from nothing."""
    folder = _preset(bench, name, url)
    target = bench.folder / "target"
    common = {"HF_ENDPOINT": url, "MODELSCOPE_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1", **bench.env}

    def run(command: list[str]) -> Callable[[], Ran]:
        def once() -> Ran:
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            os.sync()
            caches = {"HF_HOME": str(target / "hf"), "MODELSCOPE_CACHE": str(target / "ms")}
            return measured(command, env={**common, **caches})

        return once

    preset = str(folder / "devenv.yaml")
    told = alternate(
        rounds,
        (
            run([bench.program, "prefetch", preset, "--weights-dir", str(target / "weights")]),
            run([_program("hf"), "download", _ID, "--revision", _COMMIT]),
            run([_program("modelscope"), "download", _ID]),
        ),
        warm_up=warm_up,
    )
    shutil.rmtree(target, ignore_errors=True)
    ours, hf, scope = (
        _Runs(name=label, ran=ran)
        for label, ran in zip(("devenv prefetch", "hf download", "modelscope download"), told, strict=True)
    )
    return ours, (hf, scope)


def _here(bench: Bench, name: str, url: str) -> Series:
    """The time of a prefetch without work, as it reports itself."""
    folder = _preset(bench, name, url)
    store = bench.folder / "weights"
    env = {"HF_ENDPOINT": url, "HF_HOME": str(bench.folder / "none")}
    command = ("prefetch", str(folder / "devenv.yaml"), "--weights-dir", str(store), "--json")
    bench.devenv(*command, env=env)
    samples = tuple(bench.devenv(*command, env=env).json()["seconds"] for _ in range(10))
    shutil.rmtree(store)
    return Series(name="already here", samples=samples)


def _from_cache(bench: Bench, name: str, url: str, rounds: int) -> Series:
    """From a cache that `hf download` has filled."""
    folder = _preset(bench, name, url)
    env = {"HF_ENDPOINT": url, "HF_HOME": str(bench.folder / "hf")}
    call(_program("hf"), "download", _ID, "--revision", _COMMIT, env=env)
    samples = []
    for number in range(rounds + 1):
        store = bench.folder / f"linked-{number}"
        told = bench.devenv(
            "prefetch", str(folder / "devenv.yaml"), "--weights-dir", str(store), "--json", env=env
        ).json()
        if told["bytes"]:
            raise FailedError("the cache was not used")
        samples.append(told["seconds"])
        shutil.rmtree(store)
    shutil.rmtree(bench.folder / "hf")
    return Series(name="from a cache", samples=tuple(samples[1:]))


def _serve(bench: Bench, rounds: int) -> tuple[Series, Series, Series]:
    """curl of one large file from `weights serve` and from nginx."""
    source = bench.folder / "served"
    _write(source / "model.safetensors", _SERVED_BYTES, 7)
    with _hub(source) as url:
        folder = _preset(bench, "served", url)
        store = bench.folder / "served-store"
        bench.devenv(
            "prefetch", str(folder / "devenv.yaml"), "--weights-dir", str(store),
            env={"HF_ENDPOINT": url, "HF_HOME": str(bench.folder / "none")},
        )  # fmt: skip
    root = next((store / "models").iterdir())
    command = [bench.program, "weights", "serve", "--no-token", "--port", "0", "--weights-dir", str(store)]
    with (
        _nginx(bench, root) as nginx,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            own = server.stdout.readline().split("=")[1].strip()
            mine, theirs = alternate(
                rounds,
                (
                    lambda: (
                        call(
                            "curl", "-sf", "-o", "/dev/null", f"{own}/{_ID}/resolve/{_COMMIT}/model.safetensors"
                        ).seconds
                    ),
                    lambda: call("curl", "-sf", "-o", "/dev/null", f"{nginx}/model.safetensors").seconds,
                ),
            )
        finally:
            server.terminate()
    one, other = Series(name="`devenv weights serve`", samples=mine), Series(name="nginx", samples=theirs)
    return one, other, ratios("ratio", one, other)


@contextlib.contextmanager
def _nginx(bench: Bench, root: Path) -> Iterator[str]:
    """nginx on a free port, from a folder; sendfile on, as it is set up to serve files."""
    import socket

    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        raise FailedError("nginx is not installed (apt-get install nginx-light)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = bench.folder / "nginx"
    folder.mkdir()
    config = folder / "nginx.conf"
    paths = "".join(
        f"{one}_temp_path {folder}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )  # fmt: skip
    config.write_text(
        f"user root; daemon off; pid {folder}/pid; error_log {folder}/error; worker_processes auto; events {{}}\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; {paths}\n"
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    )
    with subprocess.Popen(
        [program, "-c", str(config), "-e", str(folder / "error")], stderr=subprocess.DEVNULL
    ) as server:
        try:
            for _ in range(100):
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
