"""IMF's rows of entities before any fusion: learned ones of the graph, pictures and texts reduced to one width.

Paper: Li et al., WWW 2023, doi:10.1145/3543507.3583554, the E of eq. (1); released code: HestiaSky/IMF-Pytorch@df883e4,
whose means of neighbouring features `pooled` repeats.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.losses import unit
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.models.imf_config import Config
    from fusion.types import Batch

OUTER = ("image", "text")  # modalities whose features come from outside
GRID = 64  # numbers a row in which the released code folds features


def pooled(x: Tensor, width: int, modality: str) -> Tensor:
    """Means of neighbouring features of rows scaled to length 1. (N, D_in) -> (N, D)

    4096 image features are seen as 64 x 64 and averaged in squares; text features as rows of 64, of which neighbours
    are averaged; other widths are averaged in a row. Neighbours of a feature mean nothing: this only makes it short.
    """
    rows, given = unit(x), x.shape[1]
    side, short = math.isqrt(given), math.isqrt(width)
    if given == width:
        return rows
    if modality == "image" and side * side == given and short * short == width and side % short == 0:
        return F.avg_pool2d(rows.view(-1, 1, side, side), side // short).flatten(1)
    if modality == "text" and given % GRID == 0 and width % GRID == 0:
        return F.adaptive_avg_pool2d(rows.view(-1, 1, given // GRID, GRID), (width // GRID, GRID)).flatten(1)
    return F.adaptive_avg_pool1d(rows[:, None], width).squeeze(1)


def principal(x: Tensor, width: int) -> Tensor:
    """Directions of the largest mean square of rows, columns of length 1, zeros where there are no more.

    (n, D_in) -> (D_in, D)
    """
    _, directions = torch.linalg.eigh((x.T @ x).double())  # ascending
    found = directions.flip(1)[:, :width].to(x.dtype)
    return F.pad(found, (0, width - found.shape[1]))


class EntityInputs(nn.Module):
    """E^s, E^v and E^t of eq. (1)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        rows = lambda: nn.Parameter(nn.init.xavier_normal_(torch.empty(config.entities, config.width)))  # noqa: E731
        self.structure = rows()
        widths = {"image": config.image_width, "text": config.text_width}
        self.trained = nn.ParameterDict() if config.freeze_features else nn.ParameterDict({m: rows() for m in OUTER})
        self.project = nn.ModuleDict()
        if not config.freeze_features:
            return
        for m, given in widths.items():
            self.register_buffer(f"typical_{m}", torch.zeros(given))  # stands for a modality that nobody has
            if config.inputs == "principal":
                basis = nn.init.orthogonal_(torch.empty(given, config.width))
                self.register_buffer(f"basis_{m}", basis)
            elif config.inputs == "projected":
                self.project[m] = nn.Linear(given, config.width)

    def begin(self, batch: Batch, structure: Tensor | None) -> None:
        """As IMF.begin."""
        config = self.config
        with torch.no_grad():
            if structure is not None:
                if structure.shape != self.structure.shape:
                    raise FusionError(f"The rows of the graph encoder have the shape {tuple(structure.shape)}; it must "
                                      f"be {tuple(self.structure.shape)}.")  # fmt: skip
                self.structure.copy_(structure)
            for m in OUTER:
                features, has = self._features(batch, m), self.has(batch, m)
                if not has.any():
                    continue
                if not config.freeze_features:
                    self.trained[m].copy_(pooled(self._filled(features, has, m), config.width, m))
                    continue
                self.get_buffer(f"typical_{m}").copy_(features[has].mean(0))
                if config.inputs == "principal":
                    self.get_buffer(f"basis_{m}").copy_(principal(unit(features[has].float()), config.width))

    def has(self, batch: Batch, modality: str) -> Tensor:
        """Which entities have it. -> (N,) bool"""
        if modality not in batch.modalities:
            return torch.zeros_like(batch.present[:, 0])
        return batch.has(modality)

    def fixed(self, batch: Batch) -> dict[str, Tensor]:
        """What training doesn't change: "input_image", "input_text" (N, D), or nothing."""
        if not self.config.freeze_features or self.config.inputs == "projected":
            return {}
        return {f"input_{m}": self._reduced(batch, m) for m in OUTER}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """{"structure", "image", "text": (N, D)}; fixed rows are taken from batch.pooled where they are there.

        Raises FusionError on features of another width or of other entities.
        """
        made = {"structure": self._own(self.structure, self.has(batch, "structure"))}
        for m in OUTER:
            if not self.config.freeze_features:
                has = self.has(batch, m)  # an entity without it has a row that was trained like any other
                made[m] = self._own(self.trained[m], has if not has.any() else torch.ones_like(has))
            elif f"input_{m}" in batch.pooled:
                made[m] = batch.pooled[f"input_{m}"]
            else:
                made[m] = self._reduced(batch, m)
        return made

    def _own(self, table: Tensor, has: Tensor) -> Tensor:
        """A learned table; rows that aren't there are the mean of the others."""
        if has.all():
            return table
        mean = (table[has] if has.any() else table).mean(0)
        return torch.where(has[:, None], table, mean)

    def _reduced(self, batch: Batch, modality: str) -> Tensor:
        """Features brought to the width D. -> (N, D)"""
        has = self.has(batch, modality)
        features = self._filled(self._features(batch, modality), has, modality)
        if self.config.inputs == "projected":
            mapped: Tensor = self.project[modality](unit(features))
            return mapped
        if self.config.inputs == "principal":
            return unit(features) @ self.get_buffer(f"basis_{modality}")
        return pooled(features, self.config.width, modality)

    def _filled(self, features: Tensor, has: Tensor, modality: str) -> Tensor:
        """Features with the mean of those that are there where they aren't; the one of training where none is."""
        features = features.float()
        if has.all():
            return features
        mean = features[has].mean(0) if has.any() else self.get_buffer(f"typical_{modality}")
        return torch.where(has[:, None], features, mean)

    def _features(self, batch: Batch, modality: str) -> Tensor:
        width = self.config.image_width if modality == "image" else self.config.text_width
        features = batch.features.get(modality)
        if features is None:  # nobody has it; what it holds is never read
            return batch.present.new_zeros((1, 1), dtype=torch.float32).expand(len(batch.present), width)
        if features.ndim != 2 or features.shape[1] != width or len(features) != len(batch.present):
            raise FusionError(
                f"The features of {modality} have the shape {tuple(features.shape)}; this checkpoint reads "
                f"({len(batch.present)}, {width}). Compute them with the encoder that it was trained with."
            )
        return features
