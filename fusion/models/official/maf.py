"""Names of the official MAF state dict (xubodhu/MAF@3952fb0): own parameter prefix -> official prefix."""

from __future__ import annotations

import re

HEAD = {
    "region_map": "vismap2text",
    "match": "crs_classifier",
    "gate_text": "Gate_text",
    "gate_image": "Gate_image",
    "emission": "classifier",
    "align_text.0": "text_dense_cl",
    "align_text.2": "text_ouput_cl",  # spelt so
    "align_image.0": "image_dense_cl",
    "align_image.2": "image_output_cl",
}
CRF = {"crf.start": "crf.start_transitions", "crf.end": "crf.end_transitions", "crf.transitions": "crf.transitions"}
CROSS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attended": "attention.output.dense",
    "attended_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "output.LayerNorm",
}
TEXT_ENCODER = "bert."  # prefix of the text encoder inside pytorch_model.bin
IMAGE_ENCODER = "resnet."  # prefix inside pytorch_encoder.bin
UNUSED = re.compile(r"self_attention(_v2)?\.layer\.\d+\.")  # 14.2 M parameters that no output ever reads


def official_name(own: str) -> str:
    """The official key of one of our parameters."""
    if own in CRF:
        return CRF[own]
    prefix, _, kind = own.rpartition(".")
    if prefix.startswith("cross."):
        _, layer, block = prefix.split(".")
        return f"txt2img_attention.layer.{layer}.{CROSS[block]}.{kind}"
    return f"{HEAD[prefix]}.{kind}"
