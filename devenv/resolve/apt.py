"""Debian packages: an isolated apt resolves, the archive's own index gives paths and hashes."""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC
from pathlib import Path

from devenv.doors import debian_text
from devenv.doors.cancellation import Cancellation
from devenv.doors.process import ProcessError, run
from devenv.doors.settings.apt_archives import apt_sources
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.tool_configs import AptSource, without_secret
from devenv.errors import LockError
from devenv.fetch.store import Store
from devenv.lock.model import Deb

_ORIGINS = {"debian": "Debian", "ubuntu": "Ubuntu"}
_KEYS = {"debian": "debian-archive-keyring", "ubuntu": "ubuntu-keyring"}
_CONF = """\
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "{top}/sources.d";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{top}/state";
Dir::State::Lists "{top}/lists";
Dir::Cache "{top}/cache";
Dir::Log "{top}/log";
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "";
{acquire}
Acquire::Languages "none";
Acquire::GzipIndexes "false";
Acquire::Retries "3";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """One package in an archive's index: its place there and the suite that has it."""

    index: bytes = dataclasses.field(repr=False)
    start: int
    end: int
    suite: str

    @property
    def text(self) -> str:
        """Its control text."""
        return self.index[self.start : self.end].decode()

    def field(self, name: str) -> str:
        """A field's first line; empty when there is none."""
        return debian_text.field(self.text, name)


