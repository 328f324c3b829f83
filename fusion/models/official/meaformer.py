"""Names of the official MEAformer state dict (zjukg/MEAformer@a247a49): own parameter -> official key.

The number of attention heads is not in the file, nor which modalities were read: name and char layers are always there.
A run on several GPUs puts `module.` before every name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fusion.models.official import entities
from fusion.models.official.maf import CROSS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

PREFIX = "multimodal_encoder."  # of every name but the log-variances
PARALLEL = "module."
from_official, to_official = entities.from_official, entities.to_official


def official_name(own: str) -> str:
    """The official key of one of our parameters."""
    if own == "log_variance":
        return entities.official_name(own)
    if not own.startswith("layers."):
        return PREFIX + entities.official_name(own)
    _, layer, block, kind = own.split(".")
    return f"{PREFIX}fusion.fusion_layer.{layer}.{CROSS[block]}.{kind}"


def unused(official: str, config: Any) -> bool:  # Any: a Config of MEAformer
    """Whether a tensor of the file is knowingly left out: layers of modalities or parts that were switched off."""
    feed_forward = re.search(r"fusion_layer\.\d+\.(intermediate|output)\.", official)
    if feed_forward is not None:
        return config.inner_width == 0
    read = {entities.SHORT[m] for m in config.modalities}
    layer = re.fullmatch(re.escape(PREFIX) + r"(\w+)_(fc|pro)\..*", official)
    return layer is not None and layer[1] not in read


def settings(weights: Mapping[str, Tensor], modalities: Sequence[str], heads: int) -> dict[str, Any]:
    """Keywords of Config that the shapes fix; the modalities and the heads of the transformer must be told."""
    plain = {name.removeprefix(PREFIX): value for name, value in weights.items()}
    layers = {m[1] for name in plain if (m := re.match(r"fusion\.fusion_layer\.(\d+)\.", name))}
    inner = plain.get("fusion.fusion_layer.0.intermediate.dense.weight")  # absent where the part was switched off
    return {
        **entities.sizes(plain, modalities),
        "width": entities.widths(plain, modalities)[0],
        "fusion_layers": len(layers),
        "fusion_heads": heads,
        "inner_width": 0 if inner is None else len(inner),
    }
