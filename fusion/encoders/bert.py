"""BERT's encoder, small enough to read: embeddings and a stack of the layers that fusion.blocks has.

Devlin, Chang, Lee, Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers", NAACL 2019,
doi:10.18653/v1/N19-1423. MiniLM is such a network. The transformers library has the same one (a test compares their
outputs), but takes four seconds to import, and must be told before loading whether attention will be shown.

h_0 = LN(E_word[id] + E_position[t] + E_segment[s]); h_l = Layer(h_{l-1}); the last h is the output.   h (B, T, D)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fusion.blocks.attention import CrossLayer


class Hidden(NamedTuple):
    """What one forward pass of a text encoder makes, with gradients where they are on."""

    steps: Tensor  # (B, T, D)
    pooled: Tensor  # (B, D)
    attention: tuple[Tensor, ...]  # L tensors (B, H, T, T) before dropout, empty without a trace


# The layer's own names, by those of the released files.
_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attended": "attention.output.dense",
    "attended_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "output.LayerNorm",
}
_EMBEDDINGS = {
    "word": "word_embeddings",
    "position": "position_embeddings",
    "segment": "token_type_embeddings",
    "norm": "LayerNorm",
}
_UNREAD = ("pooler.", "embeddings.position_ids")  # in the file, but no part of a masked mean


class Bert(nn.Module):
    """A BERT encoder pooled by the mean of its real steps."""

    def __init__(self, *, vocabulary: int, width: int, layers: int, heads: int, inner: int, positions: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(positions, width)
        self.segment = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(0.1)  # that of the paper; acts only while fine-tuning
        self.layers = nn.ModuleList(CrossLayer(width, heads, inner, 0.1) for _ in range(layers))
        self.width = width

    def forward(self, ids: Tensor, mask: Tensor, segment: Tensor, *, trace: bool = False) -> Hidden:
        """Hidden states of ids (B, T) where mask (B, T) is True for real pieces; padding is no key of any query."""
        place = torch.arange(ids.shape[1], device=ids.device)
        hidden = self.dropout(self.norm(self.word(ids) + self.position(place) + self.segment(segment)))  # (B, T, D)
        attention = []
        for layer in self.layers:
            hidden, weights = layer(hidden, hidden, mask, trace=trace)
            if weights is not None:
                attention.append(weights)
        return Hidden(hidden, masked_mean(hidden, mask), tuple(attention))


def masked_mean(steps: Tensor, mask: Tensor) -> Tensor:
    """Mean of the real steps. steps (B, T, D), mask (B, T) -> (B, D), zeros for a row without any"""
    share = mask.to(steps.dtype)
    return (steps * share[..., None]).sum(1) / share.sum(1, keepdim=True).clamp(min=1)


def load_bert(folder: Path) -> Bert:
    """A BERT saved as transformers saves it (config.json, model.safetensors); every tensor is used or named unread."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    network = Bert(
        vocabulary=config["vocab_size"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        inner=config["intermediate_size"],
        positions=config["max_position_embeddings"],
    )
    names = {f"{own}.": f"embeddings.{theirs}." for own, theirs in _EMBEDDINGS.items()}
    for index in range(config["num_hidden_layers"]):
        names |= {f"layers.{index}.{own}.": f"encoder.layer.{index}.{theirs}." for own, theirs in _LAYER.items()}
    tensors = load_file(folder / "model.safetensors")
    found = {name: tensor for name, tensor in tensors.items() if not name.startswith(_UNREAD)}
    state = {own: found.pop(_theirs(own, names)) for own in network.state_dict()}
    assert not found, f"tensors of the file that nothing reads: {sorted(found)}"
    network.load_state_dict(state, assign=True)
    return network


def _theirs(own: str, names: dict[str, str]) -> str:
    stem, _, kind = own.rpartition(".")
    return names[f"{stem}."] + kind
