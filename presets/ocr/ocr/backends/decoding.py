"""What goes along with the making of tokens: the guard, a look at the logits, and text as it comes. For torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ocr.guard import Guard


class GuardProcessor:
    """Forbids runs that were there before, for all rows at once and without waiting for the device. `begin`: where the
    answer begins."""

    def __init__(self, guard: Guard, kept: Sequence[int], begin: int) -> None:
        self._guard = guard
        self._kept = tuple(kept)
        self._kept_on: Any = None
        self._begin = begin

    def __call__(self, tokens: Any, scores: Any) -> Any:
        """`scores` less what would repeat; rows × vocabulary."""
        import torch

        size = self._guard.size
        recent = tokens[:, self._begin :][:, -self._guard.window :]
        if recent.shape[1] < size:
            return scores
        runs = recent.unfold(1, size, 1)
        repeats = (runs[:, :, :-1] == recent[:, None, recent.shape[1] - size + 1 :]).all(dim=-1)
        following = runs[:, :, -1]
        if self._kept:
            if self._kept_on is None:
                self._kept_on = torch.tensor(self._kept, device=tokens.device)
            repeats &= ~torch.isin(following, self._kept_on)
        limit = torch.where(repeats, float("-inf"), float("inf")).to(scores.dtype)
        return scores.scatter_reduce(1, following, limit, "amin", include_self=True)


class LogitsWatch:
    """Checks whether all logits were finite; the result is read only at the end, so that no step waits for it."""

    def __init__(self) -> None:
        self._finite: Any = None
        self.width: int | None = None

    def __call__(self, _tokens: Any, scores: Any) -> Any:
        """`scores` as they are."""
        import torch

        finite = torch.isfinite(scores).all()
        self._finite = finite if self._finite is None else self._finite & finite
        self.width = int(scores.shape[-1])
        return scores

    @property
    def finite(self) -> bool:
        """Whether there were logits, and all were finite."""
        return self._finite is not None and bool(self._finite)


class Streamer:
    """Takes tokens as they are made, one row's; `on_text` gets what is text by then."""

    def __init__(self, tokenizer: Any, ends: frozenset[int], on_text: Callable[[str], None] | None) -> None:
        from tokenizers.decoders import DecodeStream

        self._tokenizer = tokenizer
        self._decoder = DecodeStream(skip_special_tokens=False)
        self._ends = ends
        self._on_text = on_text
        self._prompt_seen = False
        self.first: float | None = None

    def put(self, value: Any) -> None:
        """The prompt at first, then one token after another."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        for token in value.flatten().tolist():
            if self.first is None:
                self.first = time.perf_counter()
            if self._on_text is not None and token not in self._ends:
                text = self._decoder.step(self._tokenizer, token)
                if text:
                    self._on_text(text)

    def end(self) -> None:
        """Nothing is held back."""
