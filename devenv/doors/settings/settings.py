"""Facts about this machine and its user: folders, mirrors, indexes, registries, certificates, identity.

The only place, besides the command line, that reads environment variables. No network.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

from devenv.doors.dirs import Dirs
from devenv.doors.settings import config_yaml, tool_configs
from devenv.doors.settings.clusters import USUAL, ClusterSettings
from devenv.doors.settings.config_yaml import HubSettings, RegistrySettings
from devenv.doors.settings.pip_settings import PipSettings
from devenv.doors.settings.signature_rules import SignatureRule
from devenv.doors.settings.tool_configs import AptSource, text_of

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_NPM_GLOBAL = ("/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NpmSettings:
    """Where npm tarballs come from. `registry` None means npm's own default."""

    registry: str | None = None
    scopes: tuple[tuple[str, str], ...] = ()
    """Registries by scope (`@scope`)."""
    auth: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    """`Authorization` headers by address prefix (`//host/path/`)."""
    cafile: Path | None = None
    ca: str | None = None
    proxy: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """This user's own settings for the sources of files, and the user's identity."""

    dirs: Dirs
    uid: int
    gid: int
    arch: str
    """Debian's name: `amd64`, `arm64`."""
    release: str = ""
    """This machine's own: `debian/bookworm`; empty for another kind of system."""
    pip: PipSettings = dataclasses.field(default_factory=PipSettings)
    npm: NpmSettings = NpmSettings()
    apt: tuple[AptSource, ...] = ()
    apt_mirrors: tuple[tuple[str, str], ...] = ()
    """Mirrors named for devenv itself: `debian`, `debian-security`, `ubuntu` to an address."""
    apt_snapshots: tuple[tuple[str, str], ...] = ()
    """Snapshot services, which keep what mirrors have dropped: `debian`, `ubuntu` to an address."""
    apt_templates: Path | None = None
    """python-apt's distribution templates, where the machine has them."""
    apt_archives: Path | None = None
    """Where apt keeps what it downloaded."""
    apt_auth: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    """`Authorization` headers by address prefix (`//host/path/`), from apt's auth.conf."""
    apt_proxy: str | None = None
    """apt's own HTTP proxy (`Acquire::http::Proxy`)."""
    keyrings: Path = Path("/usr/share/keyrings")
    git_user: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """git's `name` and `email`, as far as the user has set them."""
    ca_bundle: Path | None = None
    """A CA bundle the user named for all programs."""
    folders: tuple[Path, ...] = ()
    """Folders that may hold locked files, searched before any mirror."""
    extension_registry: str | None = dataclasses.field(default=None, repr=False)
    """The registry of editor extensions, without a trailing slash. Its address may have a login."""
    hubs: HubSettings = dataclasses.field(default_factory=lambda: HubSettings(dir=Path("weights")))
    registries: tuple[RegistrySettings, ...] = ()
    docker_config: Path | None = None
    """Docker's own config.json, which holds logins to registries; it may be missing."""
    signature_rules: tuple[SignatureRule, ...] = ()
    """Which signatures this machine requires of images."""
    clusters: ClusterSettings = USUAL
    """What pods get on clusters."""
    ssh_folder: Path | None = None
    """Where this user's SSH keys are; it may be missing."""
    ssh_signing_key: str | None = None
    """git's user.signingkey (a file, or a public key) where git signs by SSH."""

    @classmethod
    def read(
        cls, dirs: Dirs, environ: Mapping[str, str] = os.environ, *, root: Path = Path("/"), cwd: Path | None = None
    ) -> Settings:
        """Read all settings; `root` is the file system's top, `cwd` the current folder (tests pass others).

        Raises UsageError for a mistake in devenv's own config.yaml.
        """
        home = Path(environ["HOME"])
        templates, archives = root / "usr/share/python-apt/templates", root / "var/cache/apt/archives"
        own = config_yaml.read(environ, home, dirs.config / "config.yaml")
        git = _git_configs(environ, home)
        bundle = environ.get("SSL_CERT_FILE") or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
        return cls(
            dirs=dirs,
            uid=os.getuid(),
            gid=os.getgid(),
            arch=_ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower()),
            release=tool_configs.os_release(text_of(root / "etc/os-release")),
            pip=PipSettings.read(
                environ,
                home=home,
                config_home=Path(environ.get("XDG_CONFIG_HOME") or home / ".config"),
                root=root,
                cwd=cwd or Path.cwd(),
            ),
            npm=_npm(environ, home, root),
            apt=_apt(root),
            apt_mirrors=own.mirrors,
            apt_snapshots=own.snapshots,
            apt_templates=templates if templates.is_dir() else None,
            apt_archives=archives if archives.is_dir() else None,
            apt_auth=_apt_auth(root),
            apt_proxy=_apt_proxy(root),
            keyrings=root / "usr/share/keyrings",
            git_user={key: value for text in git for key, value in tool_configs.git_user(text).items()},
            ca_bundle=_existing(bundle),
            extension_registry=own.extension_registry,
            hubs=own.hubs,
            registries=own.registries,
            docker_config=Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json",
            signature_rules=own.signature_rules,
            clusters=own.clusters,
            ssh_folder=home / ".ssh",
            ssh_signing_key=_ssh_signing_key(git),
        )


