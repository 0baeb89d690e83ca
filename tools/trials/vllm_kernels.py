"""What Triton compiles when vLLM runs DeepSeek-OCR, without a GPU: no kernel of the model's own modules reads a plain
Python number, which Triton refuses (vLLM 0.30.0 did, seen on an H100), and the experts' kernel compiles for the GPUs of
the presets. In the image of a vLLM preset:

    docker run --rm -v $PWD/tools/trials/vllm_kernels.py:/check.py:ro IMAGE python /check.py

Ends with an AssertionError, or Triton's own error, at the first that does not.
"""

from __future__ import annotations

import builtins
import importlib
from types import ModuleType
from typing import Any

MODEL = ("deepencoder", "deepseek_ocr", "deepseek_v2", "deepseek_vl2")
CAPABILITIES = (80, 86, 89, 90, 100, 120)
POINTERS = {
    "a_ptr": "*bf16", "b_ptr": "*bf16", "c_ptr": "*bf16", "topk_weights_ptr": "*fp32", "sorted_token_ids_ptr": "*i32",
    "expert_ids_ptr": "*i32", "num_tokens_post_padded_ptr": "*i32",
}  # fmt: skip
CONSTANTS = {
    "group_n": 0, "group_k": 0, "BLOCK_SIZE_M": 64, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 32, "GROUP_SIZE_M": 8,
    "SPLIT_K": 1, "top_k": 6,
}  # fmt: skip
"""vLLM's choice for bfloat16 where it has no table for the GPU, and this model's number of experts."""


def plain_numbers(kernel: Any) -> list[str]:
    """Names of plain numbers that a kernel reads from its module."""
    function = kernel.fn
    read = [name for name in function.__code__.co_names if not hasattr(builtins, name)]
    return [name for name in read if type(function.__globals__.get(name)) in {int, float, bool}]


def kernels(module: ModuleType) -> dict[str, Any]:
    """The Triton kernels that a module has, its own and those that it imports."""
    from triton.runtime.jit import JITFunction

    return {name: one for name, one in vars(module).items() if isinstance(one, JITFunction)}


def compiled(kernel: Any, capability: int, *, is_last: bool) -> int:
    """Bytes of the experts' kernel for a GPU; `is_last`: for the second of its two uses, which weighs the experts."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    values: dict[str, Any] = {**CONSTANTS, "compute_type": tl.bfloat16, "MUL_ROUTED_WEIGHT": is_last}
    annotated = {one.name for one in kernel.params if one.is_constexpr}
    values |= dict.fromkeys(annotated - values.keys(), False)  # quantization, bias, layouts of other GPUs
    values |= {name: None for name in kernel.arg_names if name.endswith("_ptr") and name not in POINTERS}
    signature = {name: "constexpr" if name in values else POINTERS.get(name, "i32") for name in kernel.arg_names}
    constants = {(kernel.arg_names.index(name),): value for name, value in values.items() if name in signature}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    return len(triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"])


def main() -> None:
    """Look at the model's kernels, and compile the experts'."""
    import torch

    torch.cuda.is_available = lambda: True  # else vLLM does without Triton
    torch.cuda.current_device = lambda: 0
    torch.cuda.get_device_capability = lambda *_: (9, 0)
    import vllm

    for name in MODEL:
        found = kernels(importlib.import_module(f"vllm.model_executor.models.{name}"))
        refused = {kernel: numbers for kernel, one in found.items() if (numbers := plain_numbers(one))}
        assert not refused, (name, refused)
        print(f"vLLM {vllm.__version__}, {name}: {len(found)} Triton kernels, none reads a plain number")
    from vllm.model_executor.layers.fused_moe.fused_moe import fused_moe_kernel

    for capability in CAPABILITIES:
        sizes = [compiled(fused_moe_kernel, capability, is_last=is_last) for is_last in (False, True)]
        print(f"the experts' kernel for {capability / 10}: {sizes} bytes")


if __name__ == "__main__":
    main()
