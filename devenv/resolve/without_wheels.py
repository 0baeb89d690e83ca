"""Python packages where some have a source and no wheel: which versions, what their builds need, and their metadata.

uv chooses among wheels alone. A package that has none is shown to it as wheels that hold nothing but metadata: at first
the name and the Python of each version, then, of the version that uv chose, what the package itself requires. Where
only a build can tell, it is asked in a container.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet
from packaging.utils import parse_sdist_filename
from packaging.version import Version

from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import Origin
from devenv.errors import BuildError, EngineError, LockError
from devenv.fetch import declared
from devenv.fetch.source_file import KINDS
from devenv.fetch.sources import Listed, Sources
from devenv.fetch.store import Store
from devenv.lock.model import Source, Wheel
from devenv.preset.requirement import parsed
from devenv.resolve.context import Built
from devenv.resolve.offered import Offering
from devenv.resolve.source_facts import SourceFacts, facts
from devenv.resolve.wheels import Offers, Resolved

_MOST_ROUNDS = 50
_MOST_DEPTH = 8
_MOST_ASKS = 3
_COMPILER = re.compile(
    r"(?i)\b(gcc|g\+\+|cc|c\+\+|clang)\b['\"]?( failed)?:? .*(no such file|not found)|unable to find .*compiler"
)
"""What builds print that were given no compiler."""
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{,199}")
"""What source archives are called: other names cannot be locked."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is resolved together: requirements, versions to prefer, and for whose build (`building`, the outermost
    first)."""

    requirements: Sequence[str]
    keep: Sequence[Wheel | Source] = ()
    building: tuple[str, ...] = ()
    given: Mapping[str, str] = dataclasses.field(default_factory=dict)  # package → a version that was prepared already


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`wheels` by name, and `sources` in the order of their builds; `layer` is None in those that only builds need.
    `lacking`: see Resolved."""

    wheels: tuple[Wheel, ...]
    sources: tuple[Source, ...] = ()
    lacking: tuple[tuple[str, str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the work is done with. `resolve` asks uv, `make` builds the last of some sources, `needs_toolchain` says
    whether every build does, because the base lacks the interpreter."""

    resolve: Callable[[Wishes, Offers], Resolved]
    make: Callable[[tuple[Source, ...]], Built]
    store: Store
    sources: Sources
    bring: Callable[[Wanted, Origin, str], str]
    python: str
    accepts: Callable[[str], bool]
    needs_toolchain: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    source: Source
    below: tuple[Source, ...]
    metadata: str


class WithoutWheels:
    """One lock's Python packages. What was prepared for one package is used for the others, too."""

    def __init__(self, tools: Tools, keep: Sequence[Wheel | Source] = ()) -> None:
        self._tools = tools
        self._keep = keep
        self._prepared: dict[tuple[str, str], _Prepared] = {}

    def resolve(self, wishes: Wishes) -> Found:
        """Every package that the wishes need. Raises LockError, EngineError where a build needs an engine."""
        with tempfile.TemporaryDirectory() as folder:
            return self._settled(wishes, Offering(Path(folder), self._sources_of))

    def _settled(self, wishes: Wishes, offering: Offering) -> Found:
        for name, version in wishes.given.items():
            offering.settle(name, version, self._prepared[name, version].metadata)
        for _ in range(_MOST_ROUNDS):
            try:
                result = self._tools.resolve(wishes, offering.offers)
            except LockError as error:
                if not offering.answers(error):
                    raise
                continue
            if offering.improves(result):
                continue
            unknown = offering.unsettled(result.sources)
            if not unknown:
                return self._found(result)
            for name, version in unknown:
                prepared = self._prepare(name, offering.listed(name, version), version, wishes.building)
                offering.settle(name, version, prepared.metadata)
        raise LockError(
            "the Python packages cannot be resolved: there are too many packages without wheels",
            hint="name versions in 'pip:'",
        )

    def prepare_commit(self, name: str, commit: str, sha256: str) -> str:
        """Prepare a package of a repository, whose archive the store has. Returns the version that stands for it: its
        own with a mark, so that no index can have it, too. Raises as `resolve`."""
        path = self._tools.store.path(sha256)
        source = Source(
            name=name, version="0", file=f"{name}-{commit[:12]}.tar", size=path.stat().st_size, sha256=sha256,
            backend="unknown", commit=commit,
        )  # fmt: skip
        prepared = self._built(source, facts(path, source.file), (name,))
        says = HeaderParser().parsestr(prepared.metadata)["Version"]
        if not _is_version(says):
            raise LockError(f"the version of {name} is {says!r}, which is none", hint="name another commit")
        version = str(Version(says))
        marked = f"{version}{'.' if '+' in version else '+'}devenv.{commit[:12]}"
        metadata = re.sub(r"(?im)^Version:.*$", f"Version: {marked}", prepared.metadata, count=1)
        own = prepared.source.model_copy(update={"version": version})
        self._prepared[name, marked] = dataclasses.replace(prepared, source=own, metadata=metadata)
        return marked

    def _found(self, result: Resolved) -> Found:
        mine = [self._prepared[chosen] for chosen in result.sources]
        top = {prepared.source.file: prepared.source.model_copy(update={"layer": 0}) for prepared in mine}
        ordered: dict[str, Source] = {}
        for prepared in mine:
            for source in (*prepared.below, prepared.source):
                ordered.setdefault(source.file, top.get(source.file, source))
        return Found(wheels=result.wheels, sources=tuple(ordered.values()), lacking=result.lacking)

    def _sources_of(self, name: str) -> dict[str, Listed]:
        """The versions of a package that have a source and no wheel for the image."""
        found: dict[str, Listed] = {}
        with_wheels: set[str] = set()
        for each in self._tools.sources.listed(name):
            if each.file.endswith(".whl"):
                if self._tools.accepts(each.file):
                    with_wheels.add(each.file.split("-")[1])
                continue
            if each.yanked or not each.file.endswith(KINDS) or not _FILE.fullmatch(each.file):
                continue
            try:
                named, version = parse_sdist_filename(each.file)
            except ValueError:
                continue
            if named == name and _fits(each.python, self._tools.python):
                found.setdefault(str(version), each)
        there = {Version(version) for version in with_wheels if _is_version(version)}
        return {version: each for version, each in found.items() if Version(version) not in there}

    def _prepare(self, name: str, listed: Listed, version: str, building: tuple[str, ...]) -> _Prepared:
        """A version's archive, its build requirements and its metadata."""
        if prepared := self._prepared.get((name, version)):
            return prepared
        if name in building or len(building) >= _MOST_DEPTH:
            chain = " → ".join((*building, name))
            raise LockError(
                f"the build of {name} {version} needs itself: {chain}",
                hint=f"take a wheel of {name}: put one into a folder that pip's 'find-links' names",
            )
        source, path = self._archive(name, version, listed)
        about = facts(path, source.file)
        prepared = self._built(source, about, (*building, name))
        self._prepared[name, version] = prepared
        return prepared

    def _archive(self, name: str, version: str, listed: Listed) -> tuple[Source, Path]:
        digests = (("sha256", listed.sha256),) if listed.sha256 else ()
        key = listed.sha256 or hashlib.sha256(listed.url.encode()).hexdigest()
        sha256 = self._tools.bring(
            Wanted(name=listed.file, digests=digests), Origin(url=listed.url, channel="pip"), key
        )  # fmt: skip
        path = self._tools.store.path(sha256)
        source = Source(
            name=name, version=version, file=listed.file, size=path.stat().st_size, sha256=sha256, backend="unknown"
        )
        declared.check(source, "source", path)
        return source, path

    def _built(self, source: Source, about: SourceFacts, building: tuple[str, ...]) -> _Prepared:
        more: tuple[str, ...] = ()
        with_toolchain = about.is_native or self._tools.needs_toolchain
        for _ in range(_MOST_ASKS):
            found = self._required(_checked((*about.requires, *more), source), source, building)
            direct = {each.file for each in found.sources if each.layer is not None}
            below = tuple(each.model_copy(update={"layer": None}) for each in found.sources)
            whole = source.model_copy(
                update={
                    "backend": about.backend, "backend_path": about.backend_path, "requires": found.wheels,
                    "needs": tuple(sorted(direct)), "toolchain": True if with_toolchain else None,
                }
            )  # fmt: skip
            if about.metadata is not None and not source.commit:
                return _Prepared(source=whole, below=below, metadata=about.metadata)
            try:
                built = self._tools.make((*below, whole))
            except BuildError as error:
                if not with_toolchain and _COMPILER.search(error.detail or ""):
                    with_toolchain = True
                    continue
                raise LockError(error.message, detail=error.detail, hint=error.hint) from None
            except EngineError as error:
                raise EngineError(
                    f"{source.name} {source.version} has no wheel, and only a build in a container can tell what it "
                    f"requires: {error.message}",
                    detail=error.detail, hint=error.hint,
                ) from None  # fmt: skip
            if built.wheel is not None:
                return _Prepared(source=whole, below=below, metadata=declared.wheel_metadata(built.wheel))
            more = (*more, *built.asked)
        raise LockError(
            f"the build of {source.name} {source.version} asks for more and more: {', '.join(more)}",
            hint="take another version",
        )

    def _required(self, requirements: Sequence[str], source: Source, building: tuple[str, ...]) -> Found:
        try:
            return self.resolve(Wishes(requirements=requirements, keep=self._keep, building=building))
        except LockError as error:
            if len(building) > 1:  # said by the innermost
                raise
            raise LockError(
                f"what the build of {source.name} {source.version} requires cannot be locked: {error.message}",
                detail=error.detail, hint=error.hint,
            ) from None  # fmt: skip


def _checked(requirements: Sequence[str], source: Source) -> tuple[str, ...]:
    for line in requirements:
        try:
            asked = parsed(line)
        except InvalidRequirement:
            asked = None
        if asked is None or asked.url:
            raise LockError(
                f"the build of {source.name} {source.version} requires {line[:200]!r}, which cannot be locked",
                hint="take another version",
            )
    return tuple(dict.fromkeys(requirements))


def _fits(specifier: str, python: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(f"{python}.99")
    except ValueError:  # one that is none, or has too many digits
        return True


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except ValueError:
        return False
    return True
