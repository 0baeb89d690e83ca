"""Memory: the most that each command holds at once, its child processes included."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.command import PREFIX, Bench, measured, remove_images, tell
from benchmarks.result import Goal, Result, Table
from benchmarks.sharing import registry

_NAME = f"{PREFIX}memory"
_MAX_BYTES = 300_000_000
_STATE_BYTES = 200_000_000


def memory(bench: Bench) -> Result:
    """One run of each command that handles much, on an environment of the preset `python` with one package more."""
    project = bench.folder / "memory"
    project.mkdir()
    text = f"extends: python\nname: {_NAME}\npip: [cowsay==6.1]\n"
    (project / "devenv.yaml").write_text(text, encoding="utf-8")
    try:
        with registry(bench.folder / "registry") as host:
            peaks = dict(_peaks(bench, project, f"{host}/team/memory:1"))
    finally:
        bench.down(_NAME, "--volumes")
        remove_images(f"devenv/{_NAME}")
    most = max(peaks, key=lambda name: peaks[name])
    return Result(
        name="memory",
        title="Memory",
        goals=(
            Goal(text=f"`devenv {most}`, the most, against 300 MB", figure=peaks[most] / _MAX_BYTES, limit=1, unit="×"),
        ),
        tables=(
            Table(
                title="", columns=("", "most at once"),
                rows=tuple((f"`devenv {name}`", f"{peak / 1e6:.0f} MB") for name, peak in peaks.items()),
            ),
        ),
        remarks=(
            "One run of each, in this order. The largest of a command's processes counts, with all that it shares with",
            f"others; the snapshot has a file of {_STATE_BYTES / 1e6:.0f} MB. `prefetch`: see the weights.",
        ),
        data={"peaks": peaks},
    )  # fmt: skip


def _peaks(bench: Bench, project: Path, reference: str) -> Iterator[tuple[str, int]]:
    """Name → bytes, in an order in which each command finds what it needs."""
    export, cache = bench.folder / "memory.tar", {"XDG_CACHE_HOME": str(bench.folder / "memory-cache")}
    write = f"head -c {_STATE_BYTES} /dev/urandom > $HOME/state"
    first: tuple[tuple[str, ...], ...] = (
        ("lock",), ("fetch",), ("render",), ("doctor",), ("build",), ("up",), ("up", "--json"), ("ps",),
        ("status", _NAME), ("logs", _NAME), ("diff", _NAME), ("exec", _NAME, "--", "sh", "-c", write),
        ("snapshot", _NAME, "bench-memory-1"),
        ("sbom",), ("push", str(project), reference), ("export", str(project), "-o", str(export)),
        ("verify", "--digest"), ("verify",),
    )  # fmt: skip
    for command in first:
        option = command[1] if command[1:] and command[1].startswith("-") else ""
        yield f"{command[0]} {option}".rstrip(), _peak(bench, project, *command)
    bench.down(_NAME, "--volumes")
    remove_images(f"devenv/{_NAME}")
    yield "pull", _peak(bench, project, "pull", reference, env=cache)
    yield "import", _peak(bench, project, "import", str(export), env=cache)
    shutil.rmtree(bench.folder / "memory-cache", ignore_errors=True)


def _peak(bench: Bench, cwd: Path, *arguments: str, env: dict[str, str] | None = None) -> int:
    """The most bytes in memory of a devenv command, or of a process that it started. Raises FailedError."""
    peak = measured([bench.program, *arguments], cwd=cwd, env={**bench.env, **(env or {})}).rss_bytes
    tell(f"  {arguments[0]:<10} {peak / 1e6:4.0f} MB")
    return peak
