"""The tables of wheels: which releases have some for a Python, and what they need besides."""

from __future__ import annotations

import pytest

from devenv.compat.wheels import nearest, needs, wheels_of


@pytest.mark.parametrize(
    ("name", "version", "python"),
    [
        ("numpy", "1.17.0", "<3.8"), ("numpy", "1.26.4", ">=3.9,<3.13"), ("torch", "2.4.1", ">=3.8,<3.13"),
        ("torch", "2.4.1+cu121", ">=3.8,<3.13"), ("opencv-python", "4.10.0.84", ">=3.7"), ("numpy", "99", None),
        ("rich", "13", None),
    ],
)  # fmt: skip
def test_the_pythons_of_a_release(name: str, version: str, python: str | None) -> None:
    found = wheels_of(name, version)
    assert (found.python if found else None) == python


def test_the_nearest_release_is_a_newer_one_where_there_is_one() -> None:
    def words(name: str, version: str, python: str) -> str | None:
        found = nearest(name, version, python)
        return found.words() if found else None

    assert words("numpy", "1.17.0", "3.11") == "1.23.2 to 1.24.4"
    assert words("opencv-python", "4.1.2.30", "3.10") == "4.5.4.58 to 4.5.4.60"
    assert words("numpy", "2.5.1", "3.11") == "2.3.2 to 2.4.6"
    assert words("rich", "13", "3.11") is None


def test_what_was_compiled_for_numpy_1() -> None:
    assert (needs("pandas", "2.0.3"), needs("pandas", "2.2.2"), needs("rich", "1")) == ("numpy<2", None, None)
