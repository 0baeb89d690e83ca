from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from devenv.errors import LockError
from devenv.lock.npm import digests, shrinkwraps, wanted_tarballs
from devenv.sources import tarball_file


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
