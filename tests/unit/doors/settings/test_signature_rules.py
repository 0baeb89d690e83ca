from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devenv.doors.settings.signature_rules import SignatureRule, place, rules, ruling

SIGNERS = SignatureRule(scope="r.example", allowed_signers=Path("/signers"))
TEAM = SignatureRule(scope="r.example/team", keys=(Path("/team.pem"),))
ALL = SignatureRule(scope="*", keys=(Path("/all.pem"),))


def test_rules_are_read() -> None:
    found = rules(
        {
            "R.Example:443": {"allowed_signers": "signers"},
            "r.example/team": {"keys": ["a.pem", "b.pem"]},
            "[::1]:5000": {"allowed_signers": "s", "keys": []},
            "*": {"allowed_signers": "s", "keys": ["a.pem"]},
        },
        lambda name: Path("/base") / name,
    )
    assert found == (
        SignatureRule(scope="r.example", allowed_signers=Path("/base/signers")),
        SignatureRule(scope="r.example/team", keys=(Path("/base/a.pem"), Path("/base/b.pem"))),
        SignatureRule(scope="[::1]:5000", allowed_signers=Path("/base/s")),
        SignatureRule(scope="*", allowed_signers=Path("/base/s"), keys=(Path("/base/a.pem"),)),
    )


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "a registry for each rule"),
        ({}, "a registry for each rule"),
        ([], "a registry for each rule"),
        ({5000: {"keys": ["a"]}}, "5000 is neither HOST nor HOST/PREFIX"),
        ({"https://r.example": {"keys": ["a"]}}, "neither HOST nor"),
        ({"r.example/": {"keys": ["a"]}}, "neither HOST nor"),
        ({"r.example/team@sha256:0": {"keys": ["a"]}}, "neither HOST nor"),
        ({"r.example/team:v1": {"keys": ["a"]}}, "neither HOST nor"),
        ({"r.example": None}, "unknown settings of r.example"),
        ({"r.example": {"signers": "a"}}, "unknown settings of r.example"),
        ({"r.example": {}}, "nobody could sign"),
        ({"r.example": {"keys": []}}, "nobody could sign"),
        ({"r.example": {"allowed_signers": ""}}, "nobody could sign"),
        ({"r.example": {"allowed_signers": 5}}, "allowed_signers is a file"),
        ({"r.example": {"keys": "a.pem"}}, "keys is a list"),
        ({"r.example": {"keys": [1]}}, "keys is a list"),
    ],
)
def test_mistakes(value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rules(value, Path)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("r.example/team/image", TEAM),
        ("r.example/team", TEAM),
        ("r.example/teams/image", SIGNERS),
        ("r.example/image", SIGNERS),
        ("r.example:5000/team/image", ALL),
        ("not-r.example/image", ALL),
    ],
)
def test_the_most_particular_rule_counts(name: str, rule: SignatureRule) -> None:
    for found in ((SIGNERS, TEAM, ALL), (ALL, TEAM, SIGNERS)):
        assert ruling(found, name) == rule
    assert ruling([one for one in (SIGNERS, TEAM) if rule != ALL], name) == (None if rule == ALL else rule)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("R.Example/team/x", "r.example/team/x"),
        ("r.example:443/x", "r.example/x"),
        ("r.example:0443/x", "r.example/x"),
        ("r.example:05000/x", "r.example:5000/x"),
        ("[::1]:443/x", "[::1]/x"),
        ("[::1]/x", "[::1]/x"),
        ("r.example", "r.example"),
        (f"r.example:{'9' * 6000}", f"r.example:{'9' * 6000}"),
        ("", ""),
    ],
)
def test_no_other_spelling_goes_around_a_rule(name: str, same: str) -> None:
    assert place(name) == same
