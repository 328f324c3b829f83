"""The settings of a BERT that lies inside another network's state dict, read from the shapes of its tensors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from transformers import BertConfig

_TABLES = ("word", "position", "token_type")


def needed(prefix: str) -> tuple[str, ...]:
    """Keys without which its sizes can't be read. prefix: of all its keys, with the last dot."""
    tables = (f"{prefix}embeddings.{kind}_embeddings.weight" for kind in _TABLES)
    return (*tables, f"{prefix}encoder.layer.0.intermediate.dense.weight")


def config(weights: Mapping[str, Tensor], prefix: str, heads: int, dropout: float = 0.1) -> BertConfig:
    """Its settings; the number of heads is in no tensor. Raises KeyError where a `needed` key is missing."""
    from transformers import BertConfig  # seconds to import

    word, position, kind, inner = (weights[key].shape for key in needed(prefix))
    found = {m[1] for key in weights if (m := re.match(rf"{re.escape(prefix)}encoder\.layer\.(\d+)\.", key))}
    return BertConfig(
        vocab_size=word[0], hidden_size=word[1], num_hidden_layers=max(1, len(found)), num_attention_heads=heads,
        intermediate_size=inner[0], max_position_embeddings=position[0], type_vocab_size=kind[0], hidden_act="gelu",
        layer_norm_eps=1e-12, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
