"""What HSCL shows of one pass, and what only a set of samples can show: order by label, gaps, worth of a pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fusion.signals import Attention, Embedding, ModalityScores, Opinions, Trace
from fusion.types import Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    singles = [made[f"text+{rest[0]}"][:, 0], *(made[f"text+{name}"][:, 1] for name in rest)]
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
