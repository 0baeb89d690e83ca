"""Where each tensor of a published checkpoint belongs in Transformers' model of it."""

from __future__ import annotations

import dataclasses
import re

_RENAMED = (
    (r"^model\.sam_model\.", "model.vision_tower.sam_encoder."),
    (r"^model\.vision_model\.transformer\.", "model.vision_tower.vision_encoder.encoder."),
    (r"^model\.vision_model\.", "model.vision_tower.vision_encoder."),
    (r"^model\.qwen2_model\.model\.model\.", "model.vision_tower.vision_encoder."),
    (r"^model\.qwen2_model\.query_(768|1024)\.", r"model.vision_tower.query_\1_resolution."),
    (r"^model\.view_seperator$", "model.view_separator"),
    (r"^model\.projector\.layers\.", "model.multi_modal_projector."),
    (r"^model\.(embed_tokens|layers|norm)\.", r"model.language_model.\1."),
    (r"\.sam_encoder\.blocks\.", ".sam_encoder.layers."),
    (r"(\.sam_encoder\.layers\.\d+)\.norm([12])\.", r"\1.layer_norm\2."),
    (r"\.sam_encoder\.patch_embed\.proj\.", ".sam_encoder.patch_embed.projection."),
    (r"\.sam_encoder\.neck\.0\.", ".sam_encoder.neck.conv1."),
    (r"\.sam_encoder\.neck\.1\.", ".sam_encoder.neck.layer_norm1."),
    (r"\.sam_encoder\.neck\.2\.", ".sam_encoder.neck.conv2."),
    (r"\.sam_encoder\.neck\.3\.", ".sam_encoder.neck.layer_norm2."),
    (r"\.sam_encoder\.net_2\.", ".sam_encoder.proj.conv1."),
    (r"\.sam_encoder\.net_3\.", ".sam_encoder.proj.conv2."),
)
_RULES = tuple((re.compile(pattern), to) for pattern, to in _RENAMED)
_EXPERT = re.compile(r"(.*\.mlp\.experts)\.(\d+)\.(gate|up|down)_proj\.weight")
_QKV = re.compile(r"(.*\.vision_encoder\..*\.self_attn)\.qkv_proj\.(weight|bias)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a tensor and its place in a parameter: `part` of `parts` of the tensor's rows go to a `row` of the
    parameter (an expert's) if that is not None, and to the first or second `half` of it (0, 1) if that is not None."""

    parameter: str
    part: int = 0
    parts: int = 1
    row: int | None = None
    half: int | None = None


def pieces(name: str) -> tuple[Piece, ...]:
    """What becomes of a checkpoint's tensor. Names that are Transformers' own already stay what they are."""
    for pattern, to in _RULES:
        name = pattern.sub(to, name)
    if found := _EXPERT.fullmatch(name):
        row = int(found[2])
        if found[3] == "down":
            return (Piece(parameter=f"{found[1]}.down_proj", row=row),)
        return (Piece(parameter=f"{found[1]}.gate_up_proj", row=row, half=int(found[3] == "up")),)
    if found := _QKV.fullmatch(name):
        names = (f"{found[1]}.{one}_proj.{found[2]}" for one in "qkv")
        return tuple(Piece(parameter=one, part=part, parts=3) for part, one in enumerate(names))
    return (Piece(parameter=name),)
