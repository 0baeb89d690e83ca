"""Parsers of other tools' settings: pip.conf, uv.toml, npmrc, apt sources. Text in, values out."""

from __future__ import annotations

import base64
import configparser
import contextlib
import dataclasses
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from devenv.doors import debian_text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One archive that apt may ask: `uri` without a trailing slash, `signed_by` key ring paths."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: tuple[str, ...] = ()
    trusted: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a user's settings: the files that it met, and those that it passes over as if they were not
    there."""

    without: frozenset[Path]
    met: dict[Path, None]


_READING: ContextVar[Reading | None] = ContextVar("reading", default=None)


@contextlib.contextmanager
def reading(without: Iterable[Path] = ()) -> Iterator[Reading]:
    """Note the files that this thread reads in the block, to find the origin of a setting."""
    one = Reading(without=frozenset(without), met={})
    token = _READING.set(one)
    try:
        yield one
    finally:
        _READING.reset(token)


def passes_over(path: Path) -> bool:
    """Whether this reading skips a settings file. Called before each file is read."""
    one = _READING.get()
    if one is None:
        return False
    if path.is_file():
        one.met[path] = None
    return path in one.without


def text_of(path: Path) -> str:
    """The file's text; empty when it does not exist or cannot be read, because the other tool reports that."""
    if passes_over(path):
        return ""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def pip_conf(text: str, commands: tuple[str, ...] = ("global", "install", "download")) -> dict[str, str]:
    """The options of a pip configuration file; the sections of `commands` override one another in order.

    A file that pip itself cannot read gives nothing, because pip reports its mistakes.
    """
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    options: dict[str, str] = {}
    for section in commands:
        if parser.has_section(section):
            options.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    return options


def uv_toml(text: str) -> dict[str, Any]:
    """The index settings of a uv.toml: `default` (str or None), `indexes` and `find_links` (tuples)."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {"default": None, "indexes": (), "find_links": ()}
    section = data.get("pip")
    merged = {**data, **(section if isinstance(section, dict) else {})}
    tables = [
        table for table in merged.get("index") or () if isinstance(table, dict) and isinstance(table.get("url"), str)
    ]
    default = next((table["url"] for table in tables if table.get("default")), merged.get("index-url"))
    others = [table["url"] for table in tables if not table.get("default")]
    return {
        "default": default,
        "indexes": (*others, *(merged.get("extra-index-url") or ())),
        "find_links": tuple(merged.get("find-links") or ()),
    }


def npmrc(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of an npmrc file; `${NAME}` is an environment variable, `ca[]` lines are joined."""
    settings: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in ";#[":
            continue
        key, _, value = (part.strip() for part in line.partition("="))
        value = re.sub(r"\$\{([^}]+)\}", lambda found: environ.get(found[1], found[0]), value)
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        if key.endswith("[]"):
            settings[key[:-2]] = "\n".join(filter(None, (settings.get(key[:-2]), value.replace("\\n", "\n"))))
        else:
            settings[key] = value
    return settings


