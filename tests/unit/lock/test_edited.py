"""Locks edited by hand, or merged badly: each kind of edit at seeded places, and what is to become of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from devenv.errors import LockError
from devenv.lock import drift
from devenv.lock.consistency import contradictions
from devenv.lock.files import beside
from devenv.lock.model import Lock, LockedModel, ModelFile, ModelSource, files_digest, read
from devenv.preset.load import find, load
from tests.unit import examples

Document = dict[str, Any]
Record = dict[str, Any]
Edit = Callable[[Document, random.Random], str | None]
SEEDS = range(4)


def _shipped() -> Lock:
    return read(beside(load(find("python", Path.cwd())).path))


def _full() -> Lock:
    """The shipped lock with npm packages and extensions of its own as well."""
    lock = _shipped()
    npm, extension, named = examples.npm(), examples.extension(), examples.named_extension()
    asked = [f"Acme.Tool 1.2.3 sha256 {extension.sha256}", "acme.named@1.0.0"]
    pins = {"npm": ["@acme/cli@3.1.0"], "extensions": asked}
    return lock.model_copy(update={"npm": npm, "extensions": (named, extension), "inputs": {**lock.inputs, **pins}})


LOCK = _full()
TEXT = LOCK.dump()


def _lists(document: Document) -> dict[str, list[Record]]:
    return {
        "base": document["base"]["packages"], "apt": document["apt"], "wheels": document["wheels"],
        "editor": document["editor"]["packages"], "toolchain": document["editor"]["toolchain"],
        "npm": document["npm"]["packages"], "extensions": document["extensions"],
    }  # fmt: skip


def _any(document: Document, dice: random.Random, *kinds: str) -> Record:
    return dice.choice(_lists(document)[dice.choice(kinds or tuple(_lists(document)))])


DEBS = ("base", "apt", "toolchain")
PACKAGES = (*DEBS, "wheels", "editor")


def _sets(key: str, value: Any, *kinds: str) -> Edit:
    """Every such record has its own line, and the returned text is in it."""

    def edit(document: Document, dice: random.Random) -> str:
        record = _any(document, dice, *kinds)
        record[key] = value(record) if callable(value) else value
        return json.dumps(record.get("file"))

    return edit


def _drops(key: str, *kinds: str) -> Edit:
    def edit(document: Document, dice: random.Random) -> str:
        record = _any(document, dice, *kinds)
        del record[key]
        return f'"{record["name"]}"' if "name" in record else f'"{record["file"]}"'

    return edit


def _copies(key: str, *kinds: str) -> Edit:
    """One record gets another's value."""

    def edit(document: Document, dice: random.Random) -> str:
        one, other = dice.sample(_lists(document)[dice.choice(kinds)], 2)
        before, one[key] = json.dumps(one["file"]), other[key]
        return f"{before}|{json.dumps(one['file'])}|{json.dumps(other['file'])}"  # one of them is the wrong one

    return edit


def _doubles(*kinds: str, version: str | None = None, **changes: str) -> Edit:
    def edit(document: Document, dice: random.Random) -> str:
        records = _lists(document)[dice.choice(kinds)]
        one = dict(dice.choice(records))
        if version:  # in good form
            old = one["version"].partition(":")[2] or one["version"]
            one |= {key: one[key].replace(old, version) for key in ("file", "path") if key in one}
            one["version"] = version
        one |= changes
        records.insert(dice.randrange(len(records) + 1), one)
        return json.dumps(one["name"])

    return edit


def _moves(document: Document, dice: random.Random) -> str:
    """A package of the base is listed among apt's as well."""
    one = dice.choice(_lists(document)["base"])
    document["apt"].append(dict(one))
    return json.dumps(one["file"])


def _top(*path: str, value: Any) -> Edit:
    def edit(document: Document, dice: random.Random) -> str | None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value(document[path[-1]]) if callable(value) else value
        return None

    return edit


def _repins(section: str, old: str, new: str) -> Edit:
    def edit(document: Document, dice: random.Random) -> str:
        pins = document["inputs"][section]
        document["inputs"][section] = (
            [one.replace(old, new) for one in pins] if isinstance(pins, list) else pins.replace(old, new)
        )
        assert document["inputs"][section] != pins
        return f'"{section}"'

    return edit


def _flipped(record: Record) -> str:
    return ("0" if record["sha256"][0] != "0" else "1") + record["sha256"][1:]


