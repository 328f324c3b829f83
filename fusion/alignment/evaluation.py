"""Held-out figures of entity alignment, those of single modalities and of features without training beside them.

P pairs of a split. Candidates are the P entities of the other graph, ranks count ties against the model. Graph 1 to
graph 2 is said first, as in DBP15K; the other direction carries "back".
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fusion.alignment import scoring
from fusion.alignment.whole import whole
from fusion.data.graph_features import PLAIN
from fusion.data.graphs import SPLITS
from fusion.losses import unit
from fusion.metrics.behaviour import spearman
from fusion.metrics.intervals import bootstrap, paired_bootstrap
from fusion.metrics.ranking import rank_pairs
from fusion.types import FusionError

if TYPE_CHECKING:
    import pandas as pd

    from fusion.alignment.inspection import Aligner
    from fusion.data.graph_features import GraphFeatures

MOST = 3  # features that are added up without training
DEGREES = ((0, 0, "0"), (1, 2, "1-2"), (3, 5, "3-5"), (6, 10, "6-10"), (11, 2**31, "11-"))


def figures(
    aligner: Aligner, split: str = "test", progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Figures of a checkpoint on the links of a split.

    "alone": by the vectors of one modality; "without": one modality left out, the other weights kept; "faithful":
    Spearman of an entity's weight of a modality with how far its partner falls without it; "untrained": features as
    they come. Raises FusionError when the split has no links.
    """
    pairs = aligner.graph.pairs(split)
    if not len(pairs):
        raise FusionError(f'"{aligner.dataset.name}" has no {split} links; there are {", ".join(SPLITS)}.')
    made = whole(aligner, progress)
    frame = made.frame
    left, right = frame.iloc[pairs[:, 0]], frame.iloc[pairs[:, 1]]
    joint = aligner.tables["joint"]
    plain = rank_pairs(*(joint[torch.from_numpy(rows).long().to(joint.device)] for rows in pairs.T), csls=0)
    ranks = _ranks(left["rank"])
    found: dict[str, Any] = {"n": len(pairs), "candidates": len(pairs), "csls": scoring.NEAREST}
    found |= told(ranks) | {f"back_{name}": value for name, value in told(_ranks(right["rank"])).items()}
    interval = bootstrap((ranks <= 1).astype(float))
    found |= {"hits1_low": interval.low, "hits1_high": interval.high}
    found["plain"] = told(plain[0].ranks.cpu().numpy())
    found["alone"] = {m: told(_ranks(left[f"rank_{m}"])) for m in made.modalities}
    found["without"] = {m: told(_ranks(left["rank"] + left[f"effect_{m}"])) for m in made.modalities}
    found["faithful"] = {m: None if one is None else [one.value, one.low, one.high] for m, one in made.faithful.items()}
    found["slices"] = slices(left, right, made.modalities)
    found["untrained"] = baselines(aligner.features, pairs)
    return found


def told(ranks: np.ndarray) -> dict[str, float]:
    """Hits@1, 5 and 10 and MRR of ranks (P,), in [0, 1]."""
    made = {f"hits{k}": float((ranks <= k).mean()) for k in (1, 5, 10)}
    return made | {"mrr": float((1 / ranks).mean())}


def _ranks(column: pd.Series) -> np.ndarray:
    return column.to_numpy(np.float64)


