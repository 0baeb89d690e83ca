"""The lock's Python packages: wheels, those that the build makes from source, and devenv's own tools."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from devenv.compat.build_variant import suits
from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import Origin, Web
from devenv.errors import EngineError
from devenv.fetch.fetch import fetch
from devenv.fetch.repository import at_commit
from devenv.fetch.sources import Sources
from devenv.fetch.store import bring
from devenv.lock.builtin_packages import NODE_WHEEL
from devenv.lock.model import Deb, Lock, LockedBase, LockedSources, Source, Wheel
from devenv.preset.model import Preset
from devenv.preset.own_wheel import own_wheel
from devenv.preset.repository import Repository, repository
from devenv.preset.yaml.problems import quote
from devenv.resolve.context import Built, Context
from devenv.resolve.previous import Earlier
from devenv.resolve.wheels import Offers, Resolved, own_file, own_uv, resolve_wheels, tags
from devenv.resolve.without_wheels import Tools, Wishes, WithoutWheels


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What Python packages are installed on. `glibc`, `has_interpreter` and `toolchain` are worked out when needed."""

    base: LockedBase
    glibc: Callable[[], str]
    has_interpreter: Callable[[], bool]
    toolchain: Callable[[], tuple[Deb, ...]]


class PythonPackages:
    """The sections of one lock that uv resolves."""

    def __init__(
        self,
        preset: Preset,
        context: Context,
        system: System,
        *,
        web: Web,
        sources: Sources,
        earlier: Earlier,
        cuda: str,
    ) -> None:
        self._preset = preset
        self._context = context
        self._system = system
        self._web = web
        self._sources = sources
        self._earlier = earlier
        self._cuda = cuda

    def tools(self) -> tuple[Wheel, Wheel | None]:
        """uv, which installs the wheels, and Node where the preset wants it."""
        earlier = self._earlier
        uv: Wheel | None = earlier.take("python", lambda lock: lock.uv)
        node: Wheel | None = earlier.take("node", lambda lock: lock.node) if self._preset.node else None
        wanted = []
        if uv is None or earlier.upgrades("uv", ()):
            wanted.append(f"uv=={own_uv()}")
        if self._preset.node and (node is None or earlier.upgrades("node", ())):
            wanted.append(f"{NODE_WHEEL}=={self._preset.node}")
        if wanted:  # the base is needed only then
            found = resolve_wheels(
                wanted, python=self._preset.python, glibc=self._system.glibc(), settings=self._context.settings,
                store=self._context.store, web=self._web, dependencies=False, cuda=self._cuda,
            )  # fmt: skip
            new = {wheel.name: wheel for wheel in found.wheels}
            uv, node = new.get("uv", uv), new.get(NODE_WHEEL, node)
        assert uv is not None
        return uv, node

    def packages(self, uv: Wheel) -> tuple[tuple[Wheel, ...], LockedSources | None]:
        """The preset's wheels, and its packages that have none; each in its layer."""
        base = self._system.base
        taken: Lock | None = self._earlier.take(
            "pip python cuda", lambda lock: lock,
            fits=lambda lock: (lock.base.distribution, lock.base.release) == (base.distribution, base.release)
            and all(suits(wheel.version, self._cuda) for wheel in lock.wheels),  # a required GPU is not a pin
        )  # fmt: skip
        if taken is None or self._earlier.upgrades("pip", (each.name for each in (*taken.installed, *taken.required))):
            wheels, sources = self._resolved(uv)
        else:
            wheels, sources = taken.wheels, taken.sourced
        layered = tuple(self._earlier.layered(wheel) for wheel in sorted(wheels, key=lambda each: each.name))
        if not sources:
            return layered, None
        return layered, LockedSources(
            packages=tuple(self._earlier.layered(each) if each.layer is not None else each for each in sources),
            toolchain=self._system.toolchain() if any(each.toolchain for each in sources) else (),
        )

    def _resolved(self, uv: Wheel) -> tuple[tuple[Wheel, ...], tuple[Source, ...]]:
        names = self._preset.requirements()
        if not names:  # and the base is not needed
            return (), ()
        settings, store, python = self._context.settings, self._context.store, self._preset.python
        places = {found.name: found for found in map(repository, names) if found}
        names = tuple(name for name in names if repository(name) is None)
        local = [own_file(wheel, store, self._web) for wheel in map(own_wheel, names) if wheel]
        if settings.pip.unheard:
            self._context.note(f"warning: devenv does not use these settings: {', '.join(settings.pip.unheard)}")
        glibc = self._system.glibc()

        def resolve(wishes: Wishes, offers: Offers) -> Resolved:
            own = bool(wishes.building)
            return resolve_wheels(
                wishes.requirements, python=python, glibc=glibc, settings=settings, store=store, web=self._web,
                keep=wishes.keep, cuda="" if own else self._cuda, local=() if own else local, offers=offers, own=own,
            )  # fmt: skip

        accepted = frozenset(tags(settings.arch, python, glibc))
        tools = Tools(
            resolve=resolve, make=lambda sources: self._make(sources, uv), store=store, sources=self._sources,
            bring=self._bring, python=python, accepts=lambda file: _accepts(file, accepted),
            needs_toolchain=not self._system.has_interpreter(),
        )  # fmt: skip
        packages = WithoutWheels(tools, keep=self._earlier.required())
        given = {name: packages.prepare_commit(name, *self._commit(place)) for name, place in places.items()}
        pinned = [_pinned(text, given) for text in self._preset.requirements() if repository(text)]
        found = packages.resolve(Wishes(requirements=[*names, *pinned], keep=self._earlier.wheels(), given=given))
        for words in without_extras(found.lacking, self._preset.requirements()):
            self._context.note(f"warning: {words}")
        return found.wheels, found.sources

    def _commit(self, place: Repository) -> tuple[str, str]:
        """Commit and archive of a repository: those of the earlier lock while the preset's entry is the same."""
        context = self._context
        known = self._earlier.commit(place)
        context.progress.message(f"resolving: {place.name} at {place.revision}")
        if known and known.commit and context.store.holds(known.sha256):
            return known.commit, known.sha256
        return at_commit(
            place, known.commit if known else None, store=context.store, settings=context.settings,
            cancel=context.cancel,
        )  # fmt: skip

    def _bring(self, wanted: Wanted, origin: Origin, key: str) -> str:
        return bring(self._context.store, self._web, wanted, lambda: (origin,), key=key).sha256

    def _make(self, sources: tuple[Source, ...], uv: Wheel) -> Built:
        """Build the last of the sources, after its files were fetched."""
        context = self._context
        if context.make_wheel is None:
            raise EngineError("there is no engine", hint="start an engine")
        toolchain = self._system.toolchain() if any(source.toolchain for source in sources) else ()
        lock = Lock.model_validate({
            "preset": self._preset.name, "platform": self._earlier.platform, "inputs": dict(self._earlier.inputs),
            "base": self._system.base, "uv": uv, "sources": LockedSources(packages=sources, toolchain=toolchain),
        })  # fmt: skip
        fetch(lock, store=context.store, settings=context.settings, progress=context.progress, cancel=context.cancel)
        return context.make_wheel(lock, sources[-1])


