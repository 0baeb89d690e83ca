"""The proof: an image is built again from its preset and lock alone, and compared with the existing one."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

from devenv.build import delta, own_images
from devenv.build.build import build
from devenv.build.image import Image
from devenv.doors import files
from devenv.doors.docker.buildx import check_buildx
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.docker.local_tag import VERIFY_TAG
from devenv.doors.file_lock import hold
from devenv.errors import DriftError, FetchError, UsageError
from devenv.lock.model import Lock
from devenv.plan.inside import WORKSPACE
from devenv.preset import portable
from devenv.preset.yaml.text import MAX_BYTES
from devenv.up.decide import Decided
from devenv.up.image import bring_files
from devenv.up.session import Session
from devenv.verify.identity import Identity, identities
from devenv.verify.tar_entry import Entry

BUILD_LABEL = f"{LABEL}image.build"
_RECORD = "/etc/devenv"
_RECORD_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One path that differs: `what` describes the difference in words."""

    path: str
    layer: str
    what: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`image` is the identity in question, `rebuilt` that of its preset and lock; equal digests are equal images.

    `stated` is false when the image's label names other preset files than the image has: they were
    changed in the image, and the rebuild has the changed ones, too. `snapshot`: the one whose layer both have, and
    `adds` the paths of that layer.
    """

    image: Identity
    rebuilt: Identity
    differences: tuple[Difference, ...]
    stated: bool = True
    snapshot: str = ""
    adds: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both are the same image."""
        return self.stated and self.image.digest == self.rebuilt.digest

    def require_equal(self, reference: str) -> None:
        """Raise DriftError unless both are the same image; `reference` is the image's name for people."""
        if self.equal:
            return
        if not self.differences:
            raise DriftError(
                f"{reference} holds preset files that differ from those it was built from",
                hint="compare it with your own preset: devenv verify PRESET --image IMAGE",
            )
        many = f"{len(self.differences)} difference{'s' if len(self.differences) != 1 else ''}"
        raise DriftError(
            f"{reference} is not what its preset and lock give: {many}",
            hint="build it again: devenv build --no-cache; if it still differs, report which files do",
        )


def restore(reference: str, folder: Path, session: Session) -> Path:
    """Put the preset and lock that an image carries into `folder`, with the preset's files; returns the preset's path.

    Raises UsageError for an image that carries none, FetchError for a pinned archive that is not in the store.
    """
    engine, path = session.engine(), folder / "preset.yaml"
    record = {f"{_RECORD}/preset.yaml": path, f"{_RECORD}/devenv.lock": folder / "devenv.lock"}
    engine.take_out(reference, record, most_bytes=_RECORD_BYTES)
    if not path.is_file() or not (folder / "devenv.lock").is_file():
        raise UsageError(
            f"the image {reference} carries no preset and lock, so there is nothing to build it from",
            hint="verify only images that devenv built",
        )
    try:
        named = portable.carried(files.read_text(path, most_bytes=MAX_BYTES, inside=folder))
    except OSError as error:
        raise UsageError(
            f"the preset that the image {reference} carries cannot be read: {files.reason(error)}",
            hint="verify only unchanged images that devenv built",
        ) from None
    (folder / "files").mkdir()
    wanted = {target: folder / name for target, name in named.files.items()}
    engine.take_out(reference, wanted | ({WORKSPACE: folder / portable.WORKSPACE} if named.workspace else {}))
    (folder / "archives").mkdir()
    for name in (*named.archives, *named.wheels):
        sha256, place = name.partition("/")[0], folder / "archives" / name
        held = session.store.path(sha256)
        if not held.is_file():
            raise FetchError(
                f"the file {sha256}, which the preset pins by path, is not in the store",
                hint="fetch it on this machine first, from the project that has it: devenv fetch",
            )
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(held, place)
    return path


def identity(reference: str, lock: Lock, session: Session) -> Identity:
    """The identity of one image, read by its own Python, so it proves nothing about an untrusted image."""
    with session.stages.stage("read") as stage, held(reference, session) as subject:
        return identities([subject], session.engine(), progress=stage, base=lock.base)[0]


def verify(reference: str, decided: Decided, session: Session, *, stated: bool = True) -> Verdict:
    """Build `decided` again from the first step on, with its layer where it has one, and compare it with the image.
    Raises BuildError, FetchError, ShareError."""
    engine = session.engine()
    with (
        held(reference, session) as subject,
        rebuilt(decided, session) as image,
        _with_layer(image, decided, session) as (whole, adds),
        session.stages.stage("compare") as stage,
    ):
        # A snapshot's layer may bring another Python, so the image below reads both.
        found, anew, *_ = identities(
            [*dict.fromkeys((subject, whole, image.reference))], engine, reader=image.reference, progress=stage,
            base=decided.lock.base,
        )  # fmt: skip
    return Verdict(
        image=found, rebuilt=anew, differences=tuple(differences(found, anew)), stated=stated, adds=adds,
        snapshot=decided.delta.snapshot if decided.delta else "",
    )  # fmt: skip