def slices(left: pd.DataFrame, right: pd.DataFrame, modalities: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Figures of the pairs by kind, by the smaller degree of the two, and by whether both really have a modality.

    left, right (P rows): the ends of the pairs. A slice that holds all pairs or none is left out.
    """
    ranks = left["rank"].to_numpy(np.float64)
    degree = np.minimum(left["degree"].to_numpy(), right["degree"].to_numpy())
    groups: dict[str, np.ndarray] = {}
    for kind in sorted(set(left["kind"]) - {""}):
        groups[f"kind {kind}"] = (left["kind"] == kind).to_numpy()
    for low, high, name in DEGREES:
        groups[f"degree {name}"] = (degree >= low) & (degree <= high)
    for m in modalities:
        both = left[f"known_{m}"].to_numpy(bool) & right[f"known_{m}"].to_numpy(bool)
        groups |= {f"{m} known": both, f"{m} missing": ~both}
    return {
        name: {"n": int(rows.sum()), **told(ranks[rows])}
        for name, rows in groups.items()
        if rows.any() and not rows.all()
    }


def baselines(features: GraphFeatures, pairs: np.ndarray) -> dict[str, dict[str, Any]]:
    """Ranks by features as they come: each alone and their sums, scores brought to one spread before, with CSLS.

    -> {"image + name": {"hits1": ..., ..., "plain_hits1": without CSLS}}
    """
    names = [m for m in features.modalities if m not in PLAIN]
    found = {}
    for size in range(1, min(len(names), MOST) + 1):
        for some in itertools.combinations(names, size):
            ranks, plain = (untrained(features, pairs, some, csls) for csls in (scoring.NEAREST, 0))
            found[" + ".join(some)] = told(ranks) | {"plain_hits1": float((plain <= 1).mean())}
    return found


def untrained(features: GraphFeatures, pairs: np.ndarray, modalities: Sequence[str], csls: int) -> np.ndarray:
    """Rank of each partner by the sum of cosines of features, each divided by its spread over all P x P. -> (P,)"""
    rows = [torch.from_numpy(np.ascontiguousarray(side)).long() for side in pairs.T]
    sides: tuple[list[Tensor], list[Tensor]] = ([], [])
    for m in modalities:
        both = [unit(features.features[m][one]) for one in rows]
        scale = max(_spread(*both), 1e-12) ** -0.5
        for side, table in zip(sides, both, strict=True):
            side.append(scale * table)
    ranking = rank_pairs(*(torch.cat(side, 1) for side in sides), measure="cosine", csls=csls)[0]
    return ranking.ranks.numpy().astype(np.float64)


def _spread(left: Tensor, right: Tensor) -> float:
    """Standard deviation of all products of a left and a right row, without making them: tr(C_l C_r) - mean^2."""
    left, right = left.double(), right.double()
    squares = ((left.T @ left) * (right.T @ right)).sum() / (len(left) * len(right))
    return float((squares - (left.mean(0) @ right.mean(0)).square()).clamp(min=0).sqrt())


def margin(
    hits: Sequence[np.ndarray], features: GraphFeatures, pairs: np.ndarray, modalities: Sequence[str]
) -> dict[str, Any]:
    """How far the runs' mean H@1 is above the best sum of untrained features that they read, links drawn together.

    hits: (P,) bool of each run. -> {"over": names, "other": its H@1, "value", "low", "high"}, and "plain" without CSLS
    """
    made: dict[str, Any] = {}
    read = [m for m in features.modalities if m in modalities and m not in PLAIN]
    mean = np.mean([np.asarray(one, dtype=float) for one in hits], 0)
    for name, csls in (("csls", scoring.NEAREST), ("plain", 0)):
        sums = [some for size in range(1, min(len(read), MOST) + 1) for some in itertools.combinations(read, size)]
        reached = {" + ".join(some): untrained(features, pairs, some, csls) <= 1 for some in sums}
        if reached:
            over = max(reached, key=lambda one: reached[one].mean())
            interval = paired_bootstrap(mean, reached[over].astype(float))
            said = {"value": interval.value, "low": interval.low, "high": interval.high}
            made[name] = {"over": over, "other": float(reached[over].mean()), **said}
    return made


def stability(weights: Sequence[Tensor], modalities: Sequence[str], rows: np.ndarray) -> dict[str, float | None]:
    """Do runs agree on which entities lean on a modality: mean Spearman of its weights over pairs of runs.

    weights: (N, M) of each run; rows (n,): the entities to compare. None where a run has one weight for all.
    """
    found: dict[str, float | None] = {}
    for i, m in enumerate(modalities):
        columns = [one[torch.from_numpy(rows).long().to(one.device), i].float().cpu().numpy() for one in weights]
        each = [spearman(a, b) for a, b in itertools.combinations(columns, 2)]
        known = [one for one in each if one is not None]
        found[m] = float(np.mean(known)) if known and len(known) == len(each) else None
    return found


def flat(found: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested figures as lines: {"alone image hits1": ...}."""
    lines: dict[str, Any] = {}
    for name, value in found.items():
        lines |= flat(value, f"{before}{name} ") if isinstance(value, dict) else {before + name: value}
    return lines
