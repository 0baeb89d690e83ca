"""Whether a lock contradicts itself: file names against versions, packages against each other, records against pins.

The model checks only the shape. This finds mistakes in edited or merged locks of valid shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from devenv.compat.build_variant import suits
from devenv.lock.artifact import TARGETS, Vsix
from devenv.lock.builtin_packages import NODE_WHEEL
from devenv.lock.model import Artifact, Deb, Lock, Source, Tarball, Wheel

Loc = tuple[str | int, ...]
"""Where in the document: keys and indexes, as pydantic gives them."""


def contradictions(lock: Lock) -> Iterator[tuple[Loc, str]]:
    """Place and reason of each, in the document's order within each kind."""
    records = tuple(_records(lock))
    for loc, one in records:
        if reason := _misnamed(one, lock):
            yield loc, reason
    yield from _doubles(records)
    yield from _package_lock(lock)
    yield from _against_pins(lock)


def _records(lock: Lock) -> Iterator[tuple[Loc, Artifact]]:
    editor = lock.editor
    lists: tuple[tuple[Loc, tuple[Artifact, ...]], ...] = (
        (("base", "packages"), lock.base.packages),
        (("apt",), lock.apt),
        (("wheels",), lock.wheels),
        (("sources", "packages"), lock.sourced),
        (("sources", "toolchain"), lock.debs()["sources"]),
        (("editor", "packages"), editor.packages if editor else ()),
        (("editor", "toolchain"), editor.toolchain if editor else ()),
        (("npm", "packages"), lock.npm.packages),
        (("extensions",), lock.extensions),
    )
    for place, artifacts in lists:
        yield from (((*place, number), one) for number, one in enumerate(artifacts))
    for number, source in enumerate(lock.sourced):
        yield from (
            (("sources", "packages", number, "requires", at), wheel) for at, wheel in enumerate(source.requires)
        )
    yield ("uv",), lock.uv
    if lock.node:
        yield ("node",), lock.node
    if editor:
        yield ("editor", "archive"), editor.archive


def _misnamed(one: Artifact, lock: Lock) -> str | None:
    """Why the record's own fields contradict each other."""
    if one.size == 0:
        return f"{one.file} cannot be empty"
    match one:
        case Deb():
            return _misnamed_deb(one, lock)
        case Wheel():
            return None if _names_wheel(one) else f"{one.file} is not {one.name} {one.version}"
        case Source():
            return None if _names_source(one) else f"{one.file} is not {one.name} {one.version}"
        case Tarball():
            same = one.file == f"{one.name.removeprefix('@').replace('/', '+')}-{one.version}.tgz"
            return None if same else f"{one.file} is not {one.name} {one.version}"
        case Vsix():
            if one.platform not in (None, "universal", TARGETS[lock.platform.partition("/")[2]]):
                return f"{one.file} is for {one.platform}, the lock is for {lock.platform}"
    # An editor extension, or code-server itself.
    return None if one.file.startswith(f"{one.name}-{one.version}") else f"{one.file} is not {one.name} {one.version}"


def _misnamed_deb(deb: Deb, lock: Lock) -> str | None:
    # Archives leave the epoch out of file names; apt's own folder writes it with %3a.
    versions = {deb.version, deb.version.partition(":")[2] or deb.version}
    if unquote(deb.file) not in {f"{deb.name}_{version}_{deb.arch}.deb" for version in versions}:
        return f"{deb.file} is not {deb.name} {deb.version} for {deb.arch}"
    if unquote(deb.path).rpartition("/")[2] != unquote(deb.file):
        return f"{deb.path} is another file than {deb.file}"
    if deb.arch not in {"all", lock.platform.partition("/")[2]}:
        return f"{deb.file} is not for {lock.platform}"
    if deb.suite != lock.base.release and not deb.suite.startswith(f"{lock.base.release}-"):
        return f"{deb.file} is from {deb.suite}, the base is {lock.base.release}"
    return None


