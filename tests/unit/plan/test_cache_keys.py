from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.dirs import templates_dir
from devenv.lock.model import LockedBase
from devenv.plan import cache_keys
from devenv.plan.cache_keys import base_key, root_key
from tests.unit.examples import deb, editor_release, lock, wheel

USER = ("dev", 1000, "devenv", 990)


def _base(**changes: Any) -> LockedBase:
    return lock().base.model_copy(update=changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"base": _base(packages=(deb("dash", "2.0-1"), deb("python3")))},
        {"base": _base(packages=(deb("python3"), deb("dash")))},
        {"base": _base(packages=(deb("dash"), deb("python3"), deb("less")))},
        {"base": _base(release="trixie")},
        {"base": _base(distribution="ubuntu")},
        {"platform": "linux/arm64"},
    ],
    ids=["version", "order", "more", "release", "distribution", "platform"],
)
def test_the_base_depends_on_what_it_is_made_of(changes: dict[str, Any]) -> None:
    assert base_key(lock(**changes), user=USER) != base_key(lock(), user=USER)


def test_the_base_depends_on_the_user() -> None:
    assert base_key(lock(), user=("dev", 1001, "devenv", 990)) != base_key(lock(), user=USER)


def test_the_base_is_the_same_for_all_that_begins_with_it() -> None:
    other = lock(preset="other", apt=(), wheels=(wheel("torch"),), editor=editor_release(), node=None)
    assert base_key(other, user=USER) == base_key(lock(), user=USER)


def test_a_registry_image_is_not_kept() -> None:
    image = LockedBase(
        kind="image", distribution="debian", release="bookworm", image="debian", digest="sha256:" + "ab" * 32
    )
    assert base_key(lock(base=image), user=USER) is None


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "templates"
    shutil.copytree(templates_dir(), copy)
    monkeypatch.setattr(cache_keys, "templates_dir", lambda: copy)
    return copy


@pytest.mark.parametrize("name", sorted(path.name for path in (templates_dir() / "build").iterdir()))
def test_a_changed_script_makes_the_parts_anew_that_run_it(templates: Path, name: str) -> None:
    before = base_key(lock(), user=USER), cache_keys.editor_key(lock())
    with (templates / "build" / name).open("a") as script:
        script.write("# changed")
    after = base_key(lock(), user=USER), cache_keys.editor_key(lock())
    # What the Dockerfile's own text says: which scripts the stages of a part mount.
    stages = {"base": "bootstrap.j2", "editor": "editor.j2", "node": "node.j2"}
    mounts = {one: f'"{name}"' in (templates / "dockerfile" / file).read_text() for one, file in stages.items()}
    registry_only = name == "dpkg.sh"  # the editor's stage runs it on a registry image, whose digest counts
    assert (before[0] != after[0]) == mounts["base"]
    assert (before[1] != after[1]) == ((mounts["editor"] and not registry_only) or mounts["node"])


@pytest.mark.parametrize("name", ["bootstrap.j2", "mounts.j2"])
def test_a_changed_stage_makes_the_base_anew(templates: Path, name: str) -> None:
    before = base_key(lock(), user=USER)
    with (templates / "dockerfile" / name).open("a") as template:
        template.write("RUN true\n")
    assert base_key(lock(), user=USER) != before


def test_another_root_of_the_same_packages_makes_the_base_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = root_key(lock()), base_key(lock(), user=USER)
    monkeypatch.setattr(cache_keys, "ROOT_FORMAT", cache_keys.ROOT_FORMAT + 1)
    assert root_key(lock()) != before[0]
    assert base_key(lock(), user=USER) != before[1]
