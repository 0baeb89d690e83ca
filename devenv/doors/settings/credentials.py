"""This user's own secrets: what devenv's settings, the hubs' clients, docker and the environment hold.

Read to find them in what is about to leave this machine, and for nothing else.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from devenv.doors import files, secret_file
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.tool_configs import text_of
from devenv.doors.untrusted import from_json

_SECRET_NAME = re.compile(
    r"(?i)(?:^|_)(?:token|secret|passw(?:or)?d|passphrase|pwd|pat|(?:api|access|secret|auth|private)_?key|credential)s?$"
    r"|_(?:token|secret|password|api_?key)_"
)
_PROXY_NAME = re.compile(r"(?i)(?:http|https|all|ftp)_proxy$")
_URL_NAMES = re.compile(r"(?i)(?:^pip_|^uv_|^npm_config_|_url$|_uri$|_dsn$|index)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One secret value and what it is, such as `the token of Hugging Face`."""

    origin: str
    value: str = dataclasses.field(repr=False)


def credentials(settings: Settings, environ: Mapping[str, str]) -> tuple[Credential, ...]:
    """All that this user's settings and variables hold, each value once. What cannot be read gives nothing."""
    home = Path(environ["HOME"])
    found: dict[str, str] = {}
    for origin, value in (
        *_of_settings(settings),
        *_of_variables(environ),
        *_of_hubs(environ, home),
        *_of_docker(environ, home),
        *_of_devenv(settings),
    ):
        if value.strip():
            found.setdefault(value.strip(), origin)
    return tuple(Credential(origin=origin, value=value) for value, origin in found.items())


Found = Iterator[tuple[str, str]]


def _of_settings(settings: Settings) -> Found:
    pip, npm = settings.pip, settings.npm
    for url in (pip.index, *pip.extra_indexes, *pip.find_links, *dict(pip.uv_env).values()):
        yield from _of_address("a Python index", url)
    for proxy in (pip.proxy, npm.proxy, settings.apt_proxy):
        yield from _of_address("the proxy", proxy)
    for source in settings.apt:
        yield from _of_address("an apt archive", source.uri)
    yield from _of_address("the registry of extensions", settings.extension_registry)
    yield from _of_headers("an npm registry", npm.auth)
    yield from _of_headers("an apt archive", settings.apt_auth)
    if pip.netrc is not None:
        words = text_of(pip.netrc).split()
        yield from (("a login in netrc", after) for word, after in itertools.pairwise(words) if word == "password")


def _of_variables(environ: Mapping[str, str]) -> Found:
    for name, value in environ.items():
        if _PROXY_NAME.search(name):
            yield from _of_address("the proxy", value)
        elif _SECRET_NAME.search(name) and not value.startswith(("/", "~")):
            yield f"the variable {name}", value
        elif _URL_NAMES.search(name):
            for word in value.split():
                yield from _of_address(f"the variable {name}", word)


def _of_hubs(environ: Mapping[str, str], home: Path) -> Found:
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    hugging_face = Path(environ.get("HF_HOME") or cache / "huggingface")
    yield "the token of Hugging Face", text_of(Path(environ.get("HF_TOKEN_PATH") or hugging_face / "token"))
    for line in text_of(hugging_face / "stored_tokens").splitlines():
        key, _, value = line.partition("=")
        if key.strip() in ("hf_token", "refresh_token"):
            yield "the token of Hugging Face", value
    folder = Path(environ.get("MODELSCOPE_CREDENTIALS_PATH") or home / ".modelscope/credentials")
    for name in ("git_token", "session", "token"):
        yield "the token of ModelScope", text_of(folder / name)


def _of_docker(environ: Mapping[str, str], home: Path) -> Found:
    path = Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    try:
        config = from_json(text_of(path))
    except ValueError:
        return
    auths = config.get("auths") if isinstance(config, dict) else None
    for login in auths.values() if isinstance(auths, dict) else ():
        yield from _of_docker_login(login)
    proxies = config.get("proxies") if isinstance(config, dict) else None
    for engine in proxies.values() if isinstance(proxies, dict) else ():
        for proxy in engine.values() if isinstance(engine, dict) else ():
            yield from _of_address("the proxy", proxy if isinstance(proxy, str) else None)


def _of_docker_login(login: Any) -> Found:
    origin = "a login of docker"
    if not isinstance(login, dict):
        return
    for key in ("password", "identitytoken", "registrytoken"):
        if isinstance(login.get(key), str):
            yield origin, login[key]
    if isinstance(login.get("auth"), str):
        yield from _of_basic(origin, login["auth"])


def _of_devenv(settings: Settings) -> Found:
    """The tokens of this user's environments, and of the weights' server."""
    places = [("the token of 'weights serve'", settings.dirs.state / "weights-token")]
    if settings.dirs.environments.is_dir():
        every = sorted(settings.dirs.environments.iterdir())
        places += [(f"the token of environment {folder.name}", folder / "host" / "token") for folder in every]
    for origin, path in places:
        try:
            token = secret_file.kept(path) if files.is_there(path) else None
        except OSError:
            continue
        yield origin, token or ""


def _of_headers(origin: str, auth: Iterable[tuple[str, str]]) -> Found:
    for _, header in auth:
        scheme, _, value = header.partition(" ")
        if scheme == "Basic":
            yield from _of_basic(origin, value)
        else:
            yield origin, value


def _of_basic(origin: str, value: str) -> Found:
    yield origin, value
    try:
        pair = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return
    yield origin, pair.partition(":")[2]


def _of_address(origin: str, url: str | None) -> Found:
    """The password of an address; the user's name where it stands alone, because it is a token then."""
    for word in (url or "").split():
        address = word if "://" in word else f"//{word}"
        try:
            parts = urlsplit(address)
            secret = parts.password or (parts.username if parts.password is None else None)
        except ValueError:
            continue
        if secret:
            yield origin, unquote(secret)
            yield origin, secret
