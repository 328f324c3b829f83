"""Spaces side by side: held-out rows as they come, centred, by MCCA, by KCCA, and where a checkpoint puts them.

Everything that is fitted (means, scales, directions) is fitted on the rows to train on; how strong the ridge is and how
many components are read is chosen on the valid rows; only rows to test are counted, and of those the ones that have a
view in every space that has this view. N rows, M views, D columns, K components.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from fusion.data.graphs import SPLITS
from fusion.metrics import geometry, retrieval
from fusion.metrics import sample as some_of
from fusion.metrics.intervals import wilson
from fusion.models import MODELS
from fusion.streams.spaces import between
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.models.shared_space import SharedSpace

    Views = Mapping[str, np.ndarray]  # {m: (N, D)}, NaN in rows without the view

LEAST = 12  # rows in which anything is counted
FITTED = 20  # complete rows without which nothing is fitted
MOST = 20_000  # rows to fit on; of more a seeded sample
EXACT = 512  # rows up to which a kernel is taken of all of them, and landmarks beyond
TRIED = (4, 8, 16, 32, 64)  # components
USUAL = 16  # components, where no rows are left to choose by
SEED = 37
DIGITS = 4  # by which two rows count as equal
Kind = Literal["raw", "centred", "mcca", "kcca", "learned", "learned_centred"]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Space:
    """One space: its figures by pair of views, or why there are none."""

    kind: Kind
    name: str = ""  # of a learned one, where a checkpoint has several
    pairs: list[dict[str, Any]] = field(default_factory=list)  # as `between`, with alignment, uniformity, intervals
    why: str = ""  # widths | rows | refused
    facts: dict[str, Any] = field(default_factory=dict)  # what was fitted and chosen; what `why` is about


def compare(
    inputs: Views, learned: Mapping[str, Views], split: np.ndarray, progress: Progress | None = None
) -> list[Space]:
    """Every space over the rows to test. learned: {name: views}; split (N,) as in fusion.data.graphs.SPLITS

    A view that only learned spaces have is compared in those. Raises FusionError where fewer than two views have twelve
    rows to test in common.
    """
    tell = progress or (lambda _: None)
    there = _there(inputs, learned)
    test = {m: _rows(known, split, "test") for m, known in there.items()}
    joint = {pair: np.intersect1d(test[pair[0]], test[pair[1]], assume_unique=True) for pair in combinations(there, 2)}
    joint = {pair: rows[some_of(len(rows))] for pair, rows in joint.items() if len(rows) >= LEAST}
    if not joint:
        raise FusionError(
            f"No two views have {LEAST} held-out rows in common, too few to count anything; use a larger data set, or "
            "one with more rows to test."
        )
    found = []
    if len(inputs) > 1:
        widths = {m: x.shape[1] for m, x in inputs.items()}
        tell("spaces as they come")
        found.append(_plain("raw", inputs, joint, widths))
        found.append(_plain("centred", _centred(inputs, there, split), joint, widths))
        for kind in ("mcca", "kcca"):
            tell(MODELS[kind].card.name)
            found.append(_fitted(kind, inputs, split, joint))
    for name, views in learned.items():
        tell(f"what was learned, {name}" if name else "what was learned")
        found.append(Space("learned", name, _measured(views, joint)))
        found.append(Space("learned_centred", name, _measured(_centred(views, there, split), joint)))
    return found


def _there(inputs: Views, learned: Mapping[str, Views]) -> dict[str, np.ndarray]:
    """Which rows have a view wherever it is one. -> {m: (N,) bool}"""
    found: dict[str, np.ndarray] = {}
    for views in (inputs, *learned.values()):
        for m, x in views.items():
            known = np.isfinite(x).all(1) & (np.abs(x).sum(1) > 0)
            found[m] = found[m] & known if m in found else known
    return found


def _rows(known: np.ndarray, split: np.ndarray, name: str) -> np.ndarray:
    return np.flatnonzero(known & (split == SPLITS.index(name)))


def _centred(views: Views, there: Mapping[str, np.ndarray], split: np.ndarray) -> Views:
    """Each view less its mean over the rows to train on, which takes the gap between views away."""
    made = {}
    for m, x in views.items():
        train = _rows(there[m], split, "train")
        made[m] = x - x[train].mean(0) if len(train) else x
    return made


def _plain(kind: Kind, views: Views, joint: Mapping[tuple[str, str], np.ndarray], widths: Mapping[str, int]) -> Space:
    """A space in which nothing was fitted but means; views of different widths can't be compared there."""
    found = _measured(views, joint)
    return Space(kind, pairs=found) if found else Space(kind, why="widths", facts={"widths": dict(widths)})