def npm_auth(settings: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """`Authorization` headers by address prefix (`//host/path/`), longest prefix first."""
    headers: dict[str, str] = {}
    names: dict[str, str] = {}
    for key, value in settings.items():
        if not key.startswith("//"):
            continue
        prefix, _, option = key.rpartition(":")
        match option:
            case "_authToken":
                headers[prefix] = f"Bearer {value}"
            case "_auth":
                headers.setdefault(prefix, f"Basic {value}")
            case "username":
                names[prefix] = value
            case _:
                pass
    for prefix, name in names.items():
        secret = settings.get(f"{prefix}:_password")
        if secret is not None:
            try:
                password = base64.b64decode(secret, validate=True).decode(errors="replace")
            except ValueError:
                continue  # such as an unset `${NPM_PASSWORD}`, which npm itself could not use either
            headers.setdefault(prefix, "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode())
    return tuple(sorted(headers.items(), key=lambda one: (-len(one[0]), one[0])))


def apt_sources(text: str, *, deb822: bool) -> tuple[AptSource, ...]:
    """The binary archives of a sources file, in the one-line or the deb822 format (see sources.list(5))."""
    return tuple(_deb822(text) if deb822 else _one_line(text))


def _one_line(text: str) -> Iterator[AptSource]:
    pattern = re.compile(
        r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>(\s+\S+)*)$"
    )
    for raw in text.splitlines():
        found = pattern.match(raw.partition("#")[0].strip())
        if not found:
            continue
        options = dict(part.partition("=")[::2] for part in (found["options"] or "").split())
        yield AptSource(
            uri=found["uri"].rstrip("/"),
            suites=(found["suite"],),
            components=tuple(found["components"].split()),
            signed_by=tuple(filter(None, options.get("signed-by", "").split(","))),
            trusted=options.get("trusted") == "yes",
        )


def _deb822(text: str) -> Iterator[AptSource]:
    for stanza in debian_text.stanzas(text):
        fields = debian_text.fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {
            "no",
            "false",
        }:
            continue
        signed = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            yield AptSource(
                uri=uri.rstrip("/"),
                suites=tuple(fields.get("suites", "").split()),
                components=tuple(fields.get("components", "").split()),
                # An inline key (an armoured block) has no path; apt's own key rings serve then.
                signed_by=() if "BEGIN PGP" in signed else tuple(signed.split()),
                trusted=fields.get("trusted", "").lower() == "yes",
            )


def apt_proxy(text: str) -> str | None:
    """The HTTP proxy of an apt.conf file (`Acquire::http::Proxy "…";`, flat or in blocks)."""
    plain = re.sub(r"^\s*(//|#).*$", "", text, flags=re.MULTILINE)
    found = re.findall(r'(?i)Acquire::http::Proxy\s+"([^"]*)"', plain)
    found += re.findall(r'(?is)Acquire\s*\{[^}]*?http\s*\{[^}]*?\bProxy\s+"([^"]*)"', plain)
    found += re.findall(r'(?is)Acquire::http\s*\{[^}]*?\bProxy\s+"([^"]*)"', plain)
    return found[-1] if found else None


def os_release(text: str) -> str:
    """`debian/bookworm` or `ubuntu/noble` from os-release(5), by what a derivative is like; empty for others."""
    fields = debian_text.os_release(text)
    for name in (fields.get("ID", ""), *fields.get("ID_LIKE", "").split()):
        codename = fields.get(f"{name.upper()}_CODENAME") or fields.get("VERSION_CODENAME", "")
        if name in {"debian", "ubuntu"} and codename:
            return f"{name}/{codename}"
    return ""


def apt_auth(text: str) -> tuple[tuple[str, str], ...]:
    """`Authorization` headers by address prefix (`//host/path`), from apt's auth.conf (a netrc with paths)."""
    found = []
    words = re.sub(r"#.*", "", text).split()
    for start in [n for n, word in enumerate(words) if word == "machine"]:
        end = next((n for n in range(start + 2, len(words)) if words[n] == "machine"), len(words))
        entry = dict(zip(words[start:end:2], words[start + 1 : end : 2], strict=False))
        if {"machine", "login", "password"} <= entry.keys():
            secret = base64.b64encode(f"{entry['login']}:{entry['password']}".encode()).decode()
            found.append((f"//{entry['machine'].rpartition('://')[2].rstrip('/')}/", f"Basic {secret}"))
    return tuple(found)


def header_for(url: str, auth: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The `Authorization` header for an address, as a tuple of headers; empty when nothing is set for it."""
    bare = url.partition(":")[2].rstrip("/") + "/"
    return next(
        ((("Authorization", value),) for prefix, value in auth if bare.startswith(prefix.rstrip("/") + "/")), ()
    )


def apt_template(text: str, release: str, arch: str) -> dict[str, str]:
    """Archive addresses by suite, from a distribution template of python-apt (`{series}` is the release).

    The archive itself is under `release`, security updates under `release-security`.
    """
    found: dict[str, str] = {}
    for stanza in debian_text.stanzas(text):
        fields = debian_text.fields(stanza)
        uri = fields.get(f"baseuri-{arch}") or fields.get("baseuri")
        if uri and fields.get("repositorytype") == "deb":
            found.setdefault(fields.get("suite", "").replace("{series}", release), uri.rstrip("/"))
    return {suite: uri for suite, uri in found.items() if suite in {release, f"{release}-security"}}


def without_secret(url: str) -> str:
    """`url` as it may be shown: no user name, no password, no query. Also `name=url`, as uv has indexes, and
    `user:password@host`, as proxies may be given."""
    lead, sign, rest = url.partition("://") if "://" in url else ("", "", url)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    port = authority.rpartition(":")[2] if ":" in authority else ""
    if "@" in authority:
        rest = authority.rpartition("@")[2] + rest[len(authority) :]
    elif "@" in rest and port and not port.isdecimal():  # a password with a '/' in it
        rest = rest.rpartition("@")[2]
    return f"{lead}{sign}{re.split('[?#]', rest, maxsplit=1)[0] if sign else rest}"


_GIT_HEADER = re.compile(r'\s*\[\s*([A-Za-z0-9.-]+)(\s+"(?:[^"\\]|\\.)*")?\s*\]')
_GIT_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:[^"#;\\]|\\.)+)')


def git_user(text: str) -> dict[str, str]:
    """`name` and `email` of the section `user` of a git configuration (git-config(1), "Syntax"); of no file that it
    includes."""
    values = _git_values(text)
    found = {name: values[f"user.{name}"] for name in ("name", "email") if f"user.{name}" in values}
    return {name: value for name, value in found.items() if value and value.isprintable()}


def git_signing(text: str) -> dict[str, str]:
    """What a git configuration says of signing: `gpg.format` and `user.signingkey`; of no file that it includes."""
    return {name: value for name, value in _git_values(text).items() if name in ("gpg.format", "user.signingkey")}


def _git_values(text: str) -> dict[str, str]:
    """Values by SECTION.NAME, in lower case, without those of subsections."""
    found, section = {}, ""
    for row in re.sub(r"\\\r?\n", "", text).split("\n"):
        line = row
        if header := _GIT_HEADER.match(line):
            section, line = "" if header[2] else header[1].lower(), line[header.end() :]
        key, _, value = line.partition("=")
        if section and (name := key.strip().lower()):
            found[f"{section}.{name}"] = _git_value(value.strip())
    return found


def _git_value(text: str) -> str:
    parts, at = [], 0
    while part := _GIT_PART.match(text, at):
        parts.append(part[1] if part[2] is None else part[2])
        at = part.end()
    return re.sub(r"\\(.)", r"\1", "".join(parts)).strip()
