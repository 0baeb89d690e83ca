"""The checks that one container has passed, kept so that a later `up` of the running container need not repeat them."""

from __future__ import annotations

import dataclasses
from typing import Any

from devenv.checks.gpu import Proof
from devenv.checks.smoke import Report
from devenv.container.labels import Running
from devenv.container.state import Environment
from devenv.doors.untrusted import value_of

_FILE = "smoke.json"


def keep(environment: Environment, running: Running, report: Report, proof: Proof | None) -> None:
    """Remember the smoke report of this very container, and the proof of its GPUs."""
    kept = {"container": running.facts.id, "report": dataclasses.asdict(report)}
    environment.keep(_FILE, {**kept, **({"gpu": dataclasses.asdict(proof)} if proof else {})})


def known(environment: Environment, running: Running) -> tuple[Report | None, Proof | None]:
    """The passed smoke report of this very container and the proof of its GPUs, if they were ever reached."""
    kept: Any = environment.kept(_FILE)
    try:
        if kept["container"] != running.facts.id:
            return None, None
        report = value_of(Report, kept["report"])
        proof = value_of(Proof, kept["gpu"]) if running.gpu else None
    except (KeyError, TypeError, ValueError):
        return None, None
    return (report if report.passed else None), proof
