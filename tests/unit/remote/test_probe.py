"""What a box says of itself, read with suspicion, and the errors that follow."""

from __future__ import annotations

import pytest

from devenv.errors import TargetError
from devenv.remote.probe import Box, chosen, read, require_engine

ANSWER = """Welcome to the cluster!
devenv-probe
system=Linux x86_64
home=/home/me
data=/home/me/.local/share
libc=glibc 2.35
cpus=64
free=104857600
python=3.10.12 cpython /usr/bin/python3
python=3.12.3 cpython /opt/python 3/bin/python3
engine=27.0.1
devenv=0.1.0-0123456789abcdef
gpus=8
"""


def _box(old: str = "", new: str = "") -> Box:
    return read(ANSWER.replace(old, new), "box")


def test_the_facts() -> None:
    box = _box()
    assert (box.machine, box.libc, box.libc_version, box.cpus, box.gpus) == ("x86_64", "glibc", (2, 35), 64, 8)
    assert box.free_bytes == 100 << 30
    assert box.devenvs == ("0.1.0-0123456789abcdef",)
    assert chosen(box, "box").path == "/opt/python 3/bin/python3"
    assert _box("glibc 2.35", "musl libc (x86_64)").libc == "musl"


def test_an_old_python_alone_is_an_error_with_its_remedy() -> None:
    with pytest.raises(TargetError, match=r"no Python 3\.11 or newer \(found: 3\.10\.12\)") as told:
        chosen(_box("python=3.12.3 cpython /opt/python 3/bin/python3\n"), "box")
    assert "targets add" in (told.value.hint or "")
    with pytest.raises(TargetError, match="found: none"):
        chosen(read("devenv-probe\nsystem=Linux x86_64\n", "box"), "box")


def test_other_systems_and_shells_are_named() -> None:
    with pytest.raises(TargetError, match="runs Darwin"):
        chosen(_box("Linux", "Darwin"), "box")
    with pytest.raises(TargetError, match="no POSIX shell"):
        read("This account is currently not available.\n", "box")


@pytest.mark.parametrize(
    ("why", "hint"), [("permission denied while trying to connect", "usermod"), ("command not found", "install")]
)
def test_no_engine_says_why(why: str, hint: str) -> None:
    with pytest.raises(TargetError) as told:
        require_engine(_box("engine=27.0.1", f"no_engine={why}"), "box")
    assert (told.value.detail, hint in (told.value.hint or "")) == (why, True)


@pytest.mark.parametrize(
    "answer",
    [
        "devenv-probe\n", "devenv-probe\n=\n==\ncpus=9999999999999999999999\nfree=x\nlibc=\n", "devenv-probe\npython=3.x\npython=\n",
        "devenv-probe\nsystem=Linux\nfree=٣\npython=9.9.9 cpython relative\n",
    ],
)  # fmt: skip
def test_nonsense_is_no_fact(answer: str) -> None:
    box = read(answer, "box")
    assert (box.cpus, box.free_bytes, box.pythons, box.engine) == (1, None, (), None)
