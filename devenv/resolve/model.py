"""A model named by revision to its files by hash, from the hubs' own metadata."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from devenv.doors.http.hubs import Hub, HubFile, UnreachedError, hub, hub_order
from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import NowhereError, Origin, Web
from devenv.doors.settings.settings import Settings
from devenv.doors.thread import in_thread
from devenv.errors import FetchError, LockError
from devenv.fetch.store import Store
from devenv.lock.model import LockedModel, ModelFile, ModelSource, files_digest
from devenv.preset.model import Model

OWN = frozenset({".gitattributes", ".gitignore", ".mdl", ".msc", ".mv", "README.md", "configuration.json"})
"""Files that each hub adds and that differ between hubs: left out unless `allow` names them."""
_LARGEST_UNHASHED = 64 << 20
_JOBS = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A model as the hubs have it: `answered` are the hubs that listed it, `unreached` the faults of the others."""

    model: LockedModel
    answered: tuple[str, ...]
    unreached: tuple[str, ...] = ()


def resolve_model(wish: Model, *, settings: Settings, web: Web, store: Store, asked: Sequence[str] = ()) -> Told:
    """Every file of the model by size and sha256, from any of its hubs; hubs that cannot be reached are left out.

    `asked`: only these hubs. Raises LockError when hubs differ, FetchError when none answers, UsageError.
    """
    named = (("huggingface", wish.huggingface), ("modelscope", wish.modelscope))
    sources = tuple(ModelSource(hub=name, id=one.id, revision=one.revision) for name, one in named if one is not None)
    order = hub_order([one.hub for one in sources], asked, settings.hubs.order, name=sources[0].id)
    asking = sorted((one for one in sources if one.hub in order), key=lambda one: order.index(one.hub))
    found, silent = _ask(asking, wish, settings, web, store)
    if not found:
        raise nobody_answers(silent)
    first, *others = (one for one in asking if one.hub in found)
    for other in others:
        _check_same(first, found[first.hub], other, found[other.hub])
    files = found[first.hub]
    if not files:
        raise LockError(f"the preset selects no file of {first.id}", hint="correct 'allow' and 'deny' of 'model'")
    # Name and sources are the preset's, so that the model does not depend on the answering hub.
    try:
        model = LockedModel(name=model_name(sources[0].id), digest=files_digest(files), sources=sources, files=files)
    except ValueError as error:
        raise _unlockable(first.hub, first.id, error) from None
    return Told(model=model, answered=tuple(found), unreached=_why(silent))


def _ask(
    asking: Sequence[ModelSource], wish: Model, settings: Settings, web: Web, store: Store
) -> tuple[dict[str, tuple[ModelFile, ...]], dict[str, FetchError]]:
    """The files by hub, and the hubs that could not be reached. All at once, because one may take long to fail."""
    asked = [(one.hub, in_thread(one.hub, partial(_files, one, wish, settings, web, store))) for one in asking]
    found: dict[str, tuple[ModelFile, ...]] = {}
    silent: dict[str, FetchError] = {}
    for name, answer in asked:
        try:
            found[name] = answer.result()
        except UnreachedError as error:
            silent[name] = error
    return found, silent


def _why(silent: Mapping[str, FetchError]) -> tuple[str, ...]:
    return tuple(error.message + (f" ({error.detail})" if error.detail else "") for error in silent.values())


def nobody_answers(silent: Mapping[str, FetchError]) -> FetchError:
    """The error when no hub could be reached, by the names of those that were asked."""
    first, *rest = silent.values()
    if not rest:
        return UnreachedError(first.message, detail=first.detail, hint=first.hint)
    return UnreachedError(
        f"none of the model's hubs can be reached: {', '.join(silent)}",
        detail="\n".join(_why(silent)),
        hint="check the network and the proxy settings, or name an address that can be reached: HF_ENDPOINT, "
        "MODELSCOPE_ENDPOINT",
    )


def model_name(id_: str) -> str:
    """A repository's name as part of a folder's and a volume's."""
    name = re.sub(r"[^a-z0-9.]+", "-", id_.rpartition("/")[2].lower()).strip("-.")
    return name[:60].strip("-.") or "model"


