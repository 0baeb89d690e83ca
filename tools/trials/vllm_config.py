"""Have vLLM read a DeepSeek-OCR checkpoint's config, tokenizer and picture processor, as `ocr` starts it, without a GPU:
nothing is computed. FOLDER is a checkpoint such as tests/integration/tinymodel.py writes; with --load, which is for the
published shapes (fullmodel.py) and takes 8 GB of memory, vLLM also makes the model and loads every weight. On a machine
without a GPU, in the image of a vLLM preset:

    docker run --rm -v FOLDER:/model:ro -v $PWD/tools/trials/vllm_config.py:/check.py:ro IMAGE python /check.py /model

Ends with an AssertionError at the first thing that is not as expected.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any


def without_a_gpu() -> None:
    """A libcuda with no functions, which are looked up when they are called: never; and a GPU by name for vLLM."""
    folder = Path(tempfile.mkdtemp())
    if "HAS_LIBCUDA" not in os.environ:
        subprocess.run(["gcc", "-shared", "-o", folder / "libcuda.so.1", "-x", "c", "/dev/null"], check=True)
        env = {**os.environ, "HAS_LIBCUDA": "yes", "LD_LIBRARY_PATH": str(folder)}
        os.execve(sys.executable, [sys.executable, *sys.argv], env)
    sys.setdlopenflags(os.RTLD_LAZY)
    from vllm import platforms
    from vllm.platforms.cuda import NonNvmlCudaPlatform
    from vllm.platforms.interface import DeviceCapability

    class Named(NonNvmlCudaPlatform):
        get_device_capability = classmethod(lambda cls, device_id=0: DeviceCapability(9, 0))
        get_device_name = classmethod(lambda cls, device_id=0: "a GPU that is not there")
        get_device_total_memory = classmethod(lambda cls, device_id=0: 80 << 30)
        device_count = classmethod(lambda cls: 1)

    platforms.current_platform = platforms._current_platform = Named()


class Nothing:
    """A stream or an event of a GPU that is not there."""

    def __init__(self, *_: object, **__: object) -> None:
        pass


def load(arguments: Any) -> None:
    """Make the model on the processor, as vLLM does for a GPU, and give it its weights."""
    import torch
    from vllm.config import set_current_vllm_config
    from vllm.distributed import init_distributed_environment, initialize_model_parallel
    from vllm.model_executor.model_loader import get_model_loader
    from vllm.model_executor.model_loader.utils import initialize_model

    torch.cuda.is_available = lambda: True
    torch.cuda.device_count, torch.cuda.current_device = lambda: 1, lambda: 0
    properties = types.SimpleNamespace(total_memory=80 << 30, multi_processor_count=132, major=9, minor=0)
    torch.cuda.get_device_properties = lambda *_, **__: properties
    torch.cuda.set_device = lambda *_: None
    torch.cuda.get_device_capability = lambda *_: (9, 0)
    torch.cuda.Stream = torch.cuda.Event = torch.cuda.current_stream = Nothing
    config = arguments.create_engine_config()
    torch.set_default_dtype(torch.bfloat16)
    with set_current_vllm_config(config):
        init_distributed_environment(1, 0, "tcp://127.0.0.1:29555", 0, "gloo")
        initialize_model_parallel(1, 1)
        with torch.device("cpu"):
            model = initialize_model(config)
        get_model_loader(config.load_config).load_weights(model, config.model_config)
    print(f"{sum(one.numel() for one in model.parameters()):,} parameters made, and all of the weights taken")


def same_guard() -> None:
    """`ocr`'s guard forbids what vLLM's own for this model forbids, as requests come, grow, move and go."""
    import torch
    from ocr.backends.vllm_guard import RepetitionGuard
    from vllm import SamplingParams
    from vllm.model_executor.models.deepseek_ocr import NGramPerReqLogitsProcessor
    from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

    random = torch.Generator().manual_seed(0)
    both = [one(None, torch.device("cpu"), False) for one in (RepetitionGuard, NGramPerReqLogitsProcessor)]
    answers: list[list[int]] = [[] for _ in range(8)]
    asked = [
        {"ngram_size": 2 + number % 4, "window_size": 9 + number, "whitelist_token_ids": [number % 3]}
        if number
        else None
        for number in range(8)
    ]
    added = [(at, SamplingParams(extra_args=given), None, answers[at]) for at, given in enumerate(asked)]
    for one in both:
        one.update_state(BatchUpdate(batch_size=8, added=added, removed=[], moved=[]))
    forbidden = 0
    for step in range(400):
        if step == 200:  # as the engine does when it closes a gap in its batch
            answers[2], answers[5] = answers[5], answers[2]
            for one in both:
                one.update_state(
                    BatchUpdate(batch_size=8, added=[], removed=[], moved=[(2, 5, MoveDirectionality.SWAP)])
                )
        seen = [one.apply(torch.zeros(8, 5)) for one in both]
        assert torch.equal(*seen), (step, seen)
        forbidden += int(torch.isinf(seen[0]).sum())
        for tokens in answers:
            tokens.append(int(torch.randint(0, 4, (), generator=random)))
    assert forbidden > 100
    print(f"the guard forbids what vLLM's own forbids: {forbidden} times in 400 steps of 8 answers")


def main(folder: str) -> None:
    """Parse the config with the arguments that `ocr` gives, and name what vLLM would run."""
    if not Path("/dev/nvidiactl").exists():
        without_a_gpu()
    from ocr.backends.vllm import environment
    from ocr.backends.vllm_engine import FEW, Size
    from ocr.backends.vllm_engine import arguments as given
    from ocr.checkpoint import Checkpoint

    environment()
    checkpoint = Checkpoint.read(Path(folder))
    assert not checkpoint.is_second
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.models.deepseek_ocr import DeepseekOCRForCausalLM

    arguments = EngineArgs(
        **given(checkpoint.folder, Size(pages=FEW, cache_bytes=2 << 30, share=0.3), checkpoint.config)
    )
    whole = arguments.create_engine_config()
    config = whole.model_config
    assert config.is_multimodal_model
    assert config.max_model_len == 8192
    heads = config.get_num_attention_heads(whole.parallel_config)
    # 0 with vLLM 0.19 and Transformers 4 unless it is said: attention divided by it on the H100.
    assert config.get_head_size() * heads == config.hf_text_config.hidden_size, config.get_head_size()
    assert whole.compilation_config.cudagraph_mode.name == "FULL_DECODE_ONLY"
    assert (whole.kernel_config.moe_backend, whole.attention_config.backend.name) == ("triton", "FLASH_ATTN")
    made, architecture = config.registry.resolve_model_cls(config.architectures, config)
    assert made is DeepseekOCRForCausalLM, (made, architecture)
    print(f"vLLM reads it as {architecture}: {config.hf_text_config.num_hidden_layers} layers, heads of "
          f"{config.get_head_size()}, guard and length taken")  # fmt: skip
    same_guard()
    if sys.argv[2:] == ["--load"]:
        load(arguments)


if __name__ == "__main__":
    main(sys.argv[1])
