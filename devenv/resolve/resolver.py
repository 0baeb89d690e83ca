"""Preset to lock: each section by its own resolver; unchanged sections are kept."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

from devenv.compat.build_variant import ANY as ANY_CUDA
from devenv.doors.http.web import Web
from devenv.errors import EngineError, LockError
from devenv.fetch import npm_program
from devenv.fetch.sources import Sources, archives
from devenv.lock import drift
from devenv.lock.builtin_packages import (
    BASE_PACKAGES,
    IMAGE_PACKAGES,
    SOURCE_PACKAGES,
    SYSTEM_PACKAGES,
    TOOLCHAIN_PACKAGES,
    is_for_builds,
)
from devenv.lock.model import Artifact, Deb, Lock, LockedBase, LockedEditor, LockedModel, LockedNpm, Wheel
from devenv.preset.load import LoadedPreset
from devenv.resolve import npm
from devenv.resolve.apt import Apt, installed, minor_version, without
from devenv.resolve.base_image import ImageFacts, locked_image
from devenv.resolve.code_server import has_agents, resolve_editor
from devenv.resolve.context import Context
from devenv.resolve.extensions import lock_extensions
from devenv.resolve.keyring import keyring
from devenv.resolve.previous import ALL, Earlier
from devenv.resolve.python_packages import PythonPackages, System

_IMAGE_HINT = "start an engine, because it reads the base image; without one, use 'bootstrap'"


def resolve(
    loaded: LoadedPreset,
    context: Context,
    *,
    upgrade: Sequence[str] = (),
    parent: Lock | None = None,
    previous: Lock | None = None,
    ask_hubs: bool = True,
) -> Lock:
    """Lock a preset.

    A section whose pins are those of `previous` (this preset's own lock) or `parent` (the nearest ancestor's) is
    kept unchanged; elsewhere their versions are preferred. `upgrade` names packages or sections, ALL,
    or PARENT. Without `ask_hubs` a model that is not pinned yet stays so. Raises LockError, FetchError,
    EngineError, CancelledError.
    """
    with Web(context.settings, context.policy, context.cancel) as web:
        work = _Work(
            loaded, context, web, parent=parent, previous=previous, upgrade=tuple(upgrade), ask_hubs=ask_hubs
        )  # fmt: skip
        try:
            return work.lock()
        except (LockError, EngineError) as error:
            raise located(error, loaded) from None
        finally:
            context.cancel.check()  # then what failed is no fault of the preset or of a source


def refresh_missing(
    lock: Lock,
    missing: Iterable[Artifact],
    loaded: LoadedPreset,
    context: Context,
) -> Lock:
    """The lock with its Debian packages resolved again, all else kept: for mirrors that dropped some (`missing`).

    Packages that the archive still has keep their versions; no hub is contacted. Raises LockError when `missing` has
    files of other kinds.
    """
    for artifact in missing:
        if not isinstance(artifact, Deb):
            raise LockError(f"{artifact.file} is not a Debian package", hint=f"devenv lock --upgrade {artifact.name}")
    return resolve(loaded, context, previous=lock, upgrade=("base", "apt"), ask_hubs=False)


def located(error: LockError | EngineError, loaded: LoadedPreset) -> LockError | EngineError:
    """The error with the place of the preset's entry that it names, if any."""
    if error.where is not None or (isinstance(error, LockError) and error.problems):
        return error
    text = f"{error.message}\n{error.detail or ''}"
    for section in ("apt", "pip", "npm"):
        for number, entry in enumerate(getattr(loaded.preset, section)):
            mark = loaded.origins.get((section, number))
            name = re.split(r"[\[=<>~!; ]", entry.lstrip("@"))[0].partition("@")[0]
            if mark is not None and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text):
                detail = f"{mark.excerpt()}\n{error.detail}" if error.detail else mark.excerpt()
                kind = EngineError if isinstance(error, EngineError) else LockError
                return kind(error.message, where=mark.where, detail=detail, hint=error.hint)
    return error


