"""Preset to lock: each section by its own resolver; unchanged sections are kept."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

from devenv.compat.build_variant import ANY as ANY_CUDA
from devenv.compat.build_variant import suits
from devenv.doors.http.web import Web
from devenv.errors import EngineError, LockError
from devenv.fetch import npm_program
from devenv.fetch.sources import Sources, archives
from devenv.lock import drift
from devenv.lock.builtin_packages import BASE_PACKAGES, NODE_WHEEL, SYSTEM_PACKAGES, TOOLCHAIN_PACKAGES
from devenv.lock.model import Artifact, Deb, Lock, LockedBase, LockedEditor, LockedModel, LockedNpm, Wheel
from devenv.preset.load import LoadedPreset
from devenv.preset.own_wheel import own_wheel
from devenv.resolve import npm
from devenv.resolve.apt import Apt, installed, minor_version, without
from devenv.resolve.base_image import ImageFacts, locked_image
from devenv.resolve.code_server import resolve_editor, resolve_extensions
from devenv.resolve.context import Context
from devenv.resolve.keyring import keyring
from devenv.resolve.previous import ALL, Earlier
from devenv.resolve.wheels import own_file, own_uv, resolve_wheels

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
    CancelledError.
    """
    with Web(context.settings, context.policy, context.cancel) as web:
        work = _Work(
            loaded, context, web, parent=parent, previous=previous, upgrade=tuple(upgrade), ask_hubs=ask_hubs
        )  # fmt: skip
        try:
            return work.lock()
        except LockError as error:
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


def located(error: LockError, loaded: LoadedPreset) -> LockError:
    """The error with the place of the preset's entry that it names, if any."""
    if error.where is not None:
        return error
    text = f"{error.message}\n{error.detail or ''}"
    for section in ("apt", "pip", "npm"):
        for number, entry in enumerate(getattr(loaded.preset, section)):
            mark = loaded.origins.get((section, number))
            name = re.split(r"[\[=<>~!; ]", entry.lstrip("@"))[0].partition("@")[0]
            if mark is not None and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text):
                detail = f"{mark.excerpt()}\n{error.detail}" if error.detail else mark.excerpt()
                return LockError(error.message, where=mark.where, detail=detail, hint=error.hint)
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
        self._resolved: set[str] = set()
        """The sections whose Debian packages were resolved now; others were taken over."""

    def lock(self) -> Lock:
        """Every section in turn, each after those that it needs."""
        # First, because it is quick: when no hub can be reached, no other work is lost.
        model = self._model()
        self._say("base system")
        base = self._base()
        status = _Once(lambda: self._status(base))
        self._say("Debian packages")
        # Before the Python packages, which are resolved for an interpreter that has to be there.
        apt = self.earlier.layered_debs(self._apt_packages(base, status), base)
        self._say("Node and uv")
        uv, self.node = self._tools(base, status)
        self._say("Python packages")
        wheels = self._wheels(base, status)
        self._say("editor")
        editor = self._editor(base, status)
        self._say("npm packages")
        npm_ = self._npm()
        extensions = self.earlier.take("extensions", lambda lock: lock.extensions) or resolve_extensions(
            self.preset.extensions, store=self.store, web=self.web, sources=self.sources
        )
        made = Lock(
            preset=self.preset.name, platform=self.platform, inputs=self.inputs, base=base, apt=apt, wheels=wheels,
            uv=uv, node=self.node, editor=editor, npm=npm_, extensions=extensions, model=model,
            open=("model",) if self.preset.model and model is None else None,
        )  # fmt: skip
        archives = {section: self._archives(section, debs, base) for section, debs in made.debs().items() if debs}
        known = {section: dates for section, dates in archives.items() if dates}
        return made.model_copy(update={"archives": known}) if known else made

    def _archives(self, section: str, debs: tuple[Deb, ...], base: LockedBase) -> dict[str, str]:
        """The archive dates of a section's packages. An earlier lock's dates stay while the packages do."""
        if earlier := self.earlier.archives(section, debs):
            return earlier
        return self._apt(base).made(debs) if section in self._resolved else {}

    def _model(self) -> LockedModel | None:
        if self.preset.model is None:
            return None
        afresh = self.earlier.upgrades("model", ()) or self.earlier.upgrades(ALL, ())
        taken: LockedModel | None = self.earlier.take(
            "model", lambda lock: lock.model, fits=lambda lock: lock.model is not None
        )
        if (taken is not None and not afresh) or not self._ask_hubs:
            return taken
        from devenv.resolve.pin_model import record

        self._say("model")
        found = record(
            self.preset, self.inputs["model"], settings=self.settings, web=self.web, store=self.store, known=not afresh
        )
        for words in (found.words(), *found.remarks()):
            self._note(words)
        return found.model

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
            system = self._apt(image).resolve(SYSTEM_PACKAGES, status=facts.dpkg_status, keep=self.earlier.debs())
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
        if taken is not None and not self.earlier.upgrades("code_server", ()):
            return taken.model_copy(update={"toolchain": toolchain})
        return resolve_editor(
            wish, toolchain=toolchain, arch=self.settings.arch, store=self.store, web=self.web,
            sources=self.sources, progress=self.progress,
        )  # fmt: skip

    def _wheels(self, base: LockedBase, status: _Once) -> tuple[Wheel, ...]:
        taken: tuple[Wheel, ...] | None = self.earlier.take(
            "pip python cuda", lambda lock: lock.wheels,
            fits=lambda lock: (lock.base.distribution, lock.base.release) == (base.distribution, base.release)
            and all(suits(wheel.version, self._cuda) for wheel in lock.wheels),  # a required GPU is not a pin
        )  # fmt: skip
        if taken is None or self.earlier.upgrades("pip", (wheel.name for wheel in taken)):
            taken = self._resolve_wheels(self.preset.requirements(), base, status, keep=self.earlier.wheels())
        return tuple(self.earlier.layered(wheel) for wheel in sorted(taken, key=lambda each: each.name))

    def _resolve_wheels(
        self, names: Sequence[str], base: LockedBase, status: _Once, *, keep: Sequence[Wheel] = (), alone: bool = False
    ) -> tuple[Wheel, ...]:
        if not names:  # and the base is not needed
            return ()
        local = [own_file(wheel, self.store, self.web) for wheel in map(own_wheel, names) if wheel]
        if self.settings.pip.unheard and not alone:
            self._note(f"warning: devenv does not use these settings: {', '.join(self.settings.pip.unheard)}")
        return resolve_wheels(
            names, python=self.preset.python, glibc=self._glibc(base, status), settings=self.settings,
            store=self.store, web=self.web, keep=keep, dependencies=not alone, cuda=self._cuda, local=local,
        )  # fmt: skip

    def _tools(self, base: LockedBase, status: _Once) -> tuple[Wheel, Wheel | None]:
        """uv, which installs the wheels, and Node where the preset wants it."""
        uv: Wheel | None = self.earlier.take("python", lambda lock: lock.uv)
        node: Wheel | None = self.earlier.take("node", lambda lock: lock.node) if self.preset.node else None
        wanted = []
        if uv is None or self.earlier.upgrades("uv", ()):
            wanted.append(f"uv=={own_uv()}")
        if self.preset.node and (node is None or self.earlier.upgrades("node", ())):
            wanted.append(f"{NODE_WHEEL}=={self.preset.node}")
        new = {wheel.name: wheel for wheel in self._resolve_wheels(wanted, base, status, alone=True)}
        uv = new.get("uv", uv)
        assert uv is not None
        return uv, new.get(NODE_WHEEL, node)

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
