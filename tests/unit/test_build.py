from __future__ import annotations

from devenv import build

LOG = """\
#0 building with "default" instance using docker driver
#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 1.01kB done
#1 DONE 0.0s
#5 [base 2/3] RUN <<SH (set -eu...)
#5 0.724 dpkg: warning: ignoring pre-dependency problem!
#6 [python 1/2] RUN uv pip install
#6 CACHED
#5 DONE 10.9s
"""

FAILED = """\
#7 [python 2/2] RUN uv pip install
#7 1.2 first word
#8 1.3 another step's word
#7 1.4 boom
#7 ERROR: process "/bin/sh" did not complete successfully: exit code: 1
------
 > [python 2/2] RUN uv pip install:
1.4 boom
------
Dockerfile:7
ERROR: failed to solve: process
"""


class Told:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def start(self, task: str, total_bytes: int | None) -> None: ...
    def advance(self, task: str, bytes_: int) -> None: ...
    def finish(self, task: str) -> None: ...
    def message(self, text: str) -> None:
        self.texts.append(text)


def test_steps_are_read_from_buildkits_plain_progress() -> None:
    told = Told()
    steps = list(build._steps(iter(LOG.splitlines()), told))
    assert [(s.name.split("]")[0] + "]", s.seconds, s.cached) for s in steps] == [
        ("[internal]", 0.0, False),
        ("[python 1/2]", 0.0, True),
        ("[base 2/3]", 10.9, False),
    ]
    assert "[base 2/3] dpkg: warning: ignoring pre-dependency problem!" in told.texts


def test_a_failure_names_the_step_and_shows_its_output() -> None:
    assert build._failure(FAILED) == "the image build failed at [python 2/2]"
    assert build._tail(FAILED) == "first word\nboom"


def test_a_failure_outside_any_step_shows_the_end_of_the_log() -> None:
    assert build._tail("ERROR: no builder\n") == "ERROR: no builder"


def test_a_full_disk_has_its_own_remedy() -> None:
    assert "prune" in build._hint("write /x: no space left on device")
