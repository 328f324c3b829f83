"""ConSE: one space for pictures and texts with nothing trained, the baseline that every trained space must beat.

Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014, arXiv:1312.5650.

    f(x) = (1 / Z) sum_{t=1..T} p(y_t | x) s(y_t)                                                   (eqs. 2-3)

p(y_t | x) the t-th largest probability of ImageNet's head, T = 10, Z their sum; s(y) (D,) the text vector of the
class's name. Both sides are scaled to length 1, so that their dot product is a cosine.
"""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from fusion.encoders.image import ImageEncoder
from fusion.encoders.text import TextEncoder
from fusion.files import atomic_file, digest, home

TOP = 10  # T of the paper's best setting


class Conse:
    """The untrained joint space of a text encoder and an image encoder with an ImageNet head."""

    def __init__(self, text: TextEncoder, image: ImageEncoder, top: int = TOP) -> None:
        self.text, self.image, self.top = text, image, top
        self.classes = image.class_names()
        self.vectors = self._class_vectors()  # (1000, D), of length 1

    def embed_images(self, pooled: Tensor) -> Tensor:
        """Place pooled picture vectors (B, D_image) in the space of texts. -> (B, D), of length 1"""
        probability, index = self.image.class_logits(pooled).softmax(-1).topk(self.top, -1)  # (B, T) each
        weight = probability / probability.sum(-1, keepdim=True)
        vectors = self.vectors.to(weight.device)[index]  # (B, T, D)
        return normalize((weight[..., None] * vectors).sum(1), dim=-1)

    def embed_texts(self, pooled: Tensor) -> Tensor:
        """Place pooled text vectors (B, D) in the same space. -> (B, D), of length 1"""
        return normalize(pooled, dim=-1)

    def top_classes(self, pooled: Tensor, count: int = 5) -> list[list[tuple[str, float]]]:
        """Name and probability of the likeliest ImageNet classes of each pooled picture vector (B, D_image)."""
        probability, index = self.image.class_logits(pooled).softmax(-1).topk(count, -1)
        return [
            [(self.classes[c], float(p)) for c, p in zip(row, values, strict=True)]
            for row, values in zip(index.tolist(), probability.tolist(), strict=True)
        ]

    def _class_vectors(self) -> Tensor:
        """Text vectors of the class names; a few seconds the first time, then from disk."""
        key = digest("conse-1", self.text.name, self.text.digest, self.text.preprocessing, *self.classes)
        path = home() / "conse" / f"{key[:24]}.safetensors"
        try:
            vectors = load_file(path)["vectors"]
            if vectors.shape == (len(self.classes), self.text.pooled_width) and bool(torch.isfinite(vectors).all()):
                return vectors
        except (OSError, SafetensorError, KeyError):
            pass  # absent or damaged: made again below
        vectors = normalize(self.text.encode(self.classes).pooled, dim=-1).cpu()
        with atomic_file(path) as aside:
            save_file({"vectors": vectors.contiguous()}, aside)
        return vectors
