from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.process import Outcome, ProcessError
from devenv.doors.settings.tool_configs import AptSource
from devenv.errors import LockError
from devenv.fetch.store import Store
from devenv.resolve import apt as room
from devenv.resolve.apt import Apt, installed, minor_version, without
from tests.unit.handmade import deb, settings

MAIN = """Package: base
Version: 1:1.0-1
Architecture: amd64
Depends: libc6
Description: short
 longer
Filename: pool/main/b/base/base_1.0-1_amd64.deb
Size: 11
SHA256: {a}

Package: tool
Version: 2.0
Architecture: all
Filename: pool/main/t/tool/tool_2.0_all.deb
Size: 22
SHA256: {b}
""".format(a="a" * 64, b="b" * 64)
SECURITY = MAIN.replace("2.0", "2.1").replace("b" * 64, "c" * 64).split("\n\n")[1]


class Tools:
    """Stands in for apt-get and apt-config."""

    def __init__(self, root: Path, uris: str = "", error: str = "") -> None:
        self.root = root
        self.uris = uris
        self.error = error
        self.commands: list[tuple[str, ...]] = []
        self.files: dict[str, str] = {}

    def __call__(self, command: tuple[str, ...], *, env: Mapping[str, str] | None = None, **_: Any) -> Outcome:
        self.commands.append(command)
        out = ""
        if command[0] == "apt-config":
            out = 'Acquire "";\nAcquire::http::Proxy "http://p:1";\nAcquire::Languages:: "en";\n'
        elif "update" in command:
            assert env is not None
            conf = Path(env["APT_CONFIG"])
            for name in ("apt.conf", "preferences", "sources.d/devenv.sources"):
                self.files[name] = (conf.parent / name).read_text()
        elif "indextargets" in command:
            for suite, text in (("bookworm-security", SECURITY), ("bookworm", MAIN)):
                path = self.root / suite
                path.write_text(text)
                out += f"{path}\tmain/Packages\t{suite}\n"
            out += f"{self.root / 'absent'}\tmain/Packages\tbookworm-updates\n"
        elif "install" in command:
            top = Path(next(word for word in command if "Preferences=" in word).partition("=")[2]).parent
            self.files["status"] = (top / "status").read_text()
            self.files["keep"] = (top / "preferences").read_text()
            if self.error:
                raise ProcessError(Outcome(command=command, code=100, out="", err=self.error))
            out = self.uris
        return Outcome(command=command, code=0, out=out, err="")


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(uris: str = "", error: str = "", keyring: Path | None = None) -> tuple[Apt, Tools]:
        tools = Tools(tmp_path, uris, error)
        monkeypatch.setattr(room, "run", tools)
        source = AptSource(uri="http://m/debian", suites=("bookworm", "bookworm-security"), components=("main",))
        mine = dataclasses.replace(settings(tmp_path), apt=(source,))
        store = Store(tmp_path / "store")
        return Apt(distribution="debian", release="bookworm", settings=mine, store=store, keyring=keyring), tools

    return made


def line(name: str) -> str:
    return f"'http://m/debian/pool/x' {name}.deb 11 SHA256:0\n"


def test_what_apt_prints_becomes_debs_in_that_order_from_the_archives_index(make: Any) -> None:
    apt, _ = make(line("tool_2.1_all") + line("base_1%3a1.0-1_amd64"))
    tool, base = apt.resolve(("tool",))
    assert (tool.name, tool.version, tool.arch, tool.suite) == ("tool", "2.1", "all", "bookworm-security")
    assert (tool.size, tool.sha256) == (22, "c" * 64)
    assert (base.version, base.path) == ("1:1.0-1", "pool/main/b/base/base_1.0-1_amd64.deb")
    assert base.file == "base_1.0-1_amd64.deb"


def test_apt_works_apart_from_this_machines_own_and_only_with_the_distribution(make: Any, tmp_path: Path) -> None:
    apt, tools = make(keyring=Path("/keys.gpg"))
    apt.resolve(("tool", "base=1:1.0-1"), status="Package: x\n", keep=[deb("kept", "7")])
    conf = tools.files["apt.conf"]
    assert 'Dir::Etc::parts "/dev/null"' in conf
    assert 'Acquire::http::Proxy "http://p:1";' in conf
    assert '"en"' not in conf
    assert str(tmp_path) in conf
    assert "Signed-By: /keys.gpg" in tools.files["sources.d/devenv.sources"]
    assert "Pin: release o=Debian\nPin-Priority: 500" in tools.files["preferences"]
    assert "Package: kept\nPin: version 7\nPin-Priority: 990" in tools.files["keep"]
    assert tools.files["status"] == "Package: x\n"
    assert tools.commands[-1][-2:] == ("tool", "base=1:1.0-1")


