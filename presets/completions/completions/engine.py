"""A model of a folder in this process, by Transformers. No file of the folder is run unless the caller says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from completions.request import Request, RequestError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer. `finish`: `stop`, or `length` where it was cut off."""

    text: str
    prompt_tokens: int
    tokens: int
    finish: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The loaded model with its tokenizer. `processor`: what prepares pictures; None for a model of texts alone."""

    model: Any
    tokenizer: Any
    processor: Any
    context: int

    @classmethod
    def load(cls, folder: Path, *, trust: bool) -> Engine:
        """Read the weights as they are stored. `trust`: run the model's own code from the folder."""
        import transformers
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING as PICTURES

        given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trust}
        config = transformers.AutoConfig.from_pretrained(folder, **given)
        takes_pictures = type(config) in PICTURES
        kind = transformers.AutoModelForImageTextToText if takes_pictures else transformers.AutoModelForCausalLM
        model = kind.from_pretrained(folder, dtype="auto", use_safetensors=True, **given).eval()
        processor = None
        if takes_pictures:
            _leave_out_films()
            processor = transformers.AutoProcessor.from_pretrained(folder, **given)
        tokenizer = getattr(processor, "tokenizer", None) or transformers.AutoTokenizer.from_pretrained(folder, **given)
        context = getattr(config.get_text_config(), "max_position_embeddings", None)
        return cls(model=model, tokenizer=tokenizer, processor=processor, context=int(context or 4096))

    def complete(self, request: Request) -> Completion:
        """Answer one request. Raises RequestError."""
        import torch

        inputs = self._inputs(request)
        length = int(inputs["input_ids"].shape[1])
        sampling = request.sampling
        most = min(sampling.max_tokens, self.context - length)
        if most < 1:
            raise RequestError(f"the request has {length} tokens, and the model takes {self.context}")
        chosen: dict[str, Any] = {"do_sample": False}
        if sampling.temperature:
            chosen = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        if sampling.stop:
            chosen |= {"stop_strings": list(sampling.stop), "tokenizer": self.tokenizer}
        pad = self.tokenizer.pad_token_id
        pad = self.tokenizer.eos_token_id if pad is None else pad
        with torch.inference_mode():
            answer = self.model.generate(**inputs, max_new_tokens=most, pad_token_id=pad, **chosen)
        made = answer[0][length:].tolist()
        text = self.tokenizer.decode(made, skip_special_tokens=True)
        stopped = len(made) < most or made[-1:] == [self.tokenizer.eos_token_id]
        for end in sampling.stop:
            text = text.partition(end)[0]
        return Completion(text=text, prompt_tokens=length, tokens=len(made), finish="stop" if stopped else "length")

    def _inputs(self, request: Request) -> Mapping[str, Any]:
        if not request.messages:
            return self._tensors(self.tokenizer(request.prompt, return_tensors="pt"))
        if request.pictures and self.processor is None:
            raise RequestError("this model takes no pictures")
        if self.processor is not None and self.processor.chat_template:
            template, messages = self.processor, request.messages
        elif self.tokenizer.chat_template:
            template, messages = self.tokenizer, tuple(map(_plain, request.messages))
        else:
            raise RequestError("this model has no chat template: use /v1/completions")
        try:
            return self._tensors(template.apply_chat_template(
                list(messages), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            ))  # fmt: skip
        except Exception as error:  # noqa: BLE001  (templates are the model's, and raise anything)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise RequestError(f"the model's chat template refuses these messages: {reason[:200]}") from None

    def _tensors(self, inputs: Any) -> Mapping[str, Any]:
        kept = dict(inputs)
        kept.pop("token_type_ids", None) if self.processor is None else None
        kind = self.model.dtype
        return {key: value.to(kind) if value.is_floating_point() else value for key, value in kept.items()}


def _plain(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message whose content is one text, which is what templates of models without pictures expect."""
    return {**message, "content": "\n".join(part["text"] for part in message["content"] if "text" in part)}


def _leave_out_films() -> None:
    """Where torchvision is missing, processors that also take films are made without their part for films."""
    from transformers.processing_utils import ProcessorMixin
    from transformers.utils import is_torchvision_available

    if is_torchvision_available():
        return
    attributes = ProcessorMixin.get_attributes.__func__

    def without(kind: Any) -> list[str]:
        return [name for name in attributes(kind) if name != "video_processor"]

    ProcessorMixin.get_attributes = classmethod(without)
    ProcessorMixin.video_processor = None
