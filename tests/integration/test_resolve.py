"""Resolve with the real apt and uv against a small world on loopback: a Debian archive, an index, a registry."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from devenv.doors.settings.settings import Settings
from devenv.doors.settings.tool_configs import AptSource
from devenv.doors.terminal.progress import Silent
from devenv.errors import FetchError, LockError
from devenv.fetch.fetch import GoneError, fetch
from devenv.fetch.sources import archives
from devenv.fetch.store import Store
from devenv.lock import drift
from devenv.lock.builtin_packages import NODE_WHEEL
from devenv.lock.diff import changes
from devenv.lock.model import Lock, parse
from devenv.preset.load import LoadedPreset
from devenv.preset.model import Preset
from devenv.preset.own_wheel import reference
from devenv.resolve.base_image import ImageFacts
from devenv.resolve.context import Context
from devenv.resolve.resolver import refresh_missing, resolve
from devenv.resolve.wheels import own_uv
from tests.integration.mirror import Mirror, settings
from tests.integration.openvsx import Registry
from tests.unit.packages import tarball, vsix

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt resolves Debian packages")

ESSENTIAL = ("libc6", "dpkg", "bash")


class Small:
    """The small world, changeable: packages come and go as on real mirrors."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.debs: dict[tuple[str, str], str] = {}
        self.others: dict[tuple[str, str], str] = {}
        """Packages of a third party, in an archive of its own."""
        for name in ESSENTIAL:
            self.deb(name, "2.36-1", essential=True, depends="libc6" if name != "libc6" else "")
        for name in ("apt", "ca-certificates", "nginx", "procps", "runit", "sudo", "g++", "make", "libkrb5-dev"):
            self.deb(name, "1.0")
        self.deb("python3.11", "3.11.2-6")
        self.deb("python3", "3.11.2-1", depends="python3.11")
        self.deb("git", "1:2.39-1", depends="git-man (>= 1)")
        self.deb("git-man", "1:2.39-1")
        self.publish()
        self.wheel("uv", own_uv())
        self.wheel(NODE_WHEEL, "24.19.0")
        self.wheel("top", "1.0", requires=("leaf>=1",))
        self.wheel("leaf", "1.0")
        self.tarball("left", "1.0.0")
        self.tarball("@scope/right", "2.0.0")
        self.code_server("4.139.1")

    def deb(
        self, name: str, version: str, *, essential: bool = False, depends: str = "", archive: str = "debian"
    ) -> None:
        path = f"pool/main/{name}_{version.replace(':', '%3a')}_amd64.deb"
        body = f"{name} {version}".encode()
        self.mirror.files[f"/{archive}/{path}"] = body
        fields = {
            "Package": name, "Version": version, "Architecture": "amd64", "Maintainer": "x <x@example.org>",
            "Priority": "required" if essential else "optional", "Filename": path, "Size": str(len(body)),
            "SHA256": hashlib.sha256(body).hexdigest(), "Description": name,
            **({"Essential": "yes"} if essential else {}), **({"Depends": depends} if depends else {}),
        }  # fmt: skip
        packages = self.debs if archive == "debian" else self.others
        packages[name, version] = "".join(f"{key}: {value}\n" for key, value in fields.items())

    def drop(self, name: str, version: str) -> None:
        path = f"/debian/pool/main/{name}_{version.replace(':', '%3a')}_amd64.deb"
        del self.mirror.files[path]
        del self.debs[name, version]

    def publish(
        self, date: str = "Sat, 22 Nov 2025 10:00:00 UTC", *, archive: str = "debian", origin: str = "Debian"
    ) -> None:
        packages = "\n".join((self.debs if archive == "debian" else self.others).values()).encode()
        place = "main/binary-amd64/Packages"
        release = (
            f"Origin: {origin}\nSuite: stable\nCodename: bookworm\nArchitectures: amd64\nComponents: main\n"
            f"Date: {date}\nSHA256:\n"
            f" {hashlib.sha256(packages).hexdigest()} {len(packages)} {place}\n"
        )
        self.mirror.files[f"/{archive}/dists/bookworm/Release"] = release.encode()
        self.mirror.files[f"/{archive}/dists/bookworm/{place}"] = packages

    def wheel(self, name: str, version: str, *, requires: Sequence[str] = ()) -> None:
        file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"{info}/METADATA", metadata)
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        self.mirror.files[f"/files/{file}"] = buffer.getvalue()
        self.mirror.files[f"/files/{file}.metadata"] = metadata.encode()
        page = f"/simple/{name}/"
        sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
        link = (
            f'<a href="/files/{file}#sha256={sha256}" data-core-metadata="sha256='
            f'{hashlib.sha256(metadata.encode()).hexdigest()}">{file}</a>'
        )
        self.mirror.files[page] = self.mirror.files.get(page, b"<!DOCTYPE html>") + link.encode()

    def tarball(self, name: str, version: str, files: dict[str, str] | None = None) -> str:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path, text in {"package.json": json.dumps({"name": name, "version": version}), **(files or {})}.items():
                member = tarfile.TarInfo(f"package/{path}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        body = buffer.getvalue()
        integrity = f"sha512-{base64.b64encode(hashlib.sha512(body).digest()).decode()}"
        self.mirror.files[f"/npm/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"] = body
        described = {"name": name, "version": version, "dist": {"integrity": integrity}}
        self.mirror.files[f"/npm/{name.replace('/', '%2f')}/{version}"] = json.dumps(described).encode()
        return integrity

    def code_server(self, version: str) -> None:
        right = {"version": "2.0.0", "integrity": self.tarball("@scope/right", "2.0.0")}
        left = {"version": "1.0.0", "integrity": self.tarball("left", "1.0.0")}
        skipped = {"version": "9.9.9", "integrity": "sha512-x", "os": ["darwin"]}
        wraps = {
            "npm-shrinkwrap.json": {"node_modules/left": left, "node_modules/mac": skipped},
            "lib/vscode/npm-shrinkwrap.json": {
                "node_modules/@scope/right": right,
                "node_modules/left": left,
                "": {"dependencies": {"@scope/right": "2", "left": "1", "@github/copilot-sdk": "1"}},
                "node_modules/@github/copilot-sdk": {"version": "1.0.0", "integrity": "sha512-x"},
            },
            "lib/vscode/extensions/npm-shrinkwrap.json": {"node_modules/t": {**left, "dev": True}},
        }
        files = {path: json.dumps({"lockfileVersion": 3, "packages": packages}) for path, packages in wraps.items()}
        own = {"publisher": "vscode", "name": "git", "version": "10.0.0"}
        files["lib/vscode/package.json"] = json.dumps({"name": "code-oss", "version": f"1.{version.partition('.')[2]}"})
        files["lib/vscode/extensions/git/package.json"] = json.dumps(own)
        self.tarball("code-server", version, files)


@pytest.fixture
def small() -> Iterator[Small]:
    with Mirror() as mirror:
        yield Small(mirror)


@pytest.fixture
def mine(small: Small, tmp_path: Path) -> Settings:
    base = settings(tmp_path, small.mirror)
    source = AptSource(uri=f"{small.mirror.url}/debian", suites=("bookworm",), components=("main",), trusted=True)
    env = (("UV_DEFAULT_INDEX", f"{small.mirror.url}/simple"), ("UV_NO_CACHE", "1"))
    none = (("UV_EXTRA_INDEX_URL", ""), ("UV_FIND_LINKS", ""))
    return dataclasses.replace(base, apt=(source,), pip=dataclasses.replace(base.pip, uv_env=(*env, *none)))


def preset(**changes: Any) -> LoadedPreset:
    data: dict[str, Any] = {
        "name": "t", "base": {"bootstrap": "debian/bookworm"}, "python": "3.11", "node": "24.19.0",
        "code_server": {"version": "4.139.1"}, "pip": ("top",), "apt": ("git",), **changes,
    }  # fmt: skip
    path = Path("/p/devenv.yaml")
    return LoadedPreset(
        preset=Preset.model_validate(data), path=path, chain=(path,), project=None, origins=MappingProxyType({}),
        shipped=False,
    )  # fmt: skip


def make(
    one: LoadedPreset, mine: Settings, root: Path, image_facts: Callable[[str], ImageFacts] | None = None, **more: Any
) -> Lock:
    context = Context(settings=mine, store=Store(root / "store"), progress=Silent(), image_facts=image_facts)
    return resolve(one, context, **more)


def names(artifacts: Sequence[Any]) -> set[str]:
    return {one.name for one in artifacts}


def test_a_preset_is_locked_whole_and_can_be_fetched(small: Small, mine: Settings, tmp_path: Path) -> None:
    made = make(preset(), mine, tmp_path)
    assert names(made.base.packages) == {
        *ESSENTIAL, "apt", "ca-certificates", "nginx", "procps", "runit", "sudo", "python3", "python3.11",
    }  # fmt: skip
    order = [deb.name for deb in made.base.packages]
    assert order.index("libc6") < order.index("bash")
    assert names(made.apt) == {"git", "git-man"}
    assert {one.version for one in made.apt} == {"1:2.39-1"}
    assert names(made.wheels) == {"top", "leaf"}
    assert made.editor is not None
    assert names(made.editor.packages) == {"left", "@scope/right"}
    assert names(made.editor.toolchain) == {"g++", "make", "libkrb5-dev"}
    assert drift.compare(made, preset().preset) == ()
    assert "127.0.0.1" not in made.dump()
    fetch(made, store=Store(tmp_path / "fresh"), settings=mine)
    assert Store(tmp_path / "fresh").missing(made) == ()


def test_the_same_inputs_give_the_same_bytes(small: Small, mine: Settings, tmp_path: Path) -> None:
    first = make(preset(), mine, tmp_path / "a")
    assert make(preset(), mine, tmp_path / "b").dump() == first.dump()
    before = len(small.mirror.requests)
    assert make(preset(), mine, tmp_path / "c", previous=first).dump() == first.dump()
    assert len(small.mirror.requests) == before, "what is up to date costs no network"


def test_new_versions_are_taken_only_when_asked_for(small: Small, mine: Settings, tmp_path: Path) -> None:
    first = make(preset(), mine, tmp_path)
    small.wheel("leaf", "2.0")
    small.wheel("extra", "1.0", requires=("leaf",))
    small.deb("git-man", "1:2.40-1")
    small.deb("jq", "1.6-1")
    small.publish()
    more = make(preset(pip=("top", "extra"), apt=("git", "jq")), mine, tmp_path, previous=first)
    assert [(one.kind, one.name) for one in changes(first, more)] == [("apt", "jq"), ("pip", "extra")]
    newer = make(preset(), mine, tmp_path, previous=first, upgrade=("leaf",))
    assert [(one.name, one.old, one.new) for one in changes(first, newer)] == [("leaf", "1.0", "2.0")]
    newer = make(preset(), mine, tmp_path, previous=first, upgrade=("git-man",))
    assert [(one.name, one.new) for one in changes(first, newer)] == [("git-man", "1:2.40-1")]
    newest = make(preset(), mine, tmp_path, previous=first, upgrade=("*",))
    assert {one.name for one in changes(first, newest)} == {"leaf", "git-man"}


def test_six_months_on_the_mirror_has_dropped_packages(small: Small, mine: Settings, tmp_path: Path) -> None:
    first = make(preset(), mine, tmp_path)
    small.drop("git-man", "1:2.39-1")
    small.drop("libc6", "2.36-1")
    small.deb("git-man", "1:2.39-2")
    small.deb("libc6", "2.36-2", essential=True)
    small.deb("sudo", "1.1")
    small.publish()
    with pytest.raises(GoneError) as caught:
        fetch(first, store=Store(tmp_path / "fresh"), settings=mine)
    assert names(caught.value.missing) == {"git-man", "libc6"}
    context = Context(settings=mine, store=Store(tmp_path / "fresh"), progress=Silent())
    again = refresh_missing(first, caught.value.missing, preset(), context)
    assert {(one.name, one.new) for one in changes(first, again)} == {("git-man", "1:2.39-2"), ("libc6", "2.36-2")}
    fetch(again, store=Store(tmp_path / "fresh"), settings=mine)
    assert drift.compare(again, preset().preset) == ()


def test_the_lock_says_how_old_its_archives_are(small: Small, mine: Settings, tmp_path: Path) -> None:
    old, new = {"bookworm": "20251122T100000Z"}, {"bookworm": "20251203T091005Z"}
    first = make(preset(), mine, tmp_path)
    assert first.archives == {"base": old, "apt": old, "toolchain": old}
    small.deb("jq", "1.6-1")
    small.publish("Wed, 03 Dec 2025 09:10:05 UTC")
    again = make(preset(), mine, tmp_path, previous=first, upgrade=("base", "apt"))
    assert again.dump() == first.dump(), "the same packages: the first date stays, and so do the bytes"
    more = make(preset(apt=("git", "jq")), mine, tmp_path, previous=first)
    assert more.archives == {"base": old, "apt": new, "toolchain": old}, "what is taken over keeps its date"
    child = make(preset(apt=("git", "jq")), mine, tmp_path, parent=first)
    assert child.archives == more.archives
    aged = first.model_copy(update={"archives": None})
    assert make(preset(), mine, tmp_path, previous=aged).dump() == aged.dump()
    mixed = make(preset(apt=("git", "jq")), mine, tmp_path, previous=aged)
    assert mixed.archives == {"apt": new}, "of what an old lock has nobody knows the date"


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 99 Nov 2026 10:00:00 UTC"])
def test_an_archive_without_a_date_is_no_obstacle(date: str, small: Small, mine: Settings, tmp_path: Path) -> None:
    release = small.mirror.files["/debian/dists/bookworm/Release"]
    small.mirror.files["/debian/dists/bookworm/Release"] = re.sub(
        rb"(?m)^Date: .*\n", f"Date: {date}\n".encode() if date else b"", release
    )
    assert make(preset(), mine, tmp_path).archives is None


def test_adding_to_a_base_whose_packages_the_mirror_dropped(small: Small, mine: Settings, tmp_path: Path) -> None:
    first = make(preset(), mine, tmp_path)
    small.drop("bash", "2.36-1")
    small.deb("bash", "2.37-1", essential=True, depends="libc6")
    small.deb("jq", "1.6-1", depends="bash (>= 2)")
    small.publish()
    more = make(preset(apt=("git", "jq")), mine, tmp_path, previous=first)
    assert more.base == first.base
    assert names(more.apt) == {"git", "git-man", "jq"}


def test_a_third_partys_packages_are_not_taken(small: Small, mine: Settings, tmp_path: Path) -> None:
    release = small.mirror.files["/debian/dists/bookworm/Release"]
    small.mirror.files["/debian/dists/bookworm/Release"] = release.replace(b"Origin: Debian", b"Origin: Somebody")
    with pytest.raises(LockError):
        make(preset(), mine, tmp_path)


def test_another_python_is_taken_from_a_third_partys_archive_and_nothing_else(
    small: Small, mine: Settings, tmp_path: Path
) -> None:
    for name, needs in (
        ("python3.13", "libpython3.13-stdlib"),
        ("libpython3.13-stdlib", "libc6"),
        ("python3.13-dev", ""),
    ):
        small.deb(name, "3.13.9-1", depends=needs, archive="acme")
    for name, version in (
        ("git", "1:9.0-1"),
        ("python3.11", "3.11.99-1"),
        ("python3.12-dev", "3.12.1-1"),
        ("jq", "1.7-1"),
    ):
        small.deb(name, version, archive="acme")
    small.publish("Mon, 01 Dec 2025 10:00:00 UTC", archive="acme", origin="Acme")
    acme = dataclasses.replace(mine.apt[0], uri=f"{small.mirror.url}/acme")
    both = dataclasses.replace(mine, apt=(*mine.apt, acme))
    made = make(preset(python="3.13", apt=("git", "python3.13-dev")), both, tmp_path)
    assert {(one.name, one.version) for one in made.apt} == {
        ("python3.13", "3.13.9-1"), ("libpython3.13-stdlib", "3.13.9-1"), ("python3.13-dev", "3.13.9-1"),
        ("git", "1:2.39-1"), ("git-man", "1:2.39-1"),
    }  # fmt: skip
    assert "python3.11" in names(made.base.packages), "the base's own programs keep their interpreter"
    assert set((made.archives or {})["apt"].values()) == {"20251122T100000Z"}, "the distribution's date, which dates it"
    fetch(made, store=Store(tmp_path / "fresh"), settings=both)
    with pytest.raises(LockError, match="has no package"):
        make(preset(python="3.13", apt=("jq",)), both, tmp_path)
    with pytest.raises(LockError, match="has no package"):
        make(preset(python="3.13", apt=("python3.12-dev",)), both, tmp_path)
    with pytest.raises(LockError, match=r"has no Python 3\.14; the archives have 3\.11, 3\.13$"):
        make(preset(python="3.14"), both, tmp_path)


def test_an_unsigned_archive_is_refused(small: Small, mine: Settings, tmp_path: Path) -> None:
    untrusted = dataclasses.replace(mine, apt=(dataclasses.replace(mine.apt[0], trusted=False),), keyrings=tmp_path)
    with pytest.raises(LockError, match="cannot check the signature"):
        make(preset(), untrusted, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"apt": ("nosuch",)}, "has no package nosuch"),
        ({"apt": ("git=9",)}, "does not have that version"),
        ({"pip": ("nosuch",)}, "Python packages cannot be resolved"),
        ({"python": "3.12"}, "has no Python 3.12; the archives have 3.11$"),
        ({"node": "1.2.3"}, "Python packages cannot be resolved"),
    ],
)
def test_what_cannot_be_resolved_is_one_error(
    change: dict[str, Any], words: str, small: Small, mine: Settings, tmp_path: Path
) -> None:
    with pytest.raises(LockError, match=words) as caught:
        make(preset(**change), mine, tmp_path)
    assert caught.value.exit_code == 4


