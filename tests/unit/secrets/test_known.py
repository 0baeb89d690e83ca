"""This user's own values, in every form."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.doors.settings.credentials import Credential
from devenv.secrets.known import LEAST, KnownValues
from devenv.secrets.scanner import Scanner


def _finds(value: str, text: bytes) -> bool:
    scanner = Scanner(KnownValues.of([Credential(origin="the proxy", value=value)]))
    return any(one.kind == "known-value" for one in scanner.file("/x", [text]))


@given(
    value=st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=LEAST, max_size=60),
    lead=st.binary(max_size=5),
)
def test_every_form_is_found(value: str, lead: bytes) -> None:
    if value.isalpha():
        value += "1"
    plain = value.encode()
    assert _finds(value, b"x" + plain + b"y")
    assert _finds(value, quote(value, safe="").encode())
    assert _finds(value, json.dumps({"a": value}).encode())
    if len(plain) * 4 // 3 - 3 >= LEAST:
        assert _finds(value, base64.b64encode(lead + plain + b"more"))
        assert _finds(value, base64.urlsafe_b64encode(lead + plain))
    assert quote_plus(value)  # a form that only differs for spaces


@pytest.mark.parametrize("value", ["short77", "password", "changeme", ""])
def test_short_and_common_values_are_not_looked_for(value: str) -> None:
    assert not KnownValues.of([Credential(origin="o", value=value)])


def test_the_origin_is_said_and_the_value_is_not() -> None:
    secret = "kr0kodil-" + "77-blau"
    known = KnownValues.of([Credential(origin="the proxy", value=secret)])
    found = Scanner(known).file("/a", [f"1\n2 {secret}".encode()])
    assert [(one.reason, one.line) for one in found] == [("the value of the proxy", 2)]
    assert secret not in repr(known) + repr(found) + repr(Credential(origin="o", value=secret))
