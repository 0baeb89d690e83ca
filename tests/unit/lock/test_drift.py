from __future__ import annotations

import random

import pytest

from devenv.errors import LockError
from devenv.lock import drift
from devenv.lock.drift import Drift
from tests.unit.handmade import lock, preset

SHA = "a" * 64


def test_what_a_lock_does_not_resolve_is_no_drift() -> None:
    one = preset()
    other = preset(
        description="x", env={"A": "b"}, smoke={"s": {"run": ("true",)}}, setup={"s": {"run": ("true",)}}, files={"/a": "/b"}, shm_size="1g",
        services={"s": {"command": ("x",)}},
    )  # fmt: skip
    assert drift.compare(lock(one), other) == ()


def test_order_spelling_and_repeats_are_no_drift() -> None:
    rng = random.Random(1)
    apt, pip = ["a1", "b1", "c1", "a1"], ["Foo.Bar[B,a]>=1,<2", "rich"]
    one = preset(apt=tuple(apt), pip=tuple(pip))
    rng.shuffle(apt)
    other = preset(
        apt=tuple(apt[:3]) if len(set(apt[:3])) == 3 else ("c1", "b1", "a1"), pip=("rich", "foo-bar[a,b]<2,>=1")
    )
    assert drift.compare(lock(one), other) == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"python": "3.12"}, [Drift(section="python", locked="3.11", wanted="3.12")]),
        ({"apt": ("git",)}, [Drift(section="apt", locked="curl", wanted="—")]),
        ({"apt": ("git", "curl", "jq")}, [Drift(section="apt", locked="—", wanted="jq")]),
        ({"pip": ("ruamel.yaml>=0.19", "rich")},
         [Drift(section="pip", locked="ruamel-yaml>=0.18", wanted="ruamel-yaml>=0.19")]),
        ({"jupyter": {"version": "5.0.0"}},
         [Drift(section="pip", locked="jupyterlab==4.6.6", wanted="jupyterlab==5.0.0")]),
        ({"torch": "2.1"}, [Drift(section="pip", locked="—", wanted="torch==2.1")]),
        ({"node": "22.0.0"}, [Drift(section="node", locked="24.19.0", wanted="22.0.0")]),
        ({"base": {"bootstrap": "ubuntu/noble"}},
         [Drift(section="base", locked="debian/bookworm", wanted="ubuntu/noble")]),
        ({"npm": ("@a/b@1.0.0",)}, [Drift(section="npm", locked="—", wanted="@a/b@1.0.0")]),
        ({"code_server": {"version": "4.140.0"}},
         [Drift(section="code_server", locked="4.139.1 npm", wanted="4.140.0 npm")]),
    ],
)  # fmt: skip
def test_a_changed_pin_is_drift(change: dict[str, object], expected: list[Drift]) -> None:
    assert list(drift.compare(lock(preset()), preset(**change))) == expected


def test_an_extension_is_known_by_its_hash_too() -> None:
    def one(sha256: str) -> tuple[dict[str, object], ...]:
        return ({"id": "a.b", "version": "1.0", "archive": {"path": "/x", "sha256": sha256}},)

    before = preset(extensions=one(SHA))
    assert drift.compare(lock(before), preset(extensions=one(SHA))) == ()
    found = drift.compare(lock(before), preset(extensions=one("b" * 64)))
    assert [one.section for one in found] == ["extensions"]


def test_an_extension_by_name_is_known_without_regard_to_case() -> None:
    before = preset(extensions=("A.B", "c.d@1.0.0"))
    assert drift.inputs(before)["extensions"] == ["a.b", "c.d@1.0.0"]
    assert drift.compare(lock(before), preset(extensions=("c.D@1.0.0", "a.b"))) == ()
    (changed,) = drift.compare(lock(before), preset(extensions=("a.b", "c.d@2.0.0")))
    assert (changed.locked, changed.wanted) == ("c.d@1.0.0", "c.d@2.0.0")
    (pinned,) = drift.compare(lock(before), preset(extensions=("a.b@1.0.0", "c.d@1.0.0")))
    assert (pinned.locked, pinned.wanted) == ("a.b", "a.b@1.0.0")


def test_devenvs_own_packages_are_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    made = lock(preset())
    monkeypatch.setattr(drift, "SYSTEM_PACKAGES", ("nginx", "another"))
    assert {one.section for one in drift.compare(made, preset())} == {"system"}


def test_a_registry_image_needs_certificates_too() -> None:
    wish = preset(base={"image": "debian:bookworm-slim"})
    assert [*drift.inputs(wish)["system"]] == ["ca-certificates", *drift.inputs(preset())["system"]]


def test_a_stale_lock_is_refused_with_what_differs_and_the_remedy() -> None:
    drift.require_fit(lock(preset()), preset())
    with pytest.raises(LockError) as caught:
        drift.require_fit(lock(preset()), preset(python="3.12", node="22.0.0"), where="x.lock", command="devenv lock p")
    assert "python: 3.11 → 3.12" in caught.value.message
    assert "node: 24.19.0 → 22.0.0" in (caught.value.detail or "")
    assert caught.value.hint == "bring it up to date: devenv lock p"
    assert caught.value.exit_code == 4


def test_another_cuda_is_another_lock() -> None:
    found = drift.compare(lock(preset(torch="2.10.0", cuda="12.8")), preset(torch="2.10.0", cuda="12.6"))
    assert [(one.section, one.locked, one.wanted) for one in found] == [("cuda", "12.8", "12.6")]


def test_a_time_zone_wants_its_package_whatever_it_is() -> None:
    assert drift.inputs(preset(apt=("git",), timezone="Asia/Tokyo"))["apt"] == ["git", "tzdata"]
    assert drift.inputs(preset(apt=("tzdata=2025b-0+deb12u1",), timezone="UTC"))["apt"] == ["tzdata=2025b-0+deb12u1"]
    assert drift.compare(lock(preset(timezone="Asia/Tokyo")), preset(timezone="UTC")) == ()
    assert "tzdata" not in str(drift.inputs(preset()))


def test_components_are_pins_where_a_preset_names_some() -> None:
    wanted = preset(apt_components=("non-free", "contrib"))
    assert drift.compare(lock(preset()), wanted) == (
        Drift(section="apt_components", locked="—", wanted="contrib"),
        Drift(section="apt_components", locked="—", wanted="non-free"),
    )
    assert "apt_components" not in drift.inputs(preset())
