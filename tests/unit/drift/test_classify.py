from __future__ import annotations

import pytest

from devenv.drift.classify import Classified, classify
from devenv.drift.entries import Entry
from devenv.drift.paths import is_derived, is_metadata, is_noise, is_trace, is_unread, program_of
from tests.unit.drift.made import Tree, file, folder, link, observed
from tests.unit.handmade import lock, preset


def found(before: Tree, after: Tree) -> Classified:
    return classify(observed(before, after), lock(preset()), is_secret=lambda path: path.endswith("id_rsa"))


@pytest.mark.parametrize("path", [
    "/home/dev/.bash_history", "/root/.python_history", "/var/log/x", "/tmp/a/b", "/var/tmp/x", "/run/x.pid", "/etc/passwd-",
    "/home/dev/.cache/pip/http/a", "/home/dev/.ipython/profile_default/history.sqlite", "/home/dev/a/.x.swp",
    "/home/dev/.jupyter/lab/workspaces/default.json", "/var/lib/apt/lists/x", "/etc/ld.so.cache", "/opt/venv/.lock",
    "/home/dev/.npm/_cacache/x", "/home/dev/.local/share/jupyter/runtime/kernel.json", "/etc/machine-id",
    "/home/dev/.ipynb_checkpoints/a.ipynb",
])  # fmt: skip
def test_what_programs_leave_is_noise(path: str) -> None:
    assert is_noise(path)
    assert is_trace(path) or path == "/etc/ld.so.cache"
    told = found({}, {path: b"1"})
    assert (told.items, told.noise) == ((), 1)


@pytest.mark.parametrize("path", [
    "/home/dev/tmp/x", "/tmpx", "/home/dev/notes.txt", "/var/logs/x", "/etc/passwd", "/srv/.bash_history",
    "/home/dev/.cachet", "/root/x", "/usr/bin/x", "/etc/cron.d/x", "/runner", "/home/dev/x/.cache/y",
])  # fmt: skip
def test_what_a_person_makes_is_no_noise(path: str) -> None:
    assert not is_noise(path)
    assert not is_unread(path)
    assert [one.paths for one in found({}, {path: b"1"}).items] == [(path,)]


@pytest.mark.parametrize(("path", "program"), [
    ("/home/dev/.gitconfig", "git"), ("/root/.config/git/ignore", "git"), ("/etc/pip.conf", "pip"),
    ("/home/dev/.config/pip/pip.conf", "pip"), ("/home/dev/.config/uv/uv.toml", "uv"), ("/home/dev/.npmrc", "npm"),
    ("/etc/apt/sources.list.d/x.list", "apt"), ("/home/dev/.jupyter/x.py", "Jupyter"), ("/home/dev/.bashrc", "shell"),
    ("/etc/profile.d/x.sh", "shell"), ("/home/dev/.vimrc", "editor"), ("/etc/sudoers.d/x", "system"),
    ("/etc/crontab", "system"), ("/etc/cron.d/x", "system"),
])  # fmt: skip
def test_settings_are_named_with_their_program(path: str, program: str) -> None:
    assert program_of(path) == program
    (item,) = found({}, {path: b"1"}).items
    assert (item.kind, item.note, item.name) == ("settings", program, path)


def test_other_paths_are_no_settings() -> None:
    for path in (
        "/home/dev/gitconfig",
        "/workspace/.gitconfig",
        "/home/dev/a/.bashrc",
        "/etc/xpip.conf",
        "/etc/aptx/y",
    ):
        assert program_of(path) is None


def test_metadata_and_derived_paths() -> None:
    for path in ("/x/a-1.dist-info/RECORD", "/x/site-packages/a.pth", "/var/lib/dpkg/status", "/etc/passwd",
                 "/opt/node/lib/node_modules/@a/b/package.json", "/x/jupyter/kernels/a/kernel.json"):  # fmt: skip
        assert is_metadata(path)
    assert not is_metadata("/x/a-1.dist-info/a.py")
    assert is_derived("/etc/alternatives/x")
    assert not any(map(is_derived, ("/etc/sudoers", "/usr/bin/x", "/etc/cron.d/x", "/home/dev/x", "/root/.ssh/x")))


def test_secrets_by_path_before_settings_and_files() -> None:
    told = found({}, {"/home/dev/.ssh/id_rsa": b"1", "/etc/apt/id_rsa": b"2"})
    assert {(one.kind, one.name) for one in told.items} == {
        ("secret", "/home/dev/.ssh/id_rsa"),
        ("secret", "/etc/apt/id_rsa"),
    }


def test_a_folder_of_many_files_is_one_item_and_of_few_is_each() -> None:
    top = folder("/srv/many")
    many = {"/srv/many": top} | {f"/srv/many/{number}": b"12" for number in range(30)}
    (item,) = found({}, many).items
    assert (item.name, item.note, item.bytes, len(item.paths)) == ("/srv/many/", "30 files", 60, 30)
    few = {"/srv/many": top, "/srv/many/1": b"1", "/srv/many/2": b"2"}
    assert [one.name for one in found({}, few).items] == ["/srv/many/1", "/srv/many/2"]
    assert [one.name for one in found({}, {"/srv/many": top}).items] == ["/srv/many/"]
    (item,) = found(many, {}).items
    assert (item.change, item.name) == ("removed", "/srv/many/")


@pytest.mark.parametrize(("before", "after", "note"), [
    (file("/x", b"1"), file("/x", b"1", mode=0o755), "mode 0644 → 0755"),
    (file("/x", b"1"), file("/x", b"2", mode=0o755), "content, mode 0644 → 0755"),
    (file("/x", b"1"), file("/x", b"2"), ""),
    (file("/x", b"1"), file("/x", b"1", uid=5), "owner 0:0 → 5:0"),
    (file("/x", b"1"), file("/x", b"1", capability="c"), "capabilities"),
    (file("/x", b"1"), link("/x", "/y"), "file → symlink"),
    (folder("/x"), link("/x", "/"), "folder → symlink"),
    (link("/x", "/y"), link("/x", "/z"), "link /y → /z"),
    (None, file("/x", b"1", mode=0o4755), "mode 4755"),
    (None, file("/x", b"1", capability="c"), "capabilities"),
    (None, file("/x", b"1", kind="char"), "char"),
    (None, file("/x", b"1", kind="unread"), "not read: its name is no UTF-8"),
])  # fmt: skip
def test_a_remark_says_what_is_otherwise(before: Entry | None, after: Entry, note: str) -> None:
    (item,) = found({"/x": before} if before else {}, {"/x": after}).items
    assert item.note == note


def test_a_changed_folder_is_named_beside_what_is_in_it() -> None:
    told = found({"/srv": folder("/srv")}, {"/srv": folder("/srv", mode=0o777), "/srv/x": b"1"})
    assert {one.name for one in told.items} == {"/srv/", "/srv/x"}


def test_what_nobody_read_is_counted() -> None:
    told = classify(observed({}, {"/var/log": folder("/var/log")}, unread=("/var/log/a", "/tmp/b")), lock(preset()))
    assert (told.items, told.noise) == ((), 3)
