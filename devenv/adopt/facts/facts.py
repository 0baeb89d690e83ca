"""Facts that a project's files state, each with its place, and what was left out."""

from __future__ import annotations

import dataclasses
import enum

from devenv.adopt.facts import secret
from devenv.adopt.facts.project import Project
from devenv.preset.yaml.nodes import Mark
from devenv.preset.yaml.problems import Problems

MOST = 20_000
"""The number of facts that one project may state."""


class Kind(enum.StrEnum):
    """What a fact is about; `Fact.value` is in the form that each line names."""

    PYTHON = "python"
    """A PEP 440 specifier (`>=3.9`, `==3.11.*`)."""
    PIP = "pip"
    """A requirement as `pip` in a preset takes it, possibly with a marker."""
    PIN = "pin"
    """`name`: a package; `value`: the version that a lock file has of it."""
    CONSTRAINT = "constraint"
    """A requirement that limits a package without asking for it."""
    APT = "apt"
    """A Debian package."""
    ENV = "env"
    """`name`: a variable; `value`: its value."""
    PORT = "port"
    """A container port, in digits."""
    CUDA = "cuda"
    """A version of CUDA, `cpu` for builds without it, or empty where any will do."""
    GPU = "gpu"
    """`true`: a GPU is needed. `false`: the work is done without one."""
    MEMORY = "memory"
    """Main memory, such as `8g`."""
    SHM = "shm"
    """The size of shared memory, such as `2g`."""
    SETUP = "setup"
    """A shell command that prepares the environment after its first start."""
    VOLUME = "volume"
    """`name`: a volume; `value`: its mount point."""
    GROUP = "group"
    """A dependency group of pyproject.toml that is taken."""
    PROJECT = "project"
    """The project's own package: the requirements of its build, separated by line breaks."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One statement. `firm`: the author decided it; others are guesses, such as the CUDA of a base image."""

    kind: Kind
    value: str
    mark: Mark
    name: str = ""
    firm: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Something that the new preset does not have: what, where, why, and what a person can do."""

    what: str
    why: str
    remedy: str
    mark: Mark


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was read."""

    facts: tuple[Fact, ...] = ()
    left: tuple[Loss, ...] = ()

    def of(self, kind: Kind) -> tuple[Fact, ...]:
        """The facts of one kind, as they were read."""
        return tuple(fact for fact in self.facts if fact.kind == kind)


class Reading:
    """What readers fill: facts, losses and mistakes, with the project that further files come from."""

    def __init__(self, project: Project, problems: Problems) -> None:
        self.project = project
        self.problems = problems
        self.own: set[str] = set()
        """Canonical names of the project's own packages, which no index has to give."""
        self._facts: list[Fact] = []
        self._left: list[Loss] = []

    def take(self, kind: Kind, value: str, mark: Mark, *, name: str = "", firm: bool = True) -> None:
        """State one fact. A command that may hold a secret is left out."""
        if kind == Kind.SETUP and secret.may_hold(value):
            self.leave(value, "its words may hold a secret", mark, remedy="add it to 'setup' without the secret")
            return
        if len(self._facts) >= MOST:
            self.problems.stop(f"more than {MOST:,} statements in the project's files", mark)
        self._facts.append(Fact(kind=kind, value=value, mark=mark, name=name, firm=firm))

    def leave(self, what: str, why: str, mark: Mark, *, remedy: str) -> None:
        """State one loss. Of a text that may hold a secret only the first word is kept."""
        if secret.may_hold(what):
            what = f"{what.split(maxsplit=1)[0][:40]} … (not shown, because it may hold a secret)"
        if len(self._left) >= MOST:
            self.problems.stop(f"more than {MOST:,} statements in the project's files", mark)
        self._left.append(Loss(what=what, why=why, remedy=remedy, mark=mark))

    def facts(self) -> Facts:
        """All facts so far, equal ones once."""
        return Facts(facts=tuple(dict.fromkeys(self._facts)), left=tuple(dict.fromkeys(self._left)))
