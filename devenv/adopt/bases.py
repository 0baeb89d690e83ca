"""Which base system has which Python, and the Python that a project gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from devenv.adopt.facts.facts import Fact, Facts, Kind
from devenv.preset.yaml.problems import Problems, quote


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A release of a distribution and its own Python, MAJOR.MINOR."""

    bootstrap: str
    python: str


BASES = (
    Base(bootstrap="debian/bookworm", python="3.11"),
    Base(bootstrap="debian/trixie", python="3.13"),
    Base(bootstrap="ubuntu/noble", python="3.12"),
    Base(bootstrap="ubuntu/jammy", python="3.10"),
)
"""Wikis of Debian and Ubuntu, "Python". The first is the shipped presets' own."""

Misfits = Callable[[str], int]
"""How many of the project's pinned packages have no wheel for a Python."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The base, the fact that decided it (None: the preset's own), and why it is not what was asked."""

    base: Base
    asked: Fact | None = None
    why: str = ""

    @property
    def refused(self) -> bool:
        """Whether the project excludes this Python."""
        return bool(self.why) and self.asked is not None and self.asked.firm


def choose(facts: Facts, misfits: Misfits, problems: Problems, there: Iterable[str]) -> Chosen:
    """The base whose Python the project asks for; else the nearest. `there`: the releases that this machine's apt
    settings name."""
    wishes = [(fact, found) for fact in facts.of(Kind.PYTHON) if (found := _specifier(fact, problems)) is not None]
    firm, loose = ([wish for wish in wishes if wish[0].firm is kind] for kind in (True, False))
    _contradiction(firm, problems)
    offered = [base for base in BASES if base.bootstrap in set(there)] or list(BASES)

    def rank(base: Base) -> tuple[int, int, bool, int, int]:
        wrong = sum(not _has(specifier, base.python) for _, specifier in firm)
        other = sum(not _has(specifier, base.python) for _, specifier in loose)
        far = _distance(base.python, [specifier for _, specifier in firm]) if wrong else 0
        foreign = base.bootstrap.partition("/")[0] != BASES[0].bootstrap.partition("/")[0]
        return (far, misfits(base.python), foreign, other, BASES.index(base))

    base = min(offered, key=rank)
    asked = next((fact for fact, specifier in (*firm, *loose) if not _has(specifier, base.python)), None)
    if asked is not None and not asked.firm and _allowed(base, wishes):
        return Chosen(base=base, asked=asked, why=f"its packages have wheels for {base.python}, the Python of the base")
    if asked is not None:
        others = [other for other in BASES if other not in offered and _all(wishes, other.python)]
        why = f"the nearest Python of a base that this machine's apt can bring is {base.python}"
        if others:
            why += f" ({others[0].bootstrap} has {others[0].python}, but this machine's apt settings do not name it)"
        return Chosen(base=base, asked=asked, why=why)
    return Chosen(base=base, asked=wishes[0][0] if wishes else None)


def _allowed(base: Base, wishes: Sequence[tuple[Fact, SpecifierSet]]) -> bool:
    """Whether all that the author decided allows a base's Python."""
    return _all([wish for wish in wishes if wish[0].firm], base.python)


def _all(wishes: Sequence[tuple[Fact, SpecifierSet]], python: str) -> bool:
    return all(_has(specifier, python) for _, specifier in wishes)


def _specifier(fact: Fact, problems: Problems) -> SpecifierSet | None:
    try:
        return SpecifierSet(fact.value)
    except InvalidSpecifier:
        problem = f"{quote(fact.value)} is not a range of Python versions"
        problems.add(problem, fact.mark, hint="write a range such as '>=3.10'")
        return None


def _has(specifier: SpecifierSet, python: str) -> bool:
    """Whether any release of that minor version is allowed."""
    return any(specifier.contains(f"{python}.{patch}") for patch in range(25))


def _distance(python: str, specifiers: Sequence[SpecifierSet]) -> int:
    """Minors between a Python and the nearest that all allow."""
    own = int(python.partition(".")[2])
    fitting = [minor for minor in range(6, 20) if all(_has(one, f"3.{minor}") for one in specifiers)]
    return min((abs(minor - own) for minor in fitting), default=99)


def _contradiction(firm: Sequence[tuple[Fact, SpecifierSet]], problems: Problems) -> None:
    """Two statements that no Python meets are a mistake."""
    for at, (fact, specifier) in enumerate(firm):
        for other, limits in firm[:at]:
            if other.mark.path == fact.mark.path:
                continue
            if not any(_has(specifier, f"3.{minor}") and _has(limits, f"3.{minor}") for minor in range(40)):
                problems.add(
                    f"Python {fact.value} contradicts Python {other.value} ({other.mark.where})", fact.mark,
                    hint="correct one of them, or name one file: devenv init --from FILE",
                )  # fmt: skip
                return
