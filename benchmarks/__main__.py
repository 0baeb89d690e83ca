"""`python -m benchmarks [NAME…] [--cold] [--check] [--json]`: measure, print, and record in docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import document, guard, machine
from benchmarks.changes import changes
from benchmarks.cold import cold
from benchmarks.command import Bench, FailedError, tell
from benchmarks.devcontainer import devcontainer, measurable
from benchmarks.doctor import doctor
from benchmarks.exporting import exporting
from benchmarks.fetching import fetching
from benchmarks.memory import memory
from benchmarks.quick import help_, render
from benchmarks.rebuild import rebuild
from benchmarks.remote import is_measurable, remote
from benchmarks.result import Result
from benchmarks.sharing import sharing
from benchmarks.warm import noop, warm
from benchmarks.weights import weights

BENCHMARKS: dict[str, Callable[[Bench], Result]] = {
    "warm": warm,
    "noop": noop,
    "help": help_,
    "render": render,
    "doctor": doctor,
    "rebuild": rebuild,
    "fetch": fetching,
    "cold": cold,
    "devcontainer": devcontainer,
    "weights": weights,
    "export": exporting,
    "changes": changes,
    "memory": memory,
    "share": sharing,
    "remote": remote,
}
_REMOVES = frozenset({"cold", "share"})
_DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen benchmarks; 1 when one of them could not be measured or a goal was missed."""
    options = _parser().parse_args(arguments)
    names = options.names or ([*guard.QUICK] if options.check else [n for n in BENCHMARKS if options.cold or _usual(n)])
    before = guard.recorded(_DOCUMENT.read_text(encoding="utf-8")) if options.check else {}
    if not options.cold and (named := _REMOVES & {*names}):
        sys.exit(f"{', '.join(sorted(named))} removes devenv's images and the builder's cache: say --cold as well")
    bench = Bench(rounds=options.rounds, cold=options.cold, shared=options.preset)
    ran_on = machine.describe()
    results: list[Result] = []
    failed = []
    try:
        for name in names:
            tell(f"{name} …")
            try:
                one = BENCHMARKS[name](bench)
            except FailedError as error:
                failed.append(name)
                tell(f"  could not be measured: {error}")
                continue
            results.append(one)
            # At once: what took minutes is not lost with what comes after it.
            if not (options.no_record or options.check):
                document.write(_DOCUMENT, {one.name: f"{one.markdown()}\n\n{_on(ran_on)}"})
    finally:
        bench.sweep()
        if not options.check:
            _report(results, ran_on, as_json=options.json)
    if options.check:
        return _check(results, before, ran_on) or int(bool(failed))
    return 1 if failed or any(not goal.met for one in results for goal in one.goals) else 0


def _usual(name: str) -> bool:
    """Whether a benchmark runs when none is named and nothing may be removed."""
    if name == "devcontainer" and not measurable():
        tell("devcontainer: left out, its image is made by --cold")
        return False
    if name == "remote" and not is_measurable():
        tell("remote: left out, it needs root and an SSH server")
        return False
    return name not in _REMOVES


def _check(results: Sequence[Result], before: Mapping[tuple[str, str], float], ran_on: str) -> int:
    """Print every figure beside the recorded one; 1 when something became slower."""
    lines, slower = guard.compare(results, before)
    print("\n".join([ran_on, *lines]))
    if slower:
        print("\nslower than recorded (a tenth for ratios; more for seconds, which depend on the machine):")
        print("\n".join(slower))
    return int(bool(slower))


def _report(results: Sequence[Result], ran_on: str, *, as_json: bool) -> None:
    if as_json:
        document_ = {"machine": ran_on, "results": [one.as_json() for one in results]}
        print(json.dumps(document_, indent=2, ensure_ascii=False))
        return
    print(f"{ran_on}\n\n" + "\n\n".join(one.markdown() for one in results))


def _on(ran_on: str) -> str:
    return f"<small>{ran_on}</small>"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=5, help="paired runs of each (default: %(default)s)")
    parser.add_argument(
        "--cold", action="store_true",
        help="also what begins with nothing: removes devenv's images and the builder's whole cache; takes many minutes",
    )  # fmt: skip
    parser.add_argument(
        "--preset", default="python", help="share: the preset whose image is pushed and pulled (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout instead of the tables")
    parser.add_argument(
        "--check", action="store_true",
        help=f"compare with the recorded figures, and record nothing; without names: {', '.join(guard.QUICK)}",
    )  # fmt: skip
    parser.add_argument("--no-record", action="store_true", help="leave docs/benchmarks.md as it is")
    return parser


if __name__ == "__main__":
    sys.exit(main())
