"""What the locked releases know, and code that comes with a model."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from devenv.checkpoint.support import Release, judge
from devenv.compat.architectures import architectures, formats
from devenv.errors import DevenvError, MachineError, UsageError
from devenv.preset.load import find, load
from tests.unit.checkpoint.conftest import GPT2, LLAMA, QWEN_VL, checkpoint

VLLM = Release(engine="vllm", version="0.29.0", transformers="5.16.1")
CU12 = Release(engine="vllm", version="0.19.1", transformers="4.57.6")
CPU = Release(engine="transformers", version="5.23.0", transformers="5.23.0")
ELSEWHERE = Release(engine="vllm", version="0.11.0", transformers="4.57.6")
OWN = {"architectures": ["AcmeForCausalLM"], "model_type": "acme", "auto_map": {"AutoModel": "modeling_acme.Acme"}}


@pytest.mark.parametrize("release", [VLLM, CU12, CPU])
@pytest.mark.parametrize("config", [LLAMA, GPT2, QWEN_VL])
def test_common_architectures_are_known_to_every_release(config: dict[str, object], release: Release) -> None:
    found = judge(checkpoint(config), release, trusted=False)
    assert (found.knowledge, found.needs_code) == ("known", False)
    assert found.takes_pictures is ("vision_config" in config)


def test_every_locked_release_has_its_rows() -> None:
    for name, engine in (("vllm", "vllm"), ("vllm-cu12", "vllm"), ("transformers-cpu", "transformers")):
        preset = load(find(name, Path("/"))).preset
        versions = dict(text.partition("==")[::2] for text in preset.pip)
        own = preset.vllm if engine == "vllm" else versions["transformers"]
        assert architectures(engine, own) is not None, f"tools/architecture_rows.py: {engine} {own}"  # type: ignore[arg-type]
        assert architectures("transformers", versions["transformers"]) is not None, versions["transformers"]
        if engine == "vllm":
            assert formats("vllm", own) is not None, "devenv/compat/quantisations.yaml"


def test_code_that_is_not_needed_is_not_asked_about() -> None:
    ocr = {
        "architectures": ["DeepseekOCRForCausalLM"],
        "model_type": "deepseek_vl_v2",
        "auto_map": {"AutoModel": "m.M"},
    }
    assert not judge(checkpoint(ocr), VLLM, trusted=False).needs_code


@pytest.mark.parametrize(("release", "words"), [
    (VLLM, "vLLM 0.29.0 does not know AcmeForCausalLM (acme) itself"),
    (CPU, "Transformers 5.23.0 does not know AcmeForCausalLM (acme) itself"),
    (ELSEWHERE, "devenv has no list of the architectures of vLLM 0.11.0"),
])  # fmt: skip
def test_code_has_to_be_taken_in_so_many_words(release: Release, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        judge(checkpoint(OWN), release, trusted=False)
    assert words in refused.value.message
    assert "--trust-remote-code" in (refused.value.hint or "")
    assert judge(checkpoint(OWN), release, trusted=True).needs_code


def test_code_of_another_repository_cannot_be_pinned() -> None:
    config = {**OWN, "auto_map": {"AutoModel": "other/code--modeling.Acme"}}
    with pytest.raises(UsageError, match="takes its code from another repository, other/code"):
        judge(checkpoint(config), VLLM, trusted=True)


def test_an_architecture_of_transformers_alone_may_run_and_is_not_said_to() -> None:
    known = architectures("transformers", "5.16.1")
    own = architectures("vllm", "0.29.0")
    assert known is not None
    assert own is not None
    name = min(known.text - own.text - own.picture - own.pooling)
    found = judge(checkpoint({"architectures": [name], "model_type": "x"}), VLLM, trusted=False)
    assert found.knowledge == "by Transformers"


def test_a_release_without_rows_is_said_to_be_unknown() -> None:
    assert judge(checkpoint(), ELSEWHERE, trusted=False).knowledge == "not known"


@pytest.mark.parametrize(("config", "release", "words"), [
    ({"architectures": ["AcmeForCausalLM"], "model_type": "acme"}, VLLM, "vLLM 0.29.0 does not know the architecture"),
    ({"architectures": ["BertModel"], "model_type": "bert"}, VLLM, "gives vectors or scores"),
    ({"architectures": ["BertModel"], "model_type": "bert"}, CPU, "does not know the architecture BertModel"),
    ({"model_type": "llama"}, VLLM, "names no architecture"),
    ({"architectures": "LlamaForCausalLM"}, VLLM, "names no architecture"),
    ({"architectures": ["not a name\n"]}, VLLM, "names no architecture"),
    ({**LLAMA, "quantization_config": {"quant_method": "bitsandbytes"}}, VLLM, "does not read bitsandbytes weights"),
])  # fmt: skip
def test_what_cannot_be_served(config: dict[str, object], release: Release, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        judge(checkpoint(config), release, trusted=False)


@pytest.mark.parametrize(("section", "release", "capability", "packages"), [
    ({"quant_method": "fp8"}, VLLM, "7.5", ()),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, VLLM, "7.5", ()),
    ({"quant_method": "modelopt", "quant_algo": "FP8"}, CU12, "8.9", ()),
    ({"quant_method": "bitsandbytes"}, CU12, "7.0", ("bitsandbytes",)),
    ({"quant_method": "fp8"}, ELSEWHERE, None, ()),
    ("nothing", VLLM, None, ()),
])  # fmt: skip
def test_formats_of_weights(
    section: object, release: Release, capability: str | None, packages: tuple[str, ...]
) -> None:
    found = judge(checkpoint({**LLAMA, "quantization_config": section}), release, trusted=False)
    assert (found.capability, found.packages) == (capability, packages)


def test_quantised_weights_need_a_gpu() -> None:
    with pytest.raises(MachineError, match="awq weights, which need a GPU"):
        judge(checkpoint({**LLAMA, "quantization_config": {"quant_method": "awq"}}), CPU, trusted=False)


def test_no_configuration_of_a_stranger_is_a_bug() -> None:
    odd = [None, 1, "x", [], {}, [1], {"a": 1}, True, "\x1b[2J", ["\n"], 10**30]
    for value in odd:
        for key in (
            "architectures",
            "model_type",
            "auto_map",
            "text_config",
            "vision_config",
            "quantization_config",
            "dtype",
        ):
            for release in (VLLM, CPU, ELSEWHERE):
                with contextlib.suppress(DevenvError):  # any other error fails
                    judge(checkpoint({**LLAMA, key: value}), release, trusted=True)
