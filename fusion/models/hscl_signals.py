"""What HSCL shows of one pass, and what only a set of samples can show: order by label, gaps, worth of a pair.

Paper: Chen, Wang, Hao, MultiMedia Modeling 2024, doi:10.1007/978-3-031-53308-2_5; released code:
Turdidae810/HSCL@28bf987. Equations are numbered in fusion/models/hscl.py: attention is that of eq. (1), the worth of a
pair what its R_mt adds to u of eq. (2), spaces of contrast are those of eq. (3) to (5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import kendalltau

from fusion.metrics.geometry import modality_gap
from fusion.signals import Attention, Embedding, ModalityScores, Opinions, Trace
from fusion.types import Steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from fusion.models.hscl import HSCL, Crossed
    from fusion.signals import Signal
    from fusion.types import Batch

SUMMARY = "[summary]"  # the step that stands before those of a modality


def with_summary(steps: Steps) -> Steps:
    """The steps of a modality after the summary token, which is a mark that nobody wrote."""
    return Steps((SUMMARY, *steps.labels), (-1, *steps.group), steps.groups, steps.spans)


def trace(
    model: HSCL, batch: Batch, seen: Tensor, read: Tensor, others: Sequence[tuple[Tensor, Tensor]],
    layers: Sequence[Crossed], prediction: Tensor, made: dict[str, Tensor],
) -> Trace:  # fmt: skip
    """The signals of one pass. seen (B, T): the steps of text that are shown, read (B, T): those attended to."""
    first, *rest = model.config.modalities
    branches, has_text = made["branches"], batch.has(first)
    steps: dict[str, tuple[Steps, ...]] = dict(batch.steps)
    signals: list[Signal] = []
    for name, layer, (_, shown) in zip(rest, layers, others, strict=True):
        keys = f"{name}+summary"
        if name in steps:
            steps[keys] = tuple(with_summary(one) for one in steps[name])
        common = {"unit": "weight", "layer": 0, "layers": 1, "queries": first, "query_mask": seen}
        signals += [
            Attention(
                name=f"self_attention_{name}", normalised_over=first, value=layer.self_attention, keys=first,
                key_mask=read, caveat="caveat.hscl_self_attention", **common,
            ),
            Attention(
                name=f"cross_attention_{name}", normalised_over=name, value=layer.cross_attention, keys=keys,
                key_mask=shown, caveat="caveat.hscl_cross_attention", **common,
            ),
        ]  # fmt: skip
    voices = tuple(f"{first}+{name}" for name in rest)
    alone = torch.stack([model.head(one)[0] for one in branches.unbind(1)], 1)  # (B, M - 1) or (B, M - 1, C)
    judged = (lambda x: x.softmax(-1)) if model.classes else (lambda x: x)
    signals += [
        ModalityScores(
            name="cls_path", unit="none", value=torch.stack([layer.share for layer in layers], 1),
            modalities=tuple(rest), caveat="caveat.cls_path",
        ),
        Opinions(
            name="branch_opinion", unit="probability" if model.classes else "none", value=judged(alone),
            voices=voices, present=torch.stack([has_text | batch.has(name) for name in rest], 1),
            together=judged(prediction), classes=model.classes, caveat="caveat.branch_opinion",
        ),
        Embedding(
            name="fusion_feature", unit="none", value=made["feature"], modality="fused",
            caveat="caveat.fusion_feature",
        ),
    ]  # fmt: skip
    vectors = [
        (f"branch_{name}", voice, branches[:, i], "caveat.branch") for i, (name, voice) in _numbered(rest, voices)
    ]
    singles = [made[f"views_{rest[0]}"][:, 0], *(made[f"views_{name}"][:, 1] for name in rest)]
    vectors += [
        (f"contrast_{name}", name, value, "caveat.contrast_space")
        for name, value in zip((first, *rest), singles, strict=True)
    ]
    vectors += [
        (f"contrast_pair_{name}", voice, made["pairs"][:, i], "caveat.contrast_space")
        for i, (name, voice) in _numbered(rest, voices)
    ]
    signals += [
        Embedding(name=name, unit="none", value=value, modality=modality, caveat=caveat)
        for name, modality, value, caveat in vectors
    ]
    return Trace(tuple(signals), steps)


def _numbered(names: Sequence[str], voices: Sequence[str]) -> enumerate[tuple[str, str]]:
    return enumerate(zip(names, voices, strict=True))


@dataclass(frozen=True)
class Space:
    """One space of contrast over N samples: two views of each, and what they look like together."""

    views: tuple[str, str]  # what each is of: "text" and "audio", or "text+audio" and "text+vision"
    vectors: Tensor  # (2N, P) not below 0, so no cosine is; the first view of all samples, then the second
    order: Tensor  # (2N,) Kendall's tau-b of each view: do views of closer labels lie closer? NaN where it has no order
    gap: float  # length between the means of the two views, rows of length 1
    silent: int  # views in which every unit is off: they have no direction


def spaces(model: HSCL, made: Mapping[str, Tensor], target: Tensor) -> list[Space]:
    """The spaces of contrast of a set of samples. made: extras of a pass over all of them; target (N,)

    The chance level of the order is 0 only where labels differ; with many equal ones few values can be reached.
    """
    first, *rest = model.config.modalities
    found = [((first, name), made[f"views_{name}"]) for name in rest]
    for a in range(len(rest)):
        for b in range(a + 1, len(rest)):
            found.append(((f"{first}+{rest[a]}", f"{first}+{rest[b]}"), made["pairs"][:, [a, b]]))
    result = []
    for views, value in found:
        stacked = torch.cat((value[:, 0], value[:, 1])).detach().cpu()
        on = stacked.any(1)
        sides = [one[one.any(1)].float().numpy() for one in stacked.chunk(2)]
        gap = modality_gap(*sides) if all(len(one) for one in sides) else float("nan")
        result.append(Space(views, stacked, label_order(stacked, target.repeat(2)), gap, int((~on).sum())))
    return result


def label_order(vectors: Tensor, target: Tensor) -> Tensor:
    """Kendall's tau-b of each row between the others' label distances and their cosine distances. (N, P), (N,) -> (N,)

    Integer targets are classes, whose distance is 0 or 1. NaN where one of the two is the same for all others.
    """
    rows = torch.nn.functional.normalize(vectors.detach().cpu().double(), dim=1)
    apart, target = (1 - rows @ rows.T).numpy(), target.detach().cpu()
    gaps = target[:, None] - target[None, :]
    far = (gaps.abs() if target.is_floating_point() else gaps != 0).numpy()
    others = ~np.eye(len(rows), dtype=bool)
    constant = [len(set(far[i, others[i]])) < 2 or np.ptp(apart[i, others[i]]) == 0 for i in range(len(rows))]
    return torch.tensor([
        np.nan if constant[i] else kendalltau(far[i, others[i]], apart[i, others[i]])[0]
        for i in range(len(rows))
    ])  # fmt: skip


def branch_worth(model: HSCL, branches: Tensor) -> Tensor:
    """What the answer loses when one branch is its mean over the set. (N, M - 1, D) -> (N, M - 1) or (N, M - 1, C)

    Exact sums hold up to u of eq. (2) alone: two worths don't add up to the worth of both.
    """
    whole, mean = model.head(branches.mean(1))[0], branches.mean(0)
    lost = []
    for branch in range(branches.shape[1]):
        without = branches.clone()
        without[:, branch] = mean[branch]
        lost.append(whole - model.head(without.mean(1))[0])
    return torch.stack(lost, 1)


def spread(model: HSCL, batch: Batch, draws: int = 20, seed: int = 0) -> Tensor:
    """Answers under summary tokens drawn with seed, seed + 1, ...: how much a released model depends on its noise.

    -> (draws, B) or (draws, B, C)
    """
    with torch.no_grad():
        passes = [model(batch, trace=False, cls=model.draw(seed + one)) for one in range(draws)]
    return torch.stack([one.prediction for one in passes])
