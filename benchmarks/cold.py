"""Cold build: nothing downloaded, nothing built. Removes devenv's images and the builder's cache: only when asked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import handwritten
from benchmarks.command import PREFIX, PRESET, Bench, Done, FailedError, call, remove_images, tell
from benchmarks.measure import Series
from benchmarks.result import Goal, Result, Table, number

_SHOWN = 15


def cold(bench: Bench) -> Result:
    """`devenv build` from nothing, then with only its store, against the hand-written image; what identity costs."""
    cache, plain, tag = bench.folder / "cache", bench.folder / "naive", f"{PREFIX}naive-cold"
    try:
        tell("  a plain base image, for the hand-written one only")
        handwritten.base(bench)
        handwritten.write(plain, bench)
        forget_images()
        byhand = handwritten.build(plain, tag)
        tell(f"    by hand                    {byhand:6.1f} s")
        remove_images(tag)
        forget_images()
        first = bench.devenv("build", PRESET, "--json", env={"XDG_CACHE_HOME": str(cache)})
        tell(f"    devenv, nothing there      {first.seconds:6.1f} s")
        stored = folder_size(cache / "devenv" / "store")
        forget_images()
        again = bench.devenv("build", PRESET, "--json", env={"XDG_CACHE_HOME": str(cache)})
        tell(f"    devenv, store full         {again.seconds:6.1f} s")
        unchanged = Series(
            name="`devenv build`, nothing changed",
            samples=tuple(bench.devenv("build", PRESET).seconds for _ in range(bench.rounds)),
        )
        tell(f"    devenv, nothing changed    {unchanged.median:6.1f} s")
        return _result(first, again, byhand, unchanged, _identity(bench, first.json()["image"]["reference"]), stored)
    finally:
        for image in (tag, handwritten.BASE):
            remove_images(image)


def _identity(bench: Bench, reference: str) -> dict[str, float] | None:
    """Seconds for the identity, not cached and cached, and for what reading a saved image alone would cost.

    None when it cannot be had: the builds before it took minutes and are to be told.
    """
    try:
        return _identity_costs(bench, reference)
    except FailedError as error:
        tell(f"    identity could not be measured: {error}")
        return None


def _identity_costs(bench: Bench, reference: str) -> dict[str, float]:
    saved = call("sh", "-c", 'docker save "$1" | sha256sum', "sh", reference).seconds
    told = bench.devenv("verify", PRESET, "--digest", "--json")
    size = sum(layer["bytes"] for layer in told.json()["layers"])
    cached = bench.devenv("verify", PRESET, "--digest", "--json").seconds
    tell(f"    identity                   {told.seconds:6.1f} s for {size / 1e9:.2f} GB, again {cached:.1f} s")
    return {"seconds": told.seconds, "cached": cached, "saved": saved, "gigabytes": size / 1e9}


def _result(
    first: Done,
    again: Done,
    byhand: float,
    unchanged: Series,
    identity: Mapping[str, float] | None,
    stored: tuple[int, int],
) -> Result:
    report, (files, size) = first.json(), stored
    rows = (
        ("by hand, cached nowhere", number(byhand, "s"), ""),
        ("`devenv build`, nothing there", number(first.seconds, "s"), number(first.seconds / byhand, "×")),
        ("`devenv build`, store full, engine empty", number(again.seconds, "s"), number(again.seconds / byhand, "×")),
        ("`devenv build`, nothing changed", number(unchanged.median, "s"), ""),
    )
    return Result(
        name="cold",
        title="Cold build",
        goals=(
            Goal(text="nothing there, against by hand", figure=first.seconds / byhand, limit=0.35, unit="×"),
            Goal(text="store full, engine empty", figure=again.seconds / byhand, limit=0.1, unit="×"),
            Goal(text="nothing changed", figure=unchanged.median, limit=1.0, unit="s"),
        ),
        tables=(
            Table(title="", columns=("", "time", "ratio"), rows=rows),
            *([_price(identity)] if identity else []),
            stage_table(report["stages"], first.seconds, "Stages, nothing there:"),
            stage_table(again.json()["stages"], again.seconds, "Stages, store full:"),
            step_table(report["steps"]),
        ),
        remarks=(
            f"One run. {files} files, {size / 1e6:.0f} MB, lie in the store after the first build, the finished base",
            "and the compiled editor among them: the stage `fetch` downloads and checks the others. By hand is",
            "`benchmarks/naive`: apt-get, pip and npm over the network, on a base image that it gets for nothing, in",
            "the same BuildKit.",
            "The build steps overlap: BuildKit runs what does not depend on one another at the same time.",
        ),
        data={**report, "seconds": round(first.seconds, 2), "files": files, "bytes": size, "by_hand": byhand,
              "store_full": again.seconds, "unchanged": unchanged.as_json(), "identity": dict(identity or {})},
    )  # fmt: skip


def _price(identity: Mapping[str, float]) -> Table:
    """What the identity costs, by the gigabyte."""
    gigabytes = identity["gigabytes"]
    costs = (
        ("the everyday build", 0.0),
        ("`devenv verify --digest`", identity["seconds"]),
        ("… asked again", identity["cached"]),
        ("*`docker save` and one hash*", identity["saved"]),
    )
    rows = tuple((name, number(seconds, "s"), number(seconds / gigabytes, "s")) for name, seconds in costs)
    return Table(title=f"What identity costs ({gigabytes:.2f} GB):", columns=("", "time", "per GB"), rows=rows)


def forget_images() -> None:
    """Remove devenv's images and empty the builder's cache; the disk is done with it before anything is timed."""
    remove_images("devenv/*")
    call("docker", "buildx", "prune", "--all", "--force")
    os.sync()


def stage_table(stages: Sequence[Mapping[str, Any]], wall_s: float, title: str) -> Table:
    """The stages in order, the rest, the sum."""
    rows = [(one["name"], number(one["seconds"], "s"), share(one["seconds"], wall_s)) for one in stages]
    rest = wall_s - sum(one["seconds"] for one in stages)
    rows += [("*the rest*", number(rest, "s"), share(rest, wall_s)), ("**together**", number(wall_s, "s"), "")]
    return Table(title=title, columns=("stage", "time", "share"), rows=tuple(rows))


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
