from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.doors.http.registry.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    Platform,
    digest_of,
)  # fmt: skip

LAYER = Descriptor.of(b"layer", "x/layer", annotations=(("a", "b"),))
CONFIG = Descriptor.of(b"{}", "x/config")
IMAGE: dict[str, Any] = {
    "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG.document(), "layers": [LAYER.document()],
    "subject": LAYER.document(), "annotations": {"k": "v"},
}  # fmt: skip


def _read(**changes: Any) -> Manifest:
    document = {key: value for key, value in (IMAGE | changes).items() if value is not ...}
    return Manifest.read(json.dumps(document).encode(), OCI_MANIFEST)


def test_a_manifest_says_what_it_holds() -> None:
    found = _read()
    assert (found.config, found.layers, found.subject, found.annotations) == (CONFIG, (LAYER,), LAYER, (("k", "v"),))
    assert (found.is_index, found.manifests, found.artifact_type) == (False, (), "x/config")
    assert _read(artifactType="x/y").artifact_type == "x/y"
    assert found.described().digest == digest_of(found.data) == found.digest


def test_an_index_lists_and_is_written_as_it_is_read() -> None:
    entry = Descriptor.of(b"m", OCI_MANIFEST, artifact_type="x/y", platform=Platform(os="linux", architecture="amd64"))
    index = Manifest.index([entry, LAYER], {"a": "ü"})
    found = Manifest.read(index.data, OCI_INDEX)
    assert found.manifests == (entry, LAYER)
    assert found.is_index
    assert Manifest.index(found.manifests, dict(found.annotations)) == index


@pytest.mark.parametrize("kind", [DOCKER_MANIFEST, DOCKER_INDEX, OCI_INDEX, OCI_MANIFEST])
def test_the_body_says_its_format_or_else_the_header(kind: str) -> None:
    body = json.dumps({"schemaVersion": 2, "config": CONFIG.document()}).encode()
    assert Manifest.read(body, f"{kind}; charset=utf-8").media_type == kind
    assert Manifest.read(json.dumps(IMAGE | {"mediaType": kind}).encode(), "text/plain").media_type == kind


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schemaVersion": 1}, "format"),
        ({"mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"}, "format"),
        ({"mediaType": 3}, "format"),
        ({"config": ...}, "no configuration"),
        ({"config": []}, "not an object"),
        ({"layers": {}}, "not a list"),
        ({"layers": [LAYER.document() | {"digest": "sha256:../../etc"}]}, "no digest"),
        ({"layers": [LAYER.document() | {"digest": "md5:" + "0" * 32}]}, "no digest"),
        ({"layers": [LAYER.document() | {"size": -1}]}, "size"),
        ({"layers": [LAYER.document() | {"size": 1 << 60}]}, "size"),
        ({"layers": [LAYER.document() | {"size": True}]}, "size"),
        ({"layers": [LAYER.document() | {"size": "5"}]}, "size"),
        ({"layers": [LAYER.document() | {"mediaType": None}]}, "media type"),
        ({"layers": [LAYER.document() | {"annotations": {"a": 1}}]}, "annotations"),
        ({"layers": [LAYER.document() | {"platform": "linux"}]}, "platform"),
        ({"annotations": []}, "annotations"),
        ({"artifactType": 1}, "artifactType"),
        ({"subject": 1}, "not an object"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        _read(**changes)


@pytest.mark.parametrize("data", [b"", b"[]", b"[" * 100_000, b"null", b"\xff", b'{"schemaVersion": 2}'])
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Manifest.read(data, "application/json")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*IMAGE, *LAYER.document()]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*IMAGE, "manifests", "artifactType"]), _JSON))
def test_no_document_is_more_than_refused(document: dict[str, Any]) -> None:
    try:
        Manifest.read(json.dumps({"schemaVersion": 2, **document}).encode(), OCI_MANIFEST)
    except ValueError:
        return
