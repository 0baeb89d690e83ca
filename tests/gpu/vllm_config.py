"""Have vLLM read a DeepSeek-OCR checkpoint's config, tokenizer and picture processor, as `ocr` starts it, without a GPU:
nothing is loaded or computed. FOLDER is a checkpoint such as tests/integration/tinymodel.py writes. On a machine without
one, in the image of a vLLM preset:

    docker run --rm -v FOLDER:/model:ro -v $PWD/tests/gpu/vllm_config.py:/check.py:ro IMAGE python /check.py /model

Ends with an AssertionError at the first thing that is not as expected.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


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


def main(folder: str) -> None:
    """Parse the config with the arguments that `ocr` gives, and name what vLLM would run."""
    if not Path("/dev/nvidiactl").exists():
        without_a_gpu()
    from ocr.backends.vllm import environment
    from ocr.checkpoint import Checkpoint

    environment()
    checkpoint = Checkpoint.read(Path(folder))
    assert not checkpoint.is_second
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.models.deepseek_ocr import DeepseekOCRForCausalLM, NGramPerReqLogitsProcessor

    arguments = EngineArgs(
        model=folder, enable_prefix_caching=False, mm_processor_cache_gb=0,
        logits_processors=[NGramPerReqLogitsProcessor], max_model_len=8192,
    )  # fmt: skip
    config = arguments.create_model_config()
    assert config.is_multimodal_model
    assert config.max_model_len == 8192
    made, architecture = config.registry.resolve_model_cls(config.architectures, config)
    assert made is DeepseekOCRForCausalLM, (made, architecture)
    print(f"vLLM reads it as {architecture}: {config.hf_text_config.num_hidden_layers} layers, guard and length taken")


if __name__ == "__main__":
    main(sys.argv[1])
