"""`init --base IMAGE`: what the new base changes, and images that cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.errors import UsageError
from devenv.preset.base_option import other_base
from devenv.preset.load import find, load
from devenv.preset.model import Preset


@pytest.fixture(scope="module")
def vllm() -> Preset:
    return load(find("vllm", Path("/"))).preset


@pytest.mark.parametrize(("image", "python"), [
    ("debian:bookworm", None), ("python:3.12-slim-bookworm", None), ("registry.example:5000/team/base:7", None),
    ("ubuntu:24.04", "3.12"), ("nvidia/cuda:13.0.1-runtime-ubuntu22.04", "3.10"), ("debian:trixie-slim", "3.13"),
    (f"debian@sha256:{'a' * 64}", None),
])  # fmt: skip
def test_the_python_is_that_of_the_release(image: str, python: str | None, vllm: Preset) -> None:
    found = other_base(image, vllm)
    assert found.python == python
    assert found.lines()[0] == f'base: {{image: "{image}"}}'
    cuda = f"/opt/venv/lib/python{python}/site-packages/nvidia/cu13"
    assert dict(found.env) == ({"CUDA_HOME": cuda} if python else {})


@pytest.mark.parametrize(("image", "words"), [
    ("alpine:3.22", "neither Debian nor Ubuntu"), ("python:3.12-alpine", "neither Debian nor Ubuntu"),
    ("nvidia/cuda:13.0.1-runtime-ubi9", "neither Debian nor Ubuntu"), ("rockylinux:9", "neither Debian nor Ubuntu"),
    ("gcr.example/distroless/python3", "neither Debian nor Ubuntu"), ("ubuntu:20.04", "has Python 3.8"),
    ("debian:bullseye", "has Python 3.9"), ("debian:buster-slim", "has Python 3.7"), ("debian:10", "has Python 3.7"),
    ("nvidia/cuda:11.2.2-devel-ubuntu18.04", "has Python 3.6"), ("No Image", "is not an image's name"), ("a;b", "is not an image's name"),
    ("x" * 400, "is not an image's name"),
])  # fmt: skip
def test_what_cannot_work_says_why(image: str, words: str, vllm: Preset) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        other_base(image, vllm)
    assert refused.value.hint
