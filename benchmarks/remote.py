"""`--on` a machine that SSH reaches, against the same command here: a loopback sshd and another user."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
import urllib.request
from pathlib import Path

from benchmarks.command import PREFIX, Bench, FailedError, tell
from benchmarks.measure import Series, alternate, take_turns
from benchmarks.result import Goal, Result, row, table

NAME = f"{PREFIX}remote"
THERE = f"{NAME}-box"
_MAX_MORE_S = 2.0
_MAX_NOOP_S = 1.0
_MAX_MORE_PAGE_S = 0.010
_PAGES = 40


def is_measurable() -> bool:
    """Whether this machine can play both sides."""
    return os.getuid() == 0 and shutil.which("sshd", path="/usr/sbin:/usr/bin") is not None


def remote(bench: Bench) -> Result:
    """A container started here and there, `up` with nothing to do, and the first byte of a page."""
    # The box of the integration tests: another user, with a home of its own.
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.integration.loopbackbox import HOST, loopback_box

    with loopback_box() as box:
        runtime = box.folder / "runtime"
        runtime.mkdir(mode=0o700)
        there = Bench(rounds=bench.rounds)
        there.env |= {"PATH": box.path, "XDG_RUNTIME_DIR": str(runtime)}
        tell("  the image, and devenv on the box")
        bench.devenv("up", "python", "--name", NAME, "--json")
        bench.down(NAME)
        there.devenv("up", "python", "--name", THERE, "--on", HOST, "--json")
        there.devenv("down", THERE, "--volumes", "--on", HOST)

        def here() -> float:
            seconds = bench.devenv("up", "python", "--name", NAME, "--json").seconds
            bench.down(NAME)
            return seconds

        def elsewhere() -> float:
            seconds = there.devenv("up", "python", "--name", THERE, "--on", HOST, "--json").seconds
            there.devenv("down", THERE, "--volumes", "--on", HOST)
            return seconds

        ups, ons = take_turns(bench.rounds, here, elsewhere)
        first = there.devenv("up", "python", "--name", THERE, "--on", HOST, "--json").json()

        def again() -> float:
            done = there.devenv("up", "python", "--name", THERE, "--on", HOST, "--json")
            if not done.json()["untouched"]:
                raise FailedError("`up --on` on a running environment changed something")
            return done.seconds

        (noops,) = alternate(max(bench.rounds, 5), (again,))
        told = json.loads(box.run(f"~/.local/share/devenv-remote/versions/*/run status --json {THERE}"))
        forwarded, direct = alternate(
            _PAGES, (lambda: _first_byte(first["urls"]["ide"]), lambda: _first_byte(told["urls"]["ide"]))
        )
        there.devenv("down", THERE, "--volumes", "--on", HOST)
        there.sweep()
    return _result(
        Series(name="`devenv up python` here", samples=tuple(ups)),
        Series(name="`devenv up python --on`", samples=tuple(ons)),
        Series(name="`devenv up --on`, running already", samples=tuple(noops)),
        (
            Series(name="first byte of a page, forwarded", samples=tuple(forwarded)),
            Series(name="… and directly", samples=tuple(direct)),
        ),
    )  # fmt: skip


def _first_byte(url: str) -> float:
    """Seconds to the first byte of the page behind the token."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
    opener.open(url, timeout=30).read()
    began = time.monotonic()
    with opener.open(url.partition("?")[0], timeout=30) as answer:
        answer.read(1)
    return time.monotonic() - began


def _result(here: Series, there: Series, noop: Series, pages: tuple[Series, Series]) -> Result:
    more = [one - other for one, other in zip(there.samples, here.samples, strict=True)]
    slower = [one - other for one, other in zip(pages[0].samples, pages[1].samples, strict=True)]
    return Result(
        name="remote",
        title="On a machine that SSH reaches",
        goals=(
            Goal(text="`up --on` takes more than `up`", figure=statistics.median(more), limit=_MAX_MORE_S, unit="s"),
            Goal(text="`up --on`, nothing to do", figure=noop.median, limit=_MAX_NOOP_S, unit="s"),
            Goal(
                text="first byte of a forwarded page, more than direct", figure=statistics.median(slower),
                limit=_MAX_MORE_PAGE_S, unit="ms",
            ),
        ),
        tables=(
            table("", (row(here, "s"), row(there, "s"), row(noop, "ms"), *(row(one, "ms") for one in pages))),
        ),
        remarks=("The machine is its own box: a loopback sshd, another user. A network adds its round trips.",),
        data={
            "here": here.as_json(), "there": there.as_json(), "noop": noop.as_json(),
            "pages": [one.as_json() for one in pages],
        },
    )  # fmt: skip
