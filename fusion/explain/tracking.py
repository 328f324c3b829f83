"""Does attention over steps follow what hiding these steps does? One modality at a time, over some rows.

Of each row: the rank correlation of the mean attention on each step (or word, or region) with the size of what hiding
that step alone does to the answer; whether hiding the most attended first lowers the answer faster than random orders;
and the rank correlation with the attention of the same network with shuffled weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from fusion.device import exclusive
from fusion.explain import attending, curves, methods, sampling
from fusion.explain.asking import Case
from fusion.explain.players import asking, steps_of
from fusion.explain.targets import ANSWER, MATCH, TAG, known
from fusion.explain.trust import Row, Source, of_steps
from fusion.metrics.behaviour import spearman
from fusion.signals import Marginals
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.models.base import FusionModel
    from fusion.types import Batch

SAMPLED = 32  # rows that are looked into
FEWEST = 4  # steps below which no rank correlation is told
METHOD = "mean"  # all layers and heads


def asked(case: Case) -> str:
    """The number that is explained, as a line: the answer, or the tag of the first entity (of the first word)."""
    kinds = known(case.model, case.output)
    if ANSWER in kinds:
        return ANSWER
    if TAG not in kinds:
        return MATCH
    marginals = case.output.trace.first(Marginals)
    assert marginals is not None
    said = case.output.prediction[0].tolist()
    group = case.batch.steps[marginals.steps][0].group
    words = [step for step, (one, tag) in enumerate(zip(group, said, strict=False)) if one >= 0 and tag >= 0]
    named = [step for step in words if case.model.classes[said[step]].startswith("B-")]
    return f"{TAG}:{(named or words or [0])[0]}"


def followed(
    source: Source, modalities: Sequence[str], *, rows: int = SAMPLED, seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[Row]:  # fmt: skip
    """A row a modality over whose steps the model attends; none where it attends to no steps."""
    other = curves.randomised(source.model, seed)
    rhos: dict[str, list[float]] = {}
    shuffled: dict[str, list[float]] = {}
    better: dict[str, list[bool]] = {}
    for row in source.some(rows, seed).rows.tolist():
        case = Case(source.model, methods.fresh(source.cut(torch.tensor([row]))), source.lock, source.prior)
        if not attending.attention_signals(case.output.trace, case.batch):
            return []
        with exclusive(source.lock):
            for m in modalities:
                found = _one(case, other, m, seed)
                if found is None:
                    continue
                rho, chance, beats = found
                rhos.setdefault(m, []).append(rho)
                if chance is not None:
                    shuffled.setdefault(m, []).append(abs(chance))
                if beats is not None:
                    better.setdefault(m, []).append(beats)
        if progress is not None:
            progress(1)
    mean = lambda found: float(np.mean(found)) if found else None  # noqa: E731
    return [
        of_steps("attention", m, told, shuffled=mean(shuffled.get(m)), better=mean(better.get(m)))
        for m, told in rhos.items()
    ]  # fmt: skip


def _one(
    case: Case, other: FusionModel, modality: str, seed: int
) -> tuple[float, float | None, bool | None] | None:  # fmt: skip
    """Correlation with occlusion, with shuffled weights, and whether deletion beats chance; None without steps."""
    batch, target = case.batch, case.target(asked(case))
    try:
        players = steps_of(batch, [modality])
        told = methods.explain(case.model, batch, target, METHOD, modalities=[modality])
    except FusionError:  # no step of it, or no attention on it
        return None
    if len(players) < FEWEST:
        return None
    ask = asking(case.model, batch, target, players)
    with torch.inference_mode():
        effect = sampling.occluded(ask, len(players))[0].abs()
    rho = spearman(told.values.numpy(), effect.numpy())
    if rho is None:
        return None
    word = curves.trial(ask, told.values, signed=False, seed=seed).verdict()
    beats = word == "better" if word else None
    return rho, _chance(other, batch, case, told.values.numpy(), modality), beats


def _chance(other: FusionModel, batch: Batch, case: Case, own: np.ndarray, modality: str) -> float | None:
    target = case.target(asked(case))
    told = methods.explain(other, batch, target, METHOD, modalities=[modality]).values.numpy()
    return spearman(own, told) if np.isfinite(told).all() else None


__all__ = ["METHOD", "SAMPLED", "asked", "followed"]
