"""What an image was made from, as a statement about its digest: an in-toto Statement v1 with SLSA provenance v1.

Formats: in-toto attestation framework, "Statement layer specification" v1; SLSA 1.1, "Provenance".
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from devenv import __version__
from devenv.render.sbom import BUILD_TYPE, BUILDER, maker, package_urls
from devenv.share.pack import document

if TYPE_CHECKING:
    from devenv.doors.http.registry.manifest import Manifest
    from devenv.lock.model import Lock

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What an image is made from; all digests are sha256 in hexadecimal. `digest`: over all that decides the content;
    `recipe`: preset and lock, packed; `delta`: a snapshot's layer over it."""

    lock: Lock
    digest: str
    recipe: str
    delta: str = ""


def statement(build: Build, image: Manifest) -> bytes:
    """The statement, about the image's manifest. Equal images and recipes of one devenv version give equal bytes: no
    time, no user, no host."""
    lock = build.lock
    parameters: dict[str, Any] = {
        "preset": lock.preset, "platform": lock.platform,
        "lock": _digest(lock.digest), "recipe": _digest(build.recipe),
        **({"delta": _digest(build.delta)} if build.delta else {}),
    }  # fmt: skip
    return document({
        "_type": STATEMENT_TYPE,
        "subject": [{"name": lock.preset, "digest": _digest(image.digest.removeprefix("sha256:"))}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "internalParameters": {"build": build.digest},
                "resolvedDependencies": _dependencies(lock),
            },
            "runDetails": {"builder": {"id": BUILDER, "version": {"devenv": __version__, "templates": maker(lock)}}},
        },
    })  # fmt: skip


def _dependencies(lock: Lock) -> list[dict[str, Any]]:
    """The lock, the base image where it is a registry's, and every locked file: by package URL, because mirrors
    differ."""
    urls = package_urls(lock)
    names = {artifact.sha256: artifact.file for artifact in lock.artifacts()}
    if lock.base.digest:
        names = {lock.base.digest.removeprefix("sha256:"): "base image"} | names
    files = [{"name": name, "uri": urls[sha256], "digest": _digest(sha256)} for sha256, name in names.items()]
    return [{"name": "devenv.lock", "digest": _digest(lock.digest)}, *files]


def _digest(sha256: str) -> dict[str, str]:
    return {"sha256": sha256}
