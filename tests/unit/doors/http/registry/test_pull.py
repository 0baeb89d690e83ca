from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.doors.cancellation import Cancellation
from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.http.registry.pull import pull
from devenv.doors.terminal.progress import Silent
from devenv.errors import ShareError


@pytest.mark.parametrize(("kept", "fits"), [(0, False), (4096, True)])
def test_a_full_disk_is_known_before_the_first_byte(
    kept: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier run has downloaded is not needed again."""
    blob, begun = Descriptor.of(bytes(10_000), "application/octet-stream"), []
    (tmp_path / f"{blob.hex}.part").write_bytes(bytes(range(256)) * (kept // 256))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=8_000))
    registry = SimpleNamespace(
        cancel=Cancellation(), together=lambda *_: begun.append(True), connections=None, policy=None, stop=None
    )
    repository: Any = SimpleNamespace(registry=registry)
    if fits:
        pull(repository, [blob], tmp_path, Silent())
    else:
        with pytest.raises(ShareError, match=r"not enough disk space: 10\.0 kB to download, 8\.0 kB free"):
            pull(repository, [blob], tmp_path, Silent())
    assert begun == [True] * fits
