"""What a reference leads to: read with a few small requests, and believed only where all parts say the same."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.registry.manifest import OCI_INDEX, digest_of
from devenv.errors import DevenvError, MachineError, ShareError
from devenv.share import recipe
from devenv.share.formats import DELTA, IDENTITY, RECIPE, RECIPE_DIGEST, RECIPE_SIZE
from devenv.share.pack import document
from devenv.share.signatures.check import Signer
from tests.unit.share.made import Engine, Memory, Shared, layer, look, member, packed, session, shared, tar

OTHER = f"sha256:{'0' * 64}"


def test_an_image_is_found_without_a_layer(tmp_path: Path) -> None:
    made = shared(tmp_path / "preset")
    found = look(made.place, session(tmp_path))
    assert made.place.own
    assert (found.identity, found.digest) == (made.identity, made.place.own.digest)
    assert (found.config, found.layers, found.added) == (document(made.config), tuple(made.layers), None)
    assert found.size == sum(one.size for one in made.layers)
    assert found.preset.read_text() == (tmp_path / "preset" / recipe.PRESET).read_text()
    assert not {one.digest for one in made.layers} & {*made.place.asked}
    made.place.asked.clear()
    assert look(made.place, session(tmp_path)) == found
    assert made.annotations[RECIPE_DIGEST] not in made.place.asked, "the recipe is kept"


def test_what_is_not_signed_as_required_is_not_read_any_further(tmp_path: Path) -> None:
    made = shared(tmp_path / "preset")
    made.place.refusal = "nobody signed it"
    with pytest.raises(ShareError, match="nobody signed it"):
        look(made.place, session(tmp_path))
    assert made.place.asked == []
    made.place.refusal, made.place.signed = "", (Signer(name="ann", key="SHA256:x", demand="config.yaml"),)
    assert look(made.place, session(tmp_path)).signers == made.place.signed


def test_a_snapshot_comes_off_and_the_image_below_it_is_what_the_identity_names(tmp_path: Path) -> None:
    made = shared(tmp_path / "preset", snapshot=True, volumes=True)
    found = look(made.place, session(tmp_path))
    assert found.config
    assert found.identity == digest_of(found.config) == made.identity
    assert found.layers == tuple(made.layers[:-1])
    assert found.added
    assert found.added.layer
    assert found.added.layer.digest == made.layers[-1].digest
    assert found.size == sum(one.size for one in made.layers) + found.added.volumes["/mnt/demo"].size


def test_a_recipe_alone_has_no_image(tmp_path: Path) -> None:
    made = shared(tmp_path / "preset")
    made.put(
        config=made.place.add(b"{}", "application/vnd.oci.empty.v1+json").document(),
        layers=[{"mediaType": RECIPE, "digest": made.annotations[RECIPE_DIGEST],
                 "size": int(made.annotations[RECIPE_SIZE])}],
    )  # fmt: skip
    found = look(made.place, session(tmp_path))
    assert (found.config, found.layers, found.identity) == (None, (), made.identity)


# ---- hostile manifests


def _annotated(**changes: Any) -> Callable[[Shared], None]:
    def change(made: Shared) -> None:
        made.annotations |= {name.replace("_", "."): value for name, value in changes.items()}
        made.put()

    return change


def _without(name: str) -> Callable[[Shared], None]:
    def change(made: Shared) -> None:
        del made.annotations[name]
        made.put()

    return change


def _newer(made: Shared) -> None:
    first = {**made.place.add(b"x").document(), "mediaType": "application/vnd.devenv.recipe.v2.tar+zstd"}
    made.put(layers=[first])


def _put(**changes: Any) -> Callable[[Shared], None]:
    return lambda made: made.put(**changes)


def _one_layer_more(made: Shared) -> None:
    made.layers.insert(0, layer(made.place, "more"))
    made.put()


def _one_layer_less(made: Shared) -> None:
    del made.layers[0]
    made.put()


def _no_recipe_there(made: Shared) -> None:
    del made.place.blobs[made.annotations[RECIPE_DIGEST]]


NO_ENVIRONMENT, NOT_ITS_OWN = "no environment of devenv's", "not the image that its own annotations name"
NOT_PUSHED = "no image that devenv pushed"
HOSTILE: dict[str, tuple[Callable[[Shared], None], str]] = {
    "plain image": (_put(annotations={}), NO_ENVIRONMENT),
    "no annotations": (_put(annotations=None), NO_ENVIRONMENT),
    "no identity": (_without(IDENTITY), NOT_ITS_OWN),
    "another identity": (_annotated(dev_devenv_identity=OTHER), NOT_ITS_OWN),
    "no digest as identity": (_annotated(dev_devenv_identity="latest"), NOT_ITS_OWN),
    "no recipe's digest": (_without(RECIPE_DIGEST), NO_ENVIRONMENT),
    "a path as recipe": (_annotated(dev_devenv_recipe="sha256:../../etc"), NO_ENVIRONMENT),
    "no recipe's size": (_without(RECIPE_SIZE), NO_ENVIRONMENT),
    "negative size": (_annotated(dev_devenv_recipe_size="-1"), NO_ENVIRONMENT),
    "size in other digits": (_annotated(dev_devenv_recipe_size="٣"), NO_ENVIRONMENT),
    "endless size": (_annotated(dev_devenv_recipe_size="9" * 5000), NO_ENVIRONMENT),
    "huge recipe": (_annotated(dev_devenv_recipe_size="99999999999"), "which no recipe of devenv's has"),
    "another size": (_annotated(dev_devenv_recipe_size="3"), "another size"),
    "recipe that is missing": (_no_recipe_there, "missing"),
    "newer recipe": (_newer, "is of a newer devenv"),
    "one layer more": (_one_layer_more, "another number of layers"),
    "one layer less": (_one_layer_less, "another number of layers"),
    "no layers": (_put(layers=[]), "another number of layers"),
    "a snapshot that the recipe has not": (_annotated(dev_devenv_delta="5" * 64), "another snapshot"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_manifest_is_one_error(case: str, tmp_path: Path) -> None:
    change, said = HOSTILE[case]
    made = shared(tmp_path / "preset")
    change(made)
    with pytest.raises(ShareError, match=said):
        look(made.place, session(tmp_path))


# ---- hostile configurations


def _with(path: str, value: Any) -> Callable[[dict[str, Any]], bytes]:
    def change(config: dict[str, Any]) -> bytes:
        *above, last = path.split(".")
        part = config
        for name in above:
            part = part[name]
        part[last] = value
        return document(config)

    return change


CONFIGS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "no JSON": lambda _: b"\xff{",
    "a list": lambda _: b"[]",
    "deep": lambda _: b"[" * 100_000,
    "an endless number": lambda _: b'{"a": ' + b"9" * 10_000 + b"}",
    "half a character": lambda _: b'{"config": {"Env": ["\\ud800"]}}',
    "config is a text": _with("config", "x"),
    "label bomb": _with("config.Labels", {f"org.{number}": "x" * 1000 for number in range(5000)}),
    "labels are a list": _with("config.Labels", ["dev.devenv.image.build"]),
    "labels are missing": _with("config", {"User": "root"}),
    "rootfs is a text": _with("rootfs", "x"),
    "no layers": _with("rootfs.diff_ids", None),
    "other layers": _with("rootfs.diff_ids", [OTHER, OTHER, OTHER]),
    "the snapshot is not the last": _with("rootfs.diff_ids", [f"sha256:{'5' * 64}", OTHER]),
    "no history": _with("history", None),
    "empty history": _with("history", []),
    "history is a number": _with("history", 7),
    "not canonical": lambda config: json.dumps(config, indent=1).encode(),
    "twice": lambda config: document(config)[:-1] + b',"os":"linux"}',
}


@pytest.mark.parametrize("snapshot", [False, True])
@pytest.mark.parametrize("case", CONFIGS)
def test_a_hostile_configuration_is_one_error(case: str, snapshot: bool, tmp_path: Path) -> None:
    made = shared(tmp_path / "preset", snapshot=snapshot)
    made.put(config_bytes=CONFIGS[case](copy.deepcopy(made.config)))
    with pytest.raises(ShareError):
        look(made.place, session(tmp_path))


def test_a_snapshot_that_is_not_the_last_layer_is_refused(tmp_path: Path) -> None:
    made = shared(tmp_path / "preset", snapshot=True)
    made.layers[-1], made.layers[0] = made.layers[0], made.layers[-1]
    made.put()
    with pytest.raises(ShareError, match="its last layer is not the snapshot's"):
        look(made.place, session(tmp_path))
    made = shared(tmp_path / "other", snapshot=True)
    del made.annotations[DELTA]
    made.put()
    with pytest.raises(ShareError, match="its recipe has another snapshot"):
        look(made.place, session(tmp_path))


# ---- other machines


@pytest.mark.parametrize("made_for", [("linux", "arm64"), ("windows", "amd64"), (None, None)])
def test_another_machines_image_is_refused(made_for: tuple[Any, Any], tmp_path: Path) -> None:
    made = shared(tmp_path / "preset")
    made.config["os"], made.config["architecture"] = made_for
    made.put()
    with pytest.raises(MachineError, match="this engine is linux/amd64"):
        look(made.place, session(tmp_path))


def _index(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries]}


def _entry(place: Memory, os: str, architecture: str) -> dict[str, Any]:
    assert place.own
    return {**place.own.described().document(), "platform": {"os": os, "architecture": architecture}}


def test_of_an_index_the_image_of_this_machine_is_taken(tmp_path: Path) -> None:
    made = shared(tmp_path / "preset")
    own = made.place.own
    assert own
    other = {**_entry(made.place, "linux", "arm64"), "digest": OTHER}
    made.place.mean(_index(other, _entry(made.place, "linux", "amd64")))
    assert look(made.place, session(tmp_path)).digest == own.digest
    with pytest.raises(DevenvError):
        look(made.place, session(tmp_path, Engine("aarch64")))


@pytest.mark.parametrize(
    ("platforms", "offered"),
    [([], "none"), ([("linux", "arm64"), ("linux", "s390x")], "arm64, s390x"), ([("windows", "amd64")], "amd64")],
)
def test_an_index_without_this_machine_is_refused(
    platforms: list[tuple[str, str]], offered: str, tmp_path: Path
) -> None:
    made = shared(tmp_path / "preset")
    made.place.mean(_index(*(_entry(made.place, *one) for one in platforms)))
    with pytest.raises(MachineError, match=f"no image for linux/amd64; it has {offered}"):
        look(made.place, session(tmp_path))


def test_an_index_in_an_index_is_not_followed(tmp_path: Path) -> None:
    made = shared(tmp_path / "preset")
    made.place.mean(_index())
    made.place.mean(_index(_entry(made.place, "linux", "amd64")))
    with pytest.raises(MachineError, match="no image for linux/amd64"):
        look(made.place, session(tmp_path))


# ---- the recipe here


def _recipes(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "state/recipes").iterdir())


def test_a_hostile_recipe_leaves_nothing(tmp_path: Path) -> None:
    made = shared(tmp_path / "preset")
    data = packed(tar(member(recipe.PRESET, b"x"), member("../../out", b"x")))
    about = made.place.add(data)
    made.annotations |= {RECIPE_DIGEST: about.digest, RECIPE_SIZE: str(about.size)}
    made.put()
    with pytest.raises(ShareError, match="no recipe of devenv's has"):
        look(made.place, session(tmp_path))
    assert _recipes(tmp_path) == [".lock"]
    assert not [*tmp_path.rglob("out")]


def test_what_a_killed_run_left_is_made_again(tmp_path: Path) -> None:
    made = shared(tmp_path / "preset")
    sha256 = made.annotations[RECIPE_DIGEST].partition(":")[2]
    left = tmp_path / "state/recipes" / f".{sha256}"
    left.mkdir(parents=True)
    (left / recipe.ADDED).write_text("half")
    assert look(made.place, session(tmp_path)).added is None
    assert _recipes(tmp_path) == [".lock", sha256]


def test_two_runs_at_once_unpack_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = shared(tmp_path / "preset")
    unpack, begun, proceed = recipe.unpack, threading.Event(), threading.Event()
    calls: list[Path] = []

    def slow(data: bytes, folder: Path) -> None:
        calls.append(folder)
        begun.set()
        assert proceed.wait(60)
        unpack(data, folder)

    monkeypatch.setattr(recipe, "unpack", slow)
    found: list[Any] = []
    runs = [threading.Thread(target=lambda: found.append(look(made.place, session(tmp_path)))) for _ in range(2)]
    for run in runs:
        run.start()
    assert begun.wait(60)
    proceed.set()
    for run in runs:
        run.join(60)
    assert (len(found), len(calls)) == (2, 1)
