"""What goes into the layer, what is refused, and what is said of it."""

from __future__ import annotations

import base64
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.settings.credentials import Credential
from devenv.drift.classify import Classified
from devenv.drift.entries import Spool
from devenv.drift.items import Item
from devenv.drift.observe import Difference
from devenv.errors import ShareError
from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import Scanner
from devenv.snapshot import layer, take
from devenv.snapshot.into_lock import Locked
from devenv.snapshot.store import volume_file
from tests.unit import examples
from tests.unit.snapshot.made import added, changed, observation, removed, spooled
from tests.unit.snapshot.test_into_lock import a_patch

SITE = "/opt/venv/lib/python3.11/site-packages"


def _kept(differences: Iterable[Difference], *items: Item, unread: Iterable[str] = (), **values: Any) -> list[str]:
    locked = values.pop("locked", None)
    classified = Classified(items=items, noise=0, **values)
    return [one.path for one in take._kept(observation(differences, unread), classified, locked)]


def _locked(**changes: Any) -> Locked:
    return Locked(patch=a_patch(pip=("six==1.0",)), before=examples.lock(), lock=examples.lock(**changes))


def test_caches_histories_and_devenvs_own_files_stay_out() -> None:
    differences = [
        added("/home/dev/a"), added("/home/dev/.bash_history"), added("/x/__pycache__", "folder"),
        added("/x/__pycache__/a.pyc"), changed("/etc/devenv/devenv.lock"), changed("/etc/machine-id"),
    ]  # fmt: skip
    assert _kept(differences) == ["/home/dev/a"]


def test_folders_of_nothing_but_caches_stay_out_and_a_persons_empty_folder_is_kept() -> None:
    differences = [
        added("/home/dev/.local", "folder"), added("/home/dev/.local/share", "folder"),
        added("/home/dev/.local/share/code-server", "folder"), added("/home/dev/empty", "folder"),
        added("/home/dev/x", "folder"), added("/home/dev/x/y", "folder"), added("/home/dev/x/y/.a.swp"),
    ]  # fmt: skip
    unread = ["/home/dev/.local/share/code-server/logs"]
    assert _kept(differences, unread=unread) == ["/home/dev/empty"]


def test_folders_keep_their_owner_although_they_are_traces() -> None:
    """Else the layer's parent folders would be root's when it is applied."""
    differences = [
        added("/home/dev/.ipython", "folder"), added("/home/dev/.ipython/profile_default", "folder"),
        added("/home/dev/.ipython/profile_default/history.sqlite"),
        added("/home/dev/.ipython/profile_default/startup", "folder"),
        added("/home/dev/.ipython/profile_default/startup/mine.py"),
    ]  # fmt: skip
    kept = _kept(differences)
    assert "/home/dev/.ipython/profile_default" in kept
    assert "/home/dev/.ipython/profile_default/history.sqlite" not in kept


def test_folders_that_existed_keep_their_change() -> None:
    differences = [changed("/opt", "folder", was="folder", mode=0o777), added("/opt/.x.swp"), removed("/srv", "folder")]
    assert _kept(differences) == ["/opt", "/srv"]


def test_locked_packages_stay_out_with_their_folders() -> None:
    paths = (f"{SITE}/six.py", f"{SITE}/six-1.0.dist-info/METADATA")
    item = Item(kind="python", change="added", name="six", now="1.0", paths=paths, asked_for=True)
    differences = [
        *(added(path) for path in paths), added(f"{SITE}/six-1.0.dist-info", "folder"), added("/home/dev/a"),
    ]  # fmt: skip
    locked = _locked(wheels=(examples.wheel("six"),))
    assert _kept(differences, item, locked=locked) == ["/home/dev/a"]
    assert len(_kept(differences, item)) == 4  # without a lock they are files