def _names_wheel(wheel: Wheel) -> bool:
    parts = unquote(wheel.file).removesuffix(".whl").split("-")
    if not wheel.file.endswith(".whl") or len(parts) not in {5, 6}:
        return False
    return canonicalize_name(parts[0]) == canonicalize_name(wheel.name) and _same_version(parts[1], wheel.version)


def _names_source(source: Source) -> bool:
    if source.commit:
        return source.file == f"{source.name}-{source.commit[:12]}.tar"
    from packaging.utils import InvalidSdistFilename, parse_sdist_filename

    try:
        name, version = parse_sdist_filename(source.file)
    except InvalidSdistFilename:
        return False
    return name == canonicalize_name(source.name) and _same_version(str(version), source.version)


def _same_version(one: str, other: str) -> bool:
    if one == other:
        return True
    from packaging.version import InvalidVersion, Version

    try:
        return Version(one.replace("_", "-")) == Version(other)
    except InvalidVersion:
        return False


def _fulfils(version: str, pin: str) -> bool:
    """Whether a version fulfils a pin, as in pip: 2.13.0 and 2.13.0+cpu fulfil the pin 2.13."""
    return _same_version(pin, version) or ("+" not in pin and _same_version(pin, version.partition("+")[0]))


def _doubles(records: tuple[tuple[Loc, Artifact], ...]) -> Iterator[tuple[Loc, str]]:
    """A package twice in one installation, one package with two contents, two packages with one content."""
    installed: dict[tuple[str, str], Artifact] = {}
    contents: dict[tuple[str, str, str], str] = {}
    packages: dict[str, tuple[str, str]] = {}
    for loc, one in records:
        # base and apt are one installation; npm can install many versions side by side.
        place = {"apt": "base"}.get(str(loc[0]), ".".join(str(part) for part in loc if isinstance(part, str)))
        place = "base" if place == "base.packages" else place
        if "requires" in loc:  # each source has its own
            place = f"{place} {loc[2]}"
        elif isinstance(one, Source):
            place = "wheels" if one.layer is not None else f"{place} {one.file}"
        version = one.version if isinstance(one, Tarball) else ""
        name = canonicalize_name(one.name) if isinstance(one, Wheel | Source) else one.name.lower()
        other = installed.setdefault((place, f"{name} {version}"), one)
        if other is not one:
            yield loc, f"{one.name} is listed twice, {other.version} and {one.version}"
        kind = type(one).__name__
        if contents.setdefault((kind, name, one.version), one.sha256) != one.sha256:
            yield loc, f"{one.name} {one.version} has another sha256 elsewhere"
        if packages.setdefault(one.sha256, (name, one.version)) != (name, one.version):
            yield loc, f"{one.file} has the sha256 of {' '.join(packages[one.sha256])}"


def _package_lock(lock: Lock) -> Iterator[tuple[Loc, str]]:
    """npm's own lock names the tarballs."""
    named = {
        (entry.get("name") or place.rpartition("node_modules/")[2], entry.get("version"))
        for place, entry in lock.npm.package_lock.get("packages", {}).items()
    }
    for number, one in enumerate(lock.npm.packages):
        if (one.name, one.version) not in named:
            yield ("npm", "packages", number), f"npm's lock has no {one.name} {one.version}"


