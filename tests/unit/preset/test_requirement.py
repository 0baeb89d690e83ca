"""What others write in the place of a requirement ends in one kind of error."""

from __future__ import annotations

import pytest
from packaging.requirements import InvalidRequirement

from devenv.preset.requirement import name_of, parsed

DEEP = f"a; {'(' * 5000}os_name == 'x'{')' * 5000}"


@pytest.mark.parametrize("text", ["", "a b", "a @", DEEP])
def test_what_is_none_is_invalid_and_has_no_name(text: str) -> None:
    with pytest.raises(InvalidRequirement):
        parsed(text)
    assert name_of(text) == ""


def test_a_name_is_normalised() -> None:
    assert name_of("Odd_Name[extra]>=1; os_name == 'posix'") == "odd-name"
    assert str(parsed("a >=1")) == "a>=1"
