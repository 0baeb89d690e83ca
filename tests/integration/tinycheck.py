"""Hold the Transformers backend against Transformers itself, on a checkpoint that tinymodel.py wrote. Run it where torch,
Transformers and the package `ocr` are:

    python tinycheck.py FOLDER

Ends with an AssertionError at the first difference.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import torch
from ocr import guard, modes, prompts, smoke
from ocr.backends import Settings, weights
from ocr.backends import transformers as own
from ocr.backends.decoding import GuardProcessor
from ocr.backends.transformers import TransformersBackend
from ocr.engine import Request


def loader(folder: Path) -> TransformersBackend:
    """Our loader gives what Transformers' own gives: the same names, numbers and buffers, whatever the chunk."""
    # float32 on every processor: in bfloat16 the sums of a batch are rounded otherwise, and random weights decide closely.
    own.fast_bfloat16 = lambda: False
    backend = TransformersBackend(Settings(model=folder))
    model_class, config = backend._classes()
    for chunk in (1000, weights.CHUNK):
        weights.CHUNK = chunk
        backend.load(lambda _: None)
        ours = backend._model
        theirs = model_class.from_pretrained(folder, config=config, dtype=ours.dtype)
        compare(dict(ours.named_parameters()), dict(theirs.named_parameters()))
        compare(dict(ours.named_buffers()), dict(theirs.named_buffers()))
    return backend


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        assert torch.equal(value, theirs[name]), name


def batches(backend: TransformersBackend) -> None:
    """Pictures of different shapes, with and without tiles, are read alike alone and together; a stream is the answer."""
    page = smoke.draw(smoke.TEXTS["en"])
    pictures = [page, page.resize((500, 320)), page.rotate(90, expand=True)]
    request = Request(
        prompt=prompts.prompt("markdown"),
        mode=modes.mode("gundam"),
        guard=guard.Guard(size=4, window=40),
        max_tokens=32,
    )
    alone = []
    for picture in pictures:
        streamed: list[str] = []
        alone += backend.read([picture], request, streamed.append)
        assert "".join(streamed).rstrip("�") == alone[-1].raw.rstrip("�"), (streamed, alone[-1].raw)
    together = backend.read(pictures, request)
    assert [one.raw for one in alone] == [one.raw for one in together]


def guards() -> None:
    """The guard that works on all rows at once forbids what the plain one does."""
    dice = random.Random(7)
    for trial in range(300):
        length = dice.randint(1, 60)
        rows = [[dice.randint(0, 3) for _ in range(length)] for _ in range(3)]
        wanted = guard.Guard(size=dice.randint(2, 6), window=dice.randint(6, 40))
        kept = (2,) if trial % 2 else ()
        scores = GuardProcessor(wanted, kept, 0)(torch.tensor(rows), torch.zeros(3, 5))
        for row, tokens in zip(scores.tolist(), rows, strict=True):
            found = {token for token, score in enumerate(row) if score == float("-inf")}
            assert found == guard.forbidden(tokens, wanted) - set(kept), (tokens, wanted)


if __name__ == "__main__":
    guards()
    batches(loader(Path(sys.argv[1])))
    print("the backend agrees with Transformers")
