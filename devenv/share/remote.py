"""What a reference leads to, found out with a few MB at most: an image or a recipe, and its preset on this machine."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.doors.file_lock import hold
from devenv.doors.http.registry.manifest import Descriptor, Manifest, digest_of
from devenv.doors.http.registry.reference import is_digest
from devenv.doors.terminal.console import bytes_text
from devenv.doors.untrusted import from_json
from devenv.errors import MachineError, ShareError
from devenv.share import manifests, recipe
from devenv.share.formats import CONFIG, DELTA, IDENTITY, RECIPE, RECIPE_DIGEST, RECIPE_SIZE, RECIPES
from devenv.share.pack import document

if TYPE_CHECKING:
    from devenv.share.place import Images, Place
    from devenv.share.signatures.check import Signer
    from devenv.up.session import Session

_MOST_CONFIG_BYTES = 4 << 20
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """An image or a recipe elsewhere, and its recipe in `folder` here.

    `config` is the configuration of the image that preset and lock give, without a snapshot's layer; None for a
    recipe alone. `layers` are that image's. `signers`: whom this machine and the project required.
    """

    place: Place
    digest: str
    identity: str
    folder: Path
    added: recipe.Added | None
    config: bytes | None = None
    layers: tuple[Descriptor, ...] = ()
    signers: tuple[Signer, ...] = ()

    @property
    def preset(self) -> Path:
        """The preset's file; its lock lies beside it."""
        return self.folder / recipe.PRESET

    @property
    def size(self) -> int:
        """Bytes of all layers, compressed."""
        return sum(layer.size for layer in self.layers) + sum(
            one.size for one in (self.added.blobs() if self.added else ())
        )


def look(place: Place, session: Session, *, project: Path | None) -> Remote:
    """Read manifest, signatures, configuration and recipe, in this order. `project`: the folder of the project in which
    it is to be used, which may require signatures. Raises ShareError for what devenv did not push, and for what is not
    signed as required; MachineError for another architecture; UsageError for a policy that cannot be used."""
    with session.stages.stage("look") as stage, place.opened(session) as images:
        manifest = _of_this_machine(images.manifest(), images, place, session)
        signers = images.signers(manifest, project)
        about = dict(manifest.annotations)
        descriptor = _recipe_of(manifest, place)
        config = _config_of(manifest, images, place, session)
        folder = _unpacked(descriptor, images, session)
        added = recipe.added(folder)
        base, layers = _without_snapshot(config, manifest, added, place)
        identity = digest_of(base) if base else about.get(IDENTITY, "")
        if not is_digest(identity) or about.get(IDENTITY) != identity:
            raise ShareError(f"{place} is not the image that its own annotations name", hint="do not use it")
        remote = Remote(
            place=place, digest=manifest.digest, identity=identity, folder=folder, added=added, config=base,
            layers=layers, signers=signers,
        )  # fmt: skip
        signed = "".join(f", signed by {one.name}" for one in signers)
        stage.message(f"{place}: {bytes_text(remote.size) if base else 'a recipe'}{signed}")
    return remote


def _of_this_machine(found: Manifest, images: Images, place: Place, session: Session) -> Manifest:
    """The image itself; of an index the one for this engine's architecture."""
    if not found.is_index:
        return found
    wanted = _architecture(session)
    for one in found.manifests:
        if one.platform and (one.platform.os, one.platform.architecture) == ("linux", wanted):
            manifest = images.manifest(one.digest)
            if not manifest.is_index:
                return manifest
    offered = ", ".join(sorted({one.platform.architecture for one in found.manifests if one.platform})) or "none"
    raise MachineError(
        f"{place} has no image for linux/{wanted}; it has {offered}", hint="use a machine of that architecture"
    )


def _recipe_of(manifest: Manifest, place: Place) -> Descriptor:
    """The recipe: the first layer of its own manifest, or what an image's annotations name."""
    first = manifest.layers[0] if manifest.layers else None
    if first and first.media_type.startswith(RECIPES):
        if first.media_type != RECIPE:
            raise ShareError(
                f"{place} is of a newer devenv: {first.media_type}", hint="use that version, or a newer one"
            )
        found = first
    else:
        about = dict(manifest.annotations)
        digest, size = about.get(RECIPE_DIGEST, ""), about.get(RECIPE_SIZE, "")
        if not is_digest(digest) or not (size.isascii() and size.isdigit() and len(size) < 12):
            raise ShareError(
                f"{place} is no environment of devenv's: it names no recipe",
                hint="push one with 'devenv push'; a plain image can be a preset's base: 'base: {image: …}'",
            )
        found = Descriptor(media_type=RECIPE, digest=digest, size=int(size))
    if found.size > recipe.MOST_BYTES:
        raise ShareError(f"the recipe of {place} has {bytes_text(found.size)}, which no recipe of devenv's has")
    return found


def _config_of(manifest: Manifest, images: Images, place: Place, session: Session) -> dict[str, Any] | None:
    """An image's configuration; None for a recipe alone. Raises MachineError for another architecture."""
    if manifest.config is None or manifest.config.media_type != CONFIG:
        return None
    data = images.blob(manifest.config, most_bytes=_MOST_CONFIG_BYTES)
    try:
        found = from_json(data)
    except ValueError as error:
        raise ShareError(f"the configuration of {place} cannot be read: {error}", hint="push it again") from None
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
        raise ShareError(f"the configuration of {place} is not an image's", hint="push it again")
    wanted = _architecture(session)
    if (found.get("os"), found.get("architecture")) != ("linux", wanted):
        raise MachineError(
            f"{place} is for {found.get('os')}/{found.get('architecture')}, and this engine is linux/{wanted}",
            hint="lock the preset for this platform, and build it here",
        )
    return found


def _without_snapshot(
    config: dict[str, Any] | None, manifest: Manifest, added: recipe.Added | None, place: Place
) -> tuple[bytes | None, tuple[Descriptor, ...]]:
    """(configuration, layers) of the image that preset and lock alone give. Raises ShareError where manifest,
    configuration and recipe do not say the same."""
    if config is None:
        return None, ()
    layers, base = manifest.layers, (whole := document(config))
    try:
        if added and added.layer:
            *below, last = layers
            if last.digest != added.layer.digest or config["rootfs"]["diff_ids"][-1] != f"sha256:{added.sha256}":
                raise ValueError("its last layer is not the snapshot's")
            layers, base = tuple(below), manifests.without_delta(config)
        if manifest.config is None or manifest.config.digest != digest_of(whole):
            raise ValueError("its configuration is not in canonical form")
        if len(layers) != len(config["rootfs"]["diff_ids"]) - (base != whole):
            raise ValueError("its configuration has another number of layers")
        if dict(manifest.annotations).get(DELTA, "") != (added.sha256 if added else ""):
            raise ValueError("its recipe has another snapshot")
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ShareError(f"{place} is no image that devenv pushed: {error}", hint="push it again") from None
    return base, layers


def _unpacked(descriptor: Descriptor, images: Images, session: Session) -> Path:
    """The recipe's folder on this machine; kept under its digest, so it is downloaded once."""
    place = session.dirs.recipes / descriptor.hex
    with hold(session.dirs.recipes / ".lock", session.waiting_for("reads a recipe"), session.cancel):
        if not place.is_dir():
            data = images.blob(descriptor, most_bytes=recipe.MOST_BYTES)
            fresh = place.with_name(f".{place.name}")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            try:
                recipe.unpack(data, fresh)
                fresh.rename(place)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    return place


def _architecture(session: Session) -> str:
    told = session.answers.facts(session.engine(), with_version=False).architecture
    return _ARCHITECTURES.get(told, told)
