"""A run's result, as JSON: the shapes of docs/reference/json.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.build.image import Image
from devenv.checks.gpu import Proof
from devenv.checks.smoke import Report
from devenv.container.gpu import Access
from devenv.doors.terminal.stages import StageReport
from devenv.up.decide import Decided
from devenv.up.up import Result

if TYPE_CHECKING:
    from devenv.resolve.pin_model import Recorded


def up_json(result: Result, stages: Sequence[StageReport], token: str) -> dict[str, Any]:
    """All of `up --json`; `stages` as `Stages.reports` gives them."""
    decided: Decided = result.decided
    return {
        "name": result.running.name,
        "preset": decided.plan.preset,
        "role": result.running.role,
        "lock_digest": decided.lock.digest,
        "image": image_json(result.image),
        "container_id": result.running.facts.id,
        "urls": result.running.urls(token),
        **result.running.proxy_json(),
        "gpu": gpu_json(result.running.gpu, result.proof),
        "model": result.running.facts.labels.get("dev.devenv.model"),
        "recorded": recorded_json(decided.recorded, decided.place),
        "untouched": result.untouched,
        "stages": stages_json(stages),
        "services": [{"name": ready.service, "seconds": ready.seconds} for ready in result.ready],
        "smoke": smoke_json(result.report),
    }


def recorded_json(recorded: Recorded | None, place: Path | None) -> dict[str, Any] | None:
    """`recorded` of `up --json` and `prefetch --json`: the model that this run wrote into the lock; None without."""
    return None if recorded is None else {"lock": str(place), **recorded.json()}


def gpu_json(given: Access | None, proof: Proof | None) -> dict[str, Any] | None:
    """`gpu` of `up --json`: the container's GPUs, their mode, and the result of their check; None without GPUs."""
    if given is None:
        return None
    return {
        "mode": given.mode,
        "devices": [
            {"index": device.index, "uuid": device.uuid, "name": device.name, "memory_bytes": device.memory_bytes,
             "capability": device.capability}
            for device in given.devices
        ],
        "check": proof and {
            "passed": proof.passed, "seconds": proof.wall_s, "inside_seconds": proof.seconds, "cuda": proof.cuda,
            "devices": [dict(device) for device in proof.devices],
        },
    }  # fmt: skip


def stages_json(reports: Sequence[StageReport]) -> list[dict[str, Any]]:
    """`stages` of `up --json` and `build --json`."""
    return [{"name": report.name, "seconds": report.seconds, "cached": report.cached} for report in reports]


def smoke_json(report: Report) -> dict[str, Any]:
    """`smoke` of `up --json`, and all of `smoke --json`."""
    return {
        "passed": report.passed,
        "checks": [
            {
                "name": c.name,
                "passed": c.passed,
                "expect": c.expect,
                "seconds": c.seconds,
                "exit_code": c.exit_code,
                "report": dict(c.report),
            }
            for c in report.checks
        ],
    }


def image_json(image: Image) -> dict[str, str]:
    """`image` of `up --json` and `build --json`: its reference and id (config digest)."""
    return {"reference": image.reference, "id": image.id, "digest": image.id}
