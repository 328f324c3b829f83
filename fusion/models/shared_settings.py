"""Settings that MCCA and KCCA share; each adds its own. Literature: fusion/blocks/canonical.py."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from fusion.models.base import WIDEST, check_settings
from fusion.types import FusionError

SHOWN = 500  # rows whose scores are kept for a picture
RANGES = {
    "widths": (1, WIDEST), "steps": (1, WIDEST), "components": (1, 4096), "c": (0, 1), "seed": (0, 2**31 - 1),
    "shown": (0, SHOWN),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What both have to be told. Nothing is published but the mathematics; the switches are those of libraries."""

    modalities: tuple[str, ...] = ("text", "image")  # the views, two or more
    widths: tuple[int, ...] = (256, 256)  # D of each
    steps: tuple[int, ...] = (1, 1)  # longest T of each; a view's vector is the mean over its steps
    components: int = 16  # K; fewer after `solve` where a view has fewer directions
    c: tuple[float, ...] = (0.1,)  # ridge from 0 to 1, one for all views or one each
    ridge_unit: Literal["scaled", "identity"] = "scaled"  # identity: as in textbooks; c then depends on the unit
    covariance: Literal["n-1", "n"] = "n-1"
    diagonal_blocks: Literal["zero", "kept"] = "zero"  # kept: as in some libraries; at c = 0 eigenvalues rise by 1
    fuse: Literal["mean", "sum", "concat"] = "mean"
    seed: int = 0  # of samples, landmarks and permutations
    shown: int = 0  # rows whose scores are kept for a picture; `solve` says how many

    def __post_init__(self) -> None:
        check_settings(self, self.ranges())
        count = len(self.modalities)
        if count < 2:
            raise FusionError("One view has nothing to agree with; name two modalities or more.")
        for name in ("widths", "steps"):
            if len(getattr(self, name)) != count:
                raise FusionError(
                    f"{name} has {len(getattr(self, name))} numbers for {count} modalities; give one of each."
                )
        if len(self.c) not in (1, count):
            raise FusionError(f"c has {len(self.c)} numbers for {count} modalities; give one for all or one of each.")

    @classmethod
    def ranges(cls) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each setting."""
        return dict(RANGES)

    @classmethod
    def released(cls, **overrides: object) -> Self:
        """The same: there is no released program that these could differ from."""
        return replace(cls(), **overrides)

    @property
    def ddof(self) -> int:
        """What is taken from n in covariances."""
        return 1 if self.covariance == "n-1" else 0

    def ridges(self) -> tuple[float, ...]:
        """c of each view."""
        return self.c if len(self.c) > 1 else self.c * len(self.modalities)
