"""Cold build: nothing downloaded, nothing built. Removes devenv's images and the builder's cache: only when asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.command import PRESET, Bench, call, remove_images, tell
from benchmarks.result import Result, Table, number

_SHOWN = 15


def cold(bench: Bench) -> Result:
    """`devenv build` with an empty store and an empty builder cache, and where the time goes."""
    forget_images()
    cache = bench.folder / "cache"
    tell("  an empty cache: everything is downloaded and built, the editor compiled")
    done = bench.devenv("build", PRESET, "--json", env={"XDG_CACHE_HOME": str(cache)})
    report = done.json()
    files, size = folder_size(cache / "devenv" / "store")
    return Result(
        name="cold",
        title="Cold build",
        goals=(),
        tables=(stage_table(report["stages"], done.seconds), step_table(report["steps"])),
        remarks=(
            f"One run. {files} files, {size / 1e6:.0f} MB, were downloaded and checked by the stage `fetch`.",
            "The build steps overlap: BuildKit runs what does not depend on one another at the same time.",
        ),
        data={**report, "seconds": round(done.seconds, 2), "files": files, "bytes": size},
    )


def forget_images() -> None:
    """Remove devenv's images and empty the builder's cache."""
    remove_images("devenv/*")
    call("docker", "buildx", "prune", "--all", "--force")


def stage_table(stages: Sequence[Mapping[str, Any]], wall_s: float) -> Table:
    """The stages in order, the rest, the sum."""
    rows = [(one["name"], number(one["seconds"], "s"), share(one["seconds"], wall_s)) for one in stages]
    rest = wall_s - sum(one["seconds"] for one in stages)
    rows += [("*the rest*", number(rest, "s"), share(rest, wall_s)), ("**together**", number(wall_s, "s"), "")]
    return Table(title="Stages:", columns=("stage", "time", "share"), rows=tuple(rows))


def step_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """The longest build steps; those of the second, tagging build that came from the cache are not counted."""
    ran = sorted((one for one in steps if not one["cached"]), key=lambda one: -one["seconds"])
    shown, others = ran[:_SHOWN], ran[_SHOWN:]
    rows = [(f"`{_short(one['name'])}`", number(one["seconds"], "s")) for one in shown]
    if others:
        rows.append((f"{len(others)} further steps", number(sum(one["seconds"] for one in others), "s")))
    return Table(title="Build steps, the longest first:", columns=("step", "time"), rows=tuple(rows))


def share(part: float, whole: float) -> str:
    """A part of the whole in per cent."""
    return f"{100 * part / whole:.0f} %"


def _short(name: str) -> str:
    """A step's name without its mounts: what it runs."""
    words = [word for word in name.replace("`", "'").split() if not word.startswith("--mount=")]
    text = " ".join(words)
    return text if len(text) <= 90 else text[:89] + "…"


def folder_size(folder: Path) -> tuple[int, int]:
    """(files, bytes) below a folder."""
    sizes = [one.stat().st_size for one in folder.rglob("*") if one.is_file()]
    return len(sizes), sum(sizes)