def wanted(path: str, wish: Model) -> bool:
    """Whether the preset selects a file."""
    if any(matches(path, one) for one in wish.deny):
        return False
    if wish.allow:
        return any(matches(path, one) for one in wish.allow)
    return path not in OWN


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern of `allow` or `deny` is for a file. One without '/' matches the name in any folder."""
    return fnmatch.fnmatchcase(path, pattern) or ("/" not in pattern and fnmatch.fnmatchcase(Path(path).name, pattern))


def _files(source: ModelSource, wish: Model, settings: Settings, web: Web, store: Store) -> tuple[ModelFile, ...]:
    asked = hub(source.hub, settings.hubs)
    listed = [one for one in asked.files(source.id, source.revision) if wanted(one.path, wish)]
    with ThreadPoolExecutor(_JOBS, thread_name_prefix="hash") as pool:
        hashes = list(pool.map(lambda one: one.sha256 or _hash(one, source, asked, web, store), listed))
    files = [{"path": one.path, "size": one.size, "sha256": sha256} for one, sha256 in zip(listed, hashes, strict=True)]
    try:
        return tuple(ModelFile.model_validate(one) for one in sorted(files, key=lambda each: str(each["path"])))
    except ValueError as error:
        raise _unlockable(source.hub, source.id, error) from None


def _unlockable(hub_: str, id_: str, error: ValueError) -> LockError:
    """The error for an invalid listing: a file inside a file, a path that leaves its folder."""
    why = error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else str(error)
    return LockError(
        f"{hub_} lists a file of {id_} that cannot be locked",
        detail=why,
        hint="leave it out with 'deny'",
    )


def _hash(one: HubFile, source: ModelSource, asked: Hub, web: Web, store: Store) -> str:
    """The sha256 of a file whose metadata has none. Such a file is small, so it is downloaded and hashed."""
    if one.size > _LARGEST_UNHASHED:
        raise LockError(f"{source.hub} reports no sha256 for {one.path}, which is large", hint="name the other hub")
    headers = tuple(asked.headers().items())
    origin = Origin(url=asked.url(source.id, source.revision, one.path), headers=headers)
    (store.root / "tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.root / "tmp", prefix="model-") as folder:
        part = Path(folder) / "file"
        try:
            got = web.download(Wanted(name=one.path, size_bytes=one.size), (origin,), part)
        except NowhereError as error:
            if any(reason.why.startswith(("401", "403")) for reason in error.reasons):
                raise asked.denied(source.id) from None
            if all(reason.offline or reason.passing for reason in error.reasons):
                raise UnreachedError(error.message, detail=error.detail, hint=error.hint) from None
            raise
        if one.git is not None:
            git = hashlib.sha1(b"blob %d\0" % one.size, usedforsecurity=False)
            git.update(part.read_bytes())
            if git.hexdigest() != one.git:
                raise FetchError(
                    f"{source.hub} sends other bytes for {one.path} than its own metadata says",
                    hint="a proxy or mirror in between may alter files; try again, or another address",
                )
        return got.sha256


def _check_same(
    first: ModelSource, mine: tuple[ModelFile, ...], other: ModelSource, theirs: tuple[ModelFile, ...]
) -> None:
    """Both hubs must have the same files. Raises LockError naming the first that differs."""
    a, b = ({one.path: one for one in files} for files in (mine, theirs))
    told = []
    for path in sorted(a.keys() | b.keys()):
        if path not in a or path not in b:
            told.append(f"{path}: only on {first.hub if path in a else other.hub}")
        elif a[path] != b[path]:
            told.append(f"{path}: {a[path].sha256[:12]} ({a[path].size} bytes) on {first.hub}, "
                        f"{b[path].sha256[:12]} ({b[path].size} bytes) on {other.hub}")  # fmt: skip
    if told:
        more = f" (and {len(told) - 1} more)" if told[1:] else ""
        raise LockError(
            f"the hubs have different models: {told[0]}{more}",
            detail="\n".join(told[1:12]) or None,
            hint="name revisions with the same content, or leave such files out with 'deny'",
        )
