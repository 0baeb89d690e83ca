from __future__ import annotations

import json

import pytest

from devenv.doors.http.partial_file import Again, Refused
from devenv.doors.http.registry.faults import (
    DeniedError,
    MissingError,
    Refusal,
    RegistryError,
    refused,
    unreached,
    words_of,
)  # fmt: skip


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [(401, DeniedError, "docker login r.example"), (403, DeniedError, "docker login r.example"),
     (404, MissingError, "check the name"), (429, RegistryError, "wait 7 s"), (500, RegistryError, "run the command again"),
     (413, RegistryError, "limits the size"), (400, RegistryError, None)],
)  # fmt: skip
def test_a_refusal_has_its_cause_and_remedy(status: int, kind: type[RegistryError], hint: str | None) -> None:
    refusal = Refusal(status=status, why=f"{status} Why", words="CODE: text", wait_s=7)
    error = refused("push x", "r.example", refusal, "used: the login 'me' of file")
    assert type(error) is kind
    assert (error.message, error.status, error.exit_code) == ("cannot push x", status, 11)
    assert f"r.example answers {status} Why: CODE: text" in (error.detail or "")
    assert (hint in (error.hint or "")) if hint else error.hint is None
    assert ("the login 'me' of file" in (error.detail or "")) == (status in (401, 403, 404))


def test_a_refusal_of_the_object_store_is_no_matter_of_the_login() -> None:
    refusal = Refusal(status=403, why="403 Forbidden", elsewhere=True)
    error = refused("pull x", "r.example", refusal, "used: the login 'me'")
    assert type(error) is RegistryError
    assert "redirects to" in (error.detail or "")


def test_a_fault_of_the_connection_has_its_remedy() -> None:
    offline = unreached(
        "pull x", "r.example", Again("cannot connect: refused", offline=True), "cannot connect: refused"
    )
    assert "NO_PROXY" in (offline.hint or "")
    why = "its certificate is not trusted here"
    assert "registries: {'r.example': {ca:" in (unreached("x", "r.example", Refused(why, offline=True), why).hint or "")
    assert "docker login" in (unreached("x", "r.example", Again("429 Too Many"), "429 Too Many (5 times)").hint or "")
    assert "continues" in (unreached("x", "r.example", Again("broke"), "broke (5 times)").hint or "")
    assert unreached("x", "r.example", Refused("redirects too many times"), "redirects too many times").hint is None


def test_a_registrys_words_are_short_and_hold_no_secret() -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": "no pa55 here"}, 3, {"message": "x" * 900}]}).encode()
    words = words_of(body, ["pa55"])
    assert words.startswith("DENIED: no *** here; xxx")
    assert len(words) == 500
    for odd in (b"<html>", b"[]", b'{"errors": {}}', b'{"errors": [{"code": 3}]}', b""):
        assert words_of(odd, []) == ""
