"""Settings of IMF, the names of its modalities and branches.

Paper: Li et al., WWW 2023, doi:10.1145/3543507.3583554; the switches and the branches of eq. (3) and (4) are told
in `fusion.models.imf`. Differs from the official code (HestiaSky/IMF-Pytorch@df883e4) by those switches alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fusion.models.base import WIDEST, check_settings
from fusion.types import FusionError

MODALITIES = ("structure", "image", "text")
BRANCHES = (*MODALITIES, "fused")
_SHARE = (0, 0.999)
RANGES = {
    "entities": (2, 2**28), "relations": (1, 2**24), "width": (1, 2**12), "image_width": (1, WIDEST),
    "text_width": (1, WIDEST), "rank": (1, 1024), "fusion_dropout": _SHARE, "dropout": _SHARE, "map_dropout": _SHARE,
    "output_dropout": _SHARE, "contrastive_weight": (0, 1e6), "candidates": (1, 10_000),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Sizes, loss weights and switches of IMF; the defaults are the paper's, with the sizes of DB15K."""

    entities: int = 12_842  # N, part of the weights: each entity has a row of its own
    relations: int = 279  # R, without the inverse ones
    width: int = 256  # D
    image_width: int = 4096  # of an entity's image features
    text_width: int = 768  # of its text features
    inputs: Literal["pooled", "principal", "projected"] = "pooled"
    rank: int = 2  # terms of eq. (2)
    fusion_dropout: float = 0.2  # before the maps of eq. (2)
    dropout: float = 0.3  # of x
    map_dropout: float = 0.4  # of R
    output_dropout: float = 0.5  # of c
    decision: Literal["learned", "mean"] = "learned"
    joint_loss: bool = True
    contrastive: bool = True
    contrastive_weight: float = 1.0  # lambda
    contrastive_norm: Literal["row", "whole"] = "row"
    freeze_features: bool = True
    label_smoothing: Literal["share", "whole"] = "share"  # 0.1 / N or 1 / N on every entry
    offsets: bool = False  # a learned number a branch that is added to its scores; in neither form of the paper
    candidates: int = 10  # K of the prediction

    def __post_init__(self) -> None:
        check_settings(self, RANGES)
        if self.decision == "learned" and not self.joint_loss:
            raise FusionError('Only the joint loss trains decision="learned"; set joint_loss to true or decision to '
                              '"mean".')  # fmt: skip

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """The behaviour of the official code."""
        own = cls(
            decision="mean", joint_loss=False, contrastive=False, contrastive_norm="whole", freeze_features=False,
            label_smoothing="whole",
        )  # fmt: skip
        return replace(own, **overrides)  # type: ignore[arg-type]
