"""Which files of a project are read, by which reader, and in which order."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Reading
from devenv.adopt.facts.toml import table
from devenv.adopt.readers import (
    cog,
    conda,
    devcontainer,
    dockerfile,
    pipfile_lock,
    poetry,
    pyproject,
    repo2docker,
    requirements,
    setup_py,
    uv_lock,
    workbench,
)
from devenv.errors import UsageError
from devenv.preset.toml import mapping
from devenv.preset.yaml.nodes import display
from devenv.preset.yaml.problems import Problems

Reader = Callable[[Document, Reading], None]

_BY_NAME: tuple[tuple[str, Reader], ...] = (
    (r"pyproject\.toml", pyproject.read),
    (r"uv\.lock", functools.partial(uv_lock.read, alone=True)),
    (r"poetry\.lock", functools.partial(poetry.read_lock, alone=True)),
    (r"Pipfile", pipfile_lock.read),
    (r"Pipfile\.lock", functools.partial(pipfile_lock.read_lock, alone=True)),
    (r"\.?devcontainer\.json", devcontainer.read),
    (r"(.*\.)?([Dd]ockerfile|Containerfile)(\..*)?", dockerfile.read),
    (r"cog\.ya?ml", cog.read),
    (r"spec\.ya?ml", workbench.read),
    (r"apt\.txt", repo2docker.apt),
    (r"runtime\.txt", repo2docker.runtime),
    (r"\.python-version", repo2docker.python_version),
    (r"(pre|post)[bB]uild(\.bash|\.sh)?", repo2docker.script),
    (r"variables\.env", repo2docker.variables),
    (r"setup\.cfg", setup_py.read_cfg),
    (r"setup\.py", setup_py.read),
    (r".*\.ya?ml", conda.read),
    (r".*\.(txt|in|pip)|requirements", requirements.read),
)  # fmt: skip
KINDS = (
    "requirements.txt, pyproject.toml, uv.lock, poetry.lock, Pipfile, Pipfile.lock, environment.yml, "
    "devcontainer.json, Dockerfile, cog.yaml, apt.txt, runtime.txt, postBuild, .project/spec.yaml, setup.cfg, setup.py"
)

_DEVCONTAINERS = (".devcontainer/devcontainer.json", ".devcontainer.json")
_DOCKERFILES = ("Dockerfile", "docker/Dockerfile", "Containerfile")
_CONDA = ("environment.yml", "environment.yaml", "conda.yml", "conda.yaml")
_BINDER = ("binder", ".binder")
_OTHER = ("install.R", "DESCRIPTION", "Project.toml", "default.nix", "start")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The files that were read, in order, and those with Python packages that were passed over for another."""

    read: tuple[Path, ...]
    passed_over: tuple[Path, ...] = ()


def file(path: Path, reading: Reading) -> Found:
    """Read one file that the user names. Raises UsageError for a format that devenv does not know."""
    reader = _reader(path.name)
    if reader is None:
        raise UsageError(f"{display(path)} is no file that devenv reads", hint=f"it reads {KINDS}")
    document = reading.project.document(path, reading.problems)
    if document is not None:
        reader(document, reading)
    read = [path]
    folder = path.parent.relative_to(reading.project.root).as_posix()
    prefix = "" if folder == "." else f"{folder}/"
    if path.name == "pyproject.toml":
        read += _locks(prefix, reading)
    elif path.name == "Pipfile":
        read += _each((f"{prefix}Pipfile.lock",), _pipfile_pins, reading)
    return Found(read=tuple(read))


def is_requirements(path: Path) -> bool:
    """Whether a file is one of requirements, by its name."""
    return _reader(path.name) is requirements.read


def _reader(name: str) -> Reader | None:
    return next((reader for pattern, reader in _BY_NAME if re.fullmatch(pattern, name)), None)


def folder(reading: Reading) -> Found:
    """Read what a folder has. One file gives the Python packages, the first in this order: cog.yaml, AI Workbench's
    requirements.txt, pyproject.toml, requirements.txt, Pipfile, environment.yml, setup.cfg, setup.py, a lock. Others
    add to them."""
    project = reading.project
    sources = [source for source in _sources(reading) if source]
    read = list(sources[0]()) if sources else []
    if project.has(".project/spec.yaml"):
        read += _each((".project/spec.yaml",), workbench.read, reading)
        read += _each(("apt.txt",), repo2docker.apt, reading)
        read += _each(("postBuild.bash", "preBuild.bash"), repo2docker.script, reading)
        read += _each(("variables.env",), repo2docker.variables, reading)
    read += _each((".python-version",), repo2docker.python_version, reading)
    binder = next((f"{name}/" for name in _BINDER if (project.root / name).is_dir()), "")
    read += _each((f"{binder}runtime.txt",), repo2docker.runtime, reading)
    read += _each((f"{binder}apt.txt",), repo2docker.apt, reading)
    read += _each((f"{binder}postBuild",), repo2docker.script, reading)
    read += _each(tuple(f"{binder}{name}" for name in _OTHER) if binder else (), repo2docker.other, reading)
    read += _containers(reading)
    passed = [path for source in sources[1:] for path in source.paths()]
    return Found(
        read=tuple(dict.fromkeys(read)), passed_over=tuple(path for path in dict.fromkeys(passed) if path not in read)
    )


class _Source:
    """A file with Python packages, to be read when it is the chosen one."""

    def __init__(self, names: tuple[str, ...], reader: Reader, reading: Reading) -> None:
        self._names, self._reader, self._reading = names, reader, reading

    def __bool__(self) -> bool:
        return any(map(self._reading.project.has, self._names))

    def __call__(self) -> tuple[Path, ...]:
        return tuple(_first(self._names, self._reader, self._reading))

    def paths(self) -> tuple[Path, ...]:
        """Its files."""
        return tuple(self._reading.project.root / name for name in self._names if self._reading.project.has(name))