class Apt:
    """apt for one release, separate from this machine's own apt; works as any user. Refreshes its lists once.

    `further`: components besides the usual ones. `python`: the MAJOR.MINOR whose packages may come from every archive
    of the release, of third parties too. Raises LockError where this machine knows no mirror that has the components.
    """

    def __init__(
        self, *, distribution: str, release: str, settings: Settings, store: Store, keyring: Path | None = None,
        further: Sequence[str] = (), python: str = "", cancel: Cancellation | None = None,
    ) -> None:  # fmt: skip
        self._cancel = cancel
        self._python = python
        self.distribution = distribution
        self.release = release
        self._origin = _ORIGINS.get(distribution, distribution)
        self.arch = settings.arch
        self._sources = apt_sources(settings, distribution, release, further)
        if not self._sources:
            raise LockError(
                f"this machine's apt names no mirror of {distribution}/{release}",
                hint=f"set DEVENV_APT_MIRROR_{distribution.upper()}=ADDRESS, or in "
                f"{settings.dirs.config / 'config.yaml'}: mirrors: {{{distribution}: ADDRESS}}",
            )
        if lacking := sorted(set(further) - {each for source in self._sources for each in source.components}):
            address = without_secret(self._sources[0].uri)
            raise LockError(
                f"no source of {distribution}/{release} in this machine's apt has {', '.join(lacking)}",
                hint=f"add it there, or name a mirror that has it: DEVENV_APT_MIRROR_{distribution.upper()}={address}",
            )
        self._keyring = keyring
        key = hashlib.sha256(repr((self._sources, self.arch)).encode()).hexdigest()[:12]
        self._top = store.root / "apt" / f"{distribution}-{release}-{key}"
        self._store = store
        self._stanzas: dict[str, list[Stanza]] | None = None
        self._made: dict[str, str] = {}

    def resolve(self, names: Sequence[str], *, status: str = "", keep: Iterable[Deb] = ()) -> tuple[Deb, ...]:
        """The packages that installing `names` adds to a system with that dpkg `status`, in unpacking order.

        `keep` are versions to prefer where the archive still has them. Raises LockError in apt's words.
        """
        self._refresh()
        with self._store.only(self._top.name):
            (self._top / "status").write_text(status)
            (self._top / "preferences").write_text(self._preferences(keep))
            listed = self._apt(
                "apt-get", "install", "--print-uris", "-qq", "-y", "--no-remove", *names
            )  # fmt: skip
        files = re.findall(r"^'[^']+' (\S+)_(\S+)_(\S+)\.deb \d+", listed, re.MULTILINE)
        return tuple(self._deb(name, version.replace("%3a", ":"), arch) for name, version, arch in files)

    def status(self, debs: Iterable[Deb]) -> str:
        """The dpkg status of a system that has only these packages.

        A version that the archive has dropped gets its successor's control data, under its own version.
        """
        return "\n".join(self._installed(deb) for deb in debs)

    def made(self, debs: Iterable[Deb]) -> dict[str, str]:
        """The dates of the archives of these packages, by suite, as `20261122T100000Z`."""
        self._refresh()
        return {suite: self._made[suite] for suite in sorted({deb.suite for deb in debs} & set(self._made))}

    def pythons(self) -> tuple[str, ...]:
        """The Python versions that the archives have, as MAJOR.MINOR, the oldest first."""
        named = (re.fullmatch(r"python3\.(\d+)", name) for name in self._refresh())
        return tuple(f"3.{minor}" for minor in sorted(int(match[1]) for match in named if match))

    def _installed(self, deb: Deb) -> str:
        found = self._candidates(deb.name)
        same = [stanza for stanza in found if stanza.field("Version") == deb.version] or found
        if not same:
            return (
                f"Package: {deb.name}\nStatus: install ok installed\nVersion: {deb.version}\nArchitecture: {deb.arch}\n"
            )
        text = re.sub(r"^Version: .*$", f"Version: {deb.version}", same[-1].text, flags=re.MULTILINE)
        return text.replace("\n", "\nStatus: install ok installed\n", 1).rstrip("\n") + "\n"

    def _deb(self, name: str, version: str, arch: str) -> Deb:
        found = [one for one in self._candidates(name) if one.field("Version") == version]
        if not found:
            raise LockError(f"apt chose {name} {version}, which its lists do not have", hint="run it again")
        stanza = found[0]
        path = stanza.field("Filename").removeprefix("./")
        try:
            return Deb(
                name=name, version=version, arch=arch, path=path, suite=stanza.suite, file=path.rpartition("/")[2],
                size=int(stanza.field("Size")), sha256=stanza.field("SHA256"),
            )  # fmt: skip
        except ValueError as error:
            raise LockError(
                f"the archive's entry for {name} {version} cannot be locked",
                detail=str(error),
                hint="name another mirror (mirrors: in devenv's config.yaml)",
            ) from None

    def _candidates(self, name: str) -> list[Stanza]:
        return self._refresh().get(name, [])

    def _index(self) -> dict[str, list[Stanza]]:
        form = "$(FILENAME)\t$(METAKEY)\t$(RELEASE)"
        listed = self._apt("apt-get", "indextargets", "--format", form, "Created-By: Packages")
        found: dict[str, list[Stanza]] = {}
        rows = [line.split("\t") for line in listed.splitlines()]
        for file, key, suite in sorted(rows, key=lambda row: len(row[2])):
            try:
                index = Path(file).read_bytes()
            except FileNotFoundError:
                continue
            if made := _date(file.removesuffix(key.replace("/", "_")), self._origin):
                # Of several mirrors of a suite the newest, because it had all resolved packages.
                self._made[suite.rstrip("/")] = max(made, self._made.get(suite.rstrip("/"), ""))
            for name, start, end in debian_text.packages(index):
                one = Stanza(index=index, start=start, end=end, suite=suite.rstrip("/"))
                found.setdefault(name, []).append(one)
        return found

    def _refresh(self) -> dict[str, list[Stanza]]:
        """The archive's present index, by package; apt's lists are brought up to date at the first call."""
        if self._stanzas is None:
            with self._store.only(self._top.name):
                self._update()
                self._stanzas = self._index()
        return self._stanzas

    def _update(self) -> None:
        self._top.mkdir(parents=True, exist_ok=True)
        for folder in ("sources.d", "state", "lists/partial", "cache/archives/partial", "log"):
            (self._top / folder).mkdir(parents=True, exist_ok=True)
        (self._top / "sources.d/devenv.sources").write_text("\n".join(self._source(source) for source in self._sources))
        (self._top / "status").touch()
        (self._top / "preferences").write_text(self._preferences(()))
        (self._top / "apt.conf").write_text(_CONF.format(top=self._top, arch=self.arch, acquire=_acquire()))
        self._apt("apt-get", "update", "-qq", "--error-on=any")

    def _source(self, source: AptSource) -> str:
        signed = " ".join(source.signed_by) or (str(self._keyring) if self._keyring else "")
        lines = [
            "Types: deb",
            f"URIs: {source.uri}",
            f"Suites: {' '.join(source.suites)}",
            f"Components: {' '.join(source.components)}",
            *([f"Signed-By: {signed}"] if signed else []),
            *(["Trusted: yes"] if source.trusted else []),
        ]
        return "\n".join(lines) + "\n"

    def _preferences(self, keep: Iterable[Deb]) -> str:
        pins = [f"Package: {deb.name}\nPin: version {deb.version}\nPin-Priority: 990\n" for deb in keep]
        # Only the distribution's own packages, because other machines lack those of third parties.
        own, others = f"Pin: release o={self._origin}", "Pin: release c=*"
        rules = [("*", own, 500), ("*", others, -1)]
        if self._python:
            # Except the preset's Python, because few distributions have a second one.
            name = f"python{self._python}"
            interpreter = f"{name} {name}-* lib{name} lib{name}-*"
            rules = [(interpreter, own, 500), (interpreter, others, 400), *rules]
        return "\n".join((*pins, *(f"Package: {names}\n{pin}\nPin-Priority: {at}\n" for names, pin, at in rules)))

    def _apt(self, program: str, *arguments: str) -> str:
        options = (
            "-o",
            f"Dir::State::status={self._top / 'status'}",
            "-o",
            f"Dir::Etc::Preferences={self._top / 'preferences'}",
        )
        try:
            return run(
                (program, *options, *arguments),
                env={
                    "APT_CONFIG": str(self._top / "apt.conf"),
                    "LC_ALL": "C.UTF-8",
                    "DEBIAN_FRONTEND": "noninteractive",
                },
                cancel=self._cancel,
            ).out
        except FileNotFoundError:
            raise LockError(
                "this machine has no apt-get, which resolves Debian packages",
                hint="lock on a Debian or Ubuntu machine; a locked preset needs no apt here",
            ) from None
        except ProcessError as error:
            raise self._explained(error.outcome.err) from None

    def _explained(self, text: str) -> LockError:
        lines = [line for line in text.splitlines() if line.startswith(("E:", "W:"))] or text.splitlines()
        unknown = re.findall(
            r"(?:Unable to locate package|find any package by (?:glob|regex)|no installation candidate)\W+(\S+)", text
        )
        unknown += re.findall(r"Package '?([^' ]+)'? has no installation candidate", text)
        where = f"{self.distribution}/{self.release}"
        if unknown:
            return LockError(f"{where} has no package {', '.join(dict.fromkeys(unknown))}", detail="\n".join(lines))
        if "Version '" in text:
            return LockError(f"{where} does not have that version of a package", detail="\n".join(lines))
        if "Hash Sum mismatch" in text or "unexpected size" in text:
            return LockError(
                f"an archive of {where} is inconsistent: an index has another hash or size than was signed",
                detail="\n".join(lines[:3]),
                hint="it may be in the middle of an update: run it again in some minutes, or name another mirror",
            )
        if reason := _signature(text):
            message, hint = reason
            return LockError(f"{where}: {message}", detail="\n".join(lines[:3]), hint=hint)
        if "NO_PUBKEY" in text or "not signed" in text:
            return LockError(
                f"apt cannot check the signature of {where}",
                detail="\n".join(lines),
                hint=f"install the keys of that archive: {_KEYS.get(self.distribution, 'its key ring')}",
            )
        if "Failed to fetch" in text:
            hint = "check the network and the proxy, or name another mirror (mirrors: in devenv's config.yaml)"
            return LockError(f"apt cannot reach the mirrors of {where}", detail="\n".join(lines[:3]), hint=hint)
        return LockError(f"apt cannot resolve the packages of {where}", detail="\n".join(lines[-15:]))


