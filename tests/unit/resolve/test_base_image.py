"""What pins a base image."""

from __future__ import annotations

import pytest

from devenv.errors import LockError
from devenv.resolve.base_image import look_into, pin

ID, DIGEST = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


@pytest.mark.parametrize(
    ("reference", "known"),
    [
        ("debian:bookworm", "debian"),
        ("docker.io/library/debian:bookworm", "debian"),
        ("index.docker.io/library/debian", "debian"),
        ("docker.io/team/base:1", "team/base"),
        ("127.0.0.1:5000/team/base:1", "127.0.0.1:5000/team/base"),
        (f"debian@{DIGEST}", "debian"),
    ],
)
def test_an_image_of_a_registry_is_pinned_by_its_digest_there(reference: str, known: str) -> None:
    others = ("mirror.example/other@sha256:" + "3" * 64,)
    assert pin(reference, ID, (*others, f"{known}@{DIGEST}")) == (DIGEST, False)


def test_an_image_that_no_registry_knows_is_pinned_by_its_id() -> None:
    assert pin("mine:1", ID, ()) == (ID, True)
    assert pin(ID, ID, (f"debian@{DIGEST}",)) == (ID, True)


@pytest.mark.parametrize("known", ["debian", "elsewhere.example/team/mine", "evil-mine"])
def test_an_image_under_another_name_than_its_registrys_is_refused(known: str) -> None:
    with pytest.raises(LockError, match="gave no digest") as caught:
        pin("mine:1", ID, (f"{known}@{DIGEST}",))
    assert caught.value.hint


def test_an_id_that_the_engine_has_no_longer_is_not_asked_of_a_registry() -> None:
    class Engine:
        def image_id(self, _: str) -> None: ...

    with pytest.raises(LockError, match="this engine has no image sha256:0000") as caught:
        look_into("sha256:" + "0" * 64, Engine())  # type: ignore[arg-type]
    assert "lock --upgrade base" in str(caught.value.hint)
