"""The door to registries against one on loopback that fails in every way we know."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.cancellation import Cancellation
from devenv.doors.http.pieces import Part
from devenv.doors.http.registry.client import Registry
from devenv.doors.http.registry.faults import DeniedError, MissingError, RegistryError
from devenv.doors.http.registry.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, digest_of
from devenv.doors.http.registry.pull import pull
from devenv.doors.http.registry.push import push
from devenv.doors.http.registry.referrers import attach, fallback_tag, referrers
from devenv.doors.http.registry.repository import Repository
from devenv.doors.http.registry.upload import WHOLE_BYTES, Blob, Sent
from devenv.doors.http.retry import Policy
from devenv.doors.terminal.progress import Silent
from devenv.doors.thread import in_thread
from devenv.errors import CancelledError, DevenvError, ShareError
from tests.integration.registries import BASIC, PASSWORD, USER, FakeRegistry, body, described, killed_transfer, settings
from tests.waiting import until

QUICK = Policy(attempts=3, backoff_s=0.005, read_timeout_s=20, connect_timeout_s=5, longest_wait_s=0.1, redirects=4)
BIG = body(1, WHOLE_BYTES + 3_000_000)
SMALL = body(2, 5000)
CHUNK = 2_000_000
LOGIN = f"{USER}:{PASSWORD}"
Opened = Callable[..., Repository]


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def opened(fake: FakeRegistry, tmp_path: Path) -> Iterator[Opened]:
    """Opens `team/image` of the fake registry."""
    open_: list[Registry] = []

    def make(login: str | None = None, *, writing: bool = True, cancel: Cancellation | None = None) -> Repository:
        registry = Registry(fake.host, settings(tmp_path, fake.host, login=login), QUICK, cancel)
        open_.append(registry.__enter__())
        return Repository(registry, "team/image", writing=writing)

    yield make
    for registry in open_:
        registry.__exit__()


class Counting(Silent):
    """Adds what is done."""

    def __init__(self) -> None:
        self.total, self.done = 0, 0
        self.guard = threading.Lock()

    def start(self, task: str, total_bytes: int | None) -> None:
        self.total += total_bytes or 0

    def advance(self, task: str, bytes_: int) -> None:
        with self.guard:
            self.done += bytes_


def _blob(data: bytes = BIG, **more: Any) -> Blob:
    return Blob(descriptor=described(data), content=data, **more)


def _push(repository: Repository, *blobs: Blob, progress: Silent | None = None) -> Sent:
    return push(repository, blobs, progress or Silent(), chunk_bytes=CHUNK)


def _pull(repository: Repository, folder: Path, *blobs: Descriptor, progress: Silent | None = None) -> int:
    return pull(repository, blobs, folder, progress or Silent(), piece_bytes=500_000)


def _all(error: DevenvError) -> str:
    return "\n".join(filter(None, (str(error), error.detail, error.hint, error.where)))


# ---- what follows a whole file


def test_what_follows_a_file_begins_once_it_is_whole(fake: FakeRegistry, opened: Opened, tmp_path: Path) -> None:
    wanted = [fake.add(BIG), fake.add(SMALL)]
    seen: list[tuple[str, int]] = []

    def placed(path: Path) -> None:
        seen.append((path.name, path.stat().st_size))

    for _ in range(2):  # the second time they are there
        pull(opened(), wanted, tmp_path, Silent(), placed=placed)
        assert sorted(seen) == sorted((one.hex, one.size) for one in wanted)
        seen.clear()


def test_what_follows_a_file_can_end_the_download(fake: FakeRegistry, opened: Opened, tmp_path: Path) -> None:
    def placed(path: Path) -> None:
        raise ShareError(f"not {path.name}")

    wanted = fake.add(SMALL)
    with pytest.raises(ShareError, match=f"not {wanted.hex}"):
        pull(opened(), [wanted], tmp_path, Silent(), placed=placed)


def test_what_reads_along_hears_of_each_byte_and_can_end_the_download(
    fake: FakeRegistry, opened: Opened, tmp_path: Path
) -> None:
    wanted, seen, read = fake.add(BIG), [0], bytearray()

    def grew(target: Path, part: Path, size: int) -> None:
        assert target == tmp_path / wanted.hex
        assert size > seen[-1]
        read.extend(part.read_bytes()[seen[-1] : size])
        seen.append(size)

    pull(opened(), [wanted], tmp_path, Silent(), grew=grew, piece_bytes=500_000)
    assert bytes(read) == BIG

    def refused(*_: object) -> None:
        raise ShareError("enough")

    other = fake.add(SMALL)
    with pytest.raises(ShareError, match="enough"):
        pull(opened(), [other], tmp_path, Silent(), grew=refused)


def test_what_reads_along_hears_that_bytes_were_wrong(fake: FakeRegistry, opened: Opened, tmp_path: Path) -> None:
    wanted, seen = fake.add(BIG), []
    (tmp_path / f"{wanted.hex}.part").write_bytes(bytes(len(BIG) - 1))
    pull(opened(), [wanted], tmp_path, Silent(), grew=lambda *found: seen.append(found[-1]))
    again = seen.index(0)
    assert seen[again - 1] == seen[-1] == len(BIG)


# ---- logins


@pytest.mark.parametrize("way", ["basic", "bearer"])
def test_a_login_is_shown_when_asked_for_and_to_its_own_host_alone(
    way: str, fake: FakeRegistry, opened: Opened, tmp_path: Path
) -> None:
    fake.login = way
    wanted = fake.add(BIG)
    fake.always["GET blobs"] = "away"
    repository = opened(LOGIN)
    assert _pull(repository, tmp_path / "blobs", wanted) == len(BIG)
    away = [one for one in fake.seen if one.kind == "store"]
    assert away
    assert {(one.login, one.headers.get("Cookie")) for one in away} == {("", None)}
    scheme = {"basic": "Basic", "bearer": "Bearer"}[way]
    assert {one.login.partition(" ")[0] for one in fake.seen if one.kind == "blobs"} <= {"", scheme}
    if way == "bearer":
        assert fake.asked == [
            {
                "service": ["tests"], "scope": ["repository:team/image:pull", "repository:team/image:pull,push"],
                "account": [USER],
            }
        ]  # fmt: skip
        assert {one.login for one in fake.seen if one.kind == "token"} == {BASIC}


@pytest.mark.parametrize("way", ["basic", "bearer"])
@pytest.mark.parametrize("login", [None, "me:wrong"])
def test_a_refused_login_names_itself_and_its_file_but_not_the_password(
    way: str, login: str | None, fake: FakeRegistry, opened: Opened, tmp_path: Path
) -> None:
    fake.login = way
    repository = opened(login)
    for act in (
        lambda: repository.manifest("v1"),
        lambda: _push(opened(login), _blob()),
        lambda: _pull(opened(login), tmp_path / "blobs", described(BIG)),
    ):
        with pytest.raises(DeniedError) as caught:
            act()
        told = _all(caught.value)
        assert str(tmp_path / "docker/config.json") in told
        assert ("the login 'me'" in told) == (login is not None)
        assert f"docker login {fake.host}" in told
        assert "wrong" not in told
    assert len(fake.seen) < 40, "it is not asked for ever"


@pytest.mark.parametrize("status", ["401", "403"])
def test_refused_for_ever_although_the_login_is_right_ends(status: str, fake: FakeRegistry, opened: Opened) -> None:
    fake.login = "bearer"
    fake.always["GET manifests"] = status
    with pytest.raises(DeniedError) as caught:
        opened(LOGIN).manifest("v1")
    assert status in _all(caught.value)
    assert fake.count("GET", "manifests") <= 2


def test_what_the_registry_repeats_of_a_secret_is_not_shown(fake: FakeRegistry, opened: Opened) -> None:
    fake.login = "basic"
    fake.faults["GET manifests"] = ["", "400"]
    with pytest.raises(RegistryError) as caught:
        opened(LOGIN).manifest("v1")
    told = _all(caught.value)
    assert "HAPPENED: Basic ***" in told
    assert BASIC.removeprefix("Basic ") not in told


def test_tokens_that_expire_in_mid_transfer_are_renewed(fake: FakeRegistry, opened: Opened, tmp_path: Path) -> None:
    fake.login, fake.uses = "bearer", 3
    progress = Counting()
    _push(opened(LOGIN), _blob(), progress=progress)
    assert fake.blobs[digest_of(BIG)] == BIG
    assert progress.done == progress.total
    pushed = len(fake.asked)
    assert pushed > 1
    reading = opened(LOGIN, writing=False)
    assert pull(reading, [described(BIG)], tmp_path, Silent(), connections=1, piece_bytes=500_000) == len(BIG)
    assert len(fake.asked) > pushed + 1


def test_an_identity_token_goes_to_the_token_service_alone(fake: FakeRegistry, opened: Opened, tmp_path: Path) -> None:
    fake.login, fake.identity = "bearer", "refresh-me"
    repository = opened()
    auths = {"auths": {fake.host: {"identitytoken": "refresh-me"}}}
    (tmp_path / "docker/config.json").write_text(json.dumps(auths))
    assert not repository.has(digest_of(b"x"))
    assert fake.asked[0]["refresh_token"] == ["refresh-me"]
    assert fake.asked[0]["grant_type"] == ["refresh_token"]
    assert "refresh-me" not in "".join(one.path + one.login for one in fake.seen)


def test_a_credential_helper_gives_the_login(
    fake: FakeRegistry, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.login = "basic"
    helper = tmp_path / "bin/docker-credential-t"
    helper.parent.mkdir()
    helper.write_text(
        f'#!/bin/sh\nread host\necho "$1 $host" >> {tmp_path}/asked\ncat {tmp_path}/answer\nexit $(cat {tmp_path}/status)\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    answers = {
        "right": (0, json.dumps({"ServerURL": fake.host, "Username": USER, "Secret": PASSWORD})),
        "none": (1, "credentials not found in native keychain"),
        "locked": (1, f"error: {PASSWORD} is locked"),
        "odd": (0, "[]"),
        "no text": (0, json.dumps({"Username": USER, "Secret": None})),
    }
    for kind, (status, answer) in answers.items():
        (tmp_path / "answer").write_text(answer)
        (tmp_path / "status").write_text(str(status))
        repository = opened()
        config = {"auths": {fake.host: {}}, "credHelpers": {fake.host: "t"}} if kind == "right" else {"credsStore": "t"}
        (tmp_path / "docker/config.json").write_text(json.dumps(config))
        if kind == "right":
            assert not repository.has(digest_of(b"x"))
            continue
        with pytest.raises(ShareError) as caught:
            repository.has(digest_of(b"x"))
        assert isinstance(caught.value, DeniedError) == (kind == "none")
        assert kind == "none" or "docker-credential-t" in _all(caught.value)
        assert PASSWORD not in _all(caught.value)
    assert (tmp_path / "asked").read_text() == f"get {fake.host}\n" * len(answers)
    for named, why in (("absent", "is not installed"), ("../t", "cannot name a credential helper")):
        repository = opened()
        (tmp_path / "docker/config.json").write_text(json.dumps({"credsStore": named}))
        with pytest.raises(ShareError, match=why):
            repository.has(digest_of(b"x"))


# ---- manifests and small blobs


def _manifest(*layers: Descriptor, **more: Any) -> Manifest:
    config = Descriptor.of(b"{}", "application/vnd.oci.empty.v1+json").document()
    listed = [one.document() for one in layers]
    return Manifest.write(
        {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": listed, **more}
    )  # fmt: skip


def test_a_manifest_is_put_found_and_read_by_tag_and_digest(fake: FakeRegistry, opened: Opened) -> None:
    repository, manifest = opened(), _manifest(described(BIG), annotations={"a": "ü"})
    assert repository.put(manifest, "v1") is False
    assert repository.manifest("v1") == repository.manifest(manifest.digest) == manifest
    found = repository.find("v1")
    assert found == Descriptor(media_type=OCI_MANIFEST, digest=manifest.digest, size=len(manifest.data))
    fake.always["HEAD manifests"] = "no-digest"
    assert repository.find("v1") == found, "read, where the registry does not say enough"
    assert repository.find("v2") is None
    with pytest.raises(MissingError, match=r"team/image:v2"):
        repository.manifest("v2")


@pytest.mark.parametrize("fault", ["flip", "endless", "loop", "500", "429", "404", "reset"])
def test_a_manifest_that_is_not_what_it_should_be_is_one_error(
    fault: str, fake: FakeRegistry, opened: Opened
) -> None:  # fmt: skip
    repository, manifest = opened(), _manifest(described(BIG))
    repository.put(manifest, "v1")
    fake.always["GET manifests"] = fault
    for version in ("v1", manifest.digest):
        with pytest.raises(RegistryError) as caught:
            repository.manifest(version)
        assert f"cannot read the manifest {fake.host}/team/image" in str(caught.value)
        assert caught.value.detail
        assert caught.value.hint or fault in ("flip", "endless", "loop")


@pytest.mark.parametrize("fault", ["500", "503", "429", "reset"])
def test_what_passes_is_tried_again(fault: str, fake: FakeRegistry, opened: Opened, tmp_path: Path) -> None:
    repository, manifest = opened(), _manifest(described(BIG))
    for key in ("PUT manifests", "GET manifests", "POST uploads", "PATCH upload", "PUT upload", "GET blobs"):
        fake.faults[key] = [fault]
    _push(repository, _blob())
    repository.put(manifest, "v1")
    assert repository.manifest("v1") == manifest
    _pull(repository, tmp_path, described(BIG))
    assert (tmp_path / described(BIG).hex).read_bytes() == BIG


@pytest.mark.parametrize("fault", ["flip", "longer", "endless", "cut", "404"])
def test_a_small_blob_that_is_not_what_it_should_be_is_one_error(
    fault: str, fake: FakeRegistry, opened: Opened
) -> None:  # fmt: skip
    repository, wanted = opened(), fake.add(b"small" * 100)
    assert repository.blob(wanted) == b"small" * 100
    with pytest.raises(RegistryError, match="cannot read"):
        repository.blob(wanted, most_bytes=499)
    fake.always["GET blobs"] = fault
    with pytest.raises(RegistryError, match=wanted.digest):
        repository.blob(wanted)


# ---- pushing


def test_what_is_there_is_not_sent_and_what_another_repository_has_is_taken_from_there(
    fake: FakeRegistry, opened: Opened
) -> None:
    fake.login = "bearer"
    repository, progress = opened(LOGIN), Counting()
    there, small = fake.add(body(2, 300)), body(3, 100)
    taken = body(4, 500)
    fake.blobs[digest_of(taken)] = taken
    fake.faults["HEAD blobs"] = ["", "404"]  # the first asks for a login
    blobs = (_blob(taken, origins=("not/there", "has/it")), _blob(body(2, 300)), _blob(small), _blob(small), _blob(b""))
    assert push(repository, blobs, progress, parallel=1) == Sent(sent=100, present=300, mounted=500)
    assert fake.blobs[digest_of(small)] == small
    assert fake.blobs[digest_of(b"")] == b""
    assert fake.received == 100
    assert there == described(body(2, 300))
    assert progress.done == progress.total == 900
    assert any("repository:has/it:pull" in one["scope"] for one in fake.asked)


@pytest.mark.parametrize(
    ("fault", "resent"),
    [("break", 0), ("forgets", 1000), ("moved", CHUNK), ("gone", CHUNK), ("too-far", CHUNK), ("drops", CHUNK), ("413", 0)],
)  # fmt: skip
def test_an_upload_goes_on_where_the_registry_stands(
    fault: str, resent: int, fake: FakeRegistry, opened: Opened
) -> None:
    fake.faults["PATCH upload"] = ["", fault]
    progress = Counting()
    sent = _push(opened(), _blob(), progress=progress)
    assert fake.blobs[digest_of(BIG)] == BIG
    began_again = CHUNK if fault in ("gone", "too-far") else 0
    assert fake.received == len(BIG) + resent + began_again
    assert progress.done == progress.total == len(BIG)
    assert sent.present == sent.mounted == 0
    assert fake.count("POST", "uploads") == (2 if began_again else 1)


@pytest.mark.parametrize("fault", ["400", "404", "405", "416", "501", "drops"])
def test_a_registry_that_takes_no_chunks_gets_the_blob_in_one_request(
    fault: str, fake: FakeRegistry, opened: Opened
) -> None:
    fake.always["PATCH upload"] = fault
    if fault in ("404", "416", "drops"):  # these may also mean a lost session
        with pytest.raises(RegistryError, match="cannot push"):
            _push(opened(), _blob())
        return
    _push(opened(), _blob())
    assert fake.blobs[digest_of(BIG)] == BIG
    assert fake.count("PATCH", "upload") == 1


def test_a_limit_of_a_requests_size_is_found(fake: FakeRegistry, opened: Opened) -> None:
    fake.faults["PATCH upload"] = ["413"]
    _push(opened(), _blob())
    sizes = [int(one.headers["Content-Length"]) for one in fake.seen if one.kind == "upload" and one.method == "PATCH"]
    assert sizes[:2] == [2_000_000, 1 << 20]
    fake.always["PATCH upload"] = "413"
    with pytest.raises(RegistryError) as caught:
        _push(opened(), _blob(BIG[:-1]))
    assert "limits the size" in (caught.value.hint or "")


def test_an_answer_that_is_lost_after_the_last_byte_sends_nothing_again(fake: FakeRegistry, opened: Opened) -> None:
    fake.faults["PUT upload"] = ["lose-answer"]
    _push(opened(), _blob())
    assert fake.received == len(BIG)


@pytest.mark.parametrize("kind", ["none", "ftp", "invalid"])
def test_an_upload_without_a_usable_address_is_one_error(kind: str, fake: FakeRegistry, opened: Opened) -> None:
    fake.always["POST uploads"] = kind
    with pytest.raises(RegistryError, match="cannot push"):
        _push(opened(), _blob())


def test_an_upload_on_another_host_is_not_shown_the_login(fake: FakeRegistry, opened: Opened) -> None:
    fake.login = "basic"
    fake.faults["POST uploads"] = ["elsewhere"]
    with pytest.raises(RegistryError):  # that host wants a login, too, and does not get this one
        _push(opened(LOGIN), _blob(b"small"))
    there = [one for one in fake.seen if one.host.startswith("127.0.0.2")]
    assert [one.login for one in there] == [""]


def test_a_file_that_was_changed_is_named(fake: FakeRegistry, opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_bytes(BIG[:-1] + b"x")
    with pytest.raises(RegistryError) as caught:
        _push(opened(), Blob(descriptor=described(BIG), content=path))
    assert "was changed" in (caught.value.hint or "")
    for change in (lambda: path.write_bytes(BIG[:100]), path.unlink):
        change()
        with pytest.raises(ShareError) as broken:
            _push(opened(), Blob(descriptor=described(BIG), content=path))
        assert broken.value.where == str(path)
    assert digest_of(BIG) not in fake.blobs


def test_a_session_of_an_earlier_run_with_other_bytes_is_left(fake: FakeRegistry, opened: Opened) -> None:
    fake.always["PATCH upload"] = "403"
    fake.faults["PATCH upload"] = [""]
    with pytest.raises(DeniedError):
        _push(opened(), _blob())
    fake.always.clear()
    (number,) = fake.uploads
    fake.uploads[number][:] = bytes(CHUNK)
    fake.seen.clear()
    _push(opened(), _blob())
    assert fake.blobs[digest_of(BIG)] == BIG
    starts = [one.headers["Content-Range"].partition("-")[0] for one in fake.seen if one.method == "PATCH"]
    assert starts == ["2000000", "4000000", "6000000", "0", "2000000", "4000000", "6000000"], "afresh, in chunks"


@pytest.mark.parametrize("after", [1_000_000, 3_500_000, 6_900_000])
def test_a_push_that_was_killed_goes_on_at_the_byte(
    after: int, fake: FakeRegistry, opened: Opened, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    layer.write_bytes(BIG)
    blob = Blob(descriptor=described(BIG), content=layer)
    repository = opened()
    killed_transfer(fake.host, repository.registry.settings, [blob], None, after)
    (kept,) = fake.uploads.values()
    until(lambda: len(kept) >= after)  # what the kernel had taken still arrives
    there = len(kept)
    assert push(Repository(repository.registry, "killed/image", writing=True), [blob], Silent()) == Sent(
        sent=len(BIG) - there
    )
    assert fake.blobs[blob.descriptor.digest] == BIG
    assert fake.received == len(BIG)
    assert not list(repository.registry.settings.dirs.uploads.iterdir())


# ---- pulling


def test_a_blob_comes_in_ranges_over_kept_connections_and_once(
    fake: FakeRegistry, opened: Opened, tmp_path: Path
) -> None:
    small, empty = fake.add(b"small"), fake.add(b"")
    wanted, progress = fake.add(BIG), Counting()
    repository = opened()
    assert _pull(repository, tmp_path, wanted, small, empty, wanted, progress=progress) == len(BIG) + 5
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(
        (wanted.hex, small.hex, empty.hex)
    )  # fmt: skip
    assert (tmp_path / wanted.hex).read_bytes() == BIG
    ranges = {one.headers.get("Range") for one in fake.seen if one.path.endswith(wanted.digest)}
    assert len(ranges) == -(-len(BIG) // 500_000)
    assert progress.done == progress.total == len(BIG) + 5
    asked = len(fake.seen)
    assert _pull(repository, tmp_path, wanted, small, empty) == 0
    assert len(fake.seen) == asked, "what is there costs no request"


@pytest.mark.parametrize("fault", ["cut", "reset", "500", "429"])
def test_a_download_goes_on_at_the_byte(fault: str, fake: FakeRegistry, opened: Opened, tmp_path: Path) -> None:
    wanted = fake.add(BIG)
    fake.faults["GET blobs"] = [fault] * 2  # fewer than the tries of one piece
    _pull(opened(), tmp_path, wanted)
    assert (tmp_path / wanted.hex).read_bytes() == BIG
    assert fake.sent <= len(BIG) + 3000, "errors' bodies, and no byte twice"


def test_a_server_without_ranges_sends_one_stream(fake: FakeRegistry, opened: Opened, tmp_path: Path) -> None:
    wanted = fake.add(BIG)
    fake.always["GET blobs"] = "no-range"
    _pull(opened(), tmp_path, wanted)
    assert (tmp_path / wanted.hex).read_bytes() == BIG
    whole = [one for one in fake.seen if one.kind == "blobs" and "Range" not in one.headers]
    assert len(whole) == 1


@pytest.mark.parametrize("fault", ["flip", "longer", "endless", "loop", "404", "403", "reset"])
def test_a_blob_that_is_not_what_the_manifest_names_is_refused_and_not_placed(
    fault: str, fake: FakeRegistry, opened: Opened, tmp_path: Path
) -> None:
    wanted = fake.add(BIG)
    fake.always["GET blobs"] = fault
    if fault in ("404", "403"):
        fake.always["HEAD blobs"] = fault
    with pytest.raises(RegistryError, match=wanted.digest) as caught:
        _pull(opened(), tmp_path / "blobs", wanted)
    assert isinstance(caught.value, {"404": MissingError, "403": DeniedError}.get(fault, RegistryError))
    assert not (tmp_path / "blobs" / wanted.hex).exists()
    assert fake.sent < 4 * len(BIG)


def test_wrong_bytes_of_an_earlier_run_are_replaced(fake: FakeRegistry, opened: Opened, tmp_path: Path) -> None:
    wanted, progress = fake.add(BIG), Counting()
    with Part(wanted.size, tmp_path / f"{wanted.hex}.part", piece_bytes=500_000) as part:
        part.write(0, bytes(700_000), 0)
    assert _pull(opened(), tmp_path, wanted, progress=progress) == 2 * len(BIG) - 700_000
    assert (tmp_path / wanted.hex).read_bytes() == BIG
    assert progress.done == progress.total == len(BIG)


def test_a_full_disk_is_said_and_what_came_is_kept(
    fake: FakeRegistry, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, real, left = fake.add(BIG), os.pwrite, [1_000_000]

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 100:
            left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ShareError) as caught:
        _pull(opened(), tmp_path, wanted)
    assert caught.value.hint == "free disk space"
    assert caught.value.where == str(tmp_path)
    monkeypatch.setattr(os, "pwrite", real)
    assert 0 < _pull(opened(), tmp_path, wanted) < len(BIG)
    assert (tmp_path / wanted.hex).read_bytes() == BIG


# ---- what is attached


def _attached(subject: Manifest, kind: str) -> Manifest:
    return _manifest(described(kind.encode()), artifactType=kind, subject=subject.described().document())


@pytest.mark.parametrize("lists", [True, False])
def test_what_is_attached_is_found_with_and_without_the_registrys_list(
    lists: bool, fake: FakeRegistry, opened: Opened
) -> None:
    fake.lists = lists
    repository, image = opened(), _manifest(described(BIG))
    repository.put(image, "v1")
    assert referrers(repository, image.digest) == ()
    bill, signature = _attached(image, "test/bill"), _attached(image, "test/signature")
    for one in (bill, signature, bill):
        attach(repository, one)
    assert {one.digest for one in referrers(repository, image.digest)} == {bill.digest, signature.digest}
    (found,) = referrers(repository, image.digest, "test/bill")
    assert (found.digest, found.size, found.artifact_type) == (bill.digest, len(bill.data), "test/bill")
    tagged = repository.find(fallback_tag(image.digest))
    assert (tagged is None) == lists
    if not lists:
        index = repository.manifest(fallback_tag(image.digest))
        assert index.media_type == OCI_INDEX
        assert [one.digest for one in index.manifests] == [bill.digest, signature.digest]


def test_an_index_that_another_writes_at_the_same_moment_loses_nothing(fake: FakeRegistry, opened: Opened) -> None:
    repository, image = opened(), _manifest(described(BIG))
    mine, other = _attached(image, "test/mine"), _attached(image, "test/other")
    key = f"team/image:{fallback_tag(image.digest)}"
    written = Manifest.index([other.described()])
    put, overwritten = repository.put, []

    def raced(manifest: Manifest, tag: str | None = None) -> bool:
        done = put(manifest, tag)
        if tag and not overwritten:
            overwritten.append(fake.manifests[key])
            fake.manifests[key] = (written.data, OCI_INDEX)
        return done

    repository.put = raced  # type: ignore[method-assign]
    attach(repository, mine)
    assert overwritten
    assert {one.digest for one in referrers(repository, image.digest)} == {mine.digest, other.digest}


# ---- ending


@pytest.mark.parametrize("key", ["GET manifests", "PATCH upload", "GET blobs"])
def test_a_cancelled_run_ends_although_the_registry_is_silent(
    key: str, fake: FakeRegistry, opened: Opened, tmp_path: Path
) -> None:
    cancel = Cancellation()
    wanted = fake.add(BIG[1:])
    fake.always[key] = "hang"
    repository = opened(cancel=cancel)
    acts: dict[str, Callable[[], object]] = {
        "GET manifests": lambda: repository.manifest("v1"),
        "PATCH upload": lambda: _push(repository, _blob()),
        "GET blobs": lambda: _pull(repository, tmp_path / "blobs", wanted),
    }
    working = in_thread("works", acts[key])
    method, kind = key.split()
    until(lambda: fake.count(method, kind) > 0)
    cancel.cancel()
    with pytest.raises(CancelledError):
        working.result(15)
    assert not fake.released.is_set()
