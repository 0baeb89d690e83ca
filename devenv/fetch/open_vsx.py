"""A registry of editor extensions: the REST API of Open VSX (eclipse/openvsx, RegistryAPI.java).

What it answers is a stranger's: ids, versions and addresses are checked before anything is made of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast, get_args
from urllib.parse import urlencode, urlsplit

from devenv.doors.http.connections import login, same_host
from devenv.doors.http.web import NowhereError, Origin, Unusable, Web
from devenv.doors.settings.tool_configs import without_secret
from devenv.doors.untrusted import from_json
from devenv.errors import FetchError
from devenv.preset.extension import is_id, is_version

UNIVERSAL = "universal"
Platform = Literal[
    "universal", "linux-x64", "linux-arm64", "linux-armhf", "alpine-x64", "alpine-arm64", "darwin-x64", "darwin-arm64",
    "win32-x64", "win32-ia32", "win32-arm64", "web",
]  # fmt: skip
"""As TargetPlatform.java has them."""
_PLATFORMS = frozenset(get_args(Platform))
_PAGE = 100
_MOST_PAGES = 20
_QUERY = "api/v2/-/query"
_ADDRESS = re.compile(r"https?://[!-~]{1,2000}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One version of an extension for one platform. `engine`: the versions of VS Code that it is for. `file` and
    `sha256` are addresses."""

    id: str
    version: str
    platform: Platform
    engine: str
    pre_release: bool
    file: str
    sha256: str | None

    @property
    def order(self) -> tuple[int, int, int, bool]:
        """Newer versions are greater; of one version, a pre-release comes before the release."""
        numbers, dash, _ = self.version.partition("-")
        major, minor, patch = map(int, numbers.split("."))
        return major, minor, patch, not dash


class OpenVsx:
    """`registry`: its address without a trailing slash. A login in it goes to its own host alone."""

    def __init__(self, registry: str, web: Web) -> None:
        self._registry = registry
        self._web = web

    @property
    def shown(self) -> str:
        """The address for messages."""
        return without_secret(self._registry)

    def builds(self, name: str, platform: str) -> Iterator[Build]:
        """Every version of the extension for exactly that platform, the newest first. Raises FetchError."""
        for page in range(_MOST_PAGES):
            facts = {"includeAllVersions": "true", "targetPlatform": platform}
            found, total = self._query(name, {**facts, "size": str(_PAGE), "offset": str(page * _PAGE)})
            yield from (build for build in found if build.platform == platform)
            if (page + 1) * _PAGE >= total:
                return

    def exact(self, name: str, version: str) -> tuple[Build, ...]:
        """Every build of that version; none when there is no such version. Raises FetchError."""
        found, _ = self._query(name, {"extensionVersion": version, "includeAllVersions": "false"})
        return tuple(build for build in found if build.version == version)

    def newest(self, name: str) -> tuple[Build, ...]:
        """The newest version for each platform; none when there is no such extension. Raises FetchError."""
        return tuple(self._query(name, {"includeAllVersions": "false"})[0])

    def near(self, name: str) -> tuple[str, ...]:
        """Ids of existing extensions whose name is much like this one: of the same publisher, or found by a search."""
        publisher, _, short = name.partition(".")
        ids: set[str] = set()
        with contextlib.suppress(FetchError):
            own = self._answer(f"api/{publisher}").get("extensions")
            ids |= {f"{publisher}.{one}" for one in own} if isinstance(own, dict) else set()
        with contextlib.suppress(FetchError):
            answer = self._answer(f"api/-/search?{urlencode({'query': short, 'size': '20'})}")
            ids |= {f"{one.get('namespace')}.{one.get('name')}" for one in _dicts(answer.get("extensions"))}
        known = {one.lower(): one for one in sorted(ids) if is_id(one)}
        same = [known[one] for one in known if one.partition(".")[2] == short.lower()]
        close = [known[one] for one in difflib.get_close_matches(name.lower(), known, 3, 0.7)]
        return tuple(dict.fromkeys((*same, *close)))[:3]

    def hash(self, build: Build) -> str | None:
        """The sha256 that the registry states; None when it states none, or a registry with TLS states it without.
        Raises FetchError."""
        if build.sha256 is None or (self._registry.startswith("https:") and not build.sha256.startswith("https:")):
            return None
        words = self._web.page(self.place(build.sha256))[0][:1000].split()
        return words[0].lower() if words and re.fullmatch(r"[0-9A-Fa-f]{64}", words[0]) else None

    def place(self, url: str) -> Origin:
        """An address that the registry gave. The login goes along to the registry's own host alone."""
        own = login(self._registry) if same_host(url, self._registry) else {}
        return Origin(url=url, headers=tuple(own.items()))

    def places(self, name: str, version: str, platform: str) -> Iterator[Origin | Unusable]:
        """Where that build is."""
        try:
            builds = [build for build in self.exact(name, version) if build.platform == platform]
        except NowhereError as error:
            yield from error.reasons
            return
        except FetchError as error:
            yield Unusable(url=self.shown, why=error.message)
            return
        yield from (self.place(build.file) for build in builds[:1])
        if not builds:
            yield Unusable(url=self._registry, why=f"does not list {name} {version} for {platform}", gone=True)

    def _query(self, name: str, facts: Mapping[str, str]) -> tuple[list[Build], int]:
        answer = self._answer(f"{_QUERY}?{urlencode({'extensionId': name, **facts})}")
        if not isinstance(answer.get("extensions"), list):
            raise self._no_registry()
        total = answer.get("totalSize")
        found = [build for one in _dicts(answer.get("extensions")) if (build := _build(one, name))]
        return found, total if isinstance(total, int) else len(found)

    def _answer(self, path: str) -> dict[str, Any]:
        url = f"{self._registry}/{path}"
        try:
            value = from_json(self._web.page(self.place(url))[0])
        except NowhereError as error:
            if not error.gone:
                raise
            value = None
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise self._no_registry()
        return value

    def _no_registry(self) -> FetchError:
        return FetchError(
            f"{self.shown} does not answer as a registry of extensions (Open VSX)",
            hint="correct 'extension_registry' in devenv's config.yaml, DEVENV_EXTENSION_REGISTRY or --registry: it is "
            f"the address before /{_QUERY}",
        )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _build(one: Mapping[str, Any], name: str) -> Build | None:
    """The build that an entry describes; None for one that cannot be used, or is of another extension."""
    id_ = f"{one.get('namespace')}.{one.get('name')}"
    version, platform = one.get("version"), one.get("targetPlatform", UNIVERSAL)
    files, engines = one.get("files"), one.get("engines")
    if not (is_id(id_) and is_version(version) and str(platform) in _PLATFORMS and isinstance(files, dict)):
        return None
    file, sha256 = files.get("download"), files.get("sha256")
    if id_.lower() != name.lower() or not _is_address(file):
        return None
    engine = engines.get("vscode") if isinstance(engines, dict) else None
    return Build(
        id=id_, version=str(version), platform=cast("Platform", platform),
        engine=engine if isinstance(engine, str) else "*",
        pre_release=bool(one.get("preRelease")) or "-" in str(version), file=str(file),
        sha256=sha256 if _is_address(sha256) else None,
    )  # fmt: skip


def _is_address(value: Any) -> bool:
    """An address of the web, never a file of this machine."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        return False
    try:
        parts = urlsplit(value)
        return bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return False