def test_lists_are_refreshed_once(make: Any) -> None:
    apt, tools = make()
    apt.resolve(("a",))
    apt.resolve(("b",))
    assert sum("update" in command for command in tools.commands) == 1


def test_a_status_describes_locked_packages_even_when_the_archive_has_moved_on(make: Any) -> None:
    apt, _ = make()
    apt.resolve(("a",))
    text = apt.status([deb("base", "1:0.9"), deb("gone", "3")])
    assert installed(text) == {"base": "1:0.9", "gone": "3"}
    assert "Depends: libc6" in text
    assert installed(without(text, {"base"})) == {"gone": "3"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("E: Unable to locate package nosuch\n", "debian/bookworm has no package nosuch"),
        ("E: Package 'nosuch' has no installation candidate\n", "debian/bookworm has no package nosuch"),
        ("E: Version '9' for 'jq' was not found\n", "does not have that version"),
        ("W: GPG error: NO_PUBKEY 123\nE: x is not signed.\n", "cannot check the signature"),
        ("E: Failed to fetch http://m/x  Could not resolve 'm'\n", "cannot reach the mirrors"),
        ("E: Unable to correct problems, you have held broken packages.\n", "cannot resolve the packages"),
    ],
)
def test_apts_errors_are_told_in_plain_words(error: str, words: str, make: Any) -> None:
    apt, _ = make(error=error)
    with pytest.raises(LockError, match=words) as caught:
        apt.resolve(("nosuch",))
    assert caught.value.detail


_INVALID = "W: GPG error: m InRelease: The following signatures were invalid:"


@pytest.mark.parametrize(
    ("error", "words", "hint"),
    [
        (f"{_INVALID} BADSIG 6ED0E7B8 Key <k@x>\nE: The repository 'm' is not signed.\n", "does not fit", "name another mirror"),
        (f"{_INVALID} EXPKEYSIG 6ED0E7B8 Key\nE: The repository 'm' is not signed.\n", "expired or revoked", "upgrade the key ring"),
        ("E: Release file for m is not valid yet (invalid for another 3d). Updates will not be applied.\n",
         "a date in the future", "clock"),
        ("E: Release file for m is expired (invalid since 3d). Updates will not be applied.\n",
         "gets no updates", "name another mirror"),
    ],
)  # fmt: skip
def test_a_signature_that_could_be_checked_asks_for_no_key(error: str, words: str, hint: str, make: Any) -> None:
    apt, _ = make(error=error)
    with pytest.raises(LockError, match=words) as caught:
        apt.resolve(("a",))
    assert hint in (caught.value.hint or "")
    assert "install the keys" not in (caught.value.hint or "")


def test_a_machine_without_mirrors_is_told_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        Apt(distribution="ubuntu", release="noble", settings=settings(tmp_path), store=Store(tmp_path))
    assert "DEVENV_APT_MIRROR_UBUNTU" in (caught.value.hint or "")
    assert "config.yaml" in (caught.value.hint or "")


def test_components_that_no_source_has_are_said_before_anything_is_asked(tmp_path: Path) -> None:
    source = AptSource(uri="http://u:p@m/debian", suites=("bookworm",), components=("main", "contrib"))
    mine = dataclasses.replace(settings(tmp_path), apt=(source,))
    world = {"distribution": "debian", "release": "bookworm", "settings": mine, "store": Store(tmp_path)}
    Apt(**world, further=("contrib",))
    with pytest.raises(LockError, match="no source of debian/bookworm in this machine's apt has non-free") as told:
        Apt(**world, further=("contrib", "non-free"))
    assert "DEVENV_APT_MIRROR_DEBIAN=http://m/debian" in (told.value.hint or "")


def test_a_machine_without_apt_is_told_so(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    apt, _ = make()

    def absent(*_: Any, **__: Any) -> Outcome:
        raise FileNotFoundError

    monkeypatch.setattr(room, "run", absent)
    with pytest.raises(LockError, match="no apt-get"):
        apt.resolve(("a",))


def test_minor_versions() -> None:
    assert minor_version("2.36-9+deb12u14") == "2.36"
    assert minor_version("1:3.11.2-1+b1") == "3.11"
    assert minor_version("x") == ""
