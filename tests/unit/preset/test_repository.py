from __future__ import annotations

import contextlib

import pytest

from devenv.lock import drift
from devenv.preset.repository import Repository, repository
from tests.unit.handmade import preset


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A_b @ git+https://h.example/o/a.git@v1.2", ("a-b", "https://h.example/o/a.git", "v1.2", "")),
        ("a @ git+https://h.example/o/a", ("a", "https://h.example/o/a", "HEAD", "")),
        ("a[x] @ git+http://h:80/a.git@feature/y ; python_version > '3'", ("a", "http://h:80/a.git", "feature/y", "")),
        ("a @ git+https://h/a.git@1234abc#subdirectory=py/a", ("a", "https://h/a.git", "1234abc", "py/a")),
        ("a @ git+https://h/a.git#egg=a&subdirectory=py", ("a", "https://h/a.git", "HEAD", "py")),
    ],
)
def test_a_repository_is_read(text: str, found: tuple[str, str, str, str]) -> None:
    name, url, revision, folder = found
    assert repository(text) == Repository(name=name, url=url, revision=revision, folder=folder)
    assert preset(pip=(text,)).pip == (text,)


@pytest.mark.parametrize(
    "url",
    [
        "git+https://user:word@h/a.git", "git+https://token@h/a.git", "git+https://h/a.git?token=x", "git+ssh://git@h/a.git",
        "git+file:///a", "git+https://h/a.git@-upload-pack=x", "git+https://h/a.git#subdirectory=../x",
        "git+https://h/a.git#subdirectory=/etc", "hg+https://h/a", "https://h/a.git", "git+https://h/a.git@main#sha1=x",
        "git+ext::sh", "git+https://h/a b",
    ],
)  # fmt: skip
def test_everything_else_is_no_repository_and_no_preset_takes_it(url: str) -> None:
    with contextlib.suppress(ValueError):
        assert repository(f"a @ {url}") is None
    with pytest.raises(ValueError, match=r"direct references|not a PEP 508"):
        preset(pip=(f"a @ {url}",))


def test_the_lock_names_no_host_and_knows_another_place_or_revision() -> None:
    def pin(text: str) -> str:
        return next(one for one in drift.inputs(preset(pip=(text,), jupyter=None))["pip"] if one.startswith("a"))

    one = pin("a[X] @ git+https://h.example/a.git@main")
    assert "h.example" not in one
    assert one == pin("A[x] @ git+https://h.example/a.git@main#egg=a")
    others = ("a[x] @ git+https://h.example/b.git@main", "a[x] @ git+https://h.example/a.git@v1",
              "a[x] @ git+https://h.example/a.git@main#subdirectory=s", "a @ git+https://h.example/a.git@main")  # fmt: skip
    assert len({one, *map(pin, others)}) == 5
