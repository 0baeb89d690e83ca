"""Export: an image as one file with `devenv export`, the first time and again, and with `docker save | zstd`."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from benchmarks.command import PREFIX, Bench, call, remove_images, tell
from benchmarks.measure import Series, ratios, take_turns
from benchmarks.result import Goal, Result, row, table

_NAME = f"{PREFIX}export"
_ROUNDS = 3
_SLOWEST = 1.0


def exporting(bench: Bench) -> Result:
    """An image that is on the engine, to a compressed file on this machine's disk. Each round has an image of its own,
    because the builder knows those that it has read."""
    ours, theirs, project = bench.folder / "ours.tar", bench.folder / "theirs.tar.zst", bench.folder / "export"
    cache = bench.folder / "cache"
    project.mkdir()
    saved = bench.devenv("build", "python").out.strip()

    def export() -> float:
        return bench.devenv("export", str(project), "-o", str(ours), env={"XDG_CACHE_HOME": str(cache)}).seconds

    def both() -> tuple[float, float]:
        text = f"extends: python\nname: {_NAME}\nenv: {{ROUND: '{secrets.token_hex(8)}'}}\n"
        (project / "devenv.yaml").write_text(text, encoding="utf-8")
        bench.devenv("lock", cwd=project)
        image = bench.devenv("build", cwd=project).out.strip()
        tell(f"  {image}")
        shutil.rmtree(cache, ignore_errors=True)  # with the layers of the last round
        return export(), export()

    def save() -> float:
        script = 'docker save "$0" | zstd -q -T0 -f -o "$1"'
        return call("bash", "-o", "pipefail", "-c", script, saved, str(theirs)).seconds

    try:
        pairs, plain = take_turns(min(bench.rounds, _ROUNDS), both, save)
    finally:
        remove_images(f"devenv/{_NAME}")
    cold, warm = tuple(one for one, _ in pairs), tuple(one for _, one in pairs)
    return _result(cold, warm, plain, (_megabytes(ours), _megabytes(theirs)))


def _result(
    cold: tuple[float, ...], warm: tuple[float, ...], plain: tuple[float, ...], megabytes: tuple[float, float]
) -> Result:  # fmt: skip
    series = (
        Series(name="`devenv export`, the first time", samples=cold),
        Series(name="`devenv export`, again", samples=warm),
        Series(name="`docker save | zstd -T0`", samples=plain),
    )
    once, more = ratios("the first time / save", series[0], series[2]), ratios("again / save", series[1], series[2])
    return Result(
        name="export",
        title="Export",
        goals=(
            Goal(text="the first time, against `docker save | zstd -T0`", figure=once.median, limit=_SLOWEST, unit="×"),
            Goal(text="again, against the same", figure=more.median, limit=_SLOWEST, unit="×"),
        ),
        tables=(table("", (*(row(one, "s") for one in series), row(once, "×"), row(more, "×"))),),
        remarks=(
            f"The files: {megabytes[0]:.0f} MB by `devenv export`, {megabytes[1]:.0f} MB by `docker save | zstd`.",
            "The first export brings the image into canonical form and compresses its layers; they are kept.",
        ),
        data={"series": [one.as_json() for one in series], "megabytes": list(megabytes)},
    )


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6
