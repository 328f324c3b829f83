"""Names of the usual ResNet state dict (torchvision's, which MAF's image file has): transformers' name -> usual name.

Both put the stride of a bottleneck on its 3 x 3 convolution, so the tensors move over unchanged.
"""

from __future__ import annotations

import re

CLASSIFIER = "fc."  # ImageNet's 1,000 classes, which no fusion model reads
STAGES = 4  # a 224-pixel input becomes 7 x 7 regions
_KINDS = {"convolution": "conv", "normalization": "bn"}
_STEM = re.compile(r"embedder\.embedder\.(convolution|normalization)\.(\w+)")
_BLOCK = re.compile(
    r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(shortcut|layer\.(\d+))\.(convolution|normalization)\.(\w+)"
)


def official_name(own: str) -> str:
    """The usual key of a tensor of transformers' ResNetModel."""
    stem = _STEM.fullmatch(own)
    if stem:
        return f"{_KINDS[stem[1]]}1.{stem[2]}"
    block = _BLOCK.fullmatch(own)
    assert block is not None, f"transformers' ResNet has a tensor {own!r} that has no usual name"
    stage, layer, place, number, kind, tensor = block.groups()
    if place == "shortcut":
        part = f"downsample.{0 if kind == 'convolution' else 1}"
    else:
        part = f"{_KINDS[kind]}{int(number) + 1}"
    return f"layer{int(stage) + 1}.{layer}.{part}.{tensor}"
