"""`devenv doctor`: with the network left alone, and with a network on which nothing answers."""

from __future__ import annotations

import json
import sys
from functools import partial

from benchmarks.command import PRESET, Bench, call
from benchmarks.measure import Series, alternate
from benchmarks.result import Goal, Result, row, table

_MAX_OFFLINE_S = 0.3
_MAX_UNREACHABLE_S = 1.5
# A proxy at an address kept for documentation: no packet comes back, so every probe runs into its time-out.
_NOWHERE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://192.0.2.1:3128"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), ""), "HF_ENDPOINT": "http://203.0.113.1",
}  # fmt: skip
_WITH_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""As an installed devenv has it."""


def _seconds(bench: Bench, *arguments: str, away: bool = False) -> float:
    return bench.devenv("doctor", *arguments, env={**_WITH_BYTECODE, **(_NOWHERE if away else {})}).seconds


def doctor(bench: Bench) -> Result:
    """Whole processes; a bare interpreter takes its turns too, as a measure of the machine's noise."""
    told = alternate(
        bench.rounds * 2,
        (
            partial(_seconds, bench, "--offline"),
            partial(_seconds, bench, PRESET, "--offline"),
            partial(_seconds, bench, PRESET, away=True),
            lambda: call(sys.executable, "-c", "pass").seconds,
        ),
        warm_up=2,
    )
    names = (
        "`devenv doctor --offline`", f"`devenv doctor {PRESET} --offline`",
        f"`devenv doctor {PRESET}`, nothing answers", "`python -c pass`",
    )  # fmt: skip
    machine, offline, away, python = (
        Series(name=name, samples=samples) for name, samples in zip(names, told, strict=True)
    )
    probes = json.loads(bench.devenv("doctor", PRESET, "--json", env=_NOWHERE).out)["machine"]["network"]["probes"]
    silent = sum(bool(one["problem"]) for one in probes)
    return Result(
        name="doctor",
        title="`devenv doctor`",
        goals=(
            Goal(text="the machine, network left alone", figure=machine.median, limit=_MAX_OFFLINE_S, unit="ms"),
            Goal(text="a preset, network left alone", figure=offline.median, limit=_MAX_OFFLINE_S, unit="ms"),
            Goal(
                text="a preset, nothing on the network answers", figure=away.median, limit=_MAX_UNREACHABLE_S, unit="s"
            ),
        ),
        tables=(table("", tuple(row(one, "ms") for one in (machine, offline, away, python))),),
        remarks=(f"{silent} of {len(probes)} addresses that were asked gave no answer.",),
        data={"series": [one.as_json() for one in (machine, offline, away, python)]},
    )
