"""Names of the official HSCL state dict (Turdidae810/HSCL@28bf987): own parameter -> official one.

It holds the text encoder, too. None was ever published.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fusion.models.hscl import Config
from fusion.models.official import bert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

TEXT_ENCODER = "text_enc.bertmodel."
POSITIONS = "pos_encoder.pe"  # sines and cosines, a table of 5,000 steps
_LETTERS = {"text": "t", "audio": "a", "vision": "v"}
_ENCODERS = {"audio": "acoustic_enc", "vision": "visual_enc"}
UNREAD = tuple(f"{name}.{POSITIONS}" for name in _ENCODERS.values())
HEAD = {"hidden": "fusion_prj.linear_1", "feature": "fusion_prj.linear_2", "answer": "fusion_prj.linear_3"}
ATTENTION = {
    "maps": "in_proj_weight", "query_map": "q_proj_weight", "key_map": "k_proj_weight", "value_map": "v_proj_weight",
    "bias": "in_proj_bias", "output.weight": "out_proj.weight", "output.bias": "out_proj.bias",
}  # fmt: skip
LAYER = {"inner": "linear1", "outer": "linear2", "attended_norm": "norm1", "norm": "norm2"}
FUSION = {
    "inner": "fc1", "outer": "fc2", "own_norm": "layer_norms.0", "cross_norm": "layer_norms.1", "norm": "layer_norms.2",
}  # fmt: skip


def encoder_name(own: str) -> str:
    """The official key of a parameter of one unimodal encoder."""
    _, layer, part, rest = own.split(".", 3)
    name = f"self_attn.{ATTENTION[rest]}" if part == "attention" else f"{LAYER[part]}.{rest}"
    return f"transformer_encoder.layers.{layer}.{name}"


def fusion_name(own: str) -> str:
    """The official key of a parameter of one bimodal layer."""
    part, rest = own.split(".", 1)
    attention = {"own": "self_attn", "cross": "cross_attn"}.get(part)
    return f"{attention}.{ATTENTION[rest]}" if attention else f"{FUSION[part]}.{rest}"


def official_name(own: str, modalities: Sequence[str] = ("text", "audio", "vision")) -> str:
    """The official key of a parameter of HSCL with released settings."""
    part, rest = own.split(".", 1)
    if part in HEAD:
        return f"{HEAD[part]}.{rest}"
    number, rest = rest.split(".", 1)
    if part == "single":
        return f"FC_{_LETTERS[modalities[int(number)]]}.linear_1.{rest}"
    other = modalities[int(number) + 1]
    if part == "pair":
        return f"FC_{_LETTERS[other]}t.linear_1.{rest}"
    if part == "fusions":
        return f"t{_LETTERS[other]}_encoder.{fusion_name(rest)}"
    assert part == "encoders", f"the official program has no {own}"
    return f"{_ENCODERS[other]}.{encoder_name(rest)}"


def needed() -> tuple[str, ...]:
    """Keys without which no size can be read."""
    inner = (f"{name}.transformer_encoder.layers.0.linear1.weight" for name in _ENCODERS.values())
    letters = (f"FC_{letter}.linear_1.weight" for letter in _LETTERS.values())
    return (*letters, f"{HEAD['feature']}.weight", *inner, *bert.needed(TEXT_ENCODER))


def settings(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Sizes of HSCL by the shapes of its tensors, under official names. Raises KeyError where one is missing.

    Heads are not among them, nor are lengths: those of the paper's data stand for them.
    """
    layers = {m[1] for key in weights if (m := re.match(r"acoustic_enc\.transformer_encoder\.layers\.(\d+)\.", key))}
    inner = (f"{name}.transformer_encoder.layers.0.linear1.weight" for name in _ENCODERS.values())
    return {
        "widths": tuple(weights[f"FC_{letter}.linear_1.weight"].shape[1] for letter in _LETTERS.values()),
        "projection": weights["fusion_prj.linear_2.weight"].shape[0],
        "encoder_inner": tuple(weights[key].shape[0] for key in inner),
        "encoder_layers": max(1, len(layers)),
    }


def config(weights: Mapping[str, Tensor], **overrides: Any) -> Config:
    """The settings of a released HSCL by its tensors."""
    return Config.released(**(settings(weights) | overrides))