def _signature(text: str) -> tuple[str, str] | None:
    """(fault, hint) of a signature that apt could check, so that no other key helps. None for a missing key."""
    if "BADSIG" in text:
        return (
            "the signature does not fit the archive's index: a mirror, or a proxy on the way, sent another file",
            "run it again in some minutes, check the proxy, or name another mirror (mirrors: in devenv's config.yaml)",
        )
    if "EXPKEYSIG" in text or "REVKEYSIG" in text:
        return (
            "the archive's index is signed with a key that is expired or revoked",
            "upgrade the key ring of that archive, or name a mirror that is up to date",
        )
    if "is not valid yet" in text:
        return "the archive's index has a date in the future", "set this machine's clock: timedatectl"
    if re.search(r"Release file .* is expired", text):
        return (
            "the archive's index is no longer valid: this mirror gets no updates",
            "name another mirror (mirrors: in devenv's config.yaml); check this machine's clock: timedatectl",
        )
    return None


def _acquire() -> str:
    """The machine's own proxy and timeout settings for apt, to pass on."""
    try:
        text = run(("apt-config", "dump", "Acquire")).out
    except (FileNotFoundError, ProcessError):
        return ""
    return "\n".join(re.findall(r'^Acquire::(?:https?|Check-|ForceIP|Queue)[^\n]*";$', text, re.MULTILINE))


def _date(lists: str, origin: str) -> str:
    """The `Date` in the Release file whose place among apt's lists begins so; empty when it has none, or is another
    `origin`'s."""
    for name in ("InRelease", "Release"):
        with contextlib.suppress(OSError, ValueError):
            text = Path(lists + name).read_text(encoding="utf-8")
            if debian_text.field(text, "Origin") == origin and (date := debian_text.field(text, "Date")):
                return email.utils.parsedate_to_datetime(date).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return ""


def minor_version(version: str) -> str:
    """`MAJOR.MINOR` of a Debian version such as `3.11.2-1+b1` or `2:2.36-9`."""
    found = re.match(r"(?:\d+:)?(\d+\.\d+)", version)
    return found[1] if found else ""


def installed(status: str) -> Mapping[str, str]:
    """Package → version of all installed packages in a dpkg status text."""
    found: dict[str, str] = {}
    for stanza in debian_text.stanzas(status):
        if debian_text.field(stanza, "Status").endswith(" installed"):
            found[debian_text.field(stanza, "Package")] = debian_text.field(stanza, "Version")
    return found


def without(status: str, names: Collection[str]) -> str:
    """A dpkg status text without the packages of these names."""
    every = debian_text.stanzas(status)
    return "\n\n".join(stanza for stanza in every if debian_text.field(stanza, "Package") not in names)
