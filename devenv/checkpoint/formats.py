"""The files of a checkpoint: the weights, the patterns of what is left out, and what cannot be served."""

from __future__ import annotations

import dataclasses
import re

from devenv.checkpoint.checkpoint import Checkpoint, size
from devenv.doors.http.hubs import HubFile
from devenv.errors import UsageError
from devenv.resolve.model import matches

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_OTHERS = (
    *_PICKLES, "*.gguf", "*.ggml", "*.onnx", "*.onnx_data", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.mlmodel",
    "*.mlpackage", "*.nemo", "*.npz", "*.joblib", "*.zip", "*.tar", "*.tar.gz", "*.7z",
)  # fmt: skip
"""Weights in other forms, and archives: no engine reads them beside safetensors."""
_SHOWN = ("*.png", "*.jpg", "*.jpeg", "*.gif", "*.webp", "*.svg", "*.mp4", "*.pdf", "*.ipynb")
_CODE = ("*.py", "*.so", "*.sh")
_OTHER_TASKS = {
    "diffusion": ("text-to-image", "image-to-image", "text-to-video", "image-to-video"),
    "speech": ("text-to-speech", "text-to-audio", "automatic-speech-recognition", "audio-to-audio"),
    "embedding": ("feature-extraction", "sentence-similarity", "text-ranking", "image-feature-extraction"),
    "classification": ("text-classification", "token-classification", "image-classification", "audio-classification",
                       "zero-shot-classification", "zero-shot-image-classification", "object-detection", "fill-mask",
                       "image-segmentation", "depth-estimation", "question-answering", "table-question-answering"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The files that the environment gets. `deny`: patterns of the others, for the preset."""

    weights: tuple[HubFile, ...]
    others: tuple[HubFile, ...]
    deny: tuple[str, ...]

    @property
    def weights_bytes(self) -> int:
        """Of the weights alone."""
        return size(self.weights)

    @property
    def all_bytes(self) -> int:
        """Of all files that will be downloaded."""
        return size(self.weights) + size(self.others)


def choose(checkpoint: Checkpoint, *, with_code: bool) -> Chosen:
    """Choose the files. `with_code`: the user takes the repository's own code. Raises UsageError for what has no
    weights of a language model in safetensors."""
    paths = [file.path for file in checkpoint.about.files]
    _kind(checkpoint, paths)
    top = [file for file in checkpoint.about.files if "/" not in file.path and file.path.endswith(".safetensors")]
    plain = [file for file in top if not file.path.startswith("consolidated")]
    weights = _whole(plain, paths) or plain or top
    if not weights:
        raise _no_weights(checkpoint, paths)
    deny = [pattern for pattern in (*_OTHERS, *_SHOWN, *(() if with_code else _CODE)) if _any(paths, pattern)]
    deny += sorted(_pattern(file.path) for file in top if file not in weights)
    folders = {path.rpartition("/")[0] for path in paths if path.endswith(".safetensors") and "/" in path}
    deny += sorted({f"{_pattern(folder)}/*.safetensors" for folder in folders})
    left = [file for file in checkpoint.about.files if not any(matches(file.path, pattern) for pattern in deny)]
    return Chosen(weights=tuple(weights), others=tuple(file for file in left if file not in weights), deny=tuple(deny))


def _whole(top: list[HubFile], paths: list[str]) -> list[HubFile]:
    """The one file that has all weights, where there is no index: those beside it are the same in another form."""
    return [] if "model.safetensors.index.json" in paths else [file for file in top if file.path == "model.safetensors"]


def _kind(checkpoint: Checkpoint, paths: list[str]) -> None:
    """Refuse what is no language model."""
    id_, task = checkpoint.id, checkpoint.about.task
    hint = "this serves models that complete texts; for others write a preset: docs/how-to/own-preset.md"
    if "model_index.json" in paths or checkpoint.about.library == "diffusers":
        raise UsageError(f"{id_} is a diffusion pipeline, not a language model", hint=hint)
    if "adapter_config.json" in paths and "config.json" not in paths:
        base = "its base model, and add the adapter to the service's command (vLLM: --enable-lora)"
        raise UsageError(f"{id_} is an adapter: it has no weights of its own", hint=f"name {base}")
    for kind, tasks in _OTHER_TASKS.items():
        if task in tasks:
            raise UsageError(f"{id_} is a model for {task} ({kind}), not one that completes texts", hint=hint)


def _no_weights(checkpoint: Checkpoint, paths: list[str]) -> UsageError:
    id_ = checkpoint.id
    if _any(paths, "*.gguf"):
        return UsageError(
            f"{id_} has only GGUF files, which neither vLLM as locked here nor Transformers serves well",
            hint="name the repository that they were made from (its page says 'quantized from'); it has safetensors",
        )
    if any(_any(paths, pattern) for pattern in _PICKLES):
        return UsageError(
            f"{id_} has its weights as pickles only: reading a pickle can run any code in it, so devenv serves none",
            hint="name a revision with safetensors (the hub's converter proposes one: OWNER/NAME@refs/pr/NUMBER), or "
            "convert them in a container without network",
        )
    what = "no weights in safetensors" if "config.json" in paths else "no config.json and no safetensors"
    return UsageError(f"{id_} has {what}", hint="name a repository in Transformers' form")


def _pattern(path: str) -> str:
    """A pattern for that path alone, or nearly: a preset's patterns are plain, and names may have any character."""
    return re.sub(r"[^A-Za-z0-9._/+ -]", "?", path)


def _any(paths: list[str], pattern: str) -> bool:
    return any(matches(path, pattern) for path in paths)
