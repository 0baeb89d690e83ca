"""Build contexts with a short bill of materials."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _short_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bill takes longer than all other files of a context; tests/unit/render and tests/golden compare it."""
    monkeypatch.setattr("devenv.render.render.sbom", lambda lock: f'{{"lock": "{lock.digest}"}}\n'.encode())
