""".project/spec.yaml of NVIDIA AI Workbench. Its packages lie in requirements.txt and apt.txt at the top."""

from __future__ import annotations

import re

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.tree import at, items, text, yaml_tree
from devenv.adopt.readers import base_image
from devenv.preset.model import CONTAINER_PATH
from devenv.preset.yaml.nodes import Node


def read(document: Document, reading: Reading) -> None:
    """The base image, the resources and the mounts."""
    top = yaml_tree(document, reading.problems)
    _base(at(top, "environment", "base"), reading)
    resources = at(top, "execution", "resources")
    requested = at(resources, "gpu", "requested")
    if requested is not None:
        wanted = text(requested).isdecimal() and int(text(requested)[:4]) > 0
        reading.take(Kind.GPU, "true" if wanted else "false", requested.mark, firm=wanted)
    shared = at(resources, "sharedMemoryMB")
    if shared is not None and re.fullmatch(r"[1-9][0-9]{1,5}", text(shared)):
        reading.take(Kind.SHM, f"{text(shared)}m", shared.mark)
    for node in items(at(top, "execution", "mounts")):
        _mount(node, reading)
    for key in ("apps", "secrets"):
        for node in items(at(top, "execution", key)):
            name = text(at(node, "name")) or text(at(node, "variable"))
            why = "devenv has its own services, and keeps no secrets"
            remedy = "describe a program under 'services'; set a secret when you start a command"
            reading.leave(f"{key} {name[:80]}", why, node.mark, remedy=remedy)


def _base(base: Node | None, reading: Reading) -> None:
    if image := at(base, "image"):
        registry = text(at(base, "registry"))
        base_image.read(f"{registry}/{text(image)}" if registry else text(image), image.mark, reading)
    if (cuda := at(base, "cuda_version")) and (numbers := re.match(r"[0-9]+\.[0-9]+", text(cuda))):
        reading.take(Kind.CUDA, numbers[0], cuda.mark, firm=False)


def _mount(node: Node, reading: Reading) -> None:
    target, kind = text(at(node, "target")).rstrip("/"), text(at(node, "type"))
    if kind == "volume" and re.fullmatch(CONTAINER_PATH, target):
        name = re.sub(r"[^a-z0-9]+", "-", target.lower()).strip("-")[:40].strip("-")
        reading.take(Kind.VOLUME, target, node.mark, name=name)
    elif kind not in {"project", ""}:
        why = "only volumes and the project's folder are mounted"
        remedy = "copy the data into the project, or use a volume"
        reading.leave(f"mount of {target[:80]}", why, node.mark, remedy=remedy)
