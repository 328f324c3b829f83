"""Ink: a drawn sign as a grid of 8 x 8 cells, each the share of it that ink covers, as the scans of the digits are.

Dark on light or light on dark is found from the border of the picture. The sign is cut out, fitted into the full height
(its full width, where it is wider than high), thickened where its strokes are thinner than those of nearly all scans,
and averaged over cells. H, W pixels of a picture, G = 8 cells a side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from fusion.encoders.image import ImageEncoder, Recipe
from fusion.files import digest
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

NAME = "ink"
SIDE = 8  # G
FINE = 16  # pixels of a cell while strokes are fitted
LEAST = 0.08  # contrast, of black to white, below which nothing is drawn
FOUND = 0.25  # share of the darkest ink from which a pixel belongs to the sign
FAINT = 0.1  # share below which it is paper
FULL = 0.9  # share from which it is all ink
CENTRE = 4.12  # cells from the left to the middle of a sign: the mean of the scans
THIN = 0.2  # mean share of ink below which strokes are thickened: 99 of 100 scans have more
ROUNDS = 24  # of thickening at most, a pixel a side each
Array = np.ndarray


class InkEncoder(ImageEncoder):
    """One step of 64 numbers a picture; nothing is learned."""

    def __init__(self) -> None:
        super().__init__(
            NAME, nn.Identity(), lambda ink: ink.flatten(1)[..., None, None], width=SIDE * SIDE, grid=(1, 1),
            recipe=Recipe(side=SIDE), digest=lambda: digest(self.preprocessing),
        )  # fmt: skip
        self.preprocessing = f"ink-1 {SIDE} {FINE} {LEAST} {FOUND} {FAINT} {FULL} {CENTRE} {THIN}"

    @property
    def device(self) -> torch.device:
        """The CPU: there are no weights."""
        return torch.device("cpu")

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        """Ink of B upright RGB pictures. -> (B, 1, G, G) float32, 0 paper, 1 ink. Raises FusionError without any."""
        made = [grid(picture) for picture in pictures]
        return torch.from_numpy(np.stack(made).astype(np.float32))[:, None] if made else torch.zeros(0, 1, SIDE, SIDE)


def grid(picture: Image) -> Array:
    """The share of each cell that ink covers. -> (G, G)"""
    return fitted(amount(np.asarray(picture.convert("L"), np.float32) / 255))


def amount(grey: Array) -> Array:
    """How much ink each pixel holds, 0 to 1, by its distance from the paper, which is what the border shows.

    (H, W) from 0 black to 1 white -> (H, W). Raises FusionError where the picture has one colour.
    """
    border = np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))
    away = grey - np.median(border)
    dark, light = np.maximum(-away, 0), np.maximum(away, 0)
    own = dark if dark.sum() * dark.max() >= light.sum() * light.max() else light
    if own.max() < LEAST:
        raise FusionError("There is no ink in this picture: it has one colour. Draw dark on light, or light on dark.")
    share = own / own.max()
    return np.where(share < FAINT, 0, np.minimum(share / FULL, 1))


def fitted(amounts: Array) -> Array:
    """The sign alone at the size of the scans. (H, W) -> (G, G)"""
    from PIL import Image, ImageFilter

    rows, columns = (np.flatnonzero((amounts >= FOUND).any(axis)) for axis in (1, 0))
    sign = amounts[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    whole, (height, width) = SIDE * FINE, sign.shape
    scale = whole / max(height, width)
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    small = Image.fromarray(sign.astype(np.float32)).resize((wide, high), Image.Resampling.BOX)
    left = min(max(0, round(CENTRE * FINE - wide / 2)), whole - wide)
    canvas = Image.new("L", (whole, whole))
    canvas.paste(
        Image.fromarray(np.round(255 * np.clip(np.asarray(small), 0, 1)).astype(np.uint8)), (left, (whole - high) // 2)
    )
    for _ in range(ROUNDS):
        if np.asarray(canvas).mean() / 255 >= THIN:
            break
        canvas = canvas.filter(ImageFilter.MaxFilter(3))
    cells = np.asarray(canvas, np.float32).reshape(SIDE, FINE, SIDE, FINE) / 255
    return cells.mean((1, 3))
