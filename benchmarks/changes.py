"""What changed: `devenv diff`, and `devenv snapshot` against `docker commit`, with 1 GB of changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count

from benchmarks.command import PREFIX, PRESET, Bench, FailedError, call, docker, tell
from benchmarks.measure import Series, ratios, take_turns
from benchmarks.result import Goal, Result, row, table

NAME = f"{PREFIX}changes"
_BOX = f"devenv-{NAME}"
_MAX_RATIO = 1.3
_MAX_DIFF_S = 3.0
_FILL = """
mkdir -p /home/dev/made && cd /home/dev/made && head -c 1000000000 /dev/urandom > big
for number in $(seq 2000); do head -c 20000 /dev/urandom > file$number; done; chown -R dev:dev /home/dev/made
"""
_SECRETS = re.compile(r"^  ✓ secrets +(?:(\d+) min )?([\d.]+) s", re.MULTILINE)


def changes(bench: Bench) -> Result:
    """Both sides end with their bytes on the disk: `docker commit` is followed by `sync`, a snapshot does it itself."""
    bench.devenv("up", PRESET, "--name", NAME)
    clean = Series(name="`devenv diff`, nothing changed", samples=tuple(_diff(bench) for _ in range(bench.rounds)))
    docker("exec", "-u", "root", _BOX, "sh", "-c", _FILL)
    numbers = count()

    def snapshot() -> tuple[float, float]:
        name = f"{NAME}-{next(numbers)}"
        call("sync")
        done = bench.devenv("snapshot", NAME, name, "--no-lock")
        bench.devenv("snapshots", "rm", name)
        searching = seconds_of_secrets(done.err)
        tell(f"    snapshot {done.seconds:6.2f} s, {searching:.2f} s of it the search for secrets")
        return done.seconds, searching

    def commit() -> float:
        call("sync")
        seconds = call("docker", "commit", _BOX, f"{NAME}:1").seconds + call("sync").seconds
        docker("rmi", "-f", f"{NAME}:1")
        tell(f"    commit   {seconds:6.2f} s")
        return seconds

    pairs, commits = take_turns(bench.rounds, snapshot, commit)
    return _result(clean, pairs, commits)


def _diff(bench: Bench) -> float:
    return bench.devenv("diff", NAME).seconds


def seconds_of_secrets(text: str) -> float:
    """How long the list of stages says that the search for secrets took."""
    if not (found := _SECRETS.search(text)):
        raise FailedError(f"no stage 'secrets' in: {text[-500:]}")
    return 60 * int(found[1] or 0) + float(found[2])


def _result(clean: Series, pairs: Sequence[tuple[float, float]], commits: Sequence[float]) -> Result:
    snapshots = Series(name="`devenv snapshot`, without the search", samples=tuple(all_ - part for all_, part in pairs))
    searches = Series(name="the search for secrets", samples=tuple(part for _, part in pairs))
    commit = Series(name="`docker commit` and `sync`", samples=tuple(commits))
    ratio = ratios("ratio", snapshots, commit)
    return Result(
        name="changes",
        title="What changed, and snapshots",
        goals=(
            Goal(
                text="a snapshot of 1 GB against `docker commit`, without the search for secrets", figure=ratio.median,
                limit=_MAX_RATIO, unit="×",
            ),
            Goal(text="`devenv diff` of an untouched environment", figure=clean.median, limit=_MAX_DIFF_S, unit="s"),
        ),
        tables=(
            table(
                "One file of 1 GB and 2,000 of 20 kB:",
                (row(snapshots, "s"), row(searches, "s"), row(commit, "s"), row(ratio, "×"), row(clean, "s")),
            ),
        ),
        remarks=("The user is root, who reads the layer's folder; others read through the engine, more slowly.",),
        data={"series": [one.as_json() for one in (snapshots, searches, commit, ratio, clean)]},
    )  # fmt: skip
