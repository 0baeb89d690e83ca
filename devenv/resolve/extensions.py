"""Editor extensions: files that the preset pins, and names in a registry with what they need."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import NowhereError, Origin, Unusable, Web
from devenv.errors import LockError
from devenv.fetch import declared, vsix_file
from devenv.fetch.open_vsx import UNIVERSAL, Build, OpenVsx
from devenv.fetch.sources import Sources
from devenv.fetch.store import Store, bring
from devenv.lock.artifact import TARGETS
from devenv.lock.model import LockedEditor, Vsix
from devenv.preset.extension import Named, is_id, named
from devenv.preset.load import LoadedPreset
from devenv.preset.model import EditorExtension, Extension
from devenv.preset.yaml.nodes import Mark
from devenv.preset.yaml.problems import quote
from devenv.resolve.code_server import pinned
from devenv.resolve.context import Context
from devenv.resolve.previous import Earlier, extension_names
from devenv.resolve.vscode import Editor
from devenv.resolve.vscode import editor as editor_facts

MOST = 100
"""Extensions by name, with all that they need."""
_JOBS = 6
_FILE_INSTEAD = "or pin its .vsix file with its sha256 (id, version, archive)"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a resolution looks at: the editor (read at first use), the registry in the user's settings, an earlier
    lock's extensions by id, the places of the preset's entries, and `note` for what is left out."""

    editor: Callable[[], Editor]
    registry: str | None
    arch: str
    config: str
    store: Store
    web: Web
    sources: Sources
    note: Callable[[str], None]
    keep: Mapping[str, Vsix] = dataclasses.field(default_factory=dict)
    marks: Mapping[int, Mark] = dataclasses.field(default_factory=dict)


def lock_extensions(
    loaded: LoadedPreset, editor: LockedEditor | None, context: Context, *, web: Web, sources: Sources, earlier: Earlier
) -> tuple[Vsix, ...]:
    """The preset's extensions: those of an earlier lock while nothing that decides them changed, else resolved again.

    `editor` is that of the lock in the making. Raises LockError, FetchError.
    """
    wishes, settings, store = loaded.preset.extensions, context.settings, context.store
    # What fits depends on the editor, but a file that the preset pins stays what it is.
    by_name = any(isinstance(wish, str) for wish in wishes)
    taken: tuple[Vsix, ...] | None = earlier.take(
        "extensions code_server" if by_name else "extensions", lambda lock: lock.extensions
    )
    if taken and not earlier.upgrades("extensions", extension_names(taken)):
        return taken

    def vscode() -> Editor:
        assert editor is not None  # the preset was checked
        archive, from_npm = editor.archive, editor.source == "npm"
        wanted = Wanted(name=archive.file, digests=(("sha256", archive.sha256),), size_bytes=archive.size)
        bring(
            store, web, wanted,
            lambda: sources.tarball(archive.name, archive.version) if from_npm else sources.file(archive),
        )  # fmt: skip
        return editor_facts(editor, store)

    marks = {number: mark for number in range(len(wishes)) if (mark := loaded.origins.get(("extensions", number)))}
    around = Surroundings(
        editor=vscode, registry=settings.extension_registry, arch=settings.arch,
        config=str(settings.dirs.config / "config.yaml"), store=store, web=web, sources=sources, note=context.note,
        keep=earlier.extensions(), marks=marks,
    )  # fmt: skip
    return resolve_extensions(wishes, around)


def resolve_extensions(wishes: tuple[EditorExtension, ...], around: Surroundings) -> tuple[Vsix, ...]:
    """Lock the extensions; sorted by name. A file by the hash that the preset gives; a name by the newest version that
    fits the editor and the platform, with its dependencies and the members of its pack, from the registry.

    Raises LockError, with all problems, and FetchError.
    """
    files = [_pinned(wish, around) for wish in wishes if isinstance(wish, Extension)]
    asked = [
        _Wish(named=named(wish), mark=around.marks.get(number))
        for number, wish in enumerate(wishes) if isinstance(wish, str)
    ]  # fmt: skip
    found = _Walk(around, {one.name.lower() for one in files}).all(asked) if asked else []
    return tuple(sorted((*files, *found), key=lambda one: one.name.lower()))


def _pinned(wish: Extension, around: Surroundings) -> Vsix:
    facts = pinned(
        wish.archive, wish.id, wish.version, f"{wish.id}-{wish.version}.vsix",
        store=around.store, web=around.web, sources=around.sources,
    )  # fmt: skip
    vsix = Vsix.model_validate(facts)
    declared.check(vsix, "extension", around.store.path(vsix.sha256))
    return vsix


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """An extension that the preset, or another extension (`by`), asks for. `optional`: as a member of its pack."""

    named: Named
    mark: Mark | None
    by: str = ""
    optional: bool = False

    def problem(self, message: str, hint: str | None = None, detail: str | None = None) -> LockError:
        """An error about it, at its place in the preset."""
        return self._error(LockError, message, hint, detail)

    def absent(self, message: str, hint: str | None = None) -> LockError:
        """The error when there is none for this editor and platform: what a pack can do without."""
        return self._error(_AbsentError, message, hint, None)

    def _error(self, kind: type[LockError], message: str, hint: str | None, detail: str | None) -> LockError:
        whose = f"; {self.by} {'has it in its pack' if self.optional else 'needs it'}" if self.by else ""
        excerpt = self.mark.excerpt() if self.mark else None
        text = "\n".join(filter(None, (excerpt, detail)))
        return kind(message + whose, where=self.mark.where if self.mark else None, detail=text or None, hint=hint)


