"""Targets of `--on`: only safe destinations, only from the user's own files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devenv.doors.settings import config_yaml
from devenv.doors.settings.targets import Book, KubernetesTarget, SshTarget, Targets, check_name, destination
from devenv.errors import UsageError


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(path=tmp_path / "own" / "targets.json", config=tmp_path / "config.yaml")


@pytest.mark.parametrize("text", ["gpu-box", "me@gpu-box", "ssh://me@gpu-box:2222", "me@10.0.0.7", "me@fe80::1%eth0"])
def test_destinations_as_for_ssh(text: str) -> None:
    assert destination(text, "--on") == text


@pytest.mark.parametrize(
    "text",
    [
        "-oProxyCommand=id", "me@-oProxyCommand=id", "ssh://-oProxyCommand=id", "-l@host", "a b", "a\nb", "a\x1b[0m", "$(id)@h",
        "me@`id`", "h;id", "h|id", "'h'", "me@", "", "h" * 400, "me@h\x00",
    ],
)  # fmt: skip
def test_what_could_be_an_option_or_a_command_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a destination"):
        destination(text, "--on")


def test_a_word_means_a_name_first_then_a_cluster_then_a_destination() -> None:
    box = SshTarget(name="box", destination="me@box")
    targets = Targets(named=(box,), on="box", on_from="somewhere")
    assert targets.meant("box") is box
    assert targets.meant(None) is box
    assert targets.meant("here") is None
    assert targets.meant("k8s") == KubernetesTarget(name="k8s")
    assert targets.meant("k8s:dev/team") == KubernetesTarget(name="k8s:dev/team", context="dev", namespace="team")
    assert targets.meant("other") == SshTarget(name="other", destination="other")
    for wrong in ("k8s:", "k8s:a/B!", "k8s:-x", "k8s:a\x1b"):
        with pytest.raises(UsageError, match="not a cluster"):
            targets.meant(wrong)


def test_names_that_are_words_of_their_own_are_refused() -> None:
    for name in ("here", "k8s", "-x", "A", "a/b", "", "x" * 64, "a\n"):
        with pytest.raises(UsageError, match="cannot be a target's name"):
            check_name(name)


def test_what_is_kept_comes_back_and_config_yaml_counts_too(book: Book) -> None:
    book.config.write_text(
        "targets: {lab: {ssh: me@lab, python: /opt/python3}, dev: {kubernetes: {context: kind}}}\ntarget: lab\n"
    )
    book.add(SshTarget(name="box", destination="me@box"))
    book.add(KubernetesTarget(name="cluster", context="prod", namespace="team"))
    found = book.targets(None, None)
    assert [(one.name, one.origin) for one in found.named] == [
        ("lab", str(book.config)), ("dev", str(book.config)), ("box", str(book.path)), ("cluster", str(book.path)),
    ]  # fmt: skip
    assert found.on == "lab"
    assert book.path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="written in"):
        book.remove("lab")
    with pytest.raises(UsageError, match="is not a target"):
        book.remove("nothing")


def test_the_default_is_the_environments_then_the_projects_then_the_users(book: Book, tmp_path: Path) -> None:
    for name in ("one", "two"):
        book.add(SshTarget(name=name, destination=name))
    book.use("one", None)
    book.use("two", tmp_path)
    assert book.targets(None, None).on == "one"
    assert book.targets(tmp_path, None).on == "two"
    assert book.targets(tmp_path, "here").on == "here"
    book.remove("two")
    assert book.targets(tmp_path, None).on == "one"
    book.use(None, None)
    assert book.targets(tmp_path, None).on is None


def test_a_project_cannot_name_a_target(book: Book, tmp_path: Path) -> None:
    """A stranger's repository has no file that is read for it."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("targets.json", "config.yaml", "devenv.yaml", ".devenv.yaml"):
        (project / name).write_text(
            json.dumps({"targets": {"evil": {"ssh": "evil"}}, "target": "evil", "projects": {str(project): "evil"}})
        )
    assert book.targets(project, None) == Targets()


@pytest.mark.parametrize(
    "text",
    [
        "targets: [a]", "targets: {a: b}", "targets: {a: {ssh: -oX}}", "targets: {a: {ssh: h, more: 1}}", "target: [a]",
        "targets: {a: {ssh: h, python: python3}}", "targets: {k8s: {ssh: h}}", "targets: {a: {kubernetes: {user: x}}}",
        "targets: {a: {kubernetes: {context: -x}}}",
    ],
)  # fmt: skip
def test_mistakes_in_config_yaml_are_one_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as told:
        config_yaml.read({"HOME": str(tmp_path)}, tmp_path, path)
    assert told.value.where == str(path)


@pytest.mark.parametrize("text", ["[]", "{", '{"targets": 1}', '{"projects": 1}', '{"targets": {"a": {"ssh": "-x"}}}'])
def test_a_damaged_file_of_targets_is_one_error(text: str, book: Book) -> None:
    book.path.parent.mkdir()
    book.path.write_text(text)
    with pytest.raises(UsageError) as told:
        book.targets(None, None)
    assert told.value.where == str(book.path)
