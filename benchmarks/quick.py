"""Commands that need no engine: help, render."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.command import Bench, call
from benchmarks.measure import Series, alternate, ratios
from benchmarks.result import Goal, Result, row, table

_MAX_HELP = 2.0
_MAX_RENDER_S = 0.3


def help_(bench: Bench) -> Result:
    """`devenv --help` against importing click."""
    ours, theirs = alternate(
        bench.rounds * 4,
        (lambda: bench.devenv("--help").seconds, lambda: call(sys.executable, "-c", "import click").seconds),
        warm_up=2,
    )
    helps = Series(name="`devenv --help`", samples=ours)
    click = Series(name="`python -c 'import click'`", samples=theirs)
    ratio = ratios("ratio", helps, click)
    return Result(
        name="help",
        title="`devenv --help`",
        goals=(Goal(text="against importing click alone", figure=ratio.median, limit=_MAX_HELP, unit="×"),),
        tables=(table("", (row(helps, "ms"), row(click, "ms"), row(ratio, "×"))),),
        remarks=(),
        data={"devenv": helps.as_json(), "click": click.as_json(), "ratio": ratio.as_json()},
    )


def _render(bench: Bench, name: str) -> float:
    return bench.devenv("render", name, "-o", str(bench.folder / "render" / name)).seconds


def render(bench: Bench) -> Result:
    """`devenv render` of every shipped preset, into a folder that has the files already after the first run."""
    names = [one["name"] for one in bench.devenv("presets", "--json").json()["presets"]]
    told = alternate(
        bench.rounds * 2,
        [partial(_render, bench, name) for name in names],
    )
    every = [Series(name=f"`devenv render {name}`", samples=samples) for name, samples in zip(names, told, strict=True)]
    return Result(
        name="render",
        title="`devenv render`",
        goals=tuple(Goal(text=one.name, figure=one.median, limit=_MAX_RENDER_S, unit="ms") for one in every),
        tables=(table("", tuple(row(one, "ms") for one in every)),),
        remarks=(),
        data={"presets": [one.as_json() for one in every]},
    )
