"""Requirements files, whole: as pip reads them, with the place of each line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devenv.adopt.facts.facts import Kind
from devenv.adopt.readers import requirements
from devenv.errors import PresetError
from tests.unit.adopt.conftest import Made, Read, values

HASH = "a" * 64


def test_what_a_line_may_say(facts: Read) -> None:
    found = facts(
        requirements.read,
        {
            "requirements.txt": "# a comment\n"
            "rich[jupyter] >= 13 # why\n"
            "numpy==1.26.4 \\\n    --hash=sha256:" + HASH + "\n"
            "foo==1; python_version < '3.8'\n"
            "-r more/base.txt\n"
            "--constraint=limits.txt\n"
            "https://files.example.org/acme-1.0-py3-none-any.whl --hash=sha256:" + HASH + "\n"
            "-e .\n",
            "more/base.txt": "-r ../shared.txt\nhttpx\n",
            "shared.txt": "click\n",
            "limits.txt": "rich<14\nunused==1\n",
            "setup.py": "",
        },
    )
    assert values(found, Kind.PIP) == [
        "rich[jupyter]>=13", "numpy==1.26.4", 'foo==1; python_version < "3.8"', "click", "httpx",
        f"acme @ https://files.example.org/acme-1.0-py3-none-any.whl#sha256={HASH}",
    ]  # fmt: skip
    assert values(found, Kind.CONSTRAINT) == ["rich<14", "unused==1"]
    assert len(found.of(Kind.PROJECT)) == 1
    assert [fact.mark.where for fact in found.of(Kind.PIP)][:4] == [
        "requirements.txt:2:1", "requirements.txt:3:1", "requirements.txt:5:1", "shared.txt:1:1",
    ]  # fmt: skip
    assert found.left == ()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("git+https://github.com/a/b@v1", "repository's address without the name"),
        ("b @ git+ssh://git@github.com/a/b", "repository"),
        ("-e git+https://github.com/a/b", "repository"),
        ("hg+https://github.com/a/b#egg=b", "repository"),
        ("https://example.org/b-1.tar.gz", "source archive"),
        ("https://example.org/b-1-py3-none-any.whl", "no hash"),
        ("./vendor/b", "folder"),
        ("b-1.tar.gz", "folder or source archive"),
        ("-e ./vendor/b", "folder"),
        ("-r https://example.org/requirements.txt", "content of an address"),
        ("--extra-index-url https://index.example.org/simple", "settings of pip"),
        ("gone-1-py3-none-any.whl", "does not exist"),
        ("../out-1-py3-none-any.whl", "outside the project"),
        ("--no-binary :all:", "no counterpart"),
    ],
)
def test_what_cannot_be_locked_is_left_out_with_a_remedy(facts: Read, line: str, why: str) -> None:
    found = facts(requirements.read, {"requirements.txt": f"rich\n{line}\n"})
    assert [loss.mark.line for loss in found.left] == [2]
    assert why in found.left[0].why
    assert found.left[0].remedy
    assert values(found, Kind.PIP) == ["rich"]


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ("git+https://github.com/a/b@v1#egg=b", "b @ git+https://github.com/a/b@v1#egg=b"),
        ("b @ git+https://github.com/a/b", "b @ git+https://github.com/a/b"),
        ("-e git+https://github.com/a/b#egg=b[x]", "b[x] @ git+https://github.com/a/b#egg=b"),
        (
            "git+https://github.com/a/b.git#egg=b&subdirectory=c",
            "b @ git+https://github.com/a/b.git#egg=b&subdirectory=c",
        ),
    ],
)
def test_a_repository_with_the_name_of_its_package_is_taken(facts: Read, line: str, taken: str) -> None:
    found = facts(requirements.read, {"requirements.txt": f"rich\n{line}\n"})
    assert values(found, Kind.PIP) == ["rich", taken]
    assert found.left == ()


def test_an_own_wheel_is_named_from_the_top(facts: Read) -> None:
    found = facts(
        requirements.read, {"deps/requirements.txt": "./acme-1-py3-none-any.whl", "deps/acme-1-py3-none-any.whl": ""}
    )
    assert values(found, Kind.PIP) == ["deps/acme-1-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("files", "where", "message"),
    [
        ({"requirements.txt": "ok\n\n  not a requirement\n"}, "requirements.txt:3:3", "not a PEP 508 requirement"),
        (
            {"requirements.txt": "-r a.txt", "a.txt": "-r b.txt", "b.txt": "\n-r a.txt"},
            "b.txt:2:1",
            "a.txt → b.txt → a.txt",
        ),
        ({"requirements.txt": "-r ../../etc/passwd"}, "requirements.txt:1:1", "outside the project's folder"),
        ({"requirements.txt": "-c ~/limits.txt"}, "requirements.txt:1:1", "outside the project's folder"),
        ({"requirements.txt": "rich\n-r gone.txt"}, "requirements.txt:2:1", "the file does not exist"),
        ({"requirements.txt": "ok\x00"}, "requirements.txt:1:3", "U+0000"),
        ({"requirements.txt": "a==1\na==2"}, "requirements.txt:2:1", "contradicts 'a==1' (requirements.txt:1:1)"),
    ],
)
def test_mistakes_have_their_place(
    mistakes: Callable[..., list[PresetError]], files: dict[str, str], where: str, message: str
) -> None:
    (found,) = mistakes(files)
    assert (found.where, message in found.message) == (where, True)
    assert found.hint


def test_all_mistakes_come_at_once(mistakes: Callable[..., list[PresetError]]) -> None:
    found = mistakes({"requirements.txt": "a b\n-r gone.txt\nc==\n"})
    assert [one.where for one in found] == ["requirements.txt:1:1", "requirements.txt:2:1", "requirements.txt:3:1"]


def test_links_out_of_the_project_are_not_followed(
    mistakes: Callable[..., list[PresetError]], tmp_path: Path, project: Path
) -> None:
    (tmp_path / "secret.txt").write_text("secret-package")
    (project / "linked.txt").symlink_to(tmp_path / "secret.txt")
    (found,) = mistakes({"requirements.txt": "-r linked.txt"})
    assert "secret" not in found.message
    assert found.where == "requirements.txt:1:1"


def test_ten_thousand_lines(facts: Read, mistakes: Callable[..., list[PresetError]]) -> None:
    lines = [f"package-{number}==1.{number}\n" for number in range(10_000)]
    assert len(facts(requirements.read, {"requirements.txt": "".join(lines)}).facts) == 10_000
    (found,) = mistakes({"requirements.txt": "".join(lines * 2) + "one-more\n"})
    assert (found.where, "more than 20,000" in found.message) == ("requirements.txt:20001:1", True)


def test_a_password_is_nowhere(make: Callable[..., Made], capsys: pytest.CaptureFixture[str]) -> None:
    word = "hunter2-s3cr3t"
    made = make({
        "requirements.txt": f"--extra-index-url https://me:{word}@index.example.org/simple\n"
        f"-i https://index.example.org/simple?token={word}\n"
        f"git+https://{word}@github.com/a/b.git\n"
        f"acme @ https://me:{word}@example.org/acme-1-py3-none-any.whl#sha256={HASH}\n"
        f"b @ https://me:{word[:3]}/{word}@example.org/b-1.zip\n",
    })  # fmt: skip
    assert len(made.left) == 5
    assert word not in made.adopted.text + repr(made.adopted)
