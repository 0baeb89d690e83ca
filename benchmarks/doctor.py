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
# Addresses kept for documentation: no packet comes back, so every probe runs into its time-out. The name is of a domain
# that never resolves.
_NOWHERE = {
    "PIP_INDEX_URL": "http://192.0.2.1/simple", "NPM_CONFIG_REGISTRY": "http://198.51.100.1/",
    "DEVENV_APT_MIRROR_DEBIAN": "http://nowhere.invalid/debian", "HF_ENDPOINT": "http://203.0.113.1",
}  # fmt: skip


def _seconds(bench: Bench, *arguments: str, away: bool = False) -> float:
    return bench.devenv("doctor", *arguments, env=_NOWHERE if away else None).seconds


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
