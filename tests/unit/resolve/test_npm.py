from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from devenv.errors import LockError
from devenv.fetch import npm_program
from devenv.fetch.sources import tarball_file
from devenv.resolve import code_server
from devenv.resolve.npm import digests, preferred, shrinkwraps, wanted_tarballs


def sri(name: str, body: bytes = b"x") -> str:
    return f"{name}-{base64.b64encode(hashlib.new(name, body).digest()).decode()}"


def entries(**packages: dict[str, Any]) -> dict[str, Any]:
    every = {
        name.replace("__", "/"): {"version": "1.0.0", "integrity": "i", **entry} for name, entry in packages.items()
    }
    return {"lockfileVersion": 3, "packages": {"": {"name": "top"}, **every}}


def test_what_linux_with_glibc_takes_and_nothing_else() -> None:
    found = wanted_tarballs(
        entries(
            node_modules__a={}, node_modules__dev={"dev": True}, node_modules__opt={"optional": True},
            node_modules__mac={"os": ["darwin"]}, node_modules__notwin={"os": ["!win32"]},
            node_modules__arm={"cpu": ["arm64"]}, node_modules__x64={"cpu": ["arm64", "x64"]},
            node_modules__musl={"libc": ["musl"]}, node_modules__glibc={"libc": ["glibc"]},
            node_modules__nolinux={"os": ["!linux"]}, node_modules__link={"link": True},
            node_modules__bundled={"inBundle": True},
        ),
        "amd64",
    )  # fmt: skip
    assert {name for name, _ in found} == {"a", "opt", "notwin", "x64", "glibc"}


def test_the_name_is_the_real_one_behind_aliases_nesting_and_scopes() -> None:
    found = wanted_tarballs(
        {
            "packages": {
                "node_modules/a/node_modules/@s/b": {"version": "1.0.0", "integrity": "x"},
                "node_modules/alias": {"name": "real", "version": "2.0.0", "integrity": "y"},
            }
        },
        "amd64",
    )
    assert found == {("@s/b", "1.0.0"): "x", ("real", "2.0.0"): "y"}


def test_a_package_without_a_hash_cannot_be_locked() -> None:
    with pytest.raises(LockError, match="no hash for a"):
        wanted_tarballs(entries(node_modules__a={"integrity": None}), "amd64")


def test_several_shrinkwraps_make_one_set() -> None:
    import json

    first, second = entries(node_modules__a={}), entries(node_modules__b={}, node_modules__a={})
    assert len(shrinkwraps([json.dumps(first), json.dumps(second)], "amd64")) == 2


def test_what_is_left_out_takes_along_what_it_alone_needs() -> None:
    packages = entries(
        node_modules__agent={"dependencies": {"a": "1", "b": "1", "c": "1"}},
        node_modules__agent__node_modules__c={"version": "2.0.0"},
        node_modules__a={"dependencies": {"d": "1"}}, node_modules__a__node_modules__d={"version": "3.0.0"},
        node_modules__b={}, node_modules__c={}, node_modules__d={"peerDependencies": {"e": "1"}}, node_modules__e={},
    )  # fmt: skip
    packages["packages"][""]["dependencies"] = {"agent": "1", "a": "1", "c": "1"}
    found = wanted_tarballs(packages, "amd64", ("agent",))
    assert set(found) == {("a", "1.0.0"), ("c", "1.0.0"), ("d", "3.0.0")}


def test_the_strongest_hash_counts() -> None:
    both = f"{sri('sha1')} {sri('sha512')}?opt"
    assert digests(both) == (("sha512", hashlib.sha512(b"x").hexdigest()),)
    assert digests(sri("sha1")) == (("sha1", hashlib.sha1(b"x").hexdigest()),)
    with pytest.raises(LockError):
        digests("md5-abc")


def test_tarballs_of_two_scopes_never_share_a_file_name() -> None:
    names = ["types-node", "@types/node", "@types-node/x", "@types/node-x", "types-node-x"]
    files = [tarball_file(name, "1.0.0") for name in names]
    assert len(set(files)) == len(names)
    assert all("/" not in file for file in files)


def kept(**entry: Any) -> dict[str, Any]:
    """A package-lock as devenv writes it: no addresses."""
    packages = {"": {"name": "preset", "version": "0.0.0", "dependencies": {"a": "1.0.0"}}}
    return {
        "name": "preset", "version": "0.0.0", "lockfileVersion": 3, "requires": True,
        "packages": {**packages, "node_modules/a": {"version": "1.0.0", "integrity": "sha512-eA==", **entry}},
    }  # fmt: skip


def test_what_devenv_wrote_is_given_to_npm_again() -> None:
    spec = {"b": "^1.2.0 || 3.x", "@acme/c": "npm:@acme/d@>=1 <2", "e": "latest", "f": "*", "g": "1 - 2"}
    assert preferred(kept(dependencies=spec, peerDependencies=spec)) == kept(dependencies=spec, peerDependencies=spec)
    assert preferred({}) is None


@pytest.mark.parametrize(
    "entry",
    [
        {"resolved": "git+ssh://git@evil.example/a.git#0"},
        {"resolved": "http://169.254.169.254/a.tgz"},
        {"link": True},
        {"dependencies": {"b": "git+https://evil.example/b.git"}},
        {"dependencies": {"b": "github:evil/b"}},
        {"dependencies": {"b": "evil/b"}},
        {"optionalDependencies": {"b": "file:../../../../etc"}},
        {"peerDependencies": {"b": "/etc"}},
        {"devDependencies": {"b": "~/.ssh"}},
        {"dependencies": {"b": "https://evil.example/b.tgz"}},
        {"dependencies": {"b": "npm:git+https://evil.example/b.git"}},
        {"dependencies": {"b": ".."}},
        {"dependencies": {"b": "b.TGZ"}},
        {"dependencies": {"b": 1}},
        {"dependencies": ["b"]},
        {"version": {"a": "b"}},
    ],
)
def test_no_package_lock_of_a_repository_leads_npm_beyond_its_registries(entry: dict[str, Any]) -> None:
    assert preferred(kept(**entry)) is None


@pytest.mark.parametrize("place", ["../../etc", "node_modules/../../etc", "folder", "/etc", "node_modules/a/../b"])
def test_no_package_lock_of_a_repository_names_a_folder(place: str) -> None:
    assert preferred({"lockfileVersion": 3, "packages": {place: {"version": "1.0.0"}}}) is None


def test_the_node_that_runs_here_is_the_one_that_the_shipped_presets_have() -> None:
    locks = [json.loads(path.read_text()) for path in Path("presets").glob("*/devenv.lock")]
    pinned = npm_program.wheel("amd64").model_dump()
    assert [lock["node"] for lock in locks if lock.get("node")]
    assert all(lock["node"] == pinned for lock in locks if lock.get("node"))


@pytest.mark.parametrize("integrity", ["sha512-é", "sha512-a", "md5-x", ""])
def test_an_integrity_that_is_none(integrity: str) -> None:
    with pytest.raises(LockError, match="integrity"):
        digests(integrity)


@pytest.mark.parametrize(
    "data",
    [b"no tar", gzip.compress(b"no tar" * 1000), gzip.compress(b"x" * 4000)[:-9], b""],
    ids=["text", "packed text", "cut short", "nothing"],  # the bytes hold times, and workers must agree on names
)
def test_a_package_of_the_editor_that_is_none(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "package").write_bytes(data)
    with pytest.raises(LockError) as caught:
        code_server._texts(tmp_path / "package")
    assert caught.value.hint
