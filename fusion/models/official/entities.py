"""Names that the official MCLEA and MEAformer state dicts have in common, the order of their vectors, their sizes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHORT = {"image": "img", "attribute": "att", "relation": "rel", "graph": "gph", "name": "name", "char": "char"}
FUSION_ORDER = ("image", "attribute", "relation", "graph", "name", "char")
LOSS_ORDER = ("graph", "relation", "attribute", "image", "name", "char")
SLOTTED = {  # own vector with one number a modality -> official name, order of its numbers
    "fusion": ("fusion.weight", FUSION_ORDER),
    "icl_log_variance": ("multi_loss_layer.log_vars", LOSS_ORDER),
    "ial_log_variance": ("align_multi_loss_layer.log_vars", LOSS_ORDER),
    "log_variance": ("multi_loss_layer.log_vars", LOSS_ORDER),
}
_PARTS = {"scale": "w", "score": "a_src_dst", "inner": "l1", "outer": "l2"}


def official_name(own: str) -> str:
    """The official key of a parameter of the encoders, or of a vector with one number a modality."""
    if own in SLOTTED:
        return SLOTTED[own][0]
    path = own.split(".")
    assert path[0] == "encoder", f"{own} is no parameter of the encoders"
    if path[1] == "own":
        return "entity_emb.weight"
    if path[1] == "linear":
        return f"{SHORT[path[2]]}_fc.{path[3]}"
    if path[1] == "project":
        return f"{SHORT[path[2]]}_pro.{_PARTS[path[3]]}.{path[4]}"
    if path[2] == "layers":
        return f"cross_graph_model.layer_stack.{path[3]}.{_PARTS[path[4]]}"
    kind, number = path[2].split("_")
    return f"cross_graph_model.gc{number}.{kind}"


def from_official(own: str, value: Tensor, slotted: Sequence[str]) -> Tensor:
    """An official tensor as the own parameter: the numbers of a vector are put in the order of `slotted`."""
    if own not in SLOTTED:
        return value
    order = SLOTTED[own][1]
    return value.flatten()[torch.tensor([order.index(m) for m in slotted])]


def to_official(own: str, value: Tensor, slotted: Sequence[str]) -> Tensor:
    """The other way round, for all six modalities."""
    if own not in SLOTTED:
        return value
    name, order = SLOTTED[own]
    turned = value[torch.tensor([list(slotted).index(m) for m in order])]
    return turned[:, None] if name == "fusion.weight" else turned


def sizes(weights: Mapping[str, Tensor], modalities: Sequence[str]) -> dict[str, Any]:
    """Settings that the shapes of the encoders' tensors fix: entities, widths, heads, kind of graph encoder.

    `weights` has official names without a prefix. -> keywords of EntityConfig
    """
    shape = {name: tuple(value.shape) for name, value in weights.items()}
    found: dict[str, Any] = {"modalities": tuple(modalities)}
    entities, own = shape["entity_emb.weight"]
    inputs = {m: shape[f"{SHORT[m]}_fc.weight"][1] for m in modalities if m != "graph"} | {"graph": own}
    found |= {"entities": entities, "input_widths": tuple(inputs[m] for m in modalities)}
    if "cross_graph_model.gc1.weight" in shape:
        return found | {"structure": "gcn", "hidden_widths": (shape["cross_graph_model.gc1.weight"][1],)}
    layers = [n for n in shape if re.fullmatch(r"cross_graph_model\.layer_stack\.\d+\.w", n)]
    stack = [shape[f"cross_graph_model.layer_stack.{i}.w"] for i in range(len(layers))]
    return found | {
        "structure": "gat",
        "heads": tuple(heads for heads, _, _ in stack),
        "hidden_widths": tuple(out for _, _, out in stack[:-1]),
        "transform": "diagonal" if stack[0][1] == 1 else "full",
    }


def widths(weights: Mapping[str, Tensor], modalities: Sequence[str]) -> tuple[int, ...]:
    """D of each modality after its encoder, from official names without a prefix."""
    graph = weights.get("cross_graph_model.gc2.weight")
    if graph is None:
        stack = [n for n in weights if re.fullmatch(r"cross_graph_model\.layer_stack\.\d+\.w", n)]
        graph = weights[f"cross_graph_model.layer_stack.{len(stack) - 1}.w"]
    return tuple(graph.shape[-1] if m == "graph" else weights[f"{SHORT[m]}_fc.weight"].shape[0] for m in modalities)
