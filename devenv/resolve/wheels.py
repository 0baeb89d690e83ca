"""Python wheels: uv resolves for the image's Python and platform, the lock keeps names and hashes only."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from devenv.compat.build_variant import built_for, suits
from devenv.compat.wheels import wheels_of
from devenv.doors.cancellation import Cancellation
from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import Origin, Web
from devenv.doors.process import ProcessError, run
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.tool_configs import without_secret
from devenv.errors import LockError
from devenv.fetch import declared
from devenv.fetch.store import Store, bring
from devenv.lock.model import Source, Wheel
from devenv.preset.own_wheel import OwnWheel
from devenv.resolve.uv_messages import explained

_UV_ARCH = {"amd64": "x86_64", "arm64": "aarch64"}
_UV_GLIBC = (17, 28, *range(31, 41))
"""The manylinux_2_N platforms that uv knows."""
_NO_WHEEL = re.compile(r"Wheels are required for `([A-Za-z0-9._-]+)`")
_LACKING = re.compile(r"The package `([A-Za-z0-9._-]+)==([^`]+)` does not have an extra named `([^`]+)`")
_FIXED: Mapping[str, str | None] = {
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_CONSTRAINT": None,  # named as arguments
    "UV_WORKING_DIR": None,  # another folder has settings of its own
    "UV_PROJECT": None,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What uv is asked: the requirements, with their dependencies or alone, for the image's Python and glibc. `kept`:
    the versions to prefer, as a pylock.toml. `own`: the user's limits do not apply to a build's own requirements."""

    requirements: Sequence[str]
    python: str
    glibc: str
    kept: str
    dependencies: bool
    offers: Offers
    own: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """Packages that have no wheel, as uv gets them: `folder` has a wheel of metadata for each version (`versions`, by
    package). `floors`: package → a version that is too old to count."""

    folder: Path | None = None
    versions: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    floors: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """`wheels` by name; `sources`: (package, version) of the offered packages that are needed; `lacking`: (package,
    version, extra) where a version does not have a requested extra."""

    wheels: tuple[Wheel, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    lacking: tuple[tuple[str, str, str], ...] = ()


class NoWheelError(LockError):
    """There is no solution with wheels alone: these packages (`names`) may have a source."""

    names: tuple[str, ...] = ()


def resolve_wheels(
    requirements: Sequence[str],
    *,
    python: str,
    glibc: str,
    settings: Settings,
    store: Store,
    web: Web,
    keep: Iterable[Wheel | Source] = (),
    dependencies: bool = True,
    cuda: str = "",
    local: Iterable[Wheel] = (),
    offers: Offers | None = None,
    own: bool = False,
) -> Resolved:
    """One wheel for every package that `requirements` need, or one of the sources that are offered, sorted by name.

    `python` MAJOR.MINOR and `glibc` (2.36) are the image's; `keep` are versions to prefer where they still fit; with
    `cuda` no build for the CPU or for another CUDA is taken. `local` are those that requirements refer to by path.
    Raises LockError in uv's words, NoWheelError.
    """
    if not requirements:
        return Resolved()
    offers = offers or Offers()
    question = _Question(
        requirements=requirements, python=python, glibc=glibc, kept=_preferences(keep), dependencies=dependencies,
        offers=offers, own=own or not dependencies,
    )  # fmt: skip
    without: list[str] = []
    while True:
        found, lacking = _resolved(question, without, settings, web.cancel)
        # A version with a local part (2.10.0+cpu) counts as newer than the one without, and `==2.10.0` allows it.
        wrong = [f"{one['name']}!={one['version']}" for one in found if not suits(one.get("version", ""), cuda)]
        if not wrong:
            break
        if not set(wrong) - set(without):
            raise _unresolved("", requirements, without, () if question.own else settings.pip.constraints)
        without += wrong
    mine = {one.name: one for one in local}
    sources = [package for package in found if _is_offered(package, offers)]
    wheels = (
        mine.get(package["name"]) or _wheel(package, question, settings, store, web)
        for package in found
        if package not in sources
    )
    return Resolved(
        wheels=tuple(sorted(wheels, key=lambda one: one.name)),
        sources=tuple(sorted((package["name"], package["version"]) for package in sources)),
        lacking=lacking,
    )


def _is_offered(package: Mapping[str, Any], offers: Offers) -> bool:
    return package.get("version") in offers.versions.get(package["name"], ())


def own_file(wheel: OwnWheel, store: Store, web: Web) -> Wheel:
    """Take a wheel that the preset names, by path or address, into the store. Raises LockError for one that does not
    fit its name, FetchError for one that changed since the preset was written."""
    if wheel.url is not None:
        wanted, origin = Wanted(name=wheel.file, digests=(("sha256", wheel.sha256),)), Origin(url=wheel.url)
        bring(store, web, wanted, lambda: (origin,))
    else:
        assert wheel.path is not None
        store.adopt(wheel.path, wheel.sha256)
    file = store.path(wheel.sha256)
    found = Wheel(
        name=wheel.name, version=wheel.version, file=wheel.file, size=file.stat().st_size, sha256=wheel.sha256
    )
    declared.check(found, "wheel", file)
    return found


def _resolved(
    question: _Question, without: Sequence[str], settings: Settings, cancel: Cancellation
) -> tuple[Sequence[Mapping[str, Any]], tuple[tuple[str, str, str], ...]]:
    """uv's choice, as the packages of a pylock.toml, and those without a requested extra. `without`: excluded versions
    (`torch!=2.10.0+cpu`)."""
    with tempfile.TemporaryDirectory() as folder:
        output, constraints = Path(folder) / "pylock.toml", Path(folder) / "constraints.txt"
        if question.kept:
            output.write_text(question.kept)
        limited = [*without, *(f"{name}>{version}" for name, version in question.offers.floors.items())]
        constraints.write_text("\n".join(limited))
        # uv also looks for settings in parent folders, and every user can write to /tmp.
        (Path(folder) / "uv.toml").touch()
        # The user's limits do not apply to devenv's own tools, which are resolved alone.
        own = () if question.own else settings.pip.constraints
        limits = (*own, *([str(constraints)] if limited else ()))
        folders = (*settings.pip.find_links, str(question.offers.folder)) if question.offers.folder else ()
        command = (
            # Name this interpreter, because uv would download another Python.
            _uv(), "pip", "compile", "-", "--python", sys.executable,
            "--output-file", str(output), "--format", "pylock.toml", "--no-header",
            "--python-version", question.python, "--python-platform", platform(settings.arch, question.glibc),
            "--only-binary", ":all:", *(() if question.dependencies else ("--no-deps",)),
            *(part for limit in limits for part in ("--constraint", limit)),
            *(part for place in folders for part in ("--find-links", place)),
        )  # fmt: skip
        try:
            outcome = run(
                command,
                stdin="\n".join(question.requirements) + "\n",
                cwd=Path(folder),
                env={**dict(settings.pip.uv_env), **_FIXED},
                cancel=cancel,
            )
        except ProcessError as error:
            raise _unresolved(error.outcome.err, question.requirements, without, own) from None
        data = tomllib.loads(output.read_text(encoding="utf-8"))
    packages: Sequence[Mapping[str, Any]] = data.get("packages", ())
    return packages, tuple((match[1], match[2], match[3]) for match in _LACKING.finditer(outcome.err))


def _unresolved(
    text: str, requirements: Sequence[str], without: Sequence[str], limits: Sequence[str] = ()
) -> LockError:
    hint = "see 'pip:' in the preset; indexes come from pip's and uv's own settings"
    special = [one for one in requirements if "==" in one and built_for(one.partition("==")[2])]
    said = " ".join(text.split())
    if other := next((one for one in special if _is_for_other_pythons(one, said)), None):
        row = wheels_of("torch", other.partition("==")[2].partition("+")[0]) if other.startswith("torch==") else None
        known = f", only for Python {row.python}" if row else ""
        hint = f"{other} has no wheel for this Python{known}: change 'python:' or the base, or take another version"
    elif missing := next((one for one in special if one in text), None):
        kind = built_for(missing.partition("==")[2])
        hint = (
            f"no index of yours has PyTorch's build for {'the CPU' if kind == 'cpu' else f'CUDA {kind}'}: PyTorch has "
            "an index of its own for such builds; name it in pip's settings (pip config set global.extra-index-url "
            "ADDRESS, or PIP_EXTRA_INDEX_URL)"
        )
    elif without:
        names = ", ".join(one.replace("!=", " ") for one in without)
        hint = (
            f"the preset needs CUDA, so devenv ignored these: {names}; name an index that has builds for CUDA in pip's "
            "settings (PIP_EXTRA_INDEX_URL), or correct 'cuda'"
        )
    printed, remedies = explained(text)
    hint = "; ".join((*remedies, hint))
    if limits:
        hint += f"; the constraints in pip's and uv's settings count, too: {', '.join(map(without_secret, limits))}"
    failed = NoWheelError("the Python packages cannot be resolved", detail=printed or None, hint=hint)
    failed.names = tuple(dict.fromkeys(match[1] for match in _NO_WHEEL.finditer(text)))
    return failed


def _is_for_other_pythons(requirement: str, said: str) -> bool:
    """Whether uv says of an exact requirement that its index has it, and not for the image's Python."""
    one = re.escape(requirement)
    clauses = (rf"{one} has no wheels with a matching Python", rf"{one} depends on Python", rf"Python\S* and {one} ")
    return re.search("|".join(clauses), said) is not None


def own_uv() -> str:
    """The version of the uv that lies beside devenv."""
    return importlib.metadata.version("uv")


def platform(arch: str, glibc: str) -> str:
    """uv's name for the image's platform."""
    minor = int(glibc.partition(".")[2] or 17)
    return f"{_UV_ARCH.get(arch, arch)}-manylinux_2_{max(one for one in _UV_GLIBC if one <= max(minor, 17))}"


def tags(arch: str, python: str, glibc: str) -> tuple[str, ...]:
    """The wheel tags that the image's interpreter accepts, best first."""
    from packaging.tags import compatible_tags, cpython_tags

    machine = _UV_ARCH.get(arch, arch)
    minor = int(glibc.partition(".")[2] or 17)
    legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    platforms: list[str] = []
    for one in range(minor, 4, -1):
        platforms.append(f"manylinux_2_{one}_{machine}")
        if one in legacy:
            platforms.append(f"{legacy[one]}_{machine}")
    platforms.append(f"linux_{machine}")
    version = tuple(int(part) for part in python.split("."))
    interpreter = "cp" + python.replace(".", "")
    found = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, interpreter, platforms)]
    return tuple(str(tag) for tag in found)


