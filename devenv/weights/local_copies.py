"""Files that exist on this machine already: in the hubs' own caches, in another model of the store, in a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devenv.doors.terminal.progress import Progress
from devenv.fetch.store import hash_file
from devenv.lock.model import LockedModel, ModelFile
from devenv.weights.store import Weights, hash_jobs, looks

_FICLONE = 0x40049409


class Places:
    """The places that may have a model's files. A file is used only when its content has the locked hash."""

    def __init__(
        self,
        model: LockedModel,
        *,
        store: Weights,
        caches: Sequence[tuple[str, Path]] = (),
        folders: Sequence[Path] = (),
    ) -> None:
        self._model = model
        self._store = store
        self._own = store.folder(model.key)
        self._folders = (*folders, *_hub_folders(model, dict(caches)))
        self._blobs = _blob_folders(model, dict(caches))
        self._others = self._of_other_models()
        self._device = _device(store.root)
        self._found: dict[str, tuple[tuple[Path, int], ...]] = {}
        self._unable: set[int] = set()

    def candidates(self, file: ModelFile) -> tuple[Path, ...]:
        """Files of the right size, the likeliest first. Reads no content; searches once."""
        return tuple(path for path, _ in self._candidates(file))

    def needs_copy(self, file: ModelFile) -> bool:
        """Whether none of its candidates lies where a link can reach it."""
        return all(device != self._device for _, device in self._candidates(file))

    def bring(self, file: ModelFile) -> bool:
        """Put the file into the store from the first place with its content. Raises OSError for the store's disk."""
        return any(self._take(file, path) for path in self.candidates(file))

    def _take(self, file: ModelFile, path: Path) -> bool:
        before = looks(str(path))
        try:
            right = hash_file(path) == file.sha256
        except OSError:
            return False
        if not right or before is None:
            return False
        if path == self._own / file.path:
            if before == looks(str(path)):
                self._store.stamp(self._model.key, file, before)
                return True
            return False
        temporary = self._store.parts(self._model.key) / f"{file.sha256}.{threading.get_ident()}"
        try:
            how = link(path, temporary, self._unable)
            # A link is the hashed file itself; a copy has bytes of its own, which are not hashed yet.
            if before == looks(str(path)) and (how != "copy" or hash_file(temporary) == file.sha256):
                self._store.put(self._model, file, temporary, before if how == "link" else None)
                return True
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        temporary.unlink(missing_ok=True)
        return False

    def _candidates(self, file: ModelFile) -> tuple[tuple[Path, int], ...]:
        """With the file system that each is on."""
        if (known := self._found.get(file.path)) is None:
            looked = ((path, _facts(path)) for path in dict.fromkeys(self._paths(file)))
            known = self._found[file.path] = tuple(
                (Path(path), facts.st_dev) for path, facts in looked
                if facts is not None and stat.S_ISREG(facts.st_mode) and facts.st_size == file.size
            )  # fmt: skip
        return known

    def _paths(self, file: ModelFile) -> Iterator[str]:
        yield f"{self._own}/{file.path}"  # its stamp was lost, or a user put it there
        yield from (str(copy) for copy in self._others.get(file.sha256, ()))
        for folder in self._blobs:
            yield f"{folder}/{file.sha256}"
        for folder in self._folders:
            yield f"{folder}/{file.path}"

    def _of_other_models(self) -> dict[str, tuple[Path, ...]]:
        found: dict[str, tuple[Path, ...]] = {}
        for stored in self._store.every(but=self._model.key):
            gone = {file.path for file in self._store.missing(stored.model)}
            for file in stored.model.files:
                if file.path not in gone:
                    found[file.sha256] = (*found.get(file.sha256, ()), stored.folder / file.path)
        return found


def needed_bytes(model: LockedModel | None, *, store: Weights, caches: Sequence[tuple[str, Path]]) -> int:
    """The disk space that the model still needs, without the bytes of unfinished files and of files that a link from a
    cache can provide. By names and sizes; hashes are compared later. 0 for no model."""
    missing = store.missing(model) if model else ()
    if model is None or not missing:
        return 0
    return bytes_to_bring(missing, Places(model, store=store, caches=caches), model, store)


def bytes_to_bring(missing: Sequence[ModelFile], places: Places, model: LockedModel, store: Weights) -> int:
    """The same, with known missing files and places."""
    return missing_bytes(tuple(file for file in missing if places.needs_copy(file)), model, store)


