"""The statement about what an image was made from."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devenv.lock.files import beside
from devenv.lock.model import LockedBase, read
from devenv.preset.load import find, load, shipped
from devenv.share import manifests, provenance
from devenv.share.provenance import Build, statement
from tests.unit import examples

IMAGE = manifests.image(b"{}", (), manifests.Contents(identity="", recipe=b"", about={}))
BUILD = Build(
    lock=examples.lock(npm=examples.npm(), extensions=(examples.extension(),)), digest="b" * 64, recipe="c" * 64
)  # fmt: skip
_HASH = {
    "type": "object", "properties": {"sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
    "required": ["sha256"], "additionalProperties": False,
}  # fmt: skip
_RESOURCE = {
    "type": "object", "required": ["name", "digest"], "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "uri": {"type": "string", "pattern": "^pkg:"}, "digest": _HASH},
}  # fmt: skip
SCHEMA: dict[str, Any] = {
    "type": "object", "required": ["_type", "subject", "predicateType", "predicate"], "additionalProperties": False,
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {"type": "array", "minItems": 1, "items": _RESOURCE},
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": {
            "type": "object", "required": ["buildDefinition", "runDetails"], "additionalProperties": False,
            "properties": {
                "buildDefinition": {
                    "type": "object", "required": ["buildType", "externalParameters"], "additionalProperties": False,
                    "properties": {
                        "buildType": {"type": "string", "format": "uri"},
                        "externalParameters": {"type": "object"},
                        "internalParameters": {"type": "object"},
                        "resolvedDependencies": {"type": "array", "items": _RESOURCE},
                    },
                },
                "runDetails": {
                    "type": "object", "required": ["builder"], "additionalProperties": False,
                    "properties": {
                        "builder": {
                            "type": "object", "required": ["id"], "additionalProperties": False,
                            "properties": {
                                "id": {"type": "string", "format": "uri"},
                                "version": {"type": "object", "additionalProperties": {"type": "string"}},
                            },
                        }
                    },
                },
            },
        },
    },
}  # fmt: skip
"""The fields of the two specifications that devenv writes. The times of a build, which are optional, are not there."""


def test_it_has_the_form_of_a_statement_with_provenance() -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(statement(BUILD, IMAGE)))


def test_it_names_the_image_the_request_and_every_locked_file() -> None:
    found = json.loads(statement(BUILD, IMAGE))
    build = found["predicate"]["buildDefinition"]
    assert found["subject"] == [{"name": "demo", "digest": {"sha256": IMAGE.digest.removeprefix("sha256:")}}]
    assert build["externalParameters"] == {
        "preset": "demo", "platform": "linux/amd64", "lock": {"sha256": BUILD.lock.digest},
        "recipe": {"sha256": "c" * 64},
    }  # fmt: skip
    assert build["internalParameters"] == {"build": "b" * 64}
    own, *files = build["resolvedDependencies"]
    assert own == {"name": "devenv.lock", "digest": {"sha256": BUILD.lock.digest}}
    assert {(one["name"], one["digest"]["sha256"]) for one in files} == {
        (artifact.file, artifact.sha256) for artifact in BUILD.lock.artifacts()
    }
    urls = {one["uri"] for one in files}
    assert {"pkg:pypi/pillow@1.0", "pkg:npm/%40acme/cli@3.1.0", "pkg:vscode-extension/acme/tool@1.2.3"} <= urls
    assert "pkg:deb/debian/g%2B%2B@1.0-1?arch=amd64&distro=bookworm" in urls, "the compiler, which is not in the image"


def test_a_registrys_image_below_it_is_named_by_its_digest_without_the_registry() -> None:
    base = LockedBase(
        kind="image", distribution="debian", release="bookworm", image="registry.corp:5000/team/base:12",
        digest=f"sha256:{'e' * 64}", packages=(),
    )  # fmt: skip
    data = statement(dataclasses.replace(BUILD, lock=examples.lock(base=base)), IMAGE)
    found = json.loads(data)["predicate"]["buildDefinition"]["resolvedDependencies"][1]
    assert found == {
        "name": "base image", "uri": f"pkg:oci/base@sha256:{'e' * 64}", "digest": {"sha256": "e" * 64},
    }  # fmt: skip
    assert b"registry.corp" not in data
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(data))


def test_a_snapshots_layer_is_a_parameter_of_its_own() -> None:
    found = json.loads(statement(dataclasses.replace(BUILD, delta="d" * 64), IMAGE))
    assert found["predicate"]["buildDefinition"]["externalParameters"]["delta"] == {"sha256": "d" * 64}


def test_equal_images_give_equal_bytes_and_others_do_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = statement(BUILD, IMAGE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "somebody")
    assert statement(dataclasses.replace(BUILD, lock=read_again()), IMAGE) == first
    other = manifests.image(b"[]", (), manifests.Contents(identity="", recipe=b"", about={}))
    assert statement(BUILD, other) != first
    monkeypatch.setattr(provenance, "__version__", "99")
    assert json.loads(statement(BUILD, IMAGE))["predicate"]["runDetails"]["builder"]["version"]["devenv"] == "99"


def read_again() -> Any:
    return type(BUILD.lock).model_validate_json(BUILD.lock.model_dump_json())


@pytest.mark.parametrize("name", shipped())
def test_nothing_of_a_machine_or_of_its_mirrors_is_in_it(name: str) -> None:
    """A lock holds no address; neither does what is made of it. Only the two specifications are named by theirs."""
    lock = read(beside(load(find(name, Path("/"))).path))
    data = statement(dataclasses.replace(BUILD, lock=lock), IMAGE)
    assert set(re.findall(r"https?://[^\"]+", data.decode())) == {provenance.STATEMENT_TYPE, provenance.PREDICATE_TYPE}
    assert not re.search(r"\d{4}-\d\d-\d\dT|/home/|/root/|://[^/\"]*@", data.decode())
    assert len(data) < 1 << 20
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(data))