def test_a_tampered_npm_tarball_never_gets_into_a_lock(small: Small, mine: Settings, tmp_path: Path) -> None:
    small.mirror.always["/npm/left/-/left-1.0.0.tgz"] = "flip"
    with pytest.raises(Exception, match=r"left@1\.0\.0"):
        make(preset(), mine, tmp_path)


def test_a_base_image_is_locked_by_digest_with_only_what_it_lacks(small: Small, mine: Settings, tmp_path: Path) -> None:
    has = ("libc6", "dpkg", "bash", "python3.11", "sudo")
    status = "\n".join(
        small.debs[next(key for key in small.debs if key[0] == name)].replace(
            "\n", "\nStatus: install ok installed\n", 1
        )
        for name in has
    )
    facts = ImageFacts(
        digest="sha256:" + "d" * 64, os_release='ID=debian\nVERSION_CODENAME="bookworm"\n', dpkg_status=status
    )
    asked: list[str] = []

    def look(reference: str) -> ImageFacts:
        asked.append(reference)
        return facts

    made = make(preset(base={"image": "debian:bookworm"}), mine, tmp_path, image_facts=look)
    assert (made.base.kind, made.base.image, made.base.digest) == ("image", "debian:bookworm", facts.digest)
    assert names(made.base.packages) == {"ca-certificates", "nginx", "procps", "python3", "runit"}
    assert names(made.apt) == {"git", "git-man"}
    assert asked[0] == "debian:bookworm"
    assert all(one == f"debian:bookworm@{facts.digest}" for one in asked[1:])
    alpine = dataclasses.replace(facts, os_release="ID=alpine\nPRETTY_NAME=Alpine\n")
    with pytest.raises(LockError, match="neither Debian nor Ubuntu"):
        make(preset(base={"image": "alpine"}), mine, tmp_path, image_facts=lambda _: alpine)
    bare = dataclasses.replace(facts, dpkg_status="")
    with pytest.raises(LockError, match="has no list of its packages"):
        make(preset(base={"image": "bare"}), mine, tmp_path, image_facts=lambda _: bare)