def missing_bytes(files: Sequence[ModelFile], model: LockedModel, store: Weights) -> int:
    """The disk space that these files need, each content once, without the bytes of unfinished files."""
    needed = 0
    for file in {file.sha256: file for file in files}.values():
        part = store.parts(model.key) / file.sha256
        kept = part.stat().st_blocks * 512 if part.exists() else 0
        needed += max(0, file.size - kept)
    return needed


def _device(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return path.stat().st_dev


def take(model: LockedModel, folder: Path, *, store: Weights, progress: Progress) -> tuple[ModelFile, ...]:
    """Copy the model's missing files from a folder that has them by path or, renamed, anywhere below; those taken.

    Copied, never linked, because the folder's owner may change it. Raises OSError for the store's disk.
    """
    by_size: dict[int, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            by_size.setdefault(path.stat().st_size, []).append(path)
    missing = store.missing(model)
    progress.start("import", sum(file.size for file in missing))

    def one(file: ModelFile) -> bool:
        there = by_size.get(file.size, [])
        for path in sorted(there, key=lambda each: each != folder / file.path):
            temporary = store.parts(model.key) / f"{file.sha256}.{threading.get_ident()}"
            try:
                copy(path, temporary)
                if hash_file(temporary) == file.sha256:
                    store.put(model, file, temporary)
                    progress.advance("import", file.size)
                    return True
            finally:
                temporary.unlink(missing_ok=True)
        return False

    with ThreadPoolExecutor(hash_jobs(), thread_name_prefix="import") as pool:
        taken = tuple(file for file, ok in zip(missing, pool.map(one, missing), strict=True) if ok)
    progress.finish("import")
    return taken


def _blob_folders(model: LockedModel, caches: dict[str, Path]) -> tuple[Path, ...]:
    """Hugging Face's cache names a large file by its sha256."""
    source, cache = model.source("huggingface"), caches.get("huggingface")
    if source is None or cache is None:
        return ()
    return (cache / f"models--{source.id.replace('/', '--')}" / "blobs",)


def _hub_folders(model: LockedModel, caches: dict[str, Path]) -> tuple[Path, ...]:
    """Folders of the hubs' caches that look like a revision of this model."""
    found: list[Path] = []
    hugging, scope = model.source("huggingface"), model.source("modelscope")
    if hugging and (cache := caches.get("huggingface")):
        snapshots = cache / f"models--{hugging.id.replace('/', '--')}" / "snapshots"
        found += [snapshots / hugging.revision, *_folders(snapshots)]
    if scope and (cache := caches.get("modelscope")):
        owner, _, name = scope.id.partition("/")
        snapshots = cache / "models" / scope.id.replace("/", "--") / "snapshots"
        found += [snapshots / scope.revision, *_folders(snapshots)]
        for base in (cache, cache / "hub"):
            for spelt in dict.fromkeys((name.replace(".", "___"), name)):
                found += [base / "models" / owner / spelt, base / owner / spelt]
    return tuple(dict.fromkeys(found))


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except OSError:
        return []


def link(source: Path, target: Path, unable: set[int] | None = None) -> str:
    """Make `target` the same file: a reflink where the file system can, else a hard link, else a copy; returns which.

    `unable`: file systems that cannot reflink, so that each is tried only once.
    """
    source = _behind_links(source)
    if _reflink(source, target, unable):
        return "reflink"
    try:
        try:
            os.link(source, target)
        except FileExistsError:
            target.unlink()
            os.link(source, target)
    except OSError:
        copy(source, target)
        return "copy"
    return "link"


def copy(source: Path, target: Path) -> None:
    """A copy that shares nothing but, where the file system can, blocks."""
    target.unlink(missing_ok=True)
    if not _reflink(source, target):
        shutil.copyfile(source, target)
        target.chmod(0o444)


def _behind_links(path: Path) -> Path:
    """The file behind symbolic links, because a hard link to a symbolic link would break with the cache."""
    return path.resolve() if path.is_symlink() else path


def _reflink(source: Path, target: Path, unable: set[int] | None = None) -> bool:
    if unable and source.stat().st_dev in unable:
        return False
    try:
        target.unlink(missing_ok=True)
        with source.open("rb") as reader, target.open("wb") as writer:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        target.chmod(0o444)
    except OSError as error:
        if unable is not None and error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV):
            unable.add(source.stat().st_dev)
        target.unlink(missing_ok=True)
        return False
    return True


def _facts(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - asked for thousands of files
    except OSError:
        return None