def _measured(views: Views, joint: Mapping[tuple[str, str], np.ndarray]) -> list[dict[str, Any]]:
    """Figures of each pair of views of one width that a space has."""
    made = []
    for (a, b), rows in joint.items():
        if a not in views or b not in views or views[a].shape[1] != views[b].shape[1]:
            continue
        x, y = (np.ascontiguousarray(views[m][rows], np.float32) for m in (a, b))
        told = between(x, y)
        for figure in ("r1", "r10"):
            sure = [wilson(round(share * len(rows)), len(rows)) for share in told[figure]]
            told |= {f"{figure}_low": [one.low for one in sure], f"{figure}_high": [one.high for one in sure]}
        made.append({
            "views": [a, b], **told,
            "alignment": geometry.alignment(x, y), "uniformity": [geometry.uniformity(x), geometry.uniformity(y)],
            "repeated": [_repeated(x), _repeated(y)],
        })  # fmt: skip
    return made


def _repeated(x: np.ndarray) -> float:
    """Share of rows that another row equals: such a row can't be told from its like, and counts as not found."""
    _, times = np.unique(np.round(x, DIGITS), axis=0, return_counts=True)
    return float(times[times > 1].sum() / len(x))


def _fitted(
    kind: Literal["mcca", "kcca"], inputs: Views, split: np.ndarray, joint: Mapping[tuple[str, str], np.ndarray]
) -> Space:
    """MCCA or KCCA of all views, fitted on the complete rows to train on."""
    complete = np.logical_and.reduce([np.isfinite(x).all(1) & (np.abs(x).sum(1) > 0) for x in inputs.values()])
    train, valid = (_rows(complete, split, name) for name in ("train", "valid"))
    if len(train) < FITTED:
        return Space(kind, why="rows", facts={"rows": len(train), "least": FITTED})
    if len(train) > MOST:
        train = np.sort(np.random.default_rng(SEED).choice(train, MOST, replace=False))
    scaled = _scaled(inputs, train)
    try:
        model, facts = _solved(kind, scaled, train, valid)
        scores = {m: _scores(model, m, x) for m, x in scaled.items()}
    except FusionError as error:
        return Space(kind, why="refused", facts={"reason": str(error)})
    facts |= {"rows": len(train), "valid": len(valid), "components": _chosen(scores, valid)}
    cut = {m: x[:, : facts["components"]] for m, x in scores.items()}
    return Space(kind, pairs=_measured(cut, joint), facts=facts)


def _scaled(inputs: Views, train: np.ndarray) -> dict[str, np.ndarray]:
    """Columns with mean 0 and spread 1 in the rows to fit; those that never change are 0."""
    found = {}
    for m, x in inputs.items():
        mean, spread = x[train].mean(0, dtype=np.float64), x[train].std(0, dtype=np.float64)
        found[m] = (x - mean) / np.where(spread > 1e-9, spread, np.inf)
    return found


def _solved(
    kind: Literal["mcca", "kcca"], views: Views, train: np.ndarray, valid: np.ndarray
) -> tuple[SharedSpace, dict[str, Any]]:
    """The system with as many components as are tried, its ridge chosen on the valid rows where there are any."""
    settings: dict[str, Any] = {
        "modalities": tuple(views), "widths": tuple(x.shape[1] for x in views.values()), "steps": (1,) * len(views),
        "components": USUAL, "seed": SEED,
    }  # fmt: skip
    if kind == "kcca":
        settings |= {"limit": EXACT, "landmarks": EXACT}
    system: Any = MODELS[kind]
    fit = _tensors(views, train)
    facts: dict[str, Any] = {}
    if len(valid) >= LEAST:
        tried = system(system.Config(**settings)).choose_c(fit, _tensors(views, valid))
        settings["c"] = (tried.c,)
    model = system(system.Config(**settings | {"components": max(TRIED)}))
    model.solve(fit)
    facts["c"] = model.config.c[0]
    if kind == "kcca":
        facts |= {"kernel": model.config.kernel[0], "method": model.config.method, "stored": model.config.stored}
    return model.eval(), facts


def _tensors(views: Views, rows: np.ndarray) -> dict[str, Tensor]:
    return {m: torch.from_numpy(np.ascontiguousarray(x[rows], np.float64)) for m, x in views.items()}


def _scores(model: SharedSpace, modality: str, x: np.ndarray) -> np.ndarray:
    """Scores of every row that has the view, NaN elsewhere. (N, D) -> (N, K)"""
    known = np.isfinite(x).all(1)
    made = model.transform(_tensors({modality: x}, np.flatnonzero(known)), [modality])[modality].numpy()
    found = np.full((len(x), made.shape[1]), np.nan)
    found[known] = made
    return found


def _chosen(scores: Views, valid: np.ndarray) -> int:
    """How many components: those with the best mean reciprocal rank in the valid rows, both ways, over all pairs."""
    most = next(iter(scores.values())).shape[1]
    if len(valid) < LEAST:
        return min(USUAL, most)
    rows = valid[some_of(len(valid))]

    def found(count: int) -> float:
        values = []
        for a, b in combinations(scores, 2):
            there, back = retrieval.both_directions(scores[a][rows, :count], scores[b][rows, :count])
            values += [there.mrr, back.mrr]
        return float(np.mean(values))

    return max(sorted({min(count, most) for count in TRIED}), key=found)
