"""Files of repo2docker (Binder): apt.txt, runtime.txt, postBuild. Also those of NVIDIA AI Workbench that are alike."""

from __future__ import annotations

import re

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.readers import shell


def apt(document: Document, reading: Reading) -> None:
    """apt.txt: Debian packages, one or several a line."""
    for number, line in enumerate(document.lines, 1):
        for word in line.partition("#")[0].split():
            shell.package(word, document.at(number, line.index(word) + 1), reading)


def runtime(document: Document, reading: Reading) -> None:
    """runtime.txt: `python-3.10`, as Heroku and repo2docker have it."""
    content = document.text.strip()
    found = re.match(r"python-(3\.[0-9]+)", content)
    if found:
        reading.take(Kind.PYTHON, f"=={found[1]}.*", document.at(1))
    elif content:
        reading.leave(
            content[:80], "not a Python", document.at(1), remedy="see docs/how-to/own-preset.md, 'Another Python'"
        )


def python_version(document: Document, reading: Reading) -> None:
    """.python-version of pyenv and uv."""
    for number, line in enumerate(document.lines, 1):
        if found := re.match(r"\s*(?:cpython-)?(3\.[0-9]+)", line):
            reading.take(Kind.PYTHON, f"=={found[1]}.*", document.at(number), firm=False)
            return


def script(document: Document, reading: Reading) -> None:
    """postBuild: a script of the project, which becomes a setup step. One that only installs becomes packages."""
    lines = [line for line in document.lines if line.strip() and not line.lstrip().startswith(("#", "set "))]
    if not lines:
        return
    if shell.understood("\n".join(lines)):
        for number, line in enumerate(document.lines, 1):
            if line in lines:
                shell.read(line, document.at(number), reading)
        return
    name = document.path.relative_to(reading.project.root).as_posix()
    if re.search(r"\bsudo\b|\bapt(-get)?\b", document.text):
        reading.leave(name, "it installs as root", document.at(1), remedy="add its packages to 'apt' and 'pip'")
    elif re.fullmatch(r"[A-Za-z0-9_./-]+", name):
        reading.take(Kind.SETUP, f"bash {name}", document.at(1))


def variables(document: Document, reading: Reading) -> None:
    """variables.env: NAME=VALUE lines."""
    from devenv.adopt.readers.values import environment

    for number, line in enumerate(document.lines, 1):
        name, sign, value = line.strip().partition("=")
        if sign and not name.startswith("#"):
            environment(name.strip(), value.strip().strip("\"'"), document.at(number), reading)


def other(document: Document, reading: Reading) -> None:
    """Files for other languages and for what runs at the start."""
    name = document.path.name
    reading.leave(
        name, "only Python and Debian packages are taken", document.at(1), remedy="add what it has to 'apt' or 'setup'"
    )
