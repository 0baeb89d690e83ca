"""A session of a run whose folders lie in the test's own; its engine is one that nobody may ask."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devenv.doors.docker.engine import Engine
from devenv.doors.settings.config_yaml import HubSettings
from devenv.up.session import Session
from tests.unit import handmade
from tests.unit.handmade import settings


def _no_engine() -> Engine:
    raise AssertionError("the engine was asked")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    mine = dataclasses.replace(settings(tmp_path), hubs=HubSettings(dir=tmp_path / "weights"))
    return dataclasses.replace(handmade.session(mine), engine=_no_engine)
