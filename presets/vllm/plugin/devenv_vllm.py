"""A plugin that vLLM loads in each of its processes. A process that vLLM has started ends with its parent: otherwise an
engine whose parent was killed keeps the GPU's memory for good. And vLLM's batch-invariant mode reads pictures."""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.util
import os
import select
import signal
import threading
from collections.abc import Callable
from typing import Any


class _Anchor:
    """What `register_after_fork` holds on to."""


_ANCHOR = _Anchor()


def register() -> None:
    """Watch the parent, in this process if `multiprocessing` has started it, and in those that it will fork."""
    if multiprocessing.parent_process() is not None:
        end_with_parent()
    multiprocessing.util.register_after_fork(_ANCHOR, lambda _: end_with_parent())
    if os.environ.get("VLLM_BATCH_INVARIANT", "0") not in ("", "0"):
        keep_types()


def keep_types() -> None:
    """Let the mean of batch-invariant mode have its input's type, as PyTorch's has: vLLM (0.19 to 0.29) gives 32 bits,
    and the convolution that follows in a picture's encoder refuses them."""
    for name in ("vllm.model_executor.determinism.batch_invariant", "vllm.model_executor.layers.batch_invariant"):
        try:
            module = importlib.import_module(name)
            module.mean_batch_invariant = _typed(module.mean_batch_invariant)
        except (ImportError, AttributeError):  # of another version
            continue


def _typed(mean: Callable[..., Any]) -> Callable[..., Any]:
    def typed(values: Any, *given: Any, dtype: Any = None, **named: Any) -> Any:
        found = mean(values, *given, dtype=dtype, **named)
        return found if dtype is not None else found.to(values.dtype)

    return typed


def end_with_parent() -> None:
    """Kill this process as soon as its parent process has ended, for whatever reason. PR_SET_PDEATHSIG would do so when
    the parent's thread ends that started this process."""
    parent = multiprocessing.parent_process()
    number = os.getppid()
    if parent is None or parent.pid is None:
        return
    if number != parent.pid:  # it has ended before we looked, or a fork server is between us
        if not parent.is_alive():
            _end()
        number = parent.pid
    try:
        descriptor = os.pidfd_open(number)
    except ProcessLookupError:
        _end()
    except OSError:  # a kernel older than 5.3
        return
    else:
        threading.Thread(target=_wait, args=(descriptor,), name="ends-with-parent", daemon=True).start()


def _wait(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll()
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
