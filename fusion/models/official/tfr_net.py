"""Names of the official TFR-Net state dicts (Columbine21/TFR-Net@1da0157, thuiar/MMSA@a94e65d), and their sizes.

None was ever published. A saved run carries the prefix `Model.` of its wrapper before every name; a lone network has
none. Modalities are text, audio and vision, in this order. The text encoder lies inside, fine-tuned; it is not a part
of ours. Not in the file: attention heads, dropout, and loss weights.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fusion.models.tfr_net import Config
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

PREFIX = "Model."
TEXT_ENCODER = "text_model.model."  # a BERT in its usual names
UNUSED = re.compile(r".*\.(version|embed_positions\._float_tensor)$")  # marks and empty buffers that nothing reads
LETTERS = {"text": "l", "audio": "a", "vision": "v"}
_ALIGN, _FUSE = "align_subnet.Model.", "fusion_subnet.Model."
_GENERATORS = {"text": "generator_t", "audio": "generator_a", "vision": "generator_v"}
_POOL = {"gru": "gru.gru", "gate": "cnn", "linear": "fc"}
_HEAD = {"norm": "linear_trans_norm", "head_inner": "linear_trans_hidden", "head": "linear_trans_final"}
_LAYER = {
    "attend.maps": "self_attn.in_proj_weight", "attend.bias": "self_attn.in_proj_bias",
    "attend.out": "self_attn.out_proj", "norm": "layer_norms.0", "inner_norm": "layer_norms.1", "inner": "fc1",
    "outer": "fc2",
}  # fmt: skip


def plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without the wrapper's prefix, and without what nothing reads.

    That are also projections between equal widths: the program skips them.
    """
    wrapped = all(name.startswith(PREFIX) for name in weights)
    named = {name.removeprefix(PREFIX) if wrapped else name: value for name, value in weights.items()}
    skipped = {n for n, x in named.items() if n.startswith(f"{_ALIGN}proj_") and x.shape[0] == x.shape[1]}
    return {name: value for name, value in named.items() if name not in skipped and not UNUSED.match(name)}


def official_name(own: str) -> str:
    """The official key, without the wrapper's prefix, of a parameter or buffer of TFR-Net over its three modalities."""
    path = own.split(".")
    if path[0] == "project":
        return f"{_ALIGN}proj_{LETTERS[path[1]]}.{path[2]}"
    if path[0] == "encode":
        queries, source = LETTERS[path[1]], LETTERS[path[2]]
        name = f"trans_{queries}_mem" if queries == source else f"trans_{queries}_with_{source}"
        return f"{_ALIGN}{name}.{_encoder_name(path[3:])}"
    if path[0] == "rebuild":
        return f"{_ALIGN}trans_{LETTERS[path[1]]}_final.{_encoder_name(path[2:])}"
    if path[0] == "generate":
        return f"{_GENERATORS[path[1]]}.Model.linear.{path[2]}"
    if path[0] == "pool":
        return f"{_FUSE}{path[1]}_encoder.{_POOL[path[2]]}.{path[3]}"
    assert path[0] in _HEAD, f"the official program has no {own}"
    return f"{_FUSE}classifier.{_HEAD[path[0]]}.{path[1]}"


def _encoder_name(path: list[str]) -> str:
    """The official name of a parameter within one transformer."""
    if path[0] == "norm":
        return f"layer_norm.{path[1]}"
    own = ".".join(path[2:])
    if own in _LAYER:
        return f"layers.{path[1]}.{_LAYER[own]}"
    block, _, kind = own.rpartition(".")
    return f"layers.{path[1]}.{_LAYER[block]}.{kind}"


def settings(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Keywords of Config that the shapes of `plain` tensors fix. Raises FusionError where one is missing.

    Heads are not in the file. An unprojected modality has the width D itself, and its kernel is left at 1.
    """
    try:
        return _settings({name: tuple(value.shape) for name, value in weights.items()})
    except KeyError as error:
        raise FusionError(
            f"The file lacks the tensor {error.args[0]}, so it is no saved state of TFR-Net; name another file."
        ) from None


def _settings(shape: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    width = shape[f"{_ALIGN}trans_l_mem.layer_norm.weight"][0]
    steps = tuple(shape[f"{_ALIGN}trans_{letter}_final.layer_norm.weight"][0] for letter in LETTERS.values())
    projections = [shape.get(f"{_ALIGN}proj_{letter}.weight") for letter in LETTERS.values()]
    count = lambda stack: len({n.split(".")[4] for n in shape if n.startswith(f"{_ALIGN}{stack}.layers.")})  # noqa: E731
    gru = f"{_FUSE}text_encoder.gru.gru.weight_hh_l"
    return {
        "modalities": tuple(LETTERS),
        "widths": tuple(shape[f"{_GENERATORS[m]}.Model.linear.weight"][0] for m in LETTERS),
        "steps": steps,
        "width": width,
        "kernels": tuple(1 if one is None else one[2] for one in projections),
        "cross_layers": count("trans_l_with_a"),
        "self_layers": count("trans_l_mem"),
        "hidden": tuple(shape[f"{_FUSE}{m}_encoder.fc.weight"][0] for m in LETTERS),
        "gru_layers": len([n for n in shape if re.fullmatch(re.escape(gru) + r"\d+", n)]),
        "head_width": shape[f"{_FUSE}classifier.linear_trans_hidden.weight"][0],
    }


def config(weights: Mapping[str, Tensor], **overrides: Any) -> Config:
    """The settings of a released TFR-Net by its `plain` tensors; heads, if not 6, must be told."""
    return Config.released(**(settings(weights) | overrides))
