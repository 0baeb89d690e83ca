"""pytest finds every test file: no folder of the tests has a name that it passes over."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def test_no_folder_of_the_tests_is_passed_over(request: pytest.FixtureRequest) -> None:
    patterns = request.config.getini("norecursedirs")
    folders = {part for file in TESTS.rglob("test_*.py") for part in file.relative_to(TESTS).parts[:-1]}
    assert {"unit", "build"} <= folders
    assert not [name for name in sorted(folders) if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
