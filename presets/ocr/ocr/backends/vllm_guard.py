"""The guard against repetition, inside vLLM's engine. vLLM's own guard for this model compares every window of every
page again in Python: 0.1 ms for each page and token, while the GPU waits. This one forbids the same tokens and
remembers what it has seen. vLLM imports it in the process of its engine."""

from __future__ import annotations

import contextlib
import sys
import types
from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from ocr.guard import Guard, History


class RepetitionGuard(LogitsProcessor):  # type: ignore[misc]
    """Forbids tokens by the request's `extra_args`: `ngram_size`, `window_size`, `whitelist_token_ids`, as vLLM's
    `NGramPerReqLogitsProcessor` takes them. Requests without `ngram_size` are left alone."""

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        del vllm_config
        self._device, self._is_pinned = device, is_pin_memory
        self._answers: dict[int, tuple[History, list[int], frozenset[int]]] = {}
        without_other_models_warmup()

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raises ValueError, which a server answers with status 400."""
        given = sampling_params.extra_args or {}
        for name in ("ngram_size", "window_size"):
            value = given.get(name, 1)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value <= 0):
                raise ValueError(f"`{name}` has to be a positive integer, not {value!r}.")
        kept = given.get("whitelist_token_ids") or ()
        if not isinstance(kept, list | tuple | set) or not all(isinstance(token, int) for token in kept):
            raise ValueError("`whitelist_token_ids` has to be a list of integers.")

    def is_argmax_invariant(self) -> bool:
        """It changes which token is the likeliest."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow requests as they come, go and move."""
        process_dict_updates(self._answers, batch_update, _answer)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Forbid: one copy to the GPU for all requests, and none when nothing is forbidden."""
        rows: list[int] = []
        columns: list[int] = []
        for row, (history, tokens, kept) in self._answers.items():
            for token in history.forbidden(tokens) - kept:
                rows.append(row)
                columns.append(token)
        if rows:
            at = torch.tensor([rows, columns], dtype=torch.int64, pin_memory=self._is_pinned)
            at = at.to(self._device, non_blocking=True)
            logits[at[0], at[1]] = -float("inf")
        return logits


def _answer(params: Any, _prompt: Any, tokens: list[int]) -> tuple[History, list[int], frozenset[int]] | None:
    given = params.extra_args or {}
    size = given.get("ngram_size")
    if size is None:
        return None
    guard = Guard(size=size, window=given.get("window_size") or 100)
    return History(guard), tokens, frozenset(given.get("whitelist_token_ids") or ())


def without_other_models_warmup() -> None:
    """Have vLLM skip what it prepares at each start for other models: router kernels for Hopper and newer GPUs, which
    CUTLASS's compiler makes (this model's router gives bfloat16, they give float32), and a warm-up whose modules import
    all of FlashInfer. Where a version of vLLM has none of this, nothing changes."""
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.model_executor.kernels.linear.cute_dsl import ll_bf16

        ll_bf16._cutedsl_available = False
    name = "minimax_m3_msa_warmup"
    module = types.ModuleType(f"vllm.model_executor.warmup.{name}")
    setattr(module, name, lambda *_, **__: None)
    sys.modules.setdefault(module.__name__, module)