def test_files_that_the_preset_pins_are_locked_by_their_hash(small: Small, mine: Settings, tmp_path: Path) -> None:
    near, far = tarball("code-server", "4.139.1", "code-server-4.139.1-linux-amd64"), vsix("a", "b", "1.0")
    (tmp_path / "cs.tar.gz").write_bytes(near)
    small.mirror.files["/a.vsix"] = far
    shas = [hashlib.sha256(body).hexdigest() for body in (near, far)]
    server = {
        "version": "4.139.1",
        "source": "release",
        "archive": {"path": str(tmp_path / "cs.tar.gz"), "sha256": shas[0]},
    }
    extension = {"id": "a.b", "version": "1.0", "archive": {"url": f"{small.mirror.url}/a.vsix", "sha256": shas[1]}}
    one = preset(code_server=server, extensions=(extension,))
    made = make(one, mine, tmp_path)
    assert made.editor is not None
    assert (made.editor.source, made.editor.archive.sha256, made.editor.archive.size) == ("release", shas[0], len(near))
    assert (made.editor.packages, made.editor.toolchain) == ((), ())
    assert (made.extensions[0].file, made.extensions[0].sha256) == ("a.b-1.0.vsix", shas[1])
    assert "127.0.0.1" not in made.dump()
    fetch(made, store=Store(tmp_path / "fresh"), settings=mine, files=archives(one.preset))
    assert Store(tmp_path / "fresh").missing(made) == ()
    for wrong in ({"id": "a.c", "version": "1.0"}, {"id": "a.b", "version": "1.1"}):
        with pytest.raises(LockError, match=r"is a\.b 1\.0, and not"):
            make(preset(code_server=server, extensions=({**extension, **wrong},)), mine, tmp_path)
    (tmp_path / "cs.tar.gz").write_bytes(b"changed")
    with pytest.raises(FetchError, match="not the file that was pinned"):
        make(one, mine, tmp_path / "other")


