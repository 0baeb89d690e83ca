from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.doors.http.registry.manifest import Manifest
from devenv.doors.http.registry.reference import Reference
from devenv.share.signatures.payload import mismatch, payload

IMAGE = Manifest.write({"mediaType": "application/vnd.oci.image.manifest.v1+json", "schemaVersion": 2})
REFERENCE = Reference.parse("R.example:443/team/image:v1")
PLACES = (("critical",), ("critical", "identity"), ("critical", "image"), ("critical", "type"),
          ("critical", "identity", "docker-reference"), ("critical", "image", "docker-manifest-digest"))  # fmt: skip
values = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers()) | st.just({})


def test_it_is_what_cosign_signs() -> None:
    assert json.loads(payload(IMAGE, REFERENCE)) == {
        "critical": {
            "identity": {"docker-reference": "r.example/team/image"},
            "image": {"docker-manifest-digest": IMAGE.digest},
            "type": "cosign container image signature",
        },
        "optional": None,
    }
    assert payload(IMAGE, REFERENCE) == payload(IMAGE, Reference.parse("r.example/team/image@" + IMAGE.digest))
    assert mismatch(payload(IMAGE, REFERENCE), IMAGE, REFERENCE) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"docker-manifest-digest": "sha256:" + "0" * 64}, "another manifest: sha256:0"),
        ({"docker-reference": "r.example/team/other"}, "another repository: r.example/team/other"),
        ({"docker-reference": "r.example:5000/team/image"}, "another repository"),
        ({"type": "atomic container signature"}, "not that of an image's signature"),
    ],
)
def test_what_it_does_not_fit(change: dict[str, str], why: str) -> None:
    document = json.loads(payload(IMAGE, REFERENCE))
    for part in (document["critical"], document["critical"]["identity"], document["critical"]["image"]):
        part.update({key: value for key, value in change.items() if key in part})
    assert why in (mismatch(json.dumps(document).encode(), IMAGE, REFERENCE) or "")


def test_what_a_signer_adds_changes_nothing() -> None:
    document = json.loads(payload(IMAGE, REFERENCE)) | {"optional": {"creator": "cosign", "timestamp": 1}}
    assert mismatch(json.dumps(document, indent=2).encode(), IMAGE, REFERENCE) is None


@given(st.sampled_from(PLACES), values)
def test_another_value_somewhere(place: tuple[str, ...], value: Any) -> None:
    document: Any = json.loads(payload(IMAGE, REFERENCE))
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert mismatch(json.dumps(document).encode(), IMAGE, REFERENCE) is not None


@given(st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()))
def test_no_payload_at_all(data: bytes) -> None:
    assert mismatch(data, IMAGE, REFERENCE) == "its payload cannot be read"