def _existing(path: str | None) -> Path | None:
    return Path(path) if path and Path(path).is_file() else None


def _npm(environ: Mapping[str, str], home: Path, root: Path) -> NpmSettings:
    lowered = {key.lower(): value for key, value in environ.items() if key.lower().startswith("npm_config_")}
    global_file = lowered.get("npm_config_globalconfig")
    user_file = Path(lowered.get("npm_config_userconfig") or home / ".npmrc")
    settings: dict[str, str] = {}
    for path in [Path(global_file)] if global_file else [root / name.lstrip("/") for name in _NPM_GLOBAL]:
        settings.update(tool_configs.npmrc(text_of(path), environ))
    settings.update(tool_configs.npmrc(text_of(user_file), environ))
    for key, value in environ.items():
        name = key[len("npm_config_") :]
        if key.lower().startswith("npm_config_") and value:
            settings[name if name.startswith(("//", "@")) else name.lower().replace("_", "-")] = value
    return NpmSettings(
        registry=settings.get("registry"),
        scopes=tuple(
            sorted((k.removesuffix(":registry"), v) for k, v in settings.items() if k[:1] == "@" and ":registry" in k)
        ),
        auth=tool_configs.npm_auth(settings),
        cafile=_existing(settings.get("cafile") or environ.get("NODE_EXTRA_CA_CERTS")),
        ca=settings.get("ca"),
        proxy=settings.get("https-proxy") or settings.get("proxy"),
    )


def _git_configs(environ: Mapping[str, str], home: Path) -> tuple[str, ...]:
    """The texts of this user's own configuration of git; later ones count more. No repository's is read."""
    config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    own = environ.get("GIT_CONFIG_GLOBAL")
    return tuple(map(text_of, [Path(own)] if own else [config_home / "git/config", home / ".gitconfig"]))


def _ssh_signing_key(configs: Iterable[str]) -> str | None:
    found: dict[str, str] = {}
    for text in configs:
        found |= tool_configs.git_signing(text)
    return (found.get("user.signingkey") or None) if found.get("gpg.format") == "ssh" else None


def _apt(root: Path) -> tuple[AptSource, ...]:
    folder = root / "etc/apt"
    found = list(tool_configs.apt_sources(text_of(folder / "sources.list"), deb822=False))
    parts = folder / "sources.list.d"
    for path in sorted(parts.iterdir()) if parts.is_dir() else ():
        if path.suffix in {".list", ".sources"}:
            found.extend(tool_configs.apt_sources(text_of(path), deb822=path.suffix == ".sources"))
    return tuple(each for one in found for each in _expanded(one, root))


def _expanded(source: AptSource, root: Path) -> tuple[AptSource, ...]:
    """A list of mirrors in a file (`mirror+file:/…`), as cloud machines have, is as many sources."""
    if not source.uri.startswith("mirror+file:"):
        return (source,)
    path = "/" + source.uri.partition(":")[2].lstrip("/")
    uris = [
        line.split()[0] for line in text_of(root / path.lstrip("/")).splitlines() if line.strip()[:1] not in ("", "#")
    ]
    return tuple(dataclasses.replace(source, uri=uri.rstrip("/")) for uri in uris)


def _apt_auth(root: Path) -> tuple[tuple[str, str], ...]:
    folder = root / "etc/apt/auth.conf.d"
    files = [root / "etc/apt/auth.conf", *(sorted(folder.glob("*.conf")) if folder.is_dir() else ())]
    return tuple(one for file in files for one in tool_configs.apt_auth(text_of(file)))


def _apt_proxy(root: Path) -> str | None:
    folder = root / "etc/apt/apt.conf.d"
    files = [*(sorted(folder.iterdir()) if folder.is_dir() else ()), root / "etc/apt/apt.conf"]
    found = [proxy for file in files if (proxy := tool_configs.apt_proxy(text_of(file))) is not None]
    return found[-1] if found and "://" in found[-1] else None
