"""Warm start: the image is here, the container is not. And `up` on an environment that runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks import byhand
from benchmarks.command import PREFIX, PRESET, Bench, Done, FailedError, call, tell
from benchmarks.measure import Series, alternate, ratios, take_turns
from benchmarks.result import Goal, Result, Table, number, row, table

NAME = f"{PREFIX}warm"
_MAX_RATIO = 1.05
_MAX_S = 5.2
_PACKAGES = ("devenv", "pydantic", "pydantic_core", "click", "yaml", "packaging", "rich", "docker", "annotated_types")
_SHAPES = ("devenv.preset.model", "devenv.lock.model", "devenv.lock.artifact")
_MAX_NOOP_S, _MAX_READ_S = 0.25, 0.2
_AT_ONCE = ("ready", "smoke")


def warm(bench: Bench) -> Result:
    """`devenv up` against the same services started by hand."""
    tell("  the image and its page cache")
    first = bench.devenv("up", PRESET, "--name", NAME, "--json").json()
    preset = bench.devenv("show", PRESET, "--json").json()["preset"]
    image = byhand.inspect(first["image"]["reference"], preset)
    byhand.prepare(image)

    def ours() -> tuple[float, dict[str, Any]]:
        byhand.clear()
        bench.down(NAME)
        done = bench.devenv("up", PRESET, "--name", NAME, "--json")
        tell(f"    devenv   {done.seconds:6.2f} s")
        report = done.json()
        if any(one["name"] == "build" for one in report["stages"]):
            raise FailedError("`up` built an image: the templates or the preset changed meanwhile")
        return done.seconds, report

    def theirs() -> dict[str, float]:
        byhand.clear()
        bench.down(NAME)
        seconds = byhand.run(image)
        tell("    by hand  " + ", ".join(f"{name} {one:.2f} s" for name, one in seconds.items()))
        return seconds

    try:
        mine, hand = take_turns(bench.rounds, ours, theirs)
    finally:
        byhand.clear()
    return _result(mine, hand, _inside(bench))


def _result(
    mine: Sequence[tuple[float, dict[str, Any]]], hand: Sequence[Mapping[str, float]], inside: tuple[Series, ...]
) -> Result:
    ups = Series(name="`devenv up rapidocr`", samples=tuple(seconds for seconds, _ in mine))
    slowest = Series(name="by hand: the slowest of them", samples=tuple(max(one.values()) for one in hand))
    each = [Series(name=f"by hand: {name}", samples=tuple(one[name] for one in hand)) for name in hand[0]]
    ratio = ratios("`devenv up` / the slowest by hand", ups, slowest)
    staged = stages(tuple(report for _, report in mine), ups)
    rows = (row(ups, "s"), *(row(one, "s") for one in each), row(slowest, "s"), row(ratio, "×"))
    return Result(
        name="warm",
        title="Warm start",
        goals=(
            Goal(
                text="against the slowest, started by hand in parallel", figure=ratio.median, limit=_MAX_RATIO, unit="×"
            ),
            Goal(text="to a passed smoke test", figure=ups.median, limit=_MAX_S, unit="s"),
        ),
        tables=(
            table("", rows),
            table("Where `devenv up` spends it, stage by stage:", tuple(row(one, "s") for one in staged)),
            table("What starting the program itself costs:", tuple(row(one, "ms") for one in inside)),
        ),
        remarks=(
            "`ready` and `smoke` run at the same time; the services' own times lie inside `ready`.",
            "*The rest* is the process's start, imports, the connection to the engine and the image look-up.",
        ),
        data={
            "devenv": ups.as_json(),
            "by_hand": [one.as_json() for one in (*each, slowest)],
            "ratio": ratio.as_json(),
            "stages": [one.as_json() for one in staged],
            "program": [one.as_json() for one in inside],
        },
    )


def stages(reports: Sequence[Mapping[str, Any]], walls: Series) -> tuple[Series, ...]:
    """Each stage of `up --json` over several runs, the services inside `ready`, and what no stage accounts for.

    Stages that run at the same time count as the longest of them.
    """
    found: dict[str, list[float]] = {}
    rest = []
    for report, wall in zip(reports, walls.samples, strict=True):
        by_name = {one["name"]: float(one["seconds"]) for one in report["stages"]}
        for name, seconds in by_name.items():
            found.setdefault(name, []).append(seconds)
        for service in report["services"]:
            found.setdefault(f"service {service['name']}", []).append(float(service["seconds"]))
        together = [by_name.pop(name, 0.0) for name in _AT_ONCE]
        rest.append(wall - sum(by_name.values()) - max(together))
    named = tuple(Series(name=name, samples=tuple(samples)) for name, samples in found.items())
    return (*named, Series(name="*the rest*", samples=tuple(rest)))


def _inside(bench: Bench) -> tuple[Series, ...]:
    """What a process of devenv's pays before it does anything."""
    programs = {
        "`python -c pass`": (sys.executable, "-c", "pass"),
        "… and the command line": (sys.executable, "-c", "import devenv.cli.app"),
        "… and the rooms of `up`": (sys.executable, "-c", "import devenv.cli.up, devenv.up.up"),
        "… and the docker SDK": (sys.executable, "-c", "import devenv.cli.up, devenv.up.up, docker"),
    }
    told = alternate(max(bench.rounds, 5), [partial(call, *command) for command in programs.values()])
    return tuple(
        Series(name=name, samples=tuple(one.seconds for one in runs)) for name, runs in zip(programs, told, strict=True)
    )


