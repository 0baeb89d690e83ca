"""Editor extensions by name, from a registry on loopback with Open VSX's API."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.dirs import Dirs
from devenv.doors.http.retry import Policy
from devenv.doors.http.web import Web
from devenv.doors.settings.settings import Settings
from devenv.errors import FetchError, LockError
from devenv.fetch import vsix_file
from devenv.fetch.fetch import fetch
from devenv.fetch.sources import Sources
from devenv.fetch.store import Store
from devenv.lock.model import Vsix
from devenv.preset.model import Preset
from devenv.preset.yaml.nodes import Mark
from devenv.resolve.extensions import MOST, Surroundings, resolve_extensions
from devenv.resolve.vscode import Editor
from tests.integration.conftest import Cli
from tests.integration.openvsx import Registry
from tests.unit import examples
from tests.unit.packages import vsix

EDITOR = Editor(version="4.139.1", vscode="1.139.1", built_in=frozenset({"vscode.git", "ms-vscode.js-debug"}))
BASE = {"name": "t", "base": {"bootstrap": "debian/bookworm"}, "python": "3.11", "node": "24.19.0",
        "code_server": {"version": "4.139.1"}}  # fmt: skip
QUICK = Policy(attempts=2, backoff_s=0.01)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as one:
        yield one


def settings(root: Path, registry: Registry | None) -> Settings:
    dirs = Dirs(cache=root / "cache", state=root / "state", config=root / "config")
    return Settings(dirs=dirs, uid=1000, gid=1000, arch="amd64", extension_registry=registry.url if registry else None)


class Resolving:
    """Resolutions with one store; `notes` has what they noted."""

    def __init__(self, root: Path, registry: Registry | None) -> None:
        self.root, self.registry = root, registry
        self.store = Store(root / "store")
        self.notes: list[str] = []

    def __call__(
        self, *wishes: Any, arch: str = "amd64", keep: tuple[Vsix, ...] = (), editor: Editor = EDITOR
    ) -> tuple[Vsix, ...]:
        preset = Preset.model_validate({**BASE, "extensions": wishes})
        mine = settings(self.root, self.registry)
        marks = {
            n: Mark(path=self.root / "devenv.yaml", line=n + 1, column=5, text=str(w)) for n, w in enumerate(wishes)
        }
        with Web(mine, QUICK) as web:
            around = Surroundings(
                editor=lambda: editor, registry=mine.extension_registry, arch=arch, config="config.yaml",
                store=self.store, web=web, sources=Sources(mine, web), note=self.notes.append,
                keep={one.name.lower(): one for one in keep}, marks=marks,
            )  # fmt: skip
            return resolve_extensions(preset.extensions, around)

    def error(self, *wishes: Any, **more: Any) -> LockError:
        with pytest.raises(LockError) as caught:
            self(*wishes, **more)
        return caught.value


@pytest.fixture
def resolving(tmp_path: Path, registry: Registry) -> Resolving:
    return Resolving(tmp_path, registry)


def shown(found: tuple[Vsix, ...]) -> list[str]:
    return [f"{one.name} {one.version} {one.platform}" for one in found]


def test_the_newest_release_that_fits_the_editor_and_the_platform(registry: Registry, resolving: Resolving) -> None:
    for platform in ("linux-x64", "linux-arm64", "win32-x64", "universal"):
        registry.add("Acme.Tool", "1.2.0", platform)
    registry.add("Acme.Tool", "1.3.0", "universal", engine="^1.140.0")
    registry.add("Acme.Tool", "1.4.0", "win32-x64")
    registry.add("Acme.Tool", "1.5.0", "linux-x64", pre_release=True)
    registry.add("Acme.Tool", "1.1.0", "linux-x64")
    body = registry.find("Acme", "Tool", "linux-x64", "1.2.0")
    assert body is not None
    (one,) = resolving("acme.tool")
    assert shown((one,)) == ["Acme.Tool 1.2.0 linux-x64"]
    assert (one.file, one.sha256, one.size) == (
        "Acme.Tool-1.2.0.vsix", hashlib.sha256(body.body).hexdigest(), len(body.body),
    )  # fmt: skip
    assert resolving.store.has(one)
    assert shown(resolving("acme.tool", arch="arm64")) == ["Acme.Tool 1.2.0 linux-arm64"]
    newer = dataclasses.replace(EDITOR, vscode="1.140.0")
    assert shown(resolving("acme.tool", editor=newer)) == ["Acme.Tool 1.3.0 universal"]
    assert shown(resolving("acme.tool@1.5.0")) == ["Acme.Tool 1.5.0 linux-x64"], "a pre-release by its version alone"
    assert shown(resolving("acme.tool@1.1.0")) == ["Acme.Tool 1.1.0 linux-x64"]


def test_a_version_far_down_the_list_is_found(registry: Registry, resolving: Resolving) -> None:
    for number in range(250):
        registry.add("a.b", f"1.{number}.0", engine="^1.139.0" if number < 3 else "^1.999.0")
    assert shown(resolving("a.b")) == ["a.b 1.2.0 universal"]


def test_dependencies_and_packs_are_followed_and_what_the_editor_has_is_not_asked_for(
    registry: Registry, resolving: Resolving
) -> None:
    registry.add("a.top", needs=("A.Base", "vscode.git"), pack=("a.extra", "a.gone", "ms-vscode.js-debug"))
    registry.add("a.base", "2.0.0", needs=("a.top", "a.deep"))
    registry.add("a.base", "1.0.0")
    registry.add("a.deep", needs=("a.base",))
    registry.add("a.extra", "3.0.0", "linux-x64")
    assert shown(resolving("a.top")) == [
        "a.base 2.0.0 universal", "a.deep 1.0.0 universal", "a.extra 3.0.0 linux-x64", "a.top 1.0.0 universal",
    ]  # fmt: skip
    (note,) = resolving.notes
    assert note == f"a.gone does not exist at {registry.url}; a.top has it in its pack; left out"
    assert not any("vscode" in path for _, path in registry.seen)
    # A version that the preset gives counts for what others need, too.
    assert "a.base 1.0.0 universal" in shown(resolving("a.top", "a.base@1.0.0"))


def test_what_one_pack_does_without_another_extension_may_need(registry: Registry, resolving: Resolving) -> None:
    registry.add("a.pack", pack=("a.gone", "a.other"))
    registry.add("a.other", needs=("a.gone",))
    assert resolving.error("a.pack").message == f"a.gone does not exist at {registry.url}; a.other needs it"


def test_a_file_that_the_preset_pins_fulfils_a_dependency(registry: Registry, resolving: Resolving) -> None:
    registry.add("a.top", needs=("a.base",))
    path = resolving.root / "base.vsix"
    path.write_bytes(vsix("a", "base", "9.0.0"))
    pinned = {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    found = resolving("a.top", {"id": "a.base", "version": "9.0.0", "archive": pinned})
    assert shown(found) == ["a.base 9.0.0 None", "a.top 1.0.0 universal"]


@pytest.mark.parametrize(
    ("wish", "message", "hint"),
    [
        ("acme.tol", "acme.tol does not exist at {url}", "did you mean 'acme.tool'? or pin its .vsix"),
        ("acme.tool@9.9.9", "acme.tool 9.9.9 does not exist at {url}", "the newest that fits is acme.tool@1.2.0"),
        ("acme.tool@2.0.0",
         "acme.tool 2.0.0 needs VS Code '^1.200.0', and code-server 4.139.1 is VS Code 1.139.1",
         "the newest that fits is acme.tool@1.2.0"),
        ("acme.tool@1.9.0", "acme.tool 1.9.0 has no build for linux-x64 (it has darwin-arm64, win32-x64)",
         "the newest that fits is acme.tool@1.2.0"),
        ("acme.mac", "acme.mac has no build for linux-x64 (it has darwin-arm64)", "use another extension"),
        ("acme.future", "no version of acme.future fits: 1.0.0 needs VS Code '^2.0.0', and code-server 4.139.1 is VS",
         "take a later version in 'code_server'"),
        ("acme.early", "acme.early has only pre-releases that fit", "name it: acme.early@0.1.0"),
        ("acme.needy", "acme.none does not exist at {url}; acme.needy needs it", "leave acme.needy out, or pin"),
        ("acme.strange", "acme.strange 1.0.0 asks for '../../x\\x1b[31m', which is no extension's id", "another version"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_one_error_with_its_remedy(
    wish: str, message: str, hint: str, registry: Registry, resolving: Resolving
) -> None:
    registry.add("acme.tool", "1.2.0")
    registry.add("acme.tool", "2.0.0", engine="^1.200.0")
    for platform in ("win32-x64", "darwin-arm64"):
        registry.add("acme.tool", "1.9.0", platform)
    registry.add("acme.mac", platform="darwin-arm64")
    registry.add("acme.future", engine="^2.0.0")
    registry.add("acme.early", "0.1.0", pre_release=True)
    registry.add("acme.needy", needs=("acme.none",))
    registry.add("acme.strange", needs=("../../x\x1b[31m",))
    error = resolving.error(wish)
    assert error.message.startswith(message.format(url=registry.url))
    assert hint in str(error.hint)
    assert (error.where or "").endswith("devenv.yaml:1:5")
    assert wish in str(error.detail)


def test_all_mistakes_are_reported_at_once(registry: Registry, resolving: Resolving) -> None:
    registry.add("a.good", needs=("a.none",))
    error = resolving.error("a.one", "a.good", "a.two")
    assert sorted(one.message.partition(" ")[0] for one in error.problems) == ["a.none", "a.one", "a.two"]
    assert error.message == "3 extensions cannot be locked"


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ("file", "contradicts itself: its sha256 of a.b 1.0.0 is not that of its file"),
        ("hash", "contradicts itself: its sha256 of a.b 1.0.0 is not that of its file"),
        ("no-hash", "states no usable sha256 of a.b 1.0.0"),
        ("local-file", "a.b does not exist"),
        ("name", "a.b does not exist"),
        ("engine", "a.b 1.0.0 needs VS Code '^1.999.0'"),
    ],
)
def test_a_registry_that_lies(lie: str, words: str, registry: Registry, resolving: Resolving) -> None:
    registry.add("a.b", engine="^1.999.0" if lie == "engine" else "^1.90.0")
    registry.lies["a.b"] = lie
    error = resolving.error("a.b")
    assert words in error.message
    assert error.hint
    if lie in ("file", "hash"):
        assert "the registry's sha256 document has" in str(error.detail)


@pytest.mark.parametrize(("lie", "words"), [
    ("endless", "sends more bytes than the limit of 1000000"), ("huge", "has 1000001 bytes, more than the limit of"),
])  # fmt: skip
def test_a_file_is_not_read_endlessly(
    lie: str, words: str, registry: Registry, resolving: Resolving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vsix_file, "MOST_PACKED_BYTES", 1_000_000)
    registry.add("a.b")
    registry.lies["a.b"], registry.huge_bytes = lie, 1_000_001
    with pytest.raises(FetchError, match=r"cannot get a\.b-1\.0\.0\.vsix") as caught:
        resolving("a.b")
    assert words in str(caught.value.detail)
    assert not [one for one in resolving.root.rglob("*.part") if one.stat().st_size]


def test_another_extension_in_a_second_member_of_the_name(registry: Registry, resolving: Resolving) -> None:
    registry.add("a.b", files={"./package.json": '{"publisher": "a", "name": "c", "version": "1.0.0"}'})
    error = resolving.error("a.b")
    assert error.message == "a.b-1.0.0.vsix cannot be read as an editor extension"
    assert "'extension/./package.json' is not in normal form" in str(error.detail)


def test_a_member_of_a_pack_is_not_left_out_for_a_lie(registry: Registry, resolving: Resolving) -> None:
    registry.add("a.pack", pack=("a.b",))
    registry.add("a.b")
    registry.lies["a.b"] = "hash"
    assert "contradicts itself" in resolving.error("a.pack").message


def test_another_extension_under_that_name(registry: Registry, resolving: Resolving) -> None:
    registry.add("a.b")
    release = registry.releases.pop()
    registry.releases.append(dataclasses.replace(release, body=vsix("a", "c", "1.0.0")))
    assert resolving.error("a.b").message == "a.b-1.0.0.vsix is a.c 1.0.0, and not a.b 1.0.0"
    registry.releases[0] = dataclasses.replace(release, body=b"no zip")
    assert "cannot be read as an editor extension" in resolving.error("a.b").message


def test_extensions_that_need_ever_more(registry: Registry, resolving: Resolving) -> None:
    for number in range(MOST + 5):
        registry.add(f"a.n{number}", needs=(f"a.n{number + 1}",))
    assert resolving.error("a.n0").message.startswith(f"the extensions need more than {MOST} extensions in all")


def test_no_registry_in_the_settings(tmp_path: Path) -> None:
    error = Resolving(tmp_path, None).error("a.b")
    assert error.message == "a.b is an extension by name, and your settings name no registry of extensions"
    for word in ("extension_registry: https://…", "config.yaml", "DEVENV_EXTENSION_REGISTRY", "--registry", ".vsix"):
        assert word in str(error.hint)


def test_what_is_no_registry_of_extensions(registry: Registry, resolving: Resolving) -> None:
    registry.lies[""] = "portal"
    with pytest.raises(FetchError, match=r"does not answer as a registry of extensions"):
        resolving("a.b")


def test_an_earlier_locks_choice_is_kept_while_it_fits(registry: Registry, resolving: Resolving) -> None:
    registry.add("a.b", "1.0.0", needs=("a.base",))
    registry.add("a.base", "1.0.0")
    first = resolving("a.b")
    registry.add("a.b", "2.0.0")
    registry.add("a.base", "2.0.0")
    registry.add("a.new")
    assert shown(resolving("a.b", "a.new", keep=first)) == [
        "a.b 1.0.0 universal", "a.base 1.0.0 universal", "a.new 1.0.0 universal",
    ]  # fmt: skip
    assert shown(resolving("a.b")) == ["a.b 2.0.0 universal"]
    assert shown(resolving("a.b@2.0.0", keep=first)) == ["a.b 2.0.0 universal"]
    registry.add("a.old", "1.0.0", engine="1.139.1")
    registry.add("a.old", "0.9.0")
    old = resolving("a.old")
    later = dataclasses.replace(EDITOR, vscode="1.140.0")
    assert shown(resolving("a.old", keep=old, editor=later)) == ["a.old 0.9.0 universal"]
    registry.releases = [one for one in registry.releases if one.version != "1.0.0"]
    bare = Resolving(resolving.root / "bare", registry)
    assert shown(bare("a.b", keep=first)) == ["a.b 2.0.0 universal"], "the registry has dropped it"


def test_a_login_goes_to_the_registry_alone(tmp_path: Path) -> None:
    with Registry(login="me:secret", away=True, prefix="/vsx") as registry:
        registry.add("a.b")
        resolving = Resolving(tmp_path, registry)
        assert shown(resolving("a.b")) == ["a.b 1.0.0 universal"]
        assert {host.partition(":")[0] for host, _ in registry.seen} == {"127.0.0.1", "127.0.0.2"}
        assert registry.leaked == []
        error = resolving.error("a.none")
        assert "secret" not in f"{error.message}{error.hint}{error.detail}"


def test_a_teammate_fetches_it_from_a_registry_of_their_own(registry: Registry, resolving: Resolving) -> None:
    registry.add("a.b", "1.0.0", "linux-x64")
    registry.add("a.b", "1.0.0")
    found = resolving("a.b")
    lock = examples.lock(extensions=found)
    assert str(registry.port) not in lock.dump()
    assert '"platform": "linux-x64"' in lock.dump()
    with Registry() as another:
        another.releases.append(registry.releases[0])
        store = Store(resolving.root / "theirs")
        _fetch_only(found[0], lock, store, settings(resolving.root, another))
        assert store.has(found[0])
        assert another.seen
    empty = Store(resolving.root / "empty")
    with pytest.raises(FetchError) as caught:
        _fetch_only(found[0], lock, empty, settings(resolving.root, None))
    assert "your settings name no registry of extensions" in str(caught.value.detail)
    assert "extension_registry:" in str(caught.value.hint)
    with Registry() as bare, pytest.raises(FetchError, match="no longer on any mirror"):
        _fetch_only(found[0], lock, empty, settings(resolving.root, bare))


def _fetch_only(vsix: Vsix, lock: Any, store: Store, mine: Settings) -> None:
    class Only(Store):
        def missing(self, lock: Any) -> tuple[Any, ...]:
            return (vsix,)

    fetch(lock, store=Only(store.root), settings=mine, policy=QUICK)


@pytest.mark.engine
def test_an_extension_by_name_is_in_the_editor_with_what_it_needs(
    cli: Cli, up_python: Mapping[str, Any], registry: Registry, tmp_path: Path
) -> None:
    registry.add("t.base")
    registry.add("t.top", "1.1.0", "linux-x64", needs=("T.Base", "vscode.git"))
    registry.add("t.top", "1.1.0", "linux-arm64", needs=("T.Base", "vscode.git"))
    project = tmp_path / "t-named"
    project.mkdir()
    (project / "devenv.yaml").write_text("extends: python\nextensions: [T.Top@1.1.0]\nsmoke: {kernel: null}\n")
    missing = cli("lock", cwd=project, env={"DEVENV_EXTENSION_REGISTRY": ""})
    assert (missing.code, "devenv.yaml:2:14: T.Top is an extension by name" in missing.err) == (4, True)
    cli.ok("lock", "--registry", registry.url, cwd=project)
    asked = len(registry.seen)
    try:
        cli.ok("up", cwd=project)
        listed = cli.ok(
            "exec", "code-server", "--extensions-dir", "/opt/code-server/lib/vscode/extensions", "--list-extensions",
            "--show-versions", cwd=project,
        )  # fmt: skip
        assert {"t.base@1.0.0", "t.top@1.1.0"} <= set(listed.out.split())
        assert len(registry.seen) == asked, "what is locked and here is not asked for again"
        cli.ok("render", cwd=project)
        document = json.loads((project / ".devcontainer" / "devcontainer.json").read_text())
        assert document["customizations"]["vscode"]["extensions"] == ["T.Top@1.1.0"]
    finally:
        cli("down", "--volumes", "t-named")