def test_extensions_by_name_fit_the_editor_of_the_lock(small: Small, mine: Settings, tmp_path: Path) -> None:
    named = preset(extensions=("a.top", "a.other@1.0.0"))
    with Registry() as registry:
        registry.add("a.top", "1.0.0", engine="^1.139.0", needs=("vscode.git", "a.base"))
        registry.add("a.top", "2.0.0", engine="^1.140.0", needs=("a.base",))
        registry.add("A.Base", platform="linux-x64", engine="1.139.x")
        registry.add("A.Base", "2.0.0", engine="^1.140.0")
        registry.add("a.other")
        mine = dataclasses.replace(mine, extension_registry=registry.url)
        made = make(named, mine, tmp_path)
        assert [f"{one.name} {one.version}" for one in made.extensions] == [
            "A.Base 1.0.0", "a.other 1.0.0", "a.top 1.0.0",
        ]  # fmt: skip
        assert made.inputs["extensions"] == ["a.other@1.0.0", "a.top"]
        assert parse(made.dump(), tmp_path / "devenv.lock") == made
        registry.seen.clear()
        registry.add("a.top", "1.1.0", engine="^1.139.0")
        assert make(named, mine, tmp_path, previous=made) == made
        assert registry.seen == [], "what fits is not resolved again"
        kept = make(preset(extensions=("a.top",)), mine, tmp_path, previous=made)
        assert [one.version for one in kept.extensions] == ["1.0.0", "1.0.0"], "as an earlier lock has it"
        for name in ("a.top", "extensions", "*"):
            newer = make(named, mine, tmp_path, previous=made, upgrade=(name,))
            assert [f"{one.name} {one.version}" for one in newer.extensions] == ["a.other 1.0.0", "a.top 1.1.0"]
        small.code_server("4.140.0")
        later = preset(extensions=("a.top", "a.other@1.0.0"), code_server={"version": "4.140.0"})
        moved = make(later, mine, tmp_path, previous=made)
        assert [(one.name, one.old, one.new) for one in changes(made, moved) if one.kind == "extension"] == [
            ("A.Base", "1.0.0", "2.0.0"),
        ]  # fmt: skip
    with pytest.raises(LockError, match=r"the lock has no 'a\.tpo' to upgrade") as caught:
        make(named, mine, tmp_path, previous=made, upgrade=("a.tpo",))
    assert caught.value.hint == "did you mean 'a.top'?"