class _Work:
    """One resolution: the preset, the earlier locks, and the tools."""

    def __init__(
        self,
        loaded: LoadedPreset,
        context: Context,
        web: Web,
        *,
        parent: Lock | None,
        previous: Lock | None,
        upgrade: tuple[str, ...],
        ask_hubs: bool,
    ) -> None:
        settings, store = context.settings, context.store
        self._context = context
        self._loaded = loaded
        self.preset = loaded.preset
        self._image_mark = loaded.origins.get(("base", "image"))
        self._python_mark = loaded.origins.get(("python",))
        self.settings = settings
        self.store = store
        self.progress = context.progress
        self.cancel = context.cancel
        self.web = web
        self.inputs = drift.inputs(self.preset)
        self.platform = f"linux/{settings.arch}"
        self._image_facts = context.image_facts
        self._ask_hubs = ask_hubs
        self._note = context.note
        self.earlier = Earlier(
            parent=parent, previous=previous, upgrade=frozenset(upgrade), inputs=self.inputs,
            platform=self.platform, depth=len(loaded.chain) - 1,
        )  # fmt: skip
        self.node: Wheel | None = None
        self.sources = Sources(
            settings,
            web,
            node_registry=lambda: npm_program.default_registry(store=store, web=web, settings=settings),
            files=archives(self.preset),
        )
        needs_gpu = self.preset.gpu is not None and self.preset.gpu.required
        self._cuda = self.preset.cuda or (ANY_CUDA if needs_gpu or self.preset.vllm else "")
        self._apt_: Apt | None = None
        self._toolchain: tuple[Deb, ...] | None = None
        self._resolved: set[str] = set()
        """The sections whose Debian packages were resolved now; others were taken over."""

    def lock(self) -> Lock:
        """Every section in turn, each after those that it needs."""
        # First, because it is quick: when no hub can be reached, no other work is lost.
        model, recorded = self._model()
        self._say("base system")
        base = self._base()
        status = _Once(lambda: self._status(base))
        self._say("Debian packages")
        # Before the Python packages, which are resolved for an interpreter that has to be there.
        apt = self.earlier.layered_debs(self._apt_packages(base, status), base)
        self._say("Node and uv")
        python = self._python_packages(base, status)
        uv, self.node = python.tools()
        self._say("Python packages")
        wheels, sources = python.packages(uv)
        self._say("editor")
        editor = self._editor(base, status)
        self._say("npm packages")
        npm_ = self._npm()
        self._say("editor extensions")
        extensions = lock_extensions(
            self._loaded, editor, self._context, web=self.web, sources=self.sources, earlier=self.earlier
        )
        made = Lock(
            preset=self.preset.name, platform=self.platform, inputs=self.inputs, base=base, apt=apt, wheels=wheels,
            sources=sources, uv=uv, node=self.node, editor=editor, npm=npm_, extensions=extensions, model=model,
            open=("model",) if self.preset.model and model is None else None,
        )  # fmt: skip
        for words in recorded:  # not before: a lock that fails records nothing
            self._note(words)
        archives = {section: self._archives(section, debs, base) for section, debs in made.debs().items() if debs}
        known = {section: dates for section, dates in archives.items() if dates}
        return made.model_copy(update={"archives": known}) if known else made

    def _archives(self, section: str, debs: tuple[Deb, ...], base: LockedBase) -> dict[str, str]:
        """The archive dates of a section's packages. An earlier lock's dates stay while the packages do."""
        if earlier := self.earlier.archives(section, debs):
            return earlier
        return self._apt(base).made(debs) if section in self._resolved else {}

    def _model(self) -> tuple[LockedModel | None, tuple[str, ...]]:
        """The model, and what is worth a line about it."""
        if self.preset.model is None:
            return None, ()
        afresh = self.earlier.upgrades("model", ()) or self.earlier.upgrades(ALL, ())
        taken: LockedModel | None = self.earlier.take(
            "model", lambda lock: lock.model, fits=lambda lock: lock.model is not None
        )
        if (taken is not None and not afresh) or not self._ask_hubs:
            return taken, ()
        from devenv.resolve.pin_model import record

        self._say("model")
        found = record(
            self.preset, self.inputs["model"], settings=self.settings, web=self.web, store=self.store, known=not afresh
        )
        return found.model, (found.words(), *found.remarks())

    def _say(self, text: str) -> None:
        self.progress.message(f"resolving: {text}")

    def _apt(self, base: LockedBase | None = None) -> Apt:
        if self._apt_ is None:
            named = f"{base.distribution}/{base.release}" if base is not None else self.preset.base.bootstrap or ""
            distribution, _, release = named.partition("/")
            keys = keyring(distribution, settings=self.settings, store=self.store, web=self.web)
            self._apt_ = Apt(
                distribution=distribution, release=release, settings=self.settings, store=self.store, keyring=keys,
                further=self.preset.apt_components, python=self.preset.python, cancel=self.cancel,
            )  # fmt: skip
        return self._apt_

    def _base(self) -> LockedBase:
        taken: LockedBase | None = self.earlier.take("base system", lambda lock: lock.base)
        names = [deb.name for deb in taken.packages] if taken else []
        if taken is not None and not self.earlier.upgrades("base", names):
            return taken
        if self.preset.base.image is not None:
            facts = self._facts(self.preset.base.image)
            image = locked_image(self.preset.base.image, facts)
            system = self._apt(image).resolve(IMAGE_PACKAGES, status=facts.dpkg_status, keep=self.earlier.debs())
            self._resolved.add("base")
            return image.model_copy(update={"packages": system})
        apt = self._apt()
        packages = apt.resolve((*BASE_PACKAGES, *SYSTEM_PACKAGES), keep=self.earlier.debs())
        self._resolved.add("base")
        return LockedBase.model_validate({
            "kind": "bootstrap", "distribution": apt.distribution, "release": apt.release, "packages": packages,
        })  # fmt: skip

    def _facts(self, reference: str) -> ImageFacts:
        if self._image_facts is None:
            raise LockError(f"cannot look into the image {reference}", hint=_IMAGE_HINT)
        try:
            return self._image_facts(reference)
        except (EngineError, LockError) as error:
            if error.where is None and self._image_mark is not None:
                error.where = self._image_mark.where
            raise

    def _status(self, base: LockedBase) -> str:
        if base.kind == "image":
            assert base.image is not None
            assert base.digest is not None
            exact = base.digest if base.local else f"{base.image.partition('@')[0]}@{base.digest}"
            of_image = self._facts(exact).dpkg_status
            added = {deb.name for deb in base.packages}
            return f"{without(of_image, added)}\n\n{self._apt(base).status(base.packages)}"
        return self._apt(base).status(base.packages)

    def _glibc(self, base: LockedBase, status: _Once) -> str:
        version = next((deb.version for deb in base.packages if deb.name == "libc6"), None)
        version = version or installed(status()).get("libc6")
        if version is None:
            raise LockError("the base has no glibc (libc6)", hint="use a Debian-family image")
        return minor_version(version)

    def _apt_packages(self, base: LockedBase, status: _Once) -> tuple[Deb, ...]:
        taken: tuple[Deb, ...] | None = self.earlier.take(
            "apt apt_components system python", lambda lock: lock.apt, fits=lambda lock: lock.base == base
        )
        if taken is not None and not self.earlier.upgrades("apt", (deb.name for deb in taken)):
            return taken
        apt = self._apt(base)
        interpreter = f"python{self.preset.python}"
        try:
            found = apt.resolve(
                (interpreter, *self.preset.packages()), status=status(), keep=self.earlier.debs()
            )  # fmt: skip
        except LockError:
            if interpreter in installed(status()) or self.preset.python in (there := apt.pythons()):
                raise
            raise self._no_python(base, there) from None
        self._resolved.add("apt")
        return found

    def _no_python(self, base: LockedBase, there: Sequence[str]) -> LockError:
        release, wanted, mark = f"{base.distribution}/{base.release}", self.preset.python, self._python_mark
        nearest = f"set python: '{there[-1]}', " if there else ""
        return LockError(
            f"{release} has no Python {wanted}; the archives have {', '.join(there) or 'none'}",
            where=mark.where if mark else None,
            detail=mark.excerpt() if mark else None,
            hint=f"{nearest}choose a base that has {wanted}, or add an archive with the package python{wanted} for "
            f"{base.release} to this machine's apt sources",
        )

    def _editor(self, base: LockedBase, status: _Once) -> LockedEditor | None:
        wish = self.preset.code_server
        if wish is None:
            return None
        taken: LockedEditor | None = self.earlier.take("code_server", lambda lock: lock.editor)
        toolchain: tuple[Deb, ...] = ()
        if wish.source == "npm":
            old: tuple[Deb, ...] | None = self.earlier.take(
                "toolchain",
                lambda lock: lock.editor.toolchain if lock.editor else (),
                fits=lambda lock: lock.base == base,
            )
            keep = old is not None and not self.earlier.upgrades("apt", (deb.name for deb in old))
            if keep:
                toolchain = old or ()
            else:
                toolchain = self._apt(base).resolve(TOOLCHAIN_PACKAGES, status=status(), keep=self.earlier.debs())
                self._resolved.add("toolchain")
        if taken is not None and not self.earlier.upgrades("code_server", ()) and not has_agents(taken):
            return taken.model_copy(update={"toolchain": toolchain})
        return resolve_editor(
            wish, toolchain=toolchain, arch=self.settings.arch, store=self.store, web=self.web,
            sources=self.sources, progress=self.progress,
        )  # fmt: skip

    def _python_packages(self, base: LockedBase, status: _Once) -> PythonPackages:
        interpreter = f"python{self.preset.python}"
        system = System(
            base=base, glibc=lambda: self._glibc(base, status),
            has_interpreter=lambda: interpreter in installed(status()),
            toolchain=lambda: self._source_toolchain(base, status),
        )  # fmt: skip
        return PythonPackages(
            self.preset,
            self._context,
            system,
            web=self.web,
            sources=self.sources,
            earlier=self.earlier,
            cuda=self._cuda,
        )

    def _source_toolchain(self, base: LockedBase, status: _Once) -> tuple[Deb, ...]:
        """Compiler and headers of packages without wheels: the interpreter's, and those that the preset names."""
        old: tuple[Deb, ...] | None = self.earlier.take(
            "apt apt_components python", lambda lock: lock.debs()["sources"],
            fits=lambda lock: lock.base == base and bool(lock.debs()["sources"]),
        )  # fmt: skip
        if old is not None and not self.earlier.upgrades("apt", (deb.name for deb in old)):
            return old
        if self._toolchain is None:
            named = [name for name in self.preset.packages() if is_for_builds(name)]
            self._toolchain = self._apt(base).resolve(
                (f"python{self.preset.python}-dev", *SOURCE_PACKAGES, *named), status=status(), keep=self.earlier.debs()
            )
            self._resolved.add("sources")
        return self._toolchain

    def _npm(self) -> LockedNpm:
        taken: LockedNpm | None = self.earlier.take("npm node", lambda lock: lock.npm)
        if not self.preset.npm:
            return LockedNpm()
        if taken is not None and not self.earlier.upgrades("npm", (package.name for package in taken.packages)):
            return taken
        return npm.resolve_npm(
            self.preset.npm, arch=self.settings.arch, store=self.store, web=self.web,
            sources=self.sources, settings=self.settings, progress=self.progress,
            previous=self.earlier.npm(),
        )  # fmt: skip


@dataclasses.dataclass(slots=True)
class _Once:
    """A text made at first use."""

    make: Callable[[], str]
    made: str | None = None

    def __call__(self) -> str:
        if self.made is None:
            self.made = self.make()
        return self.made
