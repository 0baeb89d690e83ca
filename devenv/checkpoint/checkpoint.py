"""A checkpoint: a model's repository at one revision, as the hub's metadata and its small JSON files describe it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from devenv.doors.http.hubs import About, HubFile

_NESTED = ("text_config", "llm_config", "language_config")
_SEES = ("vision_config", "visual", "vision_tower", "mm_vision_tower", "vision_tower_config", "img_processor")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model's repository. `asked`: the revision that the user named, or the hub's own branch; `revision`: what stands
    for it in a preset (a commit, where the hub has one)."""

    hub: str
    id: str
    asked: str
    revision: str
    about: About
    config: Mapping[str, Any]
    has_template: bool
    """Whether it says how a conversation becomes a text."""

    @property
    def architecture(self) -> str:
        """The class that the configuration names; empty where it names none."""
        named = self.config.get("architectures")
        first = named[0] if isinstance(named, list) and named else ""
        return first if isinstance(first, str) and first.isidentifier() else ""

    @property
    def type(self) -> str:
        """The configuration's `model_type`."""
        value = self.config.get("model_type")
        return value if isinstance(value, str) and len(value) <= 80 and value.isprintable() else ""

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The part of the configuration that describes the language model."""
        nested = [self.config[key] for key in _NESTED if isinstance(self.config.get(key), dict)]
        return {**self.config, **nested[0]} if nested else self.config

    @property
    def has_code(self) -> bool:
        """Whether the configuration names classes in the repository's own code."""
        return bool(self.config.get("auto_map"))

    @property
    def sees(self) -> bool:
        """Whether the configuration has a part for pictures."""
        return any(self.config.get(key) for key in _SEES)

    @property
    def quantisation(self) -> str:
        """The format of quantised weights (`quant_method`); empty for weights that are plain numbers."""
        section = self.config.get("quantization_config") or self.text_config.get("quantization_config")
        if not isinstance(section, dict):
            return ""
        method = section.get("quant_method")
        if method == "modelopt":
            algorithm = str(section.get("quant_algo") or "").upper()
            return {"NVFP4": "modelopt_fp4", "MXFP8": "modelopt_mxfp8", "MIXED_PRECISION": "modelopt_mixed"}.get(
                algorithm, "modelopt"
            )
        return method if isinstance(method, str) and len(method) <= 40 and method.isprintable() else ""

    @property
    def stored_bytes(self) -> int:
        """Bytes of one number as the configuration says it is stored; 2 where it does not say."""
        named = self.text_config.get("dtype") or self.text_config.get("torch_dtype")
        return 4 if named == "float32" else 2

    def number(self, *keys: str) -> int | None:
        """The first of these values of the language model that is a number of a plausible size."""
        values = [self.text_config.get(key) for key in keys]
        return next((one for one in values if isinstance(one, int) and not isinstance(one, bool) and 0 < one < 1 << 32),
                    None)  # fmt: skip


def size(files: tuple[HubFile, ...]) -> int:
    """Bytes of files."""
    return sum(file.size for file in files)