class _AbsentError(LockError):
    """There is no such extension, or none that fits."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Got:
    """A locked extension, and what it asks for in turn."""

    vsix: Vsix
    asks: tuple[_Wish, ...]


class _Walk:
    """From the preset's names to all that they need, level by level, each id once."""

    def __init__(self, around: Surroundings, pinned: set[str]) -> None:
        self._around = around
        self._editor = around.editor()
        self._targets = (TARGETS[around.arch], UNIVERSAL)
        self._client = OpenVsx(around.registry, around.web) if around.registry else None
        self._known = set(pinned)
        self._left: dict[str, str] = {}

    def all(self, asked: list[_Wish]) -> list[Vsix]:
        """The extensions, or one LockError with every problem."""
        found: list[Vsix] = []
        problems: list[LockError] = []
        level = self._new(asked)
        with ThreadPoolExecutor(_JOBS, thread_name_prefix="extensions") as pool:
            try:
                while level:
                    below: list[_Wish] = []
                    for wish, got in zip(level, pool.map(self._one, level), strict=True):
                        if isinstance(got, _Got):
                            found.append(got.vsix)
                            below += got.asks
                        elif wish.optional and isinstance(got, _AbsentError):
                            self._known.discard(wish.named.key)  # another extension may be unable to work without it
                            self._left[wish.named.key] = got.message
                        else:
                            problems.append(got)
                    level = self._new(below)
            except BaseException:
                self._around.web.halt()
                raise
        if problems:
            raise _together(problems)
        for words in self._left.values():
            self._around.note(f"{words}; left out")
        return found

    def _new(self, wishes: Iterable[_Wish]) -> list[_Wish]:
        """Those that are not known yet; what an extension cannot work without comes before members of packs."""
        new: list[_Wish] = []
        for wish in sorted(wishes, key=lambda wish: wish.optional):
            key = wish.named.key
            if key in self._known or (wish.by and key in self._editor.built_in):
                continue
            self._known.add(key)
            new.append(wish)
        if len(self._known) > MOST:
            raise (new or list(wishes))[0].problem(f"the extensions need more than {MOST} extensions in all")
        return new

    def _one(self, wish: _Wish) -> _Got | LockError:
        try:
            return self._kept(wish) or self._chosen(wish)
        except LockError as error:
            return error

    # ---- an earlier lock's choice

    def _kept(self, wish: _Wish) -> _Got | None:
        old = self._around.keep.get(wish.named.key)
        if old is None or old.platform is None or wish.named.version not in (None, old.version):
            return None
        wanted = Wanted(name=old.file, digests=(("sha256", old.sha256),), size_bytes=old.size)
        try:
            bring(self._around.store, self._around.web, wanted, lambda: self._old_places(old))
        except NowhereError as error:
            if error.gone:
                return None
            raise
        got = self._got(wish, old)
        return got if isinstance(got, _Got) else None

    def _old_places(self, old: Vsix) -> Iterable[Origin | Unusable]:
        found = self._around.sources.local(old)
        local = (Origin(url=found.resolve().as_uri()),) if found else ()
        return chain(local, self._around.sources.extension(old))

    # ---- a new choice

    def _chosen(self, wish: _Wish) -> _Got | LockError:
        if self._client is None:
            return wish.problem(
                f"{wish.named.id} is an extension by name, and your settings name no registry of extensions",
                hint=f"add 'extension_registry: https://…' (a server with Open VSX's API) to {self._around.config}, "
                f"set DEVENV_EXTENSION_REGISTRY, or 'devenv lock --registry URL'; {_FILE_INSTEAD}",
            )
        build = self._exact(wish, self._client) if wish.named.version else self._newest(wish, self._client)
        return build if isinstance(build, LockError) else self._brought(wish, build, self._client)

    def _exact(self, wish: _Wish, client: OpenVsx) -> Build | LockError:
        id_, version = wish.named.id, wish.named.version or ""
        builds = client.exact(id_, version)
        if not builds:
            every = client.newest(id_)
            if not every:
                return self._missing(wish, client)
            return wish.absent(f"{id_} {version} does not exist at {client.shown}", self._instead(id_, client))
        mine = [build for target in self._targets for build in builds if build.platform == target]
        if not mine:
            return wish.absent(f"{id_} {version} {self._elsewhere(builds)}", self._instead(id_, client))
        fitting = [build for build in mine if self._editor.runs(build.engine)]
        if not fitting:
            return wish.absent(self._unfit(id_, version, mine[0].engine), self._instead(id_, client))
        return fitting[0]

    def _newest(self, wish: _Wish, client: OpenVsx) -> Build | LockError:
        id_ = wish.named.id
        if best := self._best(id_, client):
            return best
        every = client.newest(id_)
        if not every:
            return self._missing(wish, client)
        mine = [build for build in every if build.platform in self._targets]
        if not mine:
            return wish.absent(f"{id_} {self._elsewhere(every)}", f"use another extension; {_FILE_INSTEAD}")
        newest = max(mine, key=lambda build: build.order)
        if self._editor.runs(newest.engine):
            return wish.absent(
                f"{id_} has only pre-releases that fit, and those are taken by their version alone",
                f"name it: {id_}@{newest.version}",
            )
        return wish.absent(
            f"no version of {id_} fits: {self._unfit('', newest.version, newest.engine)}",
            "take a later version in 'code_server'; " + _FILE_INSTEAD,
        )

    def _best(self, id_: str, client: OpenVsx) -> Build | None:
        """The newest release that fits; of one version, the build for this platform."""
        firsts = [
            next((build for build in client.builds(id_, target) if self._is_right(build)), None)
            for target in self._targets
        ]
        found = [build for build in firsts if build is not None]
        return max(found, key=lambda build: build.order) if found else None  # max takes the first of equals

    def _is_right(self, build: Build) -> bool:
        return not build.pre_release and self._editor.runs(build.engine)

    def _brought(self, wish: _Wish, build: Build, client: OpenVsx) -> _Got | LockError:
        what = f"{build.id} {build.version}"
        sha256 = client.hash(build)
        if sha256 is None:
            return wish.problem(
                f"{client.shown} states no usable sha256 of {what}", f"use another registry; {_FILE_INSTEAD}"
            )
        store, file = self._around.store, f"{build.id}-{build.version}.vsix"
        wanted = Wanted(
            name=file, digests=(("sha256", sha256),), most_bytes=vsix_file.MOST_PACKED_BYTES,
            by="the registry's sha256 document",
        )  # fmt: skip
        try:
            bring(store, self._around.web, wanted, lambda: (client.place(build.file),))
        except NowhereError as error:
            if not any(reason.other for reason in error.reasons):
                raise
            return wish.problem(
                f"{client.shown} contradicts itself: its sha256 of {what} is not that of its file",
                f"tell its operator, take another version, or another registry; {_FILE_INSTEAD}", error.detail,
            )  # fmt: skip
        facts = {
            "name": build.id, "version": build.version, "file": file, "sha256": sha256, "platform": build.platform,
            "size": store.path(sha256).stat().st_size,
        }  # fmt: skip
        return self._got(wish, Vsix.model_validate(facts))

    def _got(self, wish: _Wish, vsix: Vsix) -> _Got | LockError:
        """The extension, if its file is what it should be. Its own statement counts, not the registry's."""
        path = self._around.store.path(vsix.sha256)
        try:
            declared.check(vsix, "extension", path)
            found = vsix_file.manifest(path)
        except LockError as error:
            return wish.problem(error.message, error.hint, error.detail)
        except (OSError, ValueError, LookupError, RuntimeError, zipfile.BadZipFile) as error:
            return wish.problem(f"{vsix.file} cannot be read as an editor extension: {error}", "pin another version")
        if not self._editor.runs(found.engine):
            return wish.problem(
                self._unfit(vsix.name, vsix.version, found.engine), f"name another version; {_FILE_INSTEAD}"
            )
        texts = [*((text, False) for text in found.needs), *((text, True) for text in found.pack)]
        if odd := [text for text, _ in texts if not is_id(text)]:
            return wish.problem(
                f"{vsix.name} {vsix.version} asks for {quote(odd[0])}, which is no extension's id",
                "name another version",
            )
        asks = tuple(
            _Wish(named=Named(id=text), mark=wish.mark, by=vsix.name, optional=optional) for text, optional in texts
        )
        return _Got(vsix=vsix, asks=asks)

    # ---- words

    def _missing(self, wish: _Wish, client: OpenVsx) -> LockError:
        near = () if wish.by else client.near(wish.named.id)
        hint = f"did you mean {' or '.join(map(quote, near))}? " if near else "correct the name, "
        hint = f"leave {wish.by} out, " if wish.by else hint
        return wish.absent(f"{wish.named.id} does not exist at {client.shown}", hint + _FILE_INSTEAD)

    def _elsewhere(self, builds: Iterable[Build]) -> str:
        there = ", ".join(sorted({build.platform for build in builds}))
        return f"has no build for {self._targets[0]} (it has {there})"

    def _unfit(self, id_: str, version: str, engine: str) -> str:
        editor = self._editor
        what = f"{id_} {version}".strip()
        return f"{what} needs VS Code {quote(engine)}, and code-server {editor.version} is VS Code {editor.vscode}"

    def _instead(self, id_: str, client: OpenVsx) -> str:
        best = self._best(id_, client)
        return f"the newest that fits is {id_}@{best.version}" if best else f"no version fits; {_FILE_INSTEAD}"


def _together(problems: list[LockError]) -> LockError:
    if len(problems) == 1:
        return problems[0]
    error = LockError(f"{len(problems)} extensions cannot be locked")
    error.problems = tuple(problems)
    return error