def test_a_wheel_of_ones_own_is_locked_with_what_it_needs(small: Small, mine: Settings, tmp_path: Path) -> None:
    small.wheel("own", "1.0", requires=("leaf>=1",))
    body = small.mirror.files["/files/own-1.0-py3-none-any.whl"]
    for path in ("/files/own-1.0-py3-none-any.whl", "/simple/own/"):
        del small.mirror.files[path]
    path = tmp_path / "own-1.0-py3-none-any.whl"
    path.write_bytes(body)
    one = preset(pip=(reference(path),))
    made = make(one, mine, tmp_path)
    assert {each.name: each.sha256 for each in made.wheels}["own"] == hashlib.sha256(body).hexdigest()
    assert names(made.wheels) == {"own", "leaf"}
    assert str(tmp_path) not in made.dump()
    fetch(made, store=Store(tmp_path / "fresh"), settings=mine, files=archives(one.preset))
    assert Store(tmp_path / "fresh").missing(made) == ()
    assert make(one, mine, tmp_path, previous=made) == made
    for wrong in ("own-2.0-py3-none-any.whl", "other-1.0-py3-none-any.whl"):
        with pytest.raises(LockError, match=r"is own 1\.0, and not"):
            make(preset(pip=(reference(path.rename(tmp_path / wrong)),)), mine, tmp_path)
        (tmp_path / wrong).rename(path)
    path.write_bytes(b"changed")
    with pytest.raises(FetchError, match="not the file that was pinned"):
        make(one, mine, tmp_path / "other")