REFUSED: dict[str, Edit] = {
    "no name": _drops("name"),
    "no version": _drops("version"),
    "no file": _drops("file"),
    "no size": _drops("size"),
    "no sha256": _drops("sha256"),
    "no path": _drops("path", *DEBS),
    "no suite": _drops("suite", *DEBS),
    "no arch": _drops("arch", *DEBS),
    "negative size": _sets("size", -1),
    "no bytes": _sets("size", 0),
    "size as words": _sets("size", "many"),
    "sha256 too short": _sets("sha256", lambda one: one["sha256"][:-1]),
    "sha256 in capitals": _sets("sha256", lambda one: "A" + one["sha256"][1:]),
    "sha256 of another package": _copies("sha256", *PACKAGES),
    "another version, the file's name not": _sets("version", lambda one: one["version"] + ".1"),
    "another name, the file's not": _sets("name", lambda one: one["name"] + "x"),
    "another file's name": _copies("file", *PACKAGES),
    "another package's path": _copies("path", *DEBS),
    "file name of another architecture": _sets(
        "file", lambda one: one["file"].replace("_amd64", "_arm64").replace("_all", "_arm64"), *DEBS
    ),
    "arch that is not its file's": _sets("arch", "i386", *DEBS),
    "suite of another release": _sets("suite", "trixie", *DEBS),
    "a path outside": _sets("path", lambda one: f"../{one['file']}", *DEBS),
    "an address as path": _sets("path", lambda one: f"https://host.example/{one['file']}", *DEBS),
    "a wheel that is no wheel": _sets("file", lambda one: one["file"].replace(".whl", ".zip"), "wheels"),
    "a wheel without tags": _sets("file", lambda one: f"{one['name']}-{one['version']}.whl", "wheels"),
    "a layer below the ground": _sets("layer", -1, "wheels"),
    "a record twice": _doubles(*PACKAGES),
    "a package in two versions": _doubles(*DEBS, "wheels", version="9.9.9", sha256="c" * 64),
    "one version with two contents": _doubles("editor", sha256="c" * 64),
    "a package in base and in apt": _moves,
    "a command in a name": _sets("name", "git; rm -rf /"),
    "unknown platform": _top("platform", value="linux/riscv64"),
    "another platform": _top("platform", value="linux/arm64"),
    "another format": _top("format", value=2),
    "preset outside": _top("preset", value="../x"),
    "base without packages": _top("base", "packages", value=[]),
    "base of another release": _top("base", "release", value="trixie"),
    "base of another distribution": _top("base", "distribution", value="ubuntu"),
    "base of another kind": _top("base", "kind", value="image"),
    "no uv": _top("uv", value=None),
    "another program as node": _top("node", "name", value="evil"),
    "node of another version": _top("node", "version", value="1.0.0"),
    "no node for npm": _top("node", value=None),
    "editor of another version": _top("editor", "version", value="4.0.0"),
    "editor from elsewhere": _top("editor", "source", value="release"),
    "editor's archive of another version": _top("editor", "archive", "version", value="4.0.0"),
    "npm's lock without a package": _top("npm", "package_lock", value={"packages": {"": {}}}),
    "npm's lock is a list": _top("npm", "package_lock", "packages", value=[]),
    "npm's lock has an odd entry": _top("npm", "package_lock", "packages", "node_modules/@acme/cli", value=7),
    "pin of pip edited": _repins("pip", "jupyterlab==4", "jupyterlab==3"),
    "pin of npm edited": _repins("npm", "3.1.0", "3.2.0"),
    "pin of the editor edited": _repins("code_server", "4.", "5."),
    "pin of node edited": _repins("node", "24", "22"),
    "pin of the base edited": _repins("base", "bookworm", "trixie"),
    "pin of an extension edited": _repins("extensions", "1.2.3", "1.2.4"),
    "pin of an extension by name edited": _repins("extensions", "named@1.0.0", "named@1.0.1"),
    "an extension by name is another one": _repins("extensions", "acme.named@1.0.0", "acme.other"),
    "an extension by name is a file": _repins("extensions", "acme.named@1.0.0", "acme.tool"),
    "an extension for another processor": lambda document, dice: (
        document["extensions"][0].update(platform="linux-arm64") or '"Acme.Named"'
    ),
    "an extension for another system": lambda document, dice: (
        document["extensions"][0].update(platform="win32-x64") or '"Acme.Named"'
    ),
    "an archive's date that is no date": _top("archives", "base", "bookworm", value="20261399T000000Z"),
    "a record that is a text": lambda document, dice: document["apt"].append("less"),
    "packages that are an object": _top("apt", value={}),
}


def _written(document: Document, path: Path) -> str:
    """As devenv writes it: an edit by hand leaves all other lines alone."""
    from devenv.lock.text import dumped

    text = dumped(document) + "\n"
    path.write_text(text)
    return text


def _edited(edit: Edit) -> Iterator[tuple[int, str | None, Document]]:
    """Seed, mark and document; only once when nothing is random."""
    before = None
    for seed in SEEDS:
        document = json.loads(TEXT)
        mark = edit(document, random.Random(seed))
        if document != before:
            yield seed, mark, document
        before = document


def test_the_example_itself_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "devenv.lock"
    _written(json.loads(TEXT), path)
    assert read(path) == LOCK


@pytest.mark.parametrize("kind", REFUSED)
def test_a_lock_that_contradicts_itself_is_refused_with_the_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "devenv.lock"
    for seed, mark, document in _edited(REFUSED[kind]):
        lines = _written(document, path).splitlines()
        with pytest.raises(LockError) as caught:
            read(path)
        assert caught.value.exit_code == 4
        assert "devenv lock" in (caught.value.hint or "") or "update devenv" in (caught.value.hint or "")
        where = caught.value.where or ""
        if "newer devenv" in caught.value.message:
            continue
        line = lines[int(where.rpartition(":")[2]) - 1]
        if mark is not None:
            assert any(one in line for one in mark.split("|")), f"seed {seed}: {caught.value.message} at {line}"