def _against_pins(lock: Lock) -> Iterator[tuple[Loc, str]]:
    """Exact pins among `inputs`, against the locked versions."""
    pins, editor = lock.inputs, lock.editor
    base = lock.base
    made = f"{base.distribution}/{base.release}" if base.kind == "bootstrap" else f"image {base.image}"
    if pins.get("base", made) != made:
        yield ("inputs", "base"), f"the lock is for {pins['base']}, its base is {made}"
    if editor and editor.archive.version != editor.version:
        yield ("editor", "archive"), f"code-server is {editor.version}, its archive {editor.archive.version}"
    if lock.node and pins.get("node", lock.node.version) != lock.node.version:
        yield ("inputs", "node"), f"the lock is for Node {pins['node']}, it has {NODE_WHEEL} {lock.node.version}"
    pin = pins.get("code_server")
    if editor and isinstance(pin, str) and pin.split()[:2] != [editor.version, editor.source]:
        yield ("inputs", "code_server"), f"the lock is for code-server {pin}, it has {editor.version}"
    for number, one in enumerate(lock.wheels):
        if not suits(one.version, str(pins.get("cuda") or "")):
            yield ("wheels", number), f"the lock is for CUDA {pins['cuda']}, and {one.name} is {one.version}"
    yield from _listed(pins.get("pip"), "pip", "==", {canonicalize_name(one.name): one for one in lock.installed})
    tarballs = {one.name: one for one in lock.npm.packages if _top(lock, one)}
    yield from _listed(pins.get("npm"), "npm", "@", tarballs)
    yield from _extensions(lock)
    yield from _model(lock)


def _extensions(lock: Lock) -> Iterator[tuple[Loc, str]]:
    """An extension that the preset names comes from a registry; a file is the one that it pins."""
    pins = lock.inputs.get("extensions")
    files = [pin for pin in pins if " " in str(pin)] if isinstance(pins, list) else []
    yield from _listed(files, "extensions", " ", {one.name: one for one in lock.extensions})
    found = {one.name.lower(): one for one in lock.extensions}
    for pin in pins if isinstance(pins, list) else ():
        name, _, version = str(pin).partition("@")
        if " " in str(pin):
            continue
        one = found.get(name)
        if one is None:
            yield ("inputs", "extensions"), f"the lock is for {pin}, but has no {name}"
        elif (version and one.version != version) or one.platform is None:
            yield ("inputs", "extensions"), f"the lock is for {pin}, it has {one.name} {one.version}"


def _model(lock: Lock) -> Iterator[tuple[Loc, str]]:
    """A model's sources must be those that the preset names, and no others."""
    pins = lock.inputs.get("model")
    rows = [str(one) for one in pins] if isinstance(pins, list) else []
    wanted = [one for one in rows if not one.startswith(("allow ", "deny "))]
    if lock.model is None:
        if lock.open and not wanted:
            yield ("open",), "a model is not pinned yet, but the lock is for none"
        if wanted and not lock.open:
            yield ("inputs", "model"), f"the lock is for a model from {' and '.join(wanted)}, but has none"
        return
    locked = [f"{one.hub} {one.id}@{one.revision}" for one in lock.model.sources]
    for number, one in enumerate(locked):
        if one not in wanted or one in locked[:number]:
            reason = "names it twice" if one in wanted else f"is for {' and '.join(wanted) or 'none'}"
            yield ("model", "sources", number), f"the model is from {one}, but the lock {reason}"
    for one in wanted:
        if one not in locked:
            yield ("inputs", "model"), f"the lock is for a model from {one}, but has none from there"


def _top(lock: Lock, one: Tarball) -> bool:
    entry = lock.npm.package_lock.get("packages", {}).get(f"node_modules/{one.name}", {})
    return bool(entry.get("version") == one.version)


def _listed(pins: object, section: str, sign: str, found: Mapping[str, Artifact]) -> Iterator[tuple[Loc, str]]:
    for pin in pins if isinstance(pins, list) else ():
        name, _, rest = str(pin).rpartition(sign) if section == "npm" else str(pin).partition(sign)
        exact = re.fullmatch(r"([A-Za-z0-9.+!_-]+)(?: sha256 ([0-9a-f]{64}))?", rest)
        if exact is None or not re.fullmatch(r"@?[A-Za-z0-9/._-]+(\[.*\])?", name):
            continue  # a range or a marker: only a resolver can check it
        one = found.get(name.partition("[")[0])
        if one is None:
            yield ("inputs", section), f"the lock is for {pin}, but has no {name}"
        elif not _fulfils(one.version, exact[1]) or (exact[2] and exact[2] != one.sha256):
            yield ("inputs", section), f"the lock is for {pin}, it has {one.name} {one.version}"