def noop(bench: Bench) -> Result:
    """`devenv up` on an environment that runs and has passed its smoke test."""
    bench.devenv("up", PRESET, "--name", NAME, "--json")

    def again() -> Done:
        done = bench.devenv("up", PRESET, "--name", NAME, "--json")
        if not done.json()["untouched"]:
            raise FailedError("`up` on a running environment changed something")
        return done

    runs, lists, states = alternate(
        max(bench.rounds, 5), (again, lambda: bench.devenv("ps"), lambda: bench.devenv("status", NAME))
    )
    walls = Series(name="`devenv up rapidocr`, running already", samples=tuple(one.seconds for one in runs))
    reads = tuple(
        Series(name=f"`devenv {name}`", samples=tuple(one.seconds for one in ran))
        for name, ran in (("ps", lists), ("status", states))
    )
    return Result(
        name="noop",
        title="`up` on a running environment",
        goals=(
            Goal(text="nothing to do", figure=walls.median, limit=_MAX_NOOP_S, unit="s"),
            *(Goal(text=one.name, figure=one.median, limit=_MAX_READ_S, unit="s") for one in reads),
        ),
        tables=(
            table("", tuple(row(one, "ms") for one in (walls, *reads))),
            Table(
                title="Where the first of them spends its imports, by `python -X importtime`, which is slower itself:",
                columns=("", "own time"),
                rows=_imports(bench),
            ),
        ),
        remarks=(f"Each run probes every service once; the slowest took {number(walls.high, 'ms')}.",),
        data={one.name: one.as_json() for one in (walls, *reads)},
    )


def _imports(bench: Bench) -> tuple[tuple[str, str], ...]:
    """The time of each package's own modules while `up` finds everything running, the largest first."""
    told = call(
        sys.executable, "-X", "importtime", "-m", "devenv", "up", PRESET, "--name", NAME, env=bench.env
    ).err  # fmt: skip
    spent: dict[str, int] = {}
    for own, module in re.findall(r"^import time: +([0-9]+) \| +[0-9]+ \| +(\S+)$", told, re.MULTILINE):
        top = module.partition(".")[0]
        if module in _SHAPES:
            top = "devenv: the classes of preset and lock, which pydantic makes"
        name = top if top in _PACKAGES or module in _SHAPES else "Python's own modules, and others"
        spent[name] = spent.get(name, 0) + int(own)
    largest = sorted(spent.items(), key=lambda item: -item[1])
    return tuple((name, number(us / 1e6, "ms")) for name, us in (*largest, ("together", sum(spent.values()))))
