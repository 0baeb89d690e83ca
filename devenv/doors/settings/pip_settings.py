"""Where Python wheels come from: pip's and uv's own settings.

Paths in them become absolute, because uv runs in a folder of its own: those of a file lie beside it, all others where
the user stands.
"""

from __future__ import annotations

import dataclasses
import os.path
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from devenv.doors.settings import tool_configs

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PLACES = ("find-links", "constraint", "index-url", "extra-index-url")
"""pip's options whose words are paths or addresses."""
_UNHEARD = frozenset({
    "abi", "client-cert", "implementation", "keyring-provider", "no-binary", "no-deps", "no-dependencies", "platform",
    "pre", "python-version", "requirement", "trusted-host", "uploaded-prior-to",
})  # fmt: skip
"""pip's options that change what is chosen or which server is contacted, and that devenv does not use."""
_UV_UNHEARD = ("UV_INSECURE_HOST", "UV_KEYRING_PROVIDER")
_UV_FILES = ("UV_OVERRIDE", "UV_EXCLUDE")
_UV_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
_UV_PATHS = ("UV_CONFIG_FILE", "UV_CACHE_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "NETRC")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PipSettings:
    """Where Python wheels come from. `index` None means PyPI; `no_index` leaves only `find_links`."""

    index: str | None = None
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    """Files and addresses of versions that a new lock must keep to."""
    no_index: bool = False
    cert: Path | None = None
    proxy: str | None = None
    cache: Path | None = None
    netrc: Path | None = None
    uv_env: tuple[tuple[str, str], ...] = ()
    """pip's settings as uv's variables, and uv's own with relative paths made absolute; other variables of uv stay."""
    unheard: tuple[str, ...] = ()
    """The user's settings that devenv does not use, by name."""

    @classmethod
    def read(cls, environ: Mapping[str, str], *, home: Path, config_home: Path, root: Path, cwd: Path) -> PipSettings:
        """Read pip's files and variables, and uv's; `root` is the file system's top."""
        paths = _Paths(cwd, home)
        options, places = _pip_options(environ, _pip_files(environ, home, config_home, root), paths)
        toml = _uv_toml(environ, config_home, root, paths)
        uv_default = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
        default = paths.index(uv_default) if uv_default else toml.default
        uv_extra = (*_words(environ, "UV_INDEX"), *_words(environ, "UV_EXTRA_INDEX_URL"))
        uv_links = tuple(paths.place(place) for place in environ.get("UV_FIND_LINKS", "").split(",") if place.strip())
        index = next(iter(places["index-url"]), "")
        extra, links = places["extra-index-url"], places["find-links"]
        cert = options.get("cert")
        translated = {
            "UV_DEFAULT_INDEX": index,
            "UV_EXTRA_INDEX_URL": " ".join(extra),
            "UV_FIND_LINKS": ",".join(_without(",", links)),
            "UV_NO_INDEX": "1" if _true(options.get("no-index")) else "",
            "UV_INDEX_STRATEGY": "unsafe-best-match" if extra else "",  # pip's own way: all indexes are equal
            "SSL_CERT_FILE": paths.place(cert) if cert else "",
            "ALL_PROXY": options.get("proxy", ""),
            # The machine's own certificates count, as for pip (uv's variable before and after its renaming).
            "UV_NATIVE_TLS": "true",
            "UV_SYSTEM_CERTS": "true",
        }
        own_index = {"UV_DEFAULT_INDEX"} if default else set()
        uv_env = {k: v for k, v in translated.items() if v and not environ.get(k) and k not in own_index}
        return cls(
            index=default or index or None,
            extra_indexes=_unique(
                _address(one) for one in (*map(paths.index, uv_extra), *toml.indexes, *extra)
            ),
            find_links=_unique((*uv_links, *toml.find_links, *links)),
            constraints=_unique((*map(paths.place, _words(environ, "UV_CONSTRAINT")), *places["constraint"])),
            no_index=_true(options.get("no-index")) or _true(environ.get("UV_NO_INDEX")),
            cert=_file(paths.place(cert)) if cert else None,
            proxy=options.get("proxy"),
            cache=_pip_cache(options, environ, home, paths),
            netrc=_file(environ.get("NETRC") or str(home / ".netrc")),
            uv_env=tuple((uv_env | dict(_uv_relative(environ, uv_links, paths))).items()),
            unheard=(
                *sorted(f"pip's {name!r}" for name in options if name in _UNHEARD and not _false(options[name])),
                *(name for name in _UV_UNHEARD if environ.get(name)),
            ),
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class _Paths:
    """Makes paths absolute: relative ones lie below `base`."""

    base: Path
    home: Path

    def place(self, word: str) -> str:
        """A path; an address stays as it is."""
        if _SCHEME.match(word):
            return word
        return os.path.abspath(self.base / (self.home / word[2:] if word.startswith("~/") else word))  # noqa: PTH100

    def index(self, word: str) -> str:
        """An index as an address; uv lets one be `name=address`."""
        name, sign, rest = word.partition("=")
        if sign and "/" not in name and not _SCHEME.match(name):
            return f"{name}={self.index(rest)}"
        return word if _SCHEME.match(word) else Path(self.place(word)).as_uri()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _UvToml:
    default: str | None = None
    indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()


def _pip_files(environ: Mapping[str, str], home: Path, config_home: Path, root: Path) -> list[Path]:
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    globals_ = [part for part in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if part]
    return [
        *(root / part.lstrip("/") / "pip/pip.conf" for part in reversed(globals_)),
        root / "etc/pip.conf",
        home / ".pip/pip.conf",
        config_home / "pip/pip.conf",
        Path(sys.prefix) / "pip.conf",
        *([Path(named)] if named else []),
    ]


def _pip_options(
    environ: Mapping[str, str], files: Iterable[Path], paths: _Paths
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """(every option as it was written; those of `_PLACES` as absolute paths and addresses)."""
    layers = [(tool_configs.pip_conf(tool_configs.text_of(file)), paths.place(str(file.parent))) for file in files]
    said = {key[4:].lower().replace("_", "-"): value for key, value in environ.items() if key[:4] == "PIP_" and value}
    options: dict[str, str] = {}
    places: dict[str, tuple[str, ...]] = dict.fromkeys(_PLACES, ())
    for layer, folder in (*layers, (said, str(paths.base))):
        options.update(layer)
        beside = _Paths(Path(folder), paths.home)
        for name in _PLACES:
            if name in layer:
                make: Callable[[str], str] = beside.index if name.endswith("index-url") else beside.place
                places[name] = tuple(make(word) for word in layer[name].split())
        if "cert" in layer:
            options["cert"] = beside.place(layer["cert"])
    return options, places


def _uv_toml(environ: Mapping[str, str], config_home: Path, root: Path, paths: _Paths) -> _UvToml:
    """The settings of the files that uv reads, except a project's, because uv runs outside of projects."""
    if _true(environ.get("UV_NO_CONFIG")):
        return _UvToml()
    named = environ.get("UV_CONFIG_FILE")
    files = [Path(paths.place(named))] if named else [config_home / "uv/uv.toml", root / "etc/uv/uv.toml"]
    merged = _UvToml()
    for file in files:
        found = tool_configs.uv_toml(tool_configs.text_of(file))
        beside = _Paths(file.parent, paths.home)
        merged = _UvToml(
            default=merged.default or (beside.index(found["default"]) if found["default"] else None),
            indexes=(*merged.indexes, *map(beside.index, found["indexes"])),
            find_links=(*merged.find_links, *map(beside.place, found["find_links"])),
        )
    return merged


def _uv_relative(environ: Mapping[str, str], links: tuple[str, ...], paths: _Paths) -> Iterator[tuple[str, str]]:
    """uv's own variables whose relative paths would be looked up in the folder that uv runs in."""
    values = {name: " ".join(map(paths.index, _words(environ, name))) for name in _UV_INDEXES}
    values |= {name: " ".join(_without(" ", map(paths.place, _words(environ, name)))) for name in _UV_FILES}
    values |= {name: paths.place(environ[name]) for name in _UV_PATHS if environ.get(name)}
    values["UV_FIND_LINKS"] = ",".join(_without(",", links))
    for name, value in values.items():
        if value and value != environ.get(name):
            yield name, value


def _without(separator: str, places: Iterable[str]) -> Iterator[str]:
    """Places for a list: a path with the list's separator in it becomes an address, where it is escaped."""
    for place in places:
        if separator in place and not _SCHEME.match(place):
            yield Path(place).as_uri().replace(",", "%2C")
        else:
            yield place


def _words(environ: Mapping[str, str], name: str) -> list[str]:
    return environ.get(name, "").split()


def _address(index: str) -> str:
    name, sign, rest = index.partition("=")
    return rest if sign and "/" not in name else index


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _true(value: str | None) -> bool:
    return (value or "").lower() in {"1", "true", "yes", "on", "t", "y"}


def _false(value: str) -> bool:
    return value.lower() in {"", "0", "false", "no", "off", "f", "n"}


def _file(path: str) -> Path | None:
    return Path(path) if Path(path).is_file() else None


def _pip_cache(options: Mapping[str, str], environ: Mapping[str, str], home: Path, paths: _Paths) -> Path | None:
    named = options.get("cache-dir")
    folder = Path(paths.place(named)) if named else Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "pip"
    return folder if folder.is_dir() and not _true(options.get("no-cache-dir")) else None