class _Pyproject(_Source):
    """pyproject.toml, if it lists dependencies, with the versions of a lock beside it."""

    def __init__(self, reading: Reading) -> None:
        super().__init__(("pyproject.toml",), pyproject.read, reading)
        self.lists = _lists(reading)

    def __bool__(self) -> bool:
        return self.lists

    def __call__(self) -> tuple[Path, ...]:
        return (*super().__call__(), *_locks("", self._reading))


class _Pipfile(_Source):
    def __call__(self) -> tuple[Path, ...]:
        read = super().__call__()
        if self._names[0] == "Pipfile":
            read += tuple(_each(("Pipfile.lock",), _pipfile_pins, self._reading))
        return read


def _sources(reading: Reading) -> Iterator[_Source]:
    binder = tuple(f"{folder}/{name}" for folder in _BINDER for name in _CONDA)
    yield _Source(("cog.yaml",), cog.read, reading) if _cog_lists(reading) else _Source((), cog.read, reading)
    if reading.project.has(".project/spec.yaml"):
        yield _Source(("requirements.txt",), requirements.read, reading)
    yield _Pyproject(reading)
    yield _Source(("requirements.txt", "requirements/base.txt", "requirements.in"), requirements.read, reading)
    yield _Source(_only_one(reading.project.root), requirements.read, reading)
    yield _Pipfile(("Pipfile",), pipfile_lock.read, reading)
    yield _Source(_CONDA, conda.read, reading)
    yield _Source(binder, conda.read, reading)
    yield _Source(tuple(f"{folder}/requirements.txt" for folder in _BINDER), requirements.read, reading)
    yield _Source(("setup.cfg",) if _cfg_lists(reading) else (), setup_py.read_cfg, reading)
    yield _Source(("setup.py",), setup_py.read, reading)
    for name in ("uv.lock", "poetry.lock", "Pipfile.lock"):
        yield _Source((name,), _reader(name) or requirements.read, reading)


def _only_one(root: Path) -> tuple[str, ...]:
    """The one requirements file of another name than the usual ones; none where there are several."""
    for pattern in ("requirements*.txt", "requirements/*.txt"):
        names = sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))
        if names:
            return (names[0],) if len(names) == 1 else ()
    return ()


def _lists(reading: Reading) -> bool:
    """Whether pyproject.toml lists dependencies; a mistake in it counts as well, and is reported once."""
    if not reading.project.has("pyproject.toml"):
        return False
    problems = Problems(reading.project.root / "pyproject.toml")
    document = reading.project.document(reading.project.root / "pyproject.toml", problems)
    if document is None:
        return True
    data = table(document, problems)
    return bool(len(problems)) or pyproject.has_dependencies(data) or bool(mapping(data, "dependency-groups"))


def _cfg_lists(reading: Reading) -> bool:
    if not reading.project.has("setup.cfg"):
        return False
    document = reading.project.document(reading.project.root / "setup.cfg", reading.problems)
    return document is not None and setup_py.lists(document)


def _cog_lists(reading: Reading) -> bool:
    from devenv.adopt.facts.tree import at, yaml_tree

    if not reading.project.has("cog.yaml"):
        return False
    problems = Problems(reading.project.root / "cog.yaml")
    document = reading.project.document(reading.project.root / "cog.yaml", problems)
    build = at(yaml_tree(document, problems), "build") if document else None
    return bool(len(problems)) or any(at(build, key) for key in ("python_packages", "python_requirements"))


def _containers(reading: Reading) -> list[Path]:
    """The dev container, else a Dockerfile; and cog.yaml when it lists no packages."""
    read = _each(("cog.yaml",), cog.read, reading) if not _cog_lists(reading) else []
    found = _first(_DEVCONTAINERS, devcontainer.read, reading)
    return [*read, *(found or _first(_DOCKERFILES, dockerfile.read, reading))]


def _locks(prefix: str, reading: Reading) -> list[Path]:
    """The versions of the locks beside a pyproject.toml."""
    read = _each((f"{prefix}uv.lock",), functools.partial(uv_lock.read, alone=False), reading)
    return read or _each((f"{prefix}poetry.lock",), functools.partial(poetry.read_lock, alone=False), reading)


def _pipfile_pins(document: Document, reading: Reading) -> None:
    pipfile_lock.read_lock(document, reading, alone=False)


def _first(names: tuple[str, ...], reader: Reader, reading: Reading) -> list[Path]:
    name = next(filter(reading.project.has, names), None)
    return _each((name,), reader, reading) if name else []


def _each(names: tuple[str, ...], reader: Reader, reading: Reading) -> list[Path]:
    """Read those of the files that exist."""
    read = []
    for name in filter(reading.project.has, names):
        document = reading.project.document(reading.project.root / name, reading.problems)
        if document is not None:
            reader(document, reading)
            read.append(document.path)
    return read


def is_there(folder: Path) -> bool:
    """Whether a folder has a file that `folder` reads."""
    from devenv.adopt.facts.project import Project

    project = Project(folder)
    names = (
        "cog.yaml", ".project/spec.yaml", "pyproject.toml", "requirements.txt", "requirements/base.txt",
        "requirements.in", "Pipfile", "uv.lock", "poetry.lock", "Pipfile.lock", "apt.txt", "setup.py", *_CONDA,
        *_DEVCONTAINERS,
        *_DOCKERFILES,
        *(f"{folder}/{name}" for folder in _BINDER for name in (*_CONDA, "requirements.txt", "apt.txt")),
    )  # fmt: skip
    return any(map(project.has, names)) or bool(_only_one(folder))
