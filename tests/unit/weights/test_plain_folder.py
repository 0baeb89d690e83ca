"""Models as folders: what an import takes, what it says is missing, what an export writes and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.doors.terminal.progress import Silent
from devenv.errors import FetchError, UsageError
from devenv.lock.model import LockedModel
from devenv.weights.plain_folder import export_to, exportable, import_from
from devenv.weights.store import Weights
from tests.unit.weights.test_weights import BODIES


def test_an_export_is_imported_elsewhere_whole(store: Weights, model: LockedModel, tmp_path: Path) -> None:
    export_to(tmp_path / "out", exportable(model.name, tmp_path / "out", store), progress=Silent())
    assert {name: (tmp_path / "out" / name).read_bytes() for name in BODIES} == BODIES
    other = Weights(tmp_path / "other")
    done = import_from(tmp_path / "out", model, other, progress=Silent())
    assert (len(done.taken), done.missing) == (2, ())
    done.raise_missing()
    assert other.present(model)


def test_an_import_of_a_part_keeps_it_and_names_the_rest(model: LockedModel, download: Path, tmp_path: Path) -> None:
    (download / "a.bin").write_bytes(bytes(250))
    store = Weights(tmp_path / "weights")
    done = import_from(download, model, store, progress=Silent())
    with pytest.raises(FetchError, match="lacks 1 of 2 files") as error:
        done.raise_missing()
    assert error.value.detail == "a.bin"
    assert [one.path for one in store.missing(model)] == ["a.bin"]


def test_a_folder_with_files_is_not_exported_to(store: Weights, model: LockedModel, download: Path) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        exportable(model.key, download, store)


def test_an_unfinished_model_is_not_exported(store: Weights, model: LockedModel, tmp_path: Path) -> None:
    (store.folder(model.key) / "a.bin").unlink()
    with pytest.raises(UsageError, match="is not complete"):
        exportable(model.key, tmp_path / "out", store)