def identity_anew(decided: Decided, session: Session) -> Identity:
    """The identity that preset and lock give: built again from the first step on, and read. Raises BuildError,
    FetchError."""
    with rebuilt(decided, session) as image, session.stages.stage("read") as stage:
        return identities([image.reference], session.engine(), progress=stage, base=decided.lock.base)[0]


@contextlib.contextmanager
def rebuilt(decided: Decided, session: Session) -> Iterator[Image]:
    """An image built with no cache from files that are all read again; it is removed at the end. Raises BuildError,
    FetchError."""
    from devenv.build.context import assemble
    from devenv.render.render import render

    engine = session.engine()
    check_buildx()
    # Without their keys, no kept base or editor is used, and the new ones are not kept.
    image = f"{VERIFY_TAG}{decided.plan.build_digest[:16]}"
    plan = dataclasses.replace(decided.plan, image=image, base=None, editor=None)
    folder = session.dirs.contexts / f"verify-{plan.preset}"
    with hold(folder.with_suffix(".lock"), session.waiting_for("verifies this")):
        own_images.keep(session.dirs.images, [image])
        bring_files(decided.loaded, decided.lock, session, anew=True)
        try:
            with session.stages.stage("render"):
                assemble(plan, render(plan), session.store, folder, anew=True)
            with session.stages.stage("build") as stage:
                made = build(plan, folder, engine, session.store, progress=stage, no_cache=True)
            yield made
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if engine.image_id(plan.image):
                engine.remove_image(plan.image)


@contextlib.contextmanager
def _with_layer(image: Image, decided: Decided, session: Session) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(the image with a snapshot's layer over it, the layer's paths); without a snapshot the image itself."""
    if decided.delta is None:
        yield image.reference, ()
        return
    engine, layered = session.engine(), f"{image.reference}-layer"
    try:
        with session.stages.stage("snapshot") as stage:
            whole = delta.build(
                decided.plan, decided.delta, image, engine, own=session.dirs.images, progress=stage, reference=layered
            )  # fmt: skip
        yield whole.reference, tuple(path for path, _ in delta.listed(whole.reference, engine))
    finally:
        if engine.image_id(layered):
            engine.remove_image(layered)


@contextlib.contextmanager
def held(reference: str, session: Session) -> Iterator[str]:
    """The image by a tag of its own: the user's tag may move to another image meanwhile. Raises UsageError."""
    engine = session.engine()
    found = engine.image_id(reference)
    if found is None:
        raise UsageError(f"the engine has no image {reference}", hint="docker images")
    with own_images.held(found, f"{VERIFY_TAG}subject-", engine, session.dirs.images) as name:
        yield name


def is_stated(reference: str, decided: Decided, engine: Engine) -> bool:
    """Whether the image's own label names the build that its preset, lock and files give."""
    return engine.image_labels(reference).get(BUILD_LABEL) == decided.plan.build_digest


def differences(image: Identity, rebuilt: Identity) -> Iterator[Difference]:
    """The differences by path; then those in the configuration."""
    ours, theirs = _by_path(image), _by_path(rebuilt)
    for path in sorted(ours.keys() | theirs.keys()):
        (here, entry), (there, other) = ours.get(path, ("", None)), theirs.get(path, ("", None))
        if entry is None or other is None:
            yield Difference(
                path=path, layer=here or there, what=f"only in the {'rebuild' if entry is None else 'image'}"
            )
        elif entry != other:
            yield Difference(path=path, layer=here, what=_words(entry, other))
        elif here != there and entry.kind != "folder":  # every layer brings the folders of its files
            yield Difference(path=path, layer=here, what=f"layer {here} → {there}")
    for name in sorted(image.config["config"].keys() | rebuilt.config["config"].keys()):
        before, after = image.config["config"].get(name), rebuilt.config["config"].get(name)
        if before != after:
            yield Difference(path=name, layer="configuration", what=f"{before} → {after}")


def _by_path(identity: Identity) -> dict[str, tuple[str, Entry]]:
    return {entry.path: (layer.name, entry) for layer in identity.layers for entry in layer.entries}


def _words(before: Entry, after: Entry) -> str:
    """The difference of two entries of one path; a content by its size and the beginning of its hash."""
    if before.kind != after.kind:
        return f"{before.kind} → {after.kind}"
    parts = []
    if before.mode != after.mode:
        parts.append(f"mode {before.mode:04o} → {after.mode:04o}")
    if (before.uid, before.gid) != (after.uid, after.gid):
        parts.append(f"owner {before.uid}:{before.gid} → {after.uid}:{after.gid}")
    if before.sha256 != after.sha256:
        parts.append(f"content {before.size_bytes} B {before.sha256[:12]} → {after.size_bytes} B {after.sha256[:12]}")
    for name in ("target", "device", "xattrs"):
        one, other = getattr(before, name), getattr(after, name)
        parts += [f"{name} {one} → {other}"] if one != other else []
    return ", ".join(parts)
