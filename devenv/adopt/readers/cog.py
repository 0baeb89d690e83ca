"""cog.yaml of Cog: the section `build`."""

from __future__ import annotations

import re

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.tree import at, items, text, yaml_tree
from devenv.adopt.readers import requirements, shell
from devenv.adopt.readers.values import environment
from devenv.preset.yaml.nodes import Node

_SERVICE = "describe it under 'services' if it is to keep running"


def read(document: Document, reading: Reading) -> None:
    """What the model's image has."""
    top = yaml_tree(document, reading.problems)
    build = at(top, "build")
    _versions(build, reading)
    for node in items(at(build, "python_packages")):
        if content := text(node):
            requirements.lines(content, node.mark, reading)
    named = at(build, "python_requirements")
    if named is not None and text(named):
        found = reading.project.named(text(named), document.path, reading.problems, named.mark)
        if found is not None:
            requirements.read(found, reading)
    for node in items(at(build, "system_packages")):
        shell.package(text(node), node.mark, reading)
    for node in items(at(build, "run")):
        shell.read(text(node) or text(at(node, "command")), node.mark, reading)
    for node in items(at(top, "environment")):
        name, _, value = text(node).partition("=")
        environment(name, value, node.mark, reading)
    for key in ("predict", "train"):
        if found_ := at(top, key):
            why = "devenv does not run Cog's server"
            reading.leave(f"{key}: {text(found_)[:80]}", why, found_.mark, remedy=_SERVICE)


def _versions(build: Node | None, reading: Reading) -> None:
    if gpu := at(build, "gpu"):
        reading.take(Kind.GPU, "true" if text(gpu) == "true" else "false", gpu.mark)
    if cuda := at(build, "cuda"):
        numbers = re.match(r"[0-9]+\.[0-9]+", text(cuda))
        reading.take(Kind.CUDA, numbers[0] if numbers else "", cuda.mark, firm=False)
    if (python := at(build, "python_version")) and (numbers := re.match(r"3\.[0-9]+", text(python))):
        reading.take(Kind.PYTHON, f"=={numbers[0]}.*", python.mark)
