"""Measured: a planted set of secrets is found, by path or by content, and no finding shows one."""

from __future__ import annotations

from collections import defaultdict

import pytest

from devenv.doors.settings.credentials import Credential
from devenv.secrets.known import KnownValues
from devenv.secrets.paths import by_path
from devenv.secrets.scanner import Scanner
from tests.unit.secrets.planted import KNOWN, Plant, planted


def _scanner() -> Scanner:
    return Scanner(KnownValues.of([Credential(origin="the proxy", value=KNOWN)]))


def _found(scanner: Scanner, plant: Plant) -> bool:
    return by_path(plant.path) is not None or bool(scanner.file(plant.path, [plant.content]))


def test_the_set_is_large_enough() -> None:
    plants = planted(0)
    assert len(plants) >= 60
    assert len({plant.kind for plant in plants}) >= 25


@pytest.mark.parametrize("seed", range(8))
def test_nearly_all_kinds_are_found(seed: int) -> None:
    scanner, found = _scanner(), defaultdict(list)
    for plant in planted(seed):
        found[plant.kind].append(_found(scanner, plant))
    missed = sorted(kind for kind, every in found.items() if not all(every))
    assert len(missed) <= 0.05 * len(found), f"missed of {len(found)} kinds: {missed}"


def test_every_kind_is_found_for_one_seed() -> None:
    scanner = _scanner()
    assert [plant.kind for plant in planted(0) if not _found(scanner, plant)] == []


def test_no_finding_holds_a_part_of_its_secret() -> None:
    scanner = _scanner()
    for plant in planted(1):
        shown = repr(scanner.file(plant.path, [plant.content]))
        words = {word for word in plant.content.decode("utf-8", "replace").split() if len(word) >= 16}
        assert not any(word in shown for word in words), plant.kind


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_the_size_of_chunks_does_not_matter(size: int) -> None:
    for plant in planted(2):
        whole = _scanner().file(plant.path, [plant.content])
        pieces = [plant.content[at : at + size] for at in range(0, len(plant.content), size)]
        assert _scanner().file(plant.path, pieces) == whole