def test_debian_packages_and_what_their_scripts_made_stay_out_only_where_they_are_locked() -> None:
    item = Item(kind="apt", change="added", name="tree", now="1", paths=("/usr/bin/tree",), asked_for=True)
    differences = [added("/usr/bin/tree"), changed("/var/lib/dpkg/status"), changed("/etc/shadow")]
    derived = ("/var/lib/dpkg/status", "/etc/shadow")
    locked = _locked(apt=(examples.deb("git"), examples.deb("less"), examples.deb("tree", "1")))
    assert _kept(differences, item, derived=derived, locked=locked) == []
    # /etc/shadow is secret by its name, and every machine has its own.
    assert _kept(differences, item, derived=derived) == ["/usr/bin/tree", "/var/lib/dpkg/status"]


# What is refused.

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4xZ7cF0rL3yU6"


def _check(contents: dict[str, bytes], allow: tuple[str, ...] = (), known: KnownValues | None = None) -> None:
    differences, left = layer.writable(
        [added(path, content=data) for path, data in contents.items()], spooled(contents)
    )
    assert left == []
    given = take._contents(differences, spooled(contents), Path(), ())
    take._check(given, allow, Scanner(known or KnownValues()))


def test_a_secret_refuses_with_path_and_kind_and_without_its_value() -> None:
    with pytest.raises(ShareError) as caught:
        _check({"/home/dev/.netrc": b"machine x", "/home/dev/a.py": f"x\nT = '{TOKEN}'\n".encode()})
    error = caught.value
    assert error.message == "2 files may hold secrets, so nothing is kept"
    assert "/home/dev/.netrc: netrc: " in (error.detail or "")
    assert "/home/dev/a.py:2: github-token" in (error.detail or "")
    assert TOKEN not in str(error) + (error.detail or "") + (error.hint or "")


def test_one_file_is_counted_once() -> None:
    with pytest.raises(ShareError, match="1 file may hold a secret"):
        _check({"/home/dev/a.py": f"A = '{TOKEN}'\nB = '{TOKEN[:-1]}X'\n".encode()})


def test_many_findings_are_cut() -> None:
    with pytest.raises(ShareError) as caught:
        _check({f"/home/dev/{number}/.netrc": b"machine x" for number in range(50)})
    assert (caught.value.detail or "").endswith("… and 30 more")


def test_allowed_paths_go_along() -> None:
    _check({"/home/dev/.netrc": b"machine x", "/home/dev/k/a": TOKEN.encode()}, ("/home/dev/.netrc", "/home/dev/k/"))


def test_this_users_own_values_are_found_in_base64_too() -> None:
    value = "correct-horse-battery"
    known = KnownValues.of([Credential(origin="the environment's token", value=value)])
    for text in (value.encode(), base64.b64encode(f"user:{value}".encode())):
        with pytest.raises(ShareError) as caught:
            _check({"/home/dev/a": b"x " + text}, known=known)
        assert value not in (caught.value.detail or "")


def test_a_further_name_of_a_secret_file_is_searched_too() -> None:
    spool = spooled({"/home/dev/.bash_history": TOKEN.encode()})
    held, _ = layer.writable([added("/home/dev/notes", "hardlink", target="/home/dev/.bash_history")], spool)
    with pytest.raises(ShareError):
        take._check(take._contents(held, spool, Path(), ()), (), Scanner(KnownValues()))


def test_volumes_are_searched(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / volume_file("/workspace"), "x:") as archive:
        member = tarfile.TarInfo("./a/.env")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"A=1"))
    with pytest.raises(ShareError) as caught:
        take._check(take._contents([], spooled({}), tmp_path, ["/workspace"]), (), Scanner(KnownValues()))
    assert (caught.value.detail or "").startswith("/workspace/a/.env: ")


def test_where_a_link_leads_to_is_searched(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / volume_file("/workspace"), "x:") as archive:
        member = tarfile.TarInfo("./link")
        member.type, member.linkname = tarfile.SYMTYPE, f"https://{TOKEN}@h/"
        archive.addfile(member)
    kept = [added("/home/dev/link", "symlink", target=f"x-{TOKEN}"), added("/home/dev/.env", "symlink", target="a")]
    with pytest.raises(ShareError) as caught:
        take._check(take._contents(kept, spooled({}), tmp_path, ["/workspace"]), (), Scanner(KnownValues()))
    found = {line.partition(":")[0] for line in (caught.value.detail or "").splitlines()}
    assert found == {"/home/dev/link", "/workspace/link"}


