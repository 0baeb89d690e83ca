from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devenv.doors.dirs import Dirs
from devenv.doors.http.registry.reference import Reference
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.signature_rules import SignatureRule
from devenv.errors import UsageError
from devenv.share.signatures.policy import PROJECT_POLICY, policy

REFERENCE = Reference.parse("r.example/team/image:v1")
MACHINE = SignatureRule(scope="r.example", allowed_signers=Path("/etc/signers"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "devenv"
    return Settings(
        dirs=Dirs(cache=folder, state=folder, config=folder), uid=1, gid=1, arch="amd64", signature_rules=(MACHINE,)
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / PROJECT_POLICY).write_text(
        "require_signature:\n  '*': {allowed_signers: signers}\n  r.example/other: {keys: [../key.pem]}\n"
    )
    return folder


def test_nothing_is_required_unless_somebody_says_so(settings: Settings, tmp_path: Path) -> None:
    bare = dataclasses.replace(settings, signature_rules=())
    assert policy(REFERENCE, bare, None) == ()
    assert policy(REFERENCE, bare, tmp_path) == ()
    assert policy(Reference.parse("s.example/image"), settings, tmp_path) == ()


def test_a_project_adds_to_what_the_machine_requires(settings: Settings, project: Path) -> None:
    machine, own = policy(REFERENCE, settings, project)
    assert (machine.rule, machine.inside) == (MACHINE, None)
    assert machine.where.endswith("config.yaml (require_signature: r.example)")
    assert own.rule == SignatureRule(scope="*", allowed_signers=project / "signers")
    assert (own.inside, own.where) == (project, f"{project / PROJECT_POLICY} (require_signature: *)")
    (own,) = policy(Reference.parse("s.example/image"), settings, project)
    assert own.rule.scope == "*"
    _, particular = policy(Reference.parse("R.example:443/other"), settings, project)
    assert particular.rule.scope == "r.example/other"


def test_no_spelling_of_a_host_goes_around_the_machines_rule(settings: Settings) -> None:
    for text in ("R.EXAMPLE/team/image", "r.example:443/x", "r.example:0443/x", "r.example:80/x"):
        assert policy(Reference.parse(text), settings, None)


@pytest.mark.parametrize(
    "text",
    ["", "[", "x", "require_signature:", "require_signature: {}", "require_signature: {r.example: {}}", "other: 1",
     "require_signature: {r.example: {keys: [a]}}\nother: 1", "require_signature: {r.example: {trust: everyone}}", "\xff"],
)  # fmt: skip
def test_a_mistake_in_a_projects_policy_is_an_error_and_not_no_policy(
    text: str, settings: Settings, project: Path
) -> None:
    (project / PROJECT_POLICY).write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        policy(REFERENCE, settings, project)
    assert caught.value.where == str(project / PROJECT_POLICY)
    assert caught.value.hint


def test_a_projects_files_stay_inside(settings: Settings, project: Path) -> None:
    (project.parent / "key.pem").write_text("outside")
    (project / "signers").symlink_to("/etc/passwd")
    _, outside = policy(Reference.parse("r.example/other"), settings, project)
    _, linked = policy(REFERENCE, settings, project)
    for demand, path in ((outside, outside.rule.keys[0]), (linked, project / "signers")):
        with pytest.raises(UsageError, match="leads out of") as caught:
            demand.read(path)
        assert caught.value.where == demand.where
    (project / PROJECT_POLICY).unlink()
    (project / PROJECT_POLICY).symlink_to("nowhere")
    with pytest.raises(UsageError, match="cannot be read"):
        policy(REFERENCE, settings, project)


def test_a_missing_file_is_named_with_what_demands_it(settings: Settings, project: Path) -> None:
    (machine, _) = policy(REFERENCE, settings, project)
    with pytest.raises(UsageError, match=r"cannot read /nowhere/signers.*does not exist") as caught:
        machine.read(Path("/nowhere/signers"))
    assert caught.value.where == machine.where
    assert "require_signature: {HOST" in str(caught.value.hint)