def _uv() -> str:
    import uv

    return str(uv.find_uv_bin())


def _preferences(keep: Iterable[Wheel | Source]) -> str:
    rows = [f'[[packages]]\nname = "{one.name}"\nversion = "{one.version}"\n' for one in keep]
    return "\n".join(('lock-version = "1.0"\ncreated-by = "devenv"\n', *rows)) if rows else ""


def _wheel(package: Mapping[str, Any], question: _Question, settings: Settings, store: Store, web: Web) -> Wheel:
    from packaging.utils import parse_wheel_filename

    name, version = package["name"], package.get("version", "")
    order = {tag: rank for rank, tag in enumerate(tags(settings.arch, question.python, question.glibc))}
    ranked = []
    for entry in package.get("wheels", ()):
        file = entry.get("name") or unquote(urlsplit(entry.get("url") or entry.get("path", "")).path).rpartition("/")[2]
        ranks = [order[str(tag)] for tag in parse_wheel_filename(file)[3] if str(tag) in order]
        if ranks:
            ranked.append((min(ranks), file, entry))
    if not ranked:
        where = f"Python {question.python} on {platform(settings.arch, question.glibc)}"
        raise LockError(f"{name} {version} has no wheel for {where}")
    _, file, entry = min(ranked, key=lambda one: one[:2])
    sha256, size = entry.get("hashes", {}).get("sha256"), entry.get("size")
    if sha256 is None or size is None:
        sha256, size = _measured(file, entry, sha256, store, web)
    return Wheel(name=name, version=version, file=file, size=size, sha256=sha256)


def _measured(file: str, entry: Mapping[str, Any], sha256: str | None, store: Store, web: Web) -> tuple[str, int]:
    """Hash and size of a wheel whose index lacks them: the wheel is downloaded."""
    address = entry.get("url") or entry["path"]
    parts = urlsplit(address)
    if parts.scheme in ("", "file"):
        path = Path(unquote(parts.path))
        if sha256 is None:
            sha256 = store.adopt(path)
        return sha256, path.stat().st_size
    import hashlib

    wanted = Wanted(name=file, digests=(("sha256", sha256),) if sha256 else ())
    key = hashlib.sha256(address.encode()).hexdigest()
    got = bring(store, web, wanted, lambda: (Origin(url=address, channel="pip"),), key=key)
    return got.sha256, got.size_bytes
