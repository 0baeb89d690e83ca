"""A model's folder: whether it is complete, and the values in its files. None of its code is run."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ocr.errors import BackendError

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_HINT = "bring it again: devenv prefetch; or check it: devenv weights verify"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A complete model folder."""

    folder: Path
    config: Mapping[str, Any]
    shards: tuple[Path, ...]

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Look at a folder. Raises BackendError when something is missing."""
        if not folder.is_dir():
            raise BackendError(f"there is no model folder {folder}", hint=_HINT)
        config = _json(folder / "config.json")
        if not (folder / "tokenizer.json").is_file():
            raise BackendError(f"the model folder is incomplete: {folder / 'tokenizer.json'} is missing", hint=_HINT)
        if (folder / _INDEX).is_file():
            names = _json(folder / _INDEX).get("weight_map")
            if not isinstance(names, dict) or not names:
                raise BackendError(f"{folder / _INDEX} names no weights", hint=_HINT)
            shards = tuple(folder / name for name in sorted(set(map(str, names.values()))))
        else:
            shards = (folder / _SINGLE,)
        for shard in shards:
            if not shard.is_file():
                raise BackendError(f"the model folder is incomplete: {shard} is missing", hint=_HINT)
            _whole(shard)
        return cls(folder=folder, config=config, shards=shards)

    @property
    def title(self) -> str:
        """Its name: that of the model that devenv mounted here, else the folder's."""
        mounted, named = os.environ.get("DEVENV_MODEL"), os.environ.get("DEVENV_MODEL_HUGGINGFACE")
        named = named or os.environ.get("DEVENV_MODEL_MODELSCOPE")
        return named if named and mounted and Path(mounted) == self.folder else self.folder.name

    @property
    def size_bytes(self) -> int:
        """Of all weights."""
        return sum(shard.stat().st_size for shard in self.shards)

    @property
    def is_second(self) -> bool:
        """Whether it is DeepSeek-OCR-2 rather than the first."""
        said = [str(self.config.get("model_type")), *map(str, self.config.get("architectures") or ())]
        return any("ocr2" in one.lower().replace("_", "").replace("-", "") for one in said)

    def kept_tokens(self, texts: Sequence[str]) -> list[int]:
        """The numbers of added tokens with these texts, as the tokenizer's file has them."""
        added = _json(self.folder / "tokenizer.json").get("added_tokens") or []
        numbers = {one.get("content"): one.get("id") for one in added if isinstance(one, dict)}
        return [number for text in texts if isinstance(number := numbers.get(text), int)]


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BackendError(f"the model folder is incomplete: {path} is missing", hint=_HINT) from None
    except (OSError, ValueError) as error:
        raise BackendError(f"cannot read {path}: {error}", hint=_HINT) from None
    if not isinstance(value, dict):
        raise BackendError(f"{path} is not what it should be", hint=_HINT)
    return value


def _whole(shard: Path) -> None:
    """A safetensors file begins with its header's length and ends at the offset in the header. Raises BackendError."""
    size = shard.stat().st_size
    try:
        with shard.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, 100_000_000):
                raise ValueError(f"its header would have {length} bytes")
            header = json.loads(file.read(length))
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
        if 8 + length + max(ends) != size:
            raise ValueError(f"it has {size} bytes and should have {8 + length + max(ends)}")
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise BackendError(f"{shard} is cut off or broken: {error}", hint=_HINT) from None
    except OSError as error:
        raise BackendError(f"cannot read {shard}: {(error.strerror or str(error)).lower()}", hint=_HINT) from None
