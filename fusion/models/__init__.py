"""The systems: one file each, one line each in MODELS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusion.models.maf import MAF

if TYPE_CHECKING:
    from fusion.models.base import FusionModel

MODELS: dict[str, type[FusionModel]] = {"maf": MAF}
