"""An image's content in the formats that scanners read: a CycloneDX bill of materials and SLSA provenance,
both made from the lock alone: equal locks give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from devenv.lock.model import Artifact, Deb, Lock

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

SPEC_VERSION = "1.6"
BUILD_TYPE, BUILDER = "urn:devenv:image-build:v1", "urn:devenv"
_BUILD_ONLY = "build"
_NAMESPACE = "6f9c2d0e-4a0b-5e57-9d51-0c2b7c3f8a11"
"""Made up once: serial numbers are UUIDv5 of the lock's digest in it."""


def sbom(lock: Lock) -> bytes:
    """The CycloneDX bill of the image's content, as JSON: sorted, no time, its serial number from the lock's digest.

    Tools that only the build uses (installer, compiler) are left out; `provenance` names them. Of a base that is a
    registry image the bill has only the digest, because the image's content is unknown.
    """
    import uuid

    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository
    from cyclonedx.output.json import JsonV1Dot6

    components = tuple(_components(lock))
    properties = {"devenv:lock": lock.digest, "devenv:platform": lock.platform}
    image = Component(
        name=lock.preset,
        version=lock.digest[:16],
        type=ComponentType.CONTAINER,
        bom_ref=f"devenv:{lock.preset}",
        properties=(Property(name=name, value=value) for name, value in properties.items()),
    )
    tool = Component(name="devenv", version=maker(lock), type=ComponentType.APPLICATION, bom_ref="devenv")
    bom = Bom(
        components=components,
        metadata=BomMetaData(component=image, tools=ToolRepository(components=(tool,))),
        serial_number=uuid.uuid5(uuid.UUID(_NAMESPACE), lock.digest),
    )
    bom.register_dependency(image, components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"].pop("timestamp", None)  # the library sets it from the clock
    document.pop("$schema", None)  # a useless address: format and version stand beside it
    # An entry without dependencies would claim that there are none, but the lock does not record dependencies.
    own = sorted(component.bom_ref.value or "" for component in components)
    return _text({
        **document,
        "components": sorted(document["components"], key=lambda component: str(component["bom-ref"])),
        "dependencies": [{"ref": image.bom_ref.value, "dependsOn": own}],
    })  # fmt: skip


def provenance(lock: Lock, build_digest: str) -> bytes:
    """The SLSA v1 provenance predicate: the request, and the inputs that are not in the bill of materials.

    It is not an in-toto statement, because that names the image's digest, which a file in the image cannot contain.
    """
    base = lock.base
    build_only = (lock.uv, *lock.debs()["toolchain"], *lock.debs()["sources"], *_build_requirements(lock))
    image = [{"name": base.image, "digest": {"sha256": (base.digest or "").removeprefix("sha256:")}}]
    return _text({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"preset": lock.preset, "platform": lock.platform},
            "internalParameters": {"build": build_digest},
            "resolvedDependencies": [
                # Everything in the image is in the lock, by hash; the lock lies beside this file.
                {"name": "devenv.lock", "digest": {"sha256": lock.digest}},
                *(image if base.image else []),
                *({"name": artifact.file, "digest": {"sha256": artifact.sha256}} for artifact in _once(build_only)),
            ],
        },
        "runDetails": {"builder": {"id": BUILDER, "version": {"templates": maker(lock)}}},
    })  # fmt: skip


def package_urls(lock: Lock) -> dict[str, str]:
    """The package URL of every locked file, by the file's sha256, and that of a base image. They name no host."""
    found = {artifact.sha256: purl.to_string() for _, artifact, purl in _parts(lock)}
    base = _base_image(lock)
    return found | ({base.version.removeprefix("sha256:"): base.to_string()} if base and base.version else {})


def _base_image(lock: Lock) -> PackageURL | None:
    from packageurl import PackageURL

    if not (lock.base.image and lock.base.digest):
        return None
    name = lock.base.image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return PackageURL("oci", None, name, lock.base.digest)


def maker(lock: Lock) -> str:
    """The identity of the building devenv: its templates. Its version does not decide the image."""
    return str(lock.inputs.get("templates", "unknown"))


def _build_requirements(lock: Lock) -> tuple[Artifact, ...]:
    """What only the builds of packages without wheels need."""
    installed = {package.sha256 for package in lock.installed}
    return tuple(each for each in lock.for_builds if each.sha256 not in installed)


