"""The engines by name. Each is imported only when it is asked for."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from ocr.engine import Backend
from ocr.errors import BackendError, UsageError
from ocr.memory import gpus

NAMES = ("vllm", "transformers", "rapidocr")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a backend is made with. `threads`: of the processor, for each picture; None: what is good.

    `has_many`: many pages come, so that preparing them in another process than the engine's pays.
    """

    model: Path | None = None
    threads: int | None = None
    has_many: bool = False
    max_context: int | None = None


def chosen(name: str | None, env: dict[str, str] | os._Environ[str] = os.environ) -> str:
    """The backend's name: the requested one, else that of the environment variable. Raises UsageError."""
    name = name or env.get("OCR_BACKEND")
    if not name:
        raise UsageError("no backend is chosen", hint=f"--backend {' | '.join(NAMES)}, or set OCR_BACKEND")
    if name not in NAMES:
        raise UsageError(f"there is no backend {name!r}", hint=f"backends: {', '.join(NAMES)}")
    return name


def make(name: str, settings: Settings) -> Backend:
    """A backend that is not loaded yet. Raises BackendError when a model folder is needed and there is none."""
    if name == "rapidocr":
        from ocr.backends.rapidocr import RapidOcrBackend

        return RapidOcrBackend(settings)
    if settings.model is None:
        raise BackendError(
            f"the {name} backend needs a model",
            hint="--model FOLDER, or DEVENV_MODEL; devenv sets it for presets with a model",
        )
    if name == "transformers":
        from ocr.backends.transformers import TransformersBackend

        return TransformersBackend(settings)
    from ocr.backends.vllm import VllmBackend

    engine = VllmBackend(settings)
    if settings.has_many and len(found := gpus()) > 1:
        from ocr.backends.fleet import Fleet

        return Fleet(engine, settings, found)
    return engine
