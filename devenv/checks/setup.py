"""A preset's setup commands, run as the user after the first start: each once, again after a failure or a change.

A mark on the environment's volume, or in the container, records each finished step. It holds a digest of the
command and of all before it, so a changed command and those after it run again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from devenv.checks.readiness import log_tail
from devenv.checks.smoke import TIMED_OUT
from devenv.container.exec import Lifeline
from devenv.container.labels import Running
from devenv.doors.cancellation import Cancellation
from devenv.doors.docker.engine import Engine
from devenv.doors.terminal.progress import Progress
from devenv.errors import NotReadyError
from devenv.plan.inside import RESERVED, PlannedStep
from devenv.plan.tree_digest import digest

LOG = "setup"
"""The log's name, in the place of a service's."""
_REMEDIES = (
    (
        re.compile(
            r"No such file or directory: '\S*(gcc|g\+\+|cc)'|command '\S*(gcc|g\+\+|cc)' failed: No such"
            r"|Python\.h: No such"
        ),
        "it compiles: add g++ and python3-dev to 'apt', then devenv lock",
    ),
    (
        re.compile(r"requires a different Python: \S+ not in"),
        "set 'python' to one that the package takes (and a 'base' that has it), then devenv lock",
    ),
    (
        re.compile(r"file:///workspace does not appear to be a Python project"),
        (
            "the package's own code is not part of what was shared: get it, and name its folder in an environment of "
            "another name: devenv up … --workspace FOLDER --name NAME"
        ),
    ),
)
"""Parts of a step's output, and what to do."""
_READ = 'for mark; do cat "$mark" 2> /dev/null || :; echo; done'
# What the command prints goes to the file alone: a process that it leaves in the background would hold a pipe open.
_RUN = """
name=$1 mark=$2 key=$3 log=$4 limit=$5
shift 5
mkdir -p "${mark%/*}" "${log%/*}" && rm -f "$mark" && echo "--- $name" >> "$log" || exit
tail -n 0 -f "$log" &
timeout -k 5 "$limit" "$@" >> "$log" 2>&1 < /dev/null
code=$?
kill $!
[ $code = 0 ] || exit $code
printf %s "$key" > "$mark"
"""


def setup(
    running: Running,
    steps: Sequence[PlannedStep],
    engine: Engine,
    *,
    progress: Progress,
    cancel: Cancellation | None = None,
) -> bool:
    """Run the unfinished steps in order, then restart the preset's services, which may need their results. Returns
    whether anything ran. Raises NotReadyError for a step that fails, EngineError, CancelledError."""
    cancel = cancel or Cancellation()
    marks = [_mark(running, one) for one in steps]
    _, found, _ = engine.exec(running.facts.name, ["sh", "-c", _READ, "sh", *marks], user="dev")
    done = dict(zip(marks, found.split("\n"), strict=False))
    ran = False
    for number, (step, mark) in enumerate(zip(steps, marks, strict=True)):
        key = digest([[one.name, *one.run] for one in steps[: number + 1]])
        if done.get(mark) == key:
            continue
        progress.message(step.name)
        _run(running, step, (mark, key), engine, cancel, tell=progress.message)
        ran = True
    if ran:
        _restart_services(running, engine)
    return ran


def _mark(running: Running, step: PlannedStep) -> str:
    # The container's own folders: a volume cannot be mounted on the second.
    place = f"/mnt/{running.name}/.devenv/setup" if step.once == "environment" else "/var/log/devenv/.setup"
    return f"{place}/{step.name}"


def _run(
    running: Running,
    step: PlannedStep,
    marked: tuple[str, str],
    engine: Engine,
    cancel: Cancellation,
    *,
    tell: Callable[[str], None],
) -> None:
    """Run a step and write its mark: (path, content)."""
    log = f"/var/log/devenv/{LOG}/current"
    command = ["sh", "-c", _RUN, "sh", step.name, *marked, log, str(step.timeout_s), *step.run]
    with Lifeline(engine, running.facts.name) as line, cancel.ending(line.lost):
        code, _, err = engine.exec(
            running.facts.name, line.command(command), user="dev",
            tell=lambda text: tell(f"{step.name}: {text}"),
        )  # fmt: skip
        if not cancel.is_set:
            line.done()
    cancel.check()
    if code != 0:
        how = f"timed out after {step.timeout_s} s" if code == TIMED_OUT else f"ended with status {code}"
        said = log_tail(engine, running.facts.name, LOG) or err.strip()
        remedy = next((f"{remedy}; or " for pattern, remedy in _REMEDIES if pattern.search(said)), "")
        raise NotReadyError(
            f"setup step {step.name!r} {how}", detail=said or None,
            hint=f"{remedy}run it again: devenv up; the container keeps running, see its log: "
            f"devenv logs {running.name} {LOG}",
        )  # fmt: skip


def _restart_services(running: Running, engine: Engine) -> None:
    own = [f"/run/devenv/sv/{service.name}" for service in running.services if service.name not in RESERVED]
    if own:
        engine.exec(running.facts.name, ["sv", "-w", "10", "force-restart", *own], user="dev")
