"""The settings in force, each with its origin. The parsers do not record where a value was written, so the origin
is found by reading all settings again without one variable, or one file, and comparing.

A value that two places give changes only without both; then each place that gives it alone counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

from devenv.doors.dirs import Dirs
from devenv.doors.docker import address
from devenv.doors.once import Once
from devenv.doors.settings import tool_configs
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.tool_configs import without_secret
from devenv.errors import EngineError, UsageError

UNHEARD = "not honoured"
"""The section of the user's settings that devenv does not use."""
_DEFAULT = ("the default",)
_GIT = "git"
_KEPT = "HOME"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value in force, without secrets; each entry of a list is one setting. `origins` are files and variables."""

    section: str
    name: str
    value: str
    origins: tuple[str, ...]


_Row = tuple[str, str, str]
"""Section, name, and the value with its secrets: two addresses may differ in these alone."""
_Rows = tuple[_Row, ...]


def in_force(environ: Mapping[str, str], *, root: Path = Path("/"), cwd: Path | None = None) -> tuple[Setting, ...]:
    """Every setting for sources of files, places of files, and the engine. `root` is the file
    system's top, `cwd` the current folder. Raises UsageError for a mistake in devenv's own config.yaml."""

    def rows(variables: Mapping[str, str], without: Collection[Path] = ()) -> _Rows:
        with tool_configs.reading(without):
            return tuple(dict.fromkeys(_rows(variables, root, cwd)))

    with tool_configs.reading() as first:
        now = tuple(dict.fromkeys(_rows(environ, root, cwd)))
    files, own = tuple(first.met), {_KEPT: environ[_KEPT]}
    others = {name: value for name, value in environ.items() if name != _KEPT}
    lacking = _Given({
        **{str(file): partial(rows, environ, {file}) for file in files},
        **{name: partial(rows, {**own, **{k: v for k, v in others.items() if k != name}}) for name in others},
    })  # fmt: skip
    alone = _Given({
        **{str(file): partial(rows, own, {*files} - {file}) for file in files},
        **{name: partial(rows, {**own, name: value}, files) for name, value in others.items()},
    })  # fmt: skip
    bare = rows(own, files)
    return tuple(
        Setting(
            section=row[0], name=row[1], value=row[2] if row[0] == _GIT else without_secret(row[2]),
            origins=_DEFAULT if row in bare else lacking.of(row, present=False) or alone.of(row, present=True),
        )
        for row in now
    )  # fmt: skip


class _Given:
    """The readings of all settings, each with some sources left out or alone, made at first use."""

    def __init__(self, readings: Mapping[str, Callable[[], _Rows]]) -> None:
        self._readings = readings
        self._made = Once[str, _Rows]()

    def of(self, row: _Row, *, present: bool) -> tuple[str, ...]:
        """The sources with whose reading the row is there, or is not. A failed reading counts for nothing."""
        found = []
        for name, read in self._readings.items():
            with contextlib.suppress(UsageError):
                if (row in self._made.get(name, read)) == present:
                    found.append(name)
        return tuple(found)


def _rows(environ: Mapping[str, str], root: Path, cwd: Path | None) -> Iterator[_Row]:
    dirs = Dirs.of(environ)
    settings = Settings.read(dirs, environ, root=root, cwd=cwd)
    home = Path(environ[_KEPT])
    for section, values in (
        ("folders", _folders(dirs, settings, environ)),
        ("engine", _engine(environ, home)),
        ("network", _network(environ, settings)),
        ("debian", _debian(settings)),
        ("python", _python(settings)),
        ("npm", _npm(settings)),
        ("extensions", iter([("registry", settings.extension_registry)])),
        ("hubs", _hubs(environ, settings)),
        ("registries", _registries(settings)),
        ("signatures", _signatures(settings)),
        (_GIT, iter(settings.git_user.items())),
        (UNHEARD, ((name, "") for name in settings.pip.unheard)),
    ):
        yield from (
            (section, name, str(value)) for name, value in values if value not in (None, "") or section == UNHEARD
        )


_Values = Iterator[tuple[str, object]]


def _folders(dirs: Dirs, settings: Settings, environ: Mapping[str, str]) -> _Values:
    yield from (("cache", dirs.cache), ("state", dirs.state), ("configuration", dirs.config))
    yield "weights", settings.hubs.dir
    yield "locked files from", environ.get("DEVENV_FROM")


def _engine(environ: Mapping[str, str], home: Path) -> _Values:
    try:
        endpoint = address.endpoint(environ, home)
        yield "address", endpoint.address
        yield "TLS files", endpoint.tls and endpoint.tls.folder
    except EngineError as error:
        yield "address", error.message
    for name, value in sorted(address.proxies(environ, home).items()):
        if name.isupper():
            yield f"{name} inside", value


def _registries(settings: Settings) -> _Values:
    yield "logins", settings.docker_config
    for registry in settings.registries:
        yield f"CA of {registry.host}", registry.ca
        yield f"without TLS, {registry.host}", "allowed" if registry.insecure else None


def _signatures(settings: Settings) -> _Values:
    for rule in settings.signature_rules:
        yield f"required for {rule.scope}, by", ", ".join(map(str, (*filter(None, [rule.allowed_signers]), *rule.keys)))


def _network(environ: Mapping[str, str], settings: Settings) -> _Values:
    for name in _PROXIES:
        yield name, environ.get(name)
        yield name.lower(), environ.get(name.lower())
    yield "certificates", settings.ca_bundle


def _debian(settings: Settings) -> _Values:
    yield from ((f"mirror of {name}", url) for name, url in settings.apt_mirrors)
    yield from ((f"snapshots of {name}", url) for name, url in settings.apt_snapshots)
    for source in settings.apt:
        yield f"archive of {', '.join(source.suites)}", source.uri
    yield "proxy", settings.apt_proxy
    yield from ((f"login for {place}", "set") for place, _ in settings.apt_auth)


def _python(settings: Settings) -> _Values:
    pip = settings.pip
    yield "index", pip.index or ("none" if pip.no_index else "uv's own default")
    yield from (("further index", index) for index in pip.extra_indexes)
    yield from (("links", place) for place in pip.find_links)
    yield from (("constraints", constraint) for constraint in pip.constraints)
    yield from (("certificates", pip.cert), ("proxy", pip.proxy), ("cache", pip.cache), ("logins", pip.netrc))


def _npm(settings: Settings) -> _Values:
    npm = settings.npm
    yield "registry", npm.registry or "npm's own default"
    yield from ((f"registry of {scope}", url) for scope, url in npm.scopes)
    yield from (("certificates", npm.cafile), ("certificates", npm.ca and "set"), ("proxy", npm.proxy))
    yield from ((f"login for {place}", "set") for place, _ in npm.auth)


def _hubs(environ: Mapping[str, str], settings: Settings) -> _Values:
    hubs = settings.hubs
    yield from (("huggingface", hubs.huggingface), ("modelscope", hubs.modelscope))
    yield "asked first", ", ".join(hubs.order)
    yield from ((f"cache of {hub}", folder) for hub, folder in hubs.caches)
    yield from ((name, environ.get(name) and "set") for name in _TOKENS)
