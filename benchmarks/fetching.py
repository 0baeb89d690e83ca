"""Fetch: the same files with `devenv fetch`, one after another and in parallel, and with `pip download`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.command import PRESET, Bench, call, tell
from benchmarks.measure import Series, alternate, ratios
from benchmarks.result import Goal, Result, row, table

_ROOT = Path(__file__).parents[1]
# The room as the command uses it, with the number of connections given.
_FETCH = """
import sys, devenv.fetch.fetch
devenv.fetch.fetch.fetch.__kwdefaults__["jobs"] = int(sys.argv.pop(1))
from devenv.cli import main
main(sys.argv[1:])
"""
_SLOWEST = 1 / 0.9
_ROUNDS = 3
"""pip takes most of a minute each time."""


def fetching(bench: Bench) -> Result:
    """The Python wheels of the preset, from the user's own index, into empty folders."""
    lock = json.loads((_ROOT / "presets" / PRESET / "devenv.lock").read_text())
    wheels = [*lock["wheels"], lock["uv"], lock["node"]]
    project = bench.folder / "wheels"
    project.mkdir()
    lines = "".join(f"{one['name']}=={one['version']} --hash=sha256:{one['sha256']}\n" for one in wheels)
    (project / "requirements.txt").write_text(lines)
    megabytes = sum(one["size"] for one in wheels) / 1e6
    tell(f"  {len(wheels)} wheels, {megabytes:.0f} MB")
    # All else of the lock is in the store already: what is measured is these files.
    store = bench.cache / "store"
    bench.devenv("fetch", PRESET)
    held = {one["sha256"] for one in wheels}

    def ours(jobs: int) -> float:
        for sha256 in held:
            found = store / "sha256" / sha256[:2] / sha256
            found.unlink(missing_ok=True)
        options = {**bench.env, "PIP_NO_CACHE_DIR": "1"}
        return call(sys.executable, "-c", _FETCH, str(jobs), "fetch", PRESET, env=options).seconds

    def pip() -> float:
        return call(
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--only-binary=:all:",
            "--require-hashes", "--dest", str(bench.folder / "downloads"), "-r", str(project / "requirements.txt"),
        ).seconds  # fmt: skip

    def fresh_pip() -> float:
        call("rm", "-rf", str(bench.folder / "downloads"))
        return pip()

    one, parallel, plain = alternate(min(bench.rounds, _ROUNDS), (lambda: ours(1), lambda: ours(12), fresh_pip))
    series = (
        Series(name="`devenv fetch`, one connection", samples=one),
        Series(name="`devenv fetch`", samples=parallel),
        Series(name="`pip download`", samples=plain),
    )
    single, whole = ratios("one connection / pip", series[0], series[2]), ratios("devenv / pip", series[1], series[2])
    return Result(
        name="fetch",
        title="Fetch",
        goals=(
            Goal(text="one connection, time against `pip download`", figure=single.median, limit=_SLOWEST, unit="×"),
            Goal(text="as it is, time against `pip download`", figure=whole.median, limit=0.5, unit="×"),
        ),
        tables=(table("", (*(row(one, "s") for one in series), row(single, "×"), row(whole, "×"))),),
        remarks=(f"{len(wheels)} wheels, {megabytes:.0f} MB, from this machine's index; both verify every byte.",),
        data={"series": [one.as_json() for one in series], "megabytes": megabytes},
    )