def test_a_further_name_in_a_volume_is_judged_by_its_name(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / volume_file("/workspace"), "x:") as archive:
        archive.addfile(tarfile.TarInfo("./a"), io.BytesIO())
        member = tarfile.TarInfo("./b/.env")
        member.type, member.linkname = tarfile.LNKTYPE, "./a"
        archive.addfile(member)
    with pytest.raises(ShareError) as caught:
        take._check(take._contents([], spooled({}), tmp_path, ["/workspace"]), (), Scanner(KnownValues()))
    assert (caught.value.detail or "").startswith("/workspace/b/.env: ")


def test_an_allowed_name_that_is_no_utf8_is_recorded_as_text_and_allowed_again() -> None:
    contents = {"/home/dev/.ssh/k\udcff": b"x"}
    given = [(path, "file", iter([content])) for path, content in contents.items()]
    recorded = take._check(given, ("/home/dev/.ssh",), Scanner(KnownValues()))
    assert recorded == ("/home/dev/.ssh/k?",)
    _check(contents, recorded)
    assert take._text("caf\udce9 é") == "caf? é"


def test_what_is_left_out_is_said() -> None:
    observed = observation([added("/home/dev/.bash_history"), added("/a")], ["/tmp/x"])
    given = [Item(kind="container", change="added", name="variable TOKEN")]
    assert [*take._left_out(observed, ["/b, a device"], given)] == [
        "2 files of caches, logs and histories", "/b, a device", "variable TOKEN, which was given to the container",
    ]  # fmt: skip


def test_nothing_to_keep_is_no_layer(tmp_path: Path) -> None:
    (tmp_path / "layer.tar").write_bytes(b"what was read")
    assert take._write_layer([], spooled({}), tmp_path / "layer.tar") == ""
    assert not (tmp_path / "layer.tar").exists()


@pytest.mark.parametrize("names", ["a a/x a-b left-out z", "z left-out a/x a-b a", "a"])
def test_the_file_that_was_read_into_becomes_the_layer(names: str, tmp_path: Path) -> None:
    """Written over itself where the order is that of the layer, else beside it: the bytes are the same."""
    contents = {f"/home/dev/{name}": name.encode() * 200_000 for name in names.split()}
    differences = [added(path, content=data) for path, data in contents.items() if "left-out" not in path]
    differences += [added("/home/dev/" + "ä" * 900, "folder"), removed("/opt/x")]
    path = tmp_path / "layer.tar"
    with path.open("x+b") as file:
        spool = Spool(file)
        spool.leave_room(len(differences))
        for name, data in contents.items():
            assert [*spool.put(name, [data])] == [data]
        file.flush()
        assert layer.fits(differences, spool) == (not names.startswith("z"))
        expected = io.BytesIO()
        digest = layer.write(differences, spool, expected)
        assert take._write_layer(differences, spool, path) == digest
    assert path.read_bytes() == expected.getvalue()
    assert [*tmp_path.iterdir()] == [path]


def test_a_layer_without_room_for_its_headers_is_written_beside_what_was_read(tmp_path: Path) -> None:
    with (tmp_path / "layer.tar").open("x+b") as file:
        spool = Spool(file)
        assert [*spool.put("/a", [b"text"])] == [b"text"]
        file.flush()
        assert not layer.fits([added("/a", content=b"text")], spool)
        take._write_layer([added("/a", content=b"text")], spool, tmp_path / "layer.tar")
    with tarfile.open(tmp_path / "layer.tar") as archive:
        content = archive.extractfile("a")
        assert content
        assert content.read() == b"text"


def test_a_user_whom_this_machine_has_no_name_for_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 123_456_789)
    assert take._user() == "123456789"