STALE: dict[str, Edit] = {
    "a pin added": lambda document, dice: document["inputs"]["apt"].append("jq"),
    "a pin dropped": lambda document, dice: document["inputs"]["apt"].remove("git"),
    "another Python": _top("inputs", "python", value="3.12"),
    "a section dropped": lambda document, dice: document["inputs"].pop("pip") and None,
    "a range edited": _top("inputs", "system", value=["nginx"]),
}


@pytest.mark.parametrize("kind", STALE)
def test_edited_pins_make_a_lock_stale(kind: str, tmp_path: Path) -> None:
    document, path = json.loads(_shipped().dump()), tmp_path / "devenv.lock"
    STALE[kind](document, random.Random(0))
    _written(document, path)
    with pytest.raises(LockError, match="stale"):
        drift.require_fit(read(path), load(find("python", Path.cwd())).preset)


def _reordered(document: Document, dice: random.Random) -> str | None:
    for records in _lists(document).values():
        dice.shuffle(records)
    return None


HARMLESS: dict[str, Edit] = {
    # dpkg puts packages in the right order by itself, uv and npm do not care; the digest is another one.
    "records in another order": _reordered,
    "keys of a newer devenv": _sets("later", 1),
    # What is fetched by it is compared with the hash, which is not edited.
    "another archive's date": _top("archives", "base", "bookworm", value="20250101T000000Z"),
    "no dates": _top("archives", value=None),
    "another pocket of the release": _sets("suite", "bookworm-updates", *DEBS),
    # Found out when the bytes come: no mirror has a file of that name with that hash or size.
    "a flipped digit of a hash": _sets("sha256", _flipped, *PACKAGES),
    "another size": _sets("size", lambda one: one["size"] + 1, *PACKAGES),
    "two versions of an npm package": _doubles("editor", version="9.9.9", sha256="c" * 64),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_a_lock_cannot_know_is_left_to_the_bytes(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "devenv.lock"
    for _, _, document in _edited(HARMLESS[kind]):
        _written(document, path)
        assert read(path).digest


# ---- a model


_MODEL = ("huggingface acme/tiny@" + "1" * 40, "modelscope acme/tiny@v1")


def _of_a_model(*inputs: str, sources: tuple[str, ...] = _MODEL) -> list[tuple[Any, str]]:
    files = (ModelFile(path="a", size=1, sha256="0" * 64),)
    rows = [(hub, *rest.split("@")) for hub, _, rest in (one.partition(" ") for one in sources)]
    named = tuple(ModelSource(hub=hub, id=id_, revision=revision) for hub, id_, revision in rows)  # type: ignore[arg-type]
    model = LockedModel(name="tiny", digest=files_digest(files), sources=named, files=files) if named else None
    return list(contradictions(examples.lock(inputs={"model": list(inputs)}, model=model)))


def test_a_model_from_where_the_preset_names_it_is_fine() -> None:
    assert not _of_a_model(*_MODEL, "allow *.bin")


@pytest.mark.parametrize(
    ("inputs", "sources", "place"),
    [
        (_MODEL[:1], _MODEL, ("model", "sources", 1)),
        (_MODEL[:1], (_MODEL[0].replace("1" * 40, "2" * 40),), ("model", "sources", 0)),
        (_MODEL[:1], (_MODEL[0].replace("acme", "mallory"),), ("model", "sources", 0)),
        (_MODEL, _MODEL[:1], ("inputs", "model")),
        (_MODEL[:1], _MODEL[:1] * 2, ("model", "sources", 1)),
        (("allow *",), _MODEL, ("model", "sources", 0)),
        (_MODEL, (), ("inputs", "model")),
    ],
)
def test_a_model_from_elsewhere_is_refused_in_its_place(
    inputs: tuple[str, ...], sources: tuple[str, ...], place: tuple[Any, ...]
) -> None:
    found = _of_a_model(*inputs, sources=sources)
    assert place in [loc for loc, _ in found]


def test_a_path_that_is_a_file_and_a_folder_is_refused() -> None:
    files = [ModelFile(path=path, size=1, sha256="0" * 64) for path in ("a", "a/b")]
    source = ModelSource(hub="huggingface", id="acme/tiny", revision="1" * 40)
    with pytest.raises(ValidationError, match="a cannot be a file"):
        LockedModel(name="tiny", digest=files_digest(files), sources=(source,), files=tuple(files))


def test_a_lock_for_cuda_holds_no_build_for_the_cpu() -> None:
    wheels = (examples.wheel("jupyterlab"), examples.wheel("torch", "2.10.0+cpu"))
    made = examples.lock(wheels=wheels, inputs={"cuda": "12.8"})
    assert [loc for loc, reason in contradictions(made) if "CUDA 12.8" in reason] == [("wheels", 1)]
    assert not list(contradictions(made.model_copy(update={"inputs": {}})))
