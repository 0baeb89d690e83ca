"""Names of base images: what they say about Python, PyTorch, CUDA. The images themselves are not looked at."""

from __future__ import annotations

import re

from devenv.adopt.facts.facts import Kind, Reading
from devenv.preset.yaml.nodes import Mark

_PYTHON = re.compile(
    r"(?:^|/)python:(?:[0-9]-)?(?P<minor>3\.[0-9]+)|devcontainers/(?:python|anaconda|miniconda):(?:[0-9.]+-)?(?P<dev>3\.[0-9]+)"
    r"|python-?(?P<inside>3\.?[0-9]+)"
)
_CUDA = re.compile(r"cuda[-_:]?(?P<cuda>[0-9]+\.[0-9]+)|cu(?P<digits>1[0-9]{2})(?![0-9])")
_TORCH = re.compile(r"(?:^|/)pytorch/pytorch:(?P<version>[0-9]+\.[0-9]+\.[0-9]+)")
_VLLM = re.compile(r"(?:^|/)vllm/vllm-openai:v(?P<version>[0-9]+\.[0-9]+\.[0-9]+)")
_TENSORFLOW = re.compile(r"(?:^|/)tensorflow/tensorflow:(?P<version>[0-9]+\.[0-9]+\.[0-9]+)")
_PLAIN = re.compile(
    r"(?:^|/)(ubuntu|debian|buildpack-deps|python|continuumio/(mini|ana)conda3?|condaforge/\w+|mambaorg/micromamba"
    r"|nvidia/cuda|jupyter/[a-z-]+-notebook|devcontainers/[a-z-]+|vscode/devcontainers/[a-z0-9-]+|nvidia/ai-workbench/[a-z0-9-]+"
    r"|mcr\.microsoft\.com/\S+|astral-sh/uv)(:|@|$)"
)


def read(image: str, mark: Mark, reading: Reading) -> None:
    """What an image's name says. One that is known for more than that is left out as a base."""
    name = image.partition("@")[0]
    if python := _PYTHON.search(name):
        version = python["minor"] or python["dev"] or python["inside"]
        version = version if "." in version else f"{version[0]}.{version[1:]}"
        reading.take(Kind.PYTHON, f"=={version}.*", mark, firm=False)
    if cuda := _CUDA.search(name):
        digits = cuda["digits"]
        version = cuda["cuda"] or f"{digits[:2]}.{digits[2:]}"
        reading.take(Kind.CUDA, version, mark, firm=False)
        reading.take(Kind.GPU, "true", mark, firm=False)
    elif "-gpu" in name:
        reading.take(Kind.GPU, "true", mark, firm=False)
    known = False
    for pattern, package in ((_TORCH, "torch"), (_VLLM, "vllm"), (_TENSORFLOW, "tensorflow")):
        if found := pattern.search(name):
            known = True
            reading.take(Kind.PIP, f"{package}=={found['version']}", mark, firm=False)
    if not known and not _PLAIN.search(name):
        remedy = "if the project needs what it has: write base: {image: NAME} in devenv.yaml"
        reading.leave(f"base image {image[:100]}", "the new base is Debian", mark, remedy=remedy)
