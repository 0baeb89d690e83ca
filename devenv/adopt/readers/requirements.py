"""Requirements files, as pip reads them."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.utils import canonicalize_name

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.toml import places_of, table
from devenv.adopt.readers import index, project_build
from devenv.preset import requirements_file
from devenv.preset.requirements_file import Entry
from devenv.preset.yaml.nodes import Mark
from devenv.preset.yaml.problems import quote

OWN_WHEEL = re.compile(r".*\.whl")
"""A requirement that is the path of a wheel."""


def read(document: Document, reading: Reading) -> None:
    """The file's requirements, and those of the files that it names."""

    def follow(name: str, mark: Mark) -> tuple[Path, str] | None:
        found = reading.project.named(name, mark.path, reading.problems, mark)
        return (found.path, found.text) if found else None

    for entry in requirements_file.entries(document.path, document.text, follow, reading.problems):
        _entry(entry, reading)


def lines(content: str, mark: Mark, reading: Reading) -> None:
    """A text of another format that has the form of a requirements file, and begins at `mark`."""
    before = "\n" * (mark.line - 1) + " " * (mark.column - 1)
    read(Document(mark.path, before + content), reading)


def one(text: str, mark: Mark, reading: Reading, *, guessed: bool = False) -> None:
    """One requirement that another format has as text; a mistake goes to the problems. `guessed`: it is a word of a
    command, so that a mistake is a loss."""
    entry = requirements_file.line(text.strip(), mark)
    if entry.kind == "refused" and not entry.remedy and guessed:
        reading.leave(text[:100], entry.why, mark, remedy="add the package to 'pip'")
    elif entry.kind == "refused" and not entry.remedy:
        problem = f"{quote(text)} is {entry.why}"
        reading.problems.add(problem, mark, hint="correct the requirement, or remove it")
    else:
        _entry(entry, reading)


def _entry(entry: Entry, reading: Reading) -> None:
    match entry.kind:
        case "requirement" if OWN_WHEEL.fullmatch(entry.text):
            _wheel(entry, reading)
        case "requirement" if canonicalize_name(re.split(r"[^\w.-]", entry.text, maxsplit=1)[0]) in reading.own:
            pass  # with its own extras, or from an index: devenv installs the project of this folder
        case "requirement":
            reading.take(Kind.PIP, entry.text, entry.mark)
        case "constraint":
            reading.take(Kind.CONSTRAINT, entry.text, entry.mark)
        case "project":
            _project(entry.mark, reading)
        case "index":
            index.read(entry.text, entry.mark, reading)
        case _:
            reading.leave(entry.text, entry.why, entry.mark, remedy=entry.remedy)


def _project(mark: Mark, reading: Reading) -> None:
    """`-e .`: the project's own package, with what its pyproject.toml says of the build."""
    if not reading.project.has("pyproject.toml"):
        if reading.project.has("setup.py"):
            reading.take(Kind.PROJECT, "setuptools", mark)
        else:
            why = "there is no pyproject.toml and no setup.py, so the folder is no package"
            reading.leave("-e .", why, mark, remedy="remove the line, or write a pyproject.toml")
        return
    document = reading.project.document(reading.project.root / "pyproject.toml", reading.problems, asked=mark)
    if document is not None:
        project_build.read(table(document, reading.problems), places_of(document), reading, asked=True)


def _wheel(entry: Entry, reading: Reading) -> None:
    """A wheel's path, made relative to the project's folder."""
    place = reading.project.place(entry.text.removeprefix("file:"), entry.mark.path)
    if place is None or not place.is_file():
        why = "a wheel outside the project's folder" if place is None else "the wheel does not exist"
        reading.leave(entry.text, why, entry.mark, remedy="copy it into the project, and name it in 'pip'")
        return
    relative = place.relative_to(reading.project.root.resolve())
    reading.take(Kind.PIP, relative.as_posix(), entry.mark)
