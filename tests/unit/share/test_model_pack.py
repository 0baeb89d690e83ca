"""The form of a model's artifact: that of CNCF ModelPack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devenv.doors.http.registry.manifest import Manifest, digest_of
from devenv.lock.model import ModelFile
from devenv.share import model_pack
from tests.unit.share import exported
from tests.unit.share.models import CONTENTS, MODEL


def test_the_manifest_is_a_model_pack_attached_to_the_image() -> None:
    along, image = model_pack.artifact(MODEL, Path("store")), exported.top()
    manifest = along.manifest(image)
    assert Manifest.read(manifest.data, "").digest == manifest.digest
    assert isinstance(along.config.content, bytes)
    assert json.loads(manifest.data) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.cncf.model.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.cncf.model.config.v1+json", "digest": digest_of(along.config.content),
            "size": len(along.config.content),
        },
        "layers": [
            {
                "mediaType": kind, "digest": digest_of(CONTENTS[path]), "size": len(CONTENTS[path]),
                "annotations": {
                    "org.cncf.model.file.mediatype.untested": "true", "org.cncf.model.filepath": path,
                    "org.opencontainers.image.title": path,
                },
            }
            for path, kind in (
                ("config.json", "application/vnd.cncf.model.weight.config.v1.raw"),
                ("sub/model.safetensors", "application/vnd.cncf.model.weight.v1.raw"),
            )
        ],
        "subject": {"mediaType": image.media_type, "digest": image.digest, "size": len(image.data)},
    }  # fmt: skip
    assert [blob.content for blob in along.blobs] == [Path("store") / path for path in CONTENTS]
    assert along.every() == (*along.blobs, along.config)


def test_the_configuration_has_what_the_format_requires_and_no_host() -> None:
    (*_, config) = model_pack.artifact(MODEL, Path("store")).every()
    assert isinstance(config.content, bytes)
    assert json.loads(config.content) == {
        "descriptor": {"name": "tiny", "title": "me/tiny", "revision": "a" * 40, "version": MODEL.digest},
        "config": {},
        "modelfs": {"type": "layers", "diffIds": [digest_of(data) for data in CONTENTS.values()]},
    }
    assert model_pack.artifact(MODEL, Path("other")).config == config


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("model-00001-of-000002.safetensors", "weight"), ("pytorch_model.BIN", "weight"), ("tiny.gguf", "weight"),
        ("no-suffix", "weight"), ("tokenizer.json", "weight.config"), ("sub/merges.txt", "weight.config"),
        ("tokenizer.model", "weight.config"), (".gitattributes", "weight.config"), ("README.md", "doc"),
        ("LICENSE", "doc"), ("LICENSE.txt", "doc"), ("assets/show.jpg", "doc"), ("modeling_tiny.py", "code"),
    ],
)  # fmt: skip
def test_the_kind_of_a_file_is_guessed_by_its_name(path: str, kind: str) -> None:
    layer = model_pack.layer(ModelFile(path=path, size=0, sha256="0" * 64))
    assert layer.media_type == f"application/vnd.cncf.model.{kind}.v1.raw"
