"""A checkpoint with held-out samples encoded for it once, which several benchmarks need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from fusion import checkpoints, evaluation
from fusion.checkpoints import Checkpoint
from fusion.encoders import encoder
from fusion.encoders.cache import FeatureCache
from fusion.features import Features, encode
from fusion.inference import Pipeline
from fusion.models.base import FusionModel
from fusion.reference import Reference
from fusion.types import FusionError, Sample


@dataclass(frozen=True)
class HeldOut:
    """Encoded samples and the checkpoint that they are encoded for."""

    checkpoint: Checkpoint
    model: FusionModel
    reference: Reference | None
    features: Features
    samples: Sequence[Sample]
    pads: int | None  # length that every text is padded to, None where padding is not read

    def outputs(self, image_rows: torch.Tensor | None = None) -> evaluation.Outputs:
        """What the model says, each sample with its own picture or with that of `image_rows` (N,)."""
        return evaluation.outputs(self.model, self.features, image_rows, self.pads)

    def compared(self) -> Reference:
        """The held-out scores kept with the checkpoint. Raises FusionError without them."""
        if self.reference is None:
            raise FusionError(f'"{self.checkpoint.name}" has no held-out reference; train it again to make one.')
        return self.reference


def held_out(name: str, samples: Sequence[Sample]) -> HeldOut:
    """Open a checkpoint and encode samples for it; features of pictures come from the disk where they lie there."""
    pipeline = Pipeline.open(checkpoints.find(name))
    features = encode(
        samples, pipeline.text, pipeline.image, limit=pipeline.model.config.max_length, pads=pipeline.pads is not None,
        classes=pipeline.model.classes, cache=FeatureCache(),
    )  # fmt: skip
    if features.targets is not None and bool((features.targets[:, 0] < 0).any()):
        features = replace(features, targets=None)
    return HeldOut(pipeline.checkpoint, pipeline.model, pipeline.reference, features, samples, pipeline.pads)


def conse_cosines(features: Features) -> np.ndarray:
    """Cosine of each sample's text and picture in the untrained ConSE space. -> (N,)"""
    from fusion.encoders.conse import Conse

    conse = Conse(encoder("minilm"), encoder("efficientnet-lite0"))
    text = conse.embed_texts(features.text_pooled)
    image = conse.embed_images(features.image_pooled[features.image_of])
    return (text * image).sum(1).numpy()
