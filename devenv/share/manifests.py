"""The manifests of what is shared: an image, with a snapshot's layer or without, and a recipe."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from devenv.build.delta import DELTA_LABEL, SNAPSHOT_LABEL
from devenv.doors.http.registry.manifest import EMPTY, OCI_MANIFEST, Descriptor, Manifest
from devenv.share.formats import CONFIG, IDENTITY, RECIPE, RECIPE_ARTIFACT, RECIPE_DIGEST, RECIPE_SIZE
from devenv.share.pack import document

NOTHING = b"{}"
"""The content of an artifact's empty configuration."""
_NO_CONFIG = Descriptor.of(NOTHING, EMPTY)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What one manifest is about. `identity` is that of the image which preset and lock alone give; `delta`: a
    snapshot's layer over it."""

    identity: str
    recipe: bytes
    about: Mapping[str, str]
    delta: Descriptor | None = None

    def annotations(self) -> dict[str, str]:
        """Those of both manifests."""
        recipe = Descriptor.of(self.recipe, RECIPE)
        own = {IDENTITY: self.identity, RECIPE_DIGEST: recipe.digest, RECIPE_SIZE: str(recipe.size)}
        return dict(sorted({**self.about, **own}.items()))


def image(config: bytes, layers: tuple[Descriptor, ...], contents: Contents) -> Manifest:
    """An image's manifest; equal images and recipes give equal bytes."""
    every = (*layers, contents.delta) if contents.delta else layers
    return _manifest(Descriptor.of(config, CONFIG), every, annotations=contents.annotations())


def recipe(contents: Contents, subject: Manifest | None = None) -> Manifest:
    """A recipe's manifest; `subject`: the image that it is attached to."""
    layers = [Descriptor.of(contents.recipe, RECIPE), *([contents.delta] if contents.delta else [])]
    about = _about(subject) if subject else {}
    return _manifest(_NO_CONFIG, layers, artifactType=RECIPE_ARTIFACT, annotations=contents.annotations(), **about)


def attachment(kind: str, content: bytes, subject: Manifest, annotations: Mapping[str, str] | None = None) -> Manifest:
    """The manifest of a document about an image, such as its bill of materials."""
    about = {**_about(subject), **({"annotations": dict(annotations)} if annotations else {})}
    layer = Descriptor.of(content, kind, annotations=tuple((annotations or {}).items()))
    return _manifest(_NO_CONFIG, [layer], artifactType=kind, **about)


def files(kind: str, every: Sequence[Descriptor], config: Descriptor, subject: Manifest) -> Manifest:
    """The manifest of files that go along with an image or a recipe."""
    return _manifest(config, every, artifactType=kind, **_about(subject))


def with_delta(config: bytes, sha256: str, snapshot: str) -> bytes:
    """An image's configuration with a snapshot's layer on top."""
    found = json.loads(config)
    labels = {**(found["config"].get("Labels") or {}), DELTA_LABEL: sha256, SNAPSHOT_LABEL: snapshot}
    found["config"]["Labels"] = labels
    found["rootfs"]["diff_ids"].append(f"sha256:{sha256}")
    found["history"].append({"created": found["created"], "created_by": f"devenv snapshot: {snapshot}"})
    return document(found)


def without_delta(config: Mapping[str, Any]) -> bytes:
    """The configuration of the image below a snapshot's layer: what `with_delta` was given. Raises KeyError, TypeError,
    IndexError for one that it did not make."""
    labels = {
        key: value for key, value in config["config"]["Labels"].items() if key not in (DELTA_LABEL, SNAPSHOT_LABEL)
    }
    *diff_ids, _ = config["rootfs"]["diff_ids"]
    *history, _ = config["history"]
    own = {**config["config"], "Labels": labels}
    if not labels:  # a canonical configuration has no empty parts
        del own["Labels"]
    return document({**config, "config": own, "rootfs": {**config["rootfs"], "diff_ids": diff_ids}, "history": history})


def _about(subject: Manifest) -> dict[str, Any]:
    return {"subject": Descriptor.of(subject.data, subject.media_type).document()}


def _manifest(config: Descriptor, layers: Sequence[Descriptor], **more: Any) -> Manifest:
    told = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.document(),
        "layers": [one.document() for one in layers],
    }  # fmt: skip
    return Manifest(data=document({**told, **more}), media_type=OCI_MANIFEST)
