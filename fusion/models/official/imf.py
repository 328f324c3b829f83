"""Names of the official IMF state dicts (HestiaSky/IMF-Pytorch@df883e4): IMF.pth, and GAT_*.pth of its graph encoder.

None was ever published. Keys may carry the prefix of a wrapper.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fusion.models.imf_config import Config
from fusion.models.imf_structure import StructureConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "module."
UNUSED = ("bias",)  # of IMF.pth: a number an entity that no output reads
OVERWRITTEN = ("final_entity_embeddings", "final_relation_embeddings")  # of GAT_*.pth: results that it keeps
_TABLES = {"structure": "", "image": "img_", "text": "txt_"}
_BRANCHES = {"structure": "S", "image": "I", "text": "D", "fused": "MM"}
_NORMS = {"norm_in": "bn0", "norm_out": "bn1"}
_POOLINGS = {"fuse_entities": "Mutan_MM_E", "fuse_relations": "Mutan_MM_R"}
STRUCTURE = {
    "entities": "entity_embeddings", "relations": "relation_embeddings", "own": "W_entities",
    "relation_map": "spgat.W", "output.map": "spgat.out_att.W", "output.score": "spgat.out_att.a",
}  # fmt: skip


def official_name(own: str) -> str:
    """The official key of a parameter or buffer of IMF with released settings."""
    path = own.split(".")
    if own == "inputs.structure":
        return "entity_embeddings.weight"
    if path[0] == "inputs":
        assert path[1] == "trained", f"the official program has no {own}"
        return f"{_TABLES[path[2]]}entity_embeddings.weight"
    if path[0] == "relations":
        return f"{_TABLES[path[1]]}relation_embeddings.weight"
    if path[0] == "context":
        branch = f"TuckER_{_BRANCHES[path[1]]}"
        return f"{branch}.W" if path[2] == "core" else f"{branch}.{_NORMS[path[2]]}.{path[3]}"
    assert path[0] in _POOLINGS, f"the official program has no {own}"
    return f"{_POOLINGS[path[0]]}.modal{int(path[2]) + 1}_layers.{path[3]}.1.{path[4]}"


def structure_name(own: str) -> str:
    """The official key of a parameter of the graph encoder."""
    if own in STRUCTURE:
        return STRUCTURE[own]
    _, head, part = own.split(".")
    return f"spgat.attention_{head}.{'W' if part == 'map' else 'a'}"


def settings(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Sizes of IMF by the shapes of its tensors, under their official names. Raises KeyError where one is missing."""
    entities, width = weights["entity_embeddings.weight"].shape
    terms = [key for key in weights if re.fullmatch(r"Mutan_MM_E\.modal1_layers\.\d+\.1\.weight", key)]
    return {
        "entities": entities,
        "relations": weights["relation_embeddings.weight"].shape[0] // 2,
        "width": width,
        "rank": max(1, len(terms)),
    }


def config(weights: Mapping[str, Tensor], **overrides: Any) -> Config:
    """The settings of a released IMF by its tensors."""
    return Config.released(**(settings(weights) | overrides))


def structure_config(weights: Mapping[str, Tensor], **overrides: Any) -> StructureConfig:
    """The settings of a released graph encoder by its tensors; slope, dropout and the loss aren't among them."""
    entities, width = weights["entity_embeddings"].shape
    heads = {match[1] for key in weights if (match := re.match(r"spgat\.attention_(\d+)\.W$", key))}
    sizes = {"entities": entities, "relations": len(weights["relation_embeddings"]), "width": width}
    return StructureConfig(**(sizes | {"heads": max(1, len(heads))} | overrides))
