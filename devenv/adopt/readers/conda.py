"""environment.yml of conda: names that a table knows become packages of the index or of Debian; others are left out."""

from __future__ import annotations

import re

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.tree import at, text, yaml_tree
from devenv.adopt.readers import requirements
from devenv.adopt.readers.conda_names import names
from devenv.adopt.readers.values import environment
from devenv.preset.yaml.nodes import Mark

_SPEC = re.compile(r"(?:[\w./:-]+::)?(?P<name>[A-Za-z0-9_.-]+)\s*(?P<version>[^\[]*)(?:\[.*\])?", re.ASCII)


def read(document: Document, reading: Reading) -> None:
    """The environment's packages and variables."""
    top = yaml_tree(document, reading.problems)
    dependencies = at(top, "dependencies")
    for node in dependencies.items if dependencies else ():
        if isinstance(node.value, str):
            package(node.value, node.mark, reading)
            continue
        pip = at(node, "pip")
        for item in pip.items if pip else ():
            if content := text(item):
                _pip(content, item.mark, reading)
    variables = at(top, "variables")
    for name, node in variables.entries.items() if variables else ():
        environment(name, text(node), node.mark, reading)


def _pip(content: str, mark: Mark, reading: Reading) -> None:
    """A line below `pip`: the form of a requirements file."""
    requirements.lines(content, mark, reading)


def package(spec: str, mark: Mark, reading: Reading) -> None:
    """One package, as conda names it: `numpy=1.21`, `conda-forge::numpy>=1.2,<2`, `numpy=1.21.0=py39_0`."""
    found = _SPEC.fullmatch(spec.strip())
    if not found:
        reading.leave(
            spec[:100], "not a package of conda as devenv reads them", mark, remedy="add it to 'pip' or 'apt'"
        )
        return
    known = names()
    name, version = found["name"].lower(), found["version"].strip()
    specifier = _specifier(version)
    if name == "python":
        if specifier:
            reading.take(Kind.PYTHON, specifier, mark, name=spec)
        else:
            why = "the base has its own Python" if specifier == "" else "its version has no counterpart here"
            reading.leave(spec[:100], why, mark, remedy="write 'python' in devenv.yaml for another one")
    elif name in {"cudatoolkit", "pytorch-cuda", "cuda-toolkit", "cuda", "cuda-version"}:
        numbers = re.search(r"[0-9]+\.[0-9]+", version)
        reading.take(Kind.CUDA, numbers[0] if numbers else "", mark, name=spec, firm=name == "pytorch-cuda")
    elif name == "cpuonly":
        reading.take(Kind.CUDA, "cpu", mark, name=spec)
    elif name in known.ignored or re.match(r"_|lib(?!rosa)", name) or re.search(r"_(linux|win|osx)-|-64$", name):
        why = "compilers and libraries of conda come with the wheels, or with the base"
        reading.leave(spec[:100], why, mark, remedy="add those that your own code is built with to 'apt'")
    elif name in known.debian:
        reading.take(Kind.APT, known.debian[name], mark)
    elif name in known.renamed or name in known.same:
        if specifier is None:
            reading.leave(spec[:100], "its version has no counterpart on the index", mark, remedy="add it to 'pip'")
            return
        requirements.one(f"{known.renamed.get(name, name)}{specifier}", mark, reading)
    else:
        why = "a package of conda whose name on the index devenv does not know"
        reading.leave(spec[:100], why, mark, remedy="add it to 'pip' or 'apt' under its name there")


def _specifier(version: str) -> str | None:
    """conda's version as a specifier: `=1.21` → `==1.21.*`, `=1.21.0=py39_0` → `==1.21.0`; None for another form."""
    version = version.replace(" ", "")
    if version in {"", "*"}:
        return ""
    version = re.split(r"=[A-Za-z*][\w.*]*$", version)[0] if re.match(r"=?=?[0-9][\w.]*=", version) else version
    if exact := re.fullmatch(r"(?P<sign>=?=?)(?P<number>[0-9]+(\.[0-9A-Za-z]+)*)(?P<star>\.?\*)?", version):
        number, loose = exact["number"], exact["star"] or (exact["sign"] == "=" and exact["number"].count(".") < 2)
        return f"=={number}{'.*' if loose else ''}"
    parts = version.split(",")
    if all(re.fullmatch(r"(>=|<=|>|<|!=|==|~=)[0-9]+(\.[0-9A-Za-z]+)*(\.\*)?", part) for part in parts):
        return ",".join(re.sub(r"(>=|<=|>|<)([0-9.]+)\.\*$", r"\1\2", part) for part in parts)
    return None
