"""Rebuild: a project that extends the preset gets one more Python package."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from benchmarks.command import PREFIX, PRESET, Bench, FailedError, remove_images, tell
from benchmarks.measure import Series
from benchmarks.result import Goal, Result, row, table

NAME = f"{PREFIX}rebuild"
_MAX_S = 5.0

_PACKAGES = (
    ("cachetools", ("5.3.3", "5.4.0", "5.5.0", "5.5.2")),
    ("humanize", ("4.9.0", "4.10.0", "4.11.0", "4.12.0")),
    ("more-itertools", ("10.2.0", "10.3.0", "10.4.0", "10.5.0")),
    ("natsort", ("8.2.0", "8.3.0", "8.3.1", "8.4.0")),
    ("pathspec", ("0.10.3", "0.11.2", "0.12.0", "0.12.1")),
    ("sortedcontainers", ("2.1.0", "2.2.2", "2.3.0", "2.4.0")),
    ("tabulate", ("0.8.9", "0.8.10", "0.9.0")),
    ("tomli", ("2.0.0", "2.0.1", "2.0.2", "2.1.0")),
    ("toolz", ("0.11.2", "0.12.0", "0.12.1", "1.0.0")),
)
"""Small pure packages without requirements. Two chosen by chance come first, so that the builder's cache, which may
know the packages of an earlier session, cannot know the set."""


def rebuild(bench: Bench) -> Result:
    """`devenv lock` and `devenv up` after one line was added to `pip:`, the download left out."""
    chosen = [f"{name}=={random.choice(versions)}" for name, versions in random.sample(_PACKAGES, len(_PACKAGES))]
    project = bench.folder / "project"
    project.mkdir()
    _write(project, chosen[:2])
    tell(f"  a project with {' and '.join(chosen[:2])}")
    bench.devenv("lock", cwd=project)
    bench.devenv("up", "--json", cwd=project)
    runs = []
    try:
        for number in range(min(bench.rounds, len(chosen) - 2)):
            _write(project, chosen[: 3 + number])
            runs.append(_once(bench, project, chosen[2 + number]))
    finally:
        bench.down(NAME, "--volumes")
        remove_images(f"devenv/{NAME}")
    return _result(runs)


def _write(project: Path, packages: list[str]) -> None:
    lines = "".join(f"  - {one}\n" for one in packages)
    (project / "devenv.yaml").write_text(f"extends: {PRESET}\nname: {NAME}\npip:\n{lines}", encoding="utf-8")


def _once(bench: Bench, project: Path, package: str) -> dict[str, float]:
    lock = bench.devenv("lock", cwd=project)
    up = bench.devenv("up", "--json", cwd=project)
    report: dict[str, Any] = up.json()
    found = {one["name"]: float(one["seconds"]) for one in report["stages"]}
    if "build" not in found:
        raise FailedError(f"nothing was built for {package}")
    tell(f"    {package}: lock {lock.seconds:.2f} s, up {up.seconds:.2f} s, of it fetch {found.get('fetch', 0):.2f} s")
    return {"lock": lock.seconds, "up": up.seconds, **{f"stage {name}": seconds for name, seconds in found.items()}}


def _result(runs: list[dict[str, float]]) -> Result:
    fetches = Series(name="stage fetch (not counted)", samples=tuple(one.get("stage fetch", 0.0) for one in runs))
    total = Series(
        name="`devenv lock` and `devenv up`, without fetch",
        samples=tuple(one["lock"] + one["up"] - f for one, f in zip(runs, fetches.samples, strict=True)),
    )
    names = [name for name in runs[0] if name.startswith("stage ") and name != "stage fetch"]
    parts = [Series(name=name, samples=tuple(one.get(name, 0.0) for one in runs)) for name in names]
    locks = Series(name="`devenv lock`, asking the index included", samples=tuple(one["lock"] for one in runs))
    ups = Series(name="`devenv up`", samples=tuple(one["up"] for one in runs))
    rows = tuple(row(one, "s") for one in (total, locks, ups, *parts, fetches))
    return Result(
        name="rebuild",
        title="One more Python package",
        goals=(Goal(text="lock, build, boot, smoke test; no download", figure=total.median, limit=_MAX_S, unit="s"),),
        tables=(table("", rows),),
        remarks=("The container that ran is replaced: its stop is inside the stage `boot`.",),
        data={"total": total.as_json(), "lock": locks.as_json(), "up": ups.as_json(), "fetch": fetches.as_json(),
              "stages": [one.as_json() for one in parts]},
    )  # fmt: skip