def _once(artifacts: tuple[Artifact, ...]) -> list[Artifact]:
    return sorted(
        {artifact.sha256: artifact for artifact in artifacts}.values(),
        key=lambda artifact: (artifact.file, artifact.sha256),
    )


def _components(lock: Lock) -> Iterator[Component]:
    """One component for each file that ends up in the image, and one for a base image."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    if lock.base.image and lock.base.digest and (purl := _base_image(lock)):
        yield Component(
            name=lock.base.image, version=lock.base.digest, type=ComponentType.CONTAINER, purl=purl,
            bom_ref=purl.to_string(),
            hashes=(HashType(alg=HashAlgorithm.SHA_256, content=lock.base.digest.removeprefix("sha256:")),),
        )  # fmt: skip
    found: dict[tuple[str, str], tuple[PackageURL, Artifact, list[str]]] = {}
    for part, artifact, purl in _parts(lock):
        if part != _BUILD_ONLY:
            found.setdefault((purl.to_string(), artifact.sha256), (purl, artifact, []))[2].append(part)
    urls = [url for url, _ in found]
    for (url, sha256), (purl, artifact, parts) in found.items():
        yield Component(
            name=purl.name,
            group=purl.namespace if purl.type != "deb" else None,
            version=artifact.version,
            type=ComponentType.LIBRARY,
            purl=purl,
            # One name and version with two contents is unusual, but each needs a reference of its own.
            bom_ref=url if urls.count(url) == 1 else f"{url}#{sha256}",
            hashes=(HashType(alg=HashAlgorithm.SHA_256, content=sha256),),
            cpe=_NODE_CPE.format(artifact.version) if parts == ["node"] else None,
            properties=(
                Property(name="devenv:file", value=artifact.file),
                *(Property(name="devenv:part", value=part) for part in dict.fromkeys(parts)),
            ),
        )


_NODE_CPE = "cpe:2.3:a:nodejs:node.js:{}:*:*:*:*:*:*:*"
"""Node comes as a wheel, but vulnerability databases list Node under its own name."""


def _parts(lock: Lock) -> Iterator[tuple[str, Artifact, PackageURL]]:
    """The part of the lock, the artifact and its package URL: for all that ends up in the image, then for tools that
    only the build uses."""
    from packageurl import PackageURL

    base, editor = lock.base, lock.editor

    def deb(artifact: Deb) -> PackageURL:
        return PackageURL(
            "deb", base.distribution, artifact.name, artifact.version, {"arch": artifact.arch, "distro": base.release}
        )

    def wheel(artifact: Artifact) -> PackageURL:
        return PackageURL("pypi", None, artifact.name, artifact.version)

    def tarball(artifact: Artifact) -> PackageURL:
        scope, _, name = artifact.name.rpartition("/")
        return PackageURL("npm", scope or None, name, artifact.version)

    for part, debs in (("base", base.packages), ("apt", lock.apt)):
        yield from ((part, artifact, deb(artifact)) for artifact in debs)
    yield from (("wheels", artifact, wheel(artifact)) for artifact in lock.wheels)
    # By the hash of the archive: the wheel is what the build makes of it.
    yield from (("sources", source, wheel(source)) for source in lock.sourced if source.layer is not None)
    if lock.node:
        yield "node", lock.node, wheel(lock.node)
    if editor:
        released = PackageURL("generic", None, editor.archive.name, editor.archive.version)
        yield "editor", editor.archive, tarball(editor.archive) if editor.source == "npm" else released
        yield from (("editor", artifact, tarball(artifact)) for artifact in editor.packages)
    yield from (("npm", artifact, tarball(artifact)) for artifact in lock.npm.packages)
    for extension in lock.extensions:
        publisher, _, name = extension.name.lower().partition(".")
        yield "extensions", extension, PackageURL("vscode-extension", publisher, name, extension.version)
    yield _BUILD_ONLY, lock.uv, wheel(lock.uv)
    compilers = (lock.debs()["toolchain"], lock.debs()["sources"])
    yield from ((_BUILD_ONLY, artifact, deb(artifact)) for debs in compilers for artifact in debs)
    yield from ((_BUILD_ONLY, artifact, wheel(artifact)) for artifact in _build_requirements(lock))


def _text(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
