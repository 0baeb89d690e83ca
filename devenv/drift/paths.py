"""What paths mean: caches and traces that programs leave, files that describe packages, settings of known programs."""

from __future__ import annotations

import re

_HOME = r"(?:/home/[^/]+|/root)"


def _any(*patterns: str) -> re.Pattern[str]:
    """A pattern for these paths, and for all below those that end with `/`."""
    parts = (f"{one[:-1]}(?:/.*)?" if one.endswith("/") else one for one in patterns)
    return re.compile(f"^(?:{'|'.join(parts)})$")


def _home(*patterns: str) -> tuple[str, ...]:
    return tuple(f"{_HOME}/{one}" for one in patterns)


# Folders whose content may be large and that everyone can do without: they are not even read.
_UNREAD = _any(
    "/(?:var/)?tmp/", "/run/", "/var/log/", "/var/cache/", "/var/crash/", "/var/lib/apt/(?:lists|periodic)/",
    *_home(
        r"\.cache/", r"\.npm/", r"\.Trash/", r"\.nv/", r"\.triton/", r"\.vscode-server/", r"\.dotnet/", r"\.node-gyp/",
        r"\.conda/pkgs/", r"\.cargo/registry/", r"\.local/share/Trash/", r"\.local/share/jupyter/runtime/",
        r"\.local/share/code-server/(?:coder-logs|logs|heartbeat|CachedProfilesData|CachedExtensionVSIXs)/",
        r"\.ipython/profile_[^/]+/(?:log|pid|security|db)/",
    ),
)  # fmt: skip
# Files that programs write on their own account, for one machine or one user, beside what a person asked them for.
_TRACES = _any(
    r".*/\.ipynb_checkpoints/", r".*\.swp", r".*~", r"/opt/venv/\.lock",
    "/etc/machine-id", r"/etc/\.pwd\.lock", "/etc/[^/]+-", r"/etc/\.updated",
    r"/etc/apt/sources\.list\.d/devenv\.sources", r"/var/lib/apt/(?:daily_lock|mirrors/.*|lists.*)",
    r"/var/lib/dpkg/(?:lock.*|status-old|available-old|diversions-old|statoverride-old|triggers/Lock)",
    *_home(
        r"\.(?:bash|python|node_repl|sqlite|psql|zsh|R)_?history(?:-.*)?", r"\.lesshst", r"\.wget-hsts", r"\.viminfo",
        r"\.zcompdump.*", r"\.sudo_as_admin_successful", r"\.pki/", r"\.local/state/", r"\.config/configstore/",
        r"\.config/matplotlib/", r"\.local/share/nano/", r"\.ipython/profile_[^/]+(?:/startup)?",
        r"\.ipython/profile_[^/]+/(?:history\.sqlite.*|startup/README)", r"\.jupyter/(?:migrated|lab/workspaces/.*)",
        r"\.local/share/jupyter/(?:nbsignatures\.db.*|notebook_secret|\S*_cookie_secret)",
    ),
)  # fmt: skip
_BYTECODE = _any(".*/__pycache__/")  # what is changed there may run in its source's place
# What installing leaves behind although no package changed in the end.
_NOISE = _any(
    r"/etc/ld\.so\.cache", "/var/lib/(?:systemd|ucf|update-notifier|misc|sudo)/", "/var/lib/dpkg/info/format",
    r"/var/lib/dpkg/(?:available|diversions|statoverride|cmethopt|triggers/.*|updates/.*|tmp\.ci/.*)",
)  # fmt: skip
# What programs of packages make of what packages brought: indexes, links, registrations, accounts of services.
_DERIVED = _any(
    "/etc/alternatives/", "/var/lib/dpkg/", "/var/lib/apt/", "/etc/ssl/(?:certs|private)/", r"/etc/rc[0-9S]\.d/",
    "/etc/(?:passwd|group|shadow|gshadow|subuid|subgid|shells|mailcap|papersize)", "/etc/systemd/(?:system|user)/",
    "/usr/share/(?:mime|applications|icons|fonts|info|perl|doc-base|pixmaps|emacs)/", r"/usr/share/glib-2\.0/schemas/",
    r"/usr/lib/.*/(?:gconv-modules|loaders|immodules|giomodule)\.cache", "/usr/lib/locale/", "/etc/fonts/",
    r"/usr/lib/python3(?:\.[0-9]+)?(?:/.*)?/__pycache__/", "/usr/lib/jvm/", "/etc/java[^/]*/", "/etc/ssh/ssh_host_.*",
    "/usr/local/share/(?:fonts|emacs|sgml|ca-certificates|man|xml)/", "/usr/local/lib/python3[^/]*(?:/dist-packages)?",
    "/var/lib/(?:emacsen-common|ghostscript|sgml-base|xml-core|aspell|python|gems|texmf|tex-common|vim|php|man-db)/",
    "/var/lib/(?:dbus|polkit-1|colord|docker|postgresql|mysql|redis|nginx|PackageKit)/", "/(?:var/)?mail/",
    r"/etc/(?:xml|sgml|dictionaries-common|ld\.so\.conf\.d|texmf|perl|default|emacs|environment\.d)/",
)  # fmt: skip
_METADATA = _any(
    r".*\.(?:dist|egg)-info/(?:METADATA|PKG-INFO|RECORD|REQUESTED|direct_url\.json)", r".*\.egg-info",
    r".*/(?:site|dist)-packages/[^/]+\.(?:pth|egg-link)", "/var/lib/apt/extended_states", "/etc/(?:passwd|group)",
    r"/var/lib/dpkg/(?:status|info/[^/]+\.(?:list|md5sums))", r".*/kernels/[^/]+/kernel\.json",
    r".*/node_modules/(?:@[^/]+/)?[^/]+/package\.json",
)  # fmt: skip
_SETTINGS = {
    "git": _any(*_home(r"\.gitconfig", r"\.config/git/", r"\.gitignore(?:_global)?"), "/etc/gitconfig"),
    "pip": _any(*_home(r"\.pip/", r"\.config/pip/"), r"/etc/pip\.conf", r"/opt/venv/pip\.conf"),
    "uv": _any(*_home(r"\.config/uv/"), "/etc/uv/"),
    "npm": _any(*_home(r"\.npmrc"), "/opt/node/etc/", "/usr/local/etc/npmrc"),
    "apt": _any("/etc/apt/"),
    "Jupyter": _any(
        *_home(r"\.jupyter/", r"\.ipython/"), "/etc/(?:jupyter|ipython)/", "/opt/venv/etc/(?:jupyter|ipython)/",
        "/usr/local/etc/jupyter/",
    ),
    "shell": _any(
        *_home(r"\.(?:bashrc|bash_profile|bash_aliases|bash_login|profile|zshrc|zprofile|zshenv|inputrc)"),
        r"/etc/(?:profile|bash\.bashrc|environment|inputrc)", r"/etc/profile\.d/", "/etc/zsh/", "/etc/skel/",
    ),
    "editor": _any(*_home(r"\.local/share/code-server/", r"\.config/code-server/", r"\.vimrc", r"\.tmux\.conf")),
    "system": _any(
        r"/etc/sudoers(?:\.d/.*)?", "/etc/security/", "/etc/sysctl.*", r"/etc/hosts\.(?:allow|deny)",
        "/etc/cron[^/]*/",
        r"/etc/(?:nsswitch\.conf|locale\.(?:conf|gen)|timezone|localtime)", "/etc/default/locale", r"/etc/pam\.d/",
    ),
}  # fmt: skip


def is_unread(path: str) -> bool:
    """Whether a path lies in a cache or a folder of temporary files."""
    return _UNREAD.match(path) is not None


def is_trace(path: str) -> bool:
    """Whether programs leave such a file of their own accord, and nobody misses it in another place."""
    return any(paths.match(path) for paths in (_UNREAD, _TRACES, _BYTECODE))


def is_noise(path: str) -> bool:
    """Whether a difference there tells nothing."""
    return any(paths.match(path) for paths in (_UNREAD, _TRACES, _NOISE))


def is_derived(path: str) -> bool:
    """Whether installing Debian packages may change such a path beside the packages' own files."""
    return _DERIVED.match(path) is not None


def is_metadata(path: str) -> bool:
    """Whether a file tells about installed packages or accounts."""
    return _METADATA.match(path) is not None


def program_of(path: str) -> str | None:
    """The program whose settings these are."""
    return next((program for program, paths in _SETTINGS.items() if paths.match(path)), None)