def without_extras(lacking: Iterable[tuple[str, str, str]], requirements: Iterable[str]) -> Iterator[str]:
    """In words, which extras that the preset asks for its packages do not have; those of others are not its mistake."""
    asked = {(canonicalize_name(one.name), canonicalize_name(extra)) for one in map(Requirement, requirements)
             for extra in one.extras}  # fmt: skip
    for name, version, extra in dict.fromkeys(lacking):
        if (canonicalize_name(name), canonicalize_name(extra)) in asked:
            own = re.sub(r"[+.]devenv\.[0-9a-f]+$", "", version)  # of a repository: see prepare_commit
            yield f"{name} {own} has no extra {quote(extra)}, so the lock has the package without it"


def _pinned(text: str, given: Mapping[str, str]) -> str:
    """The requirement of a package in a repository as that of the version that stands for it."""
    parsed = Requirement(text)
    name = canonicalize_name(parsed.name)
    extras = f"[{','.join(sorted(parsed.extras))}]" if parsed.extras else ""
    return f"{name}{extras}=={given[name]}" + (f" ; {parsed.marker}" if parsed.marker else "")


def _accepts(file: str, accepted: frozenset[str]) -> bool:
    try:
        return any(str(tag) in accepted for tag in parse_wheel_filename(file)[3])
    except ValueError:
        return False
