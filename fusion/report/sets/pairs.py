"""A page of all pairs of a data set: the score, partners, gates, a map, and the pairs to doubt first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.report.made import facts, made, named, today
from fusion.types import FusionError
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.observations import Observed
    from fusion.views import Picture
    from fusion.views.faithful import Rank
    from fusion.views.page import Page

LEAST = 4  # pairs below which nothing is counted
ROWS = 50  # of the pairs to doubt
POINTS = 1_500  # pairs on the map: an SVG of more is larger than a picture of it
RESAMPLES = 200  # of a rank correlation


def pairs_page(checkpoint: Checkpoint, dataset: DataSet, progress: Callable[[int, int], None] | None = None) -> Page:
    """Pairs of the split to test, all where there is none. Raises FusionError of too few."""
    from fusion import observations
    from fusion.data import pairs_only
    from fusion.inference import Pipeline
    from fusion.models import MODELS
    from fusion.views.page import Page

    seen = observations.stored(checkpoint, pairs_only(dataset))
    if seen is None:
        seen = observations.observe(Pipeline.open(checkpoint), dataset, progress)
    split = "test" if "test" in set(seen.frame["split"]) else ""
    inside = seen.frame["split"].eq(split).to_numpy() if split else np.ones(len(seen.frame), bool)
    rows = np.flatnonzero(inside & seen.frame["match"].notna().to_numpy() & seen.frame["cosine"].notna().to_numpy())
    if len(rows) < LEAST:
        raise FusionError(t("empty.few", n=LEAST, m=len(rows)))
    frame = _ranked(seen, rows)
    of = {t("report.split"): t(f"split.{split or 'all'}"), t("report.samples"): f"{len(rows):,} / {len(dataset):,}"}
    model = MODELS[checkpoint.model]
    return Page(
        t("report.title.set"), t("report.lead.set", name=model.card.name, data=named(dataset)),
        figures=_figures(frame), notes=dataset.notes, facts=facts(checkpoint, model, dataset) | of | today(),
        sections=_sections(seen, frame, rows), tables=((t("match.tab.pairs"), _doubted(frame)),), made=made(checkpoint),
    )  # fmt: skip


def _ranked(seen: Observed, rows: np.ndarray) -> pd.DataFrame:
    """The pairs, with the ranks of partners among themselves and the picture that each has."""
    from fusion.observations import partner_ranks

    frame = seen.frame.iloc[rows].reset_index(drop=True)
    where = frame["image"].astype(str).to_numpy()
    picture = np.unique(np.where(where == "", frame["id"].astype(str), where), return_inverse=True)[1]
    text, image = seen.vectors["text"][rows], seen.vectors["image"][rows]
    frame["rank_text"], frame["rank_image"] = partner_ranks(text, image, picture, np.ones(len(rows), bool))
    return frame.assign(picture=picture)


def _figures(frame: pd.DataFrame) -> tuple[tuple[str, str, str], ...]:
    from fusion.views.match import auc
    from fusion.views.speech import num, percent

    true = frame["match"].to_numpy(np.float32)
    shuffled = frame["match_shuffled"].dropna().to_numpy(np.float32)
    pictures = len(set(frame["picture"]))
    cells = [
        ("count", f"{len(frame):,}", t("match.pictures", count=f"{pictures:,}")),
        ("auc", num(auc(true, shuffled)) if len(shuffled) else "–", t("match.auc.chance")),
    ]
    for column, others in (("rank_text", pictures), ("rank_image", len(frame))):
        hits = percent(float((frame[column].to_numpy() <= 10).mean()))
        cells.append((column, hits, t("match.chance", share=percent(min(1.0, 10 / others)))))
    return tuple((t(f"match.{name}"), value, below) for name, value, below in cells)


def _sections(seen: Observed, frame: pd.DataFrame, rows: np.ndarray) -> list[tuple[str, list[Picture]]]:
    from fusion.views import faithful, match
    from fusion.views.speech import say

    true, gate = (frame[name].to_numpy(np.float32) for name in ("match", "mean_gate"))
    shuffled = frame["match_shuffled"].dropna().to_numpy(np.float32)
    found: list[tuple[str, list[Picture]]] = []
    if len(shuffled):
        found.append((t("match.tab.scores"), [match.hills(None, true=true, shuffled=shuffled)]))
    text, image = say("text"), say("image")
    sides = ((text, image, "rank_text", len(set(frame["picture"]))), (image, text, "rank_image", len(frame)))
    ways = [
        match.ranks(frame[name].to_numpy(np.int64), among, direction=t("match.way", one=one, other=other))
        for one, other, name, among in sides
    ]
    found.append((t("match.tab.partners"), ways))
    if np.isfinite(gate).any():
        gates = [faithful.gates(gate, "image"), faithful.gate_match(gate, true, "image", _together(frame))]
        found.append((t("fusion.title"), gates))
    found.append((t("map.title"), [_map(seen, rows)]))
    return found


def _together(frame: pd.DataFrame) -> Rank | None:
    """Spearman of gate and match with its interval; samples of one picture are resampled together."""
    from fusion.metrics.intervals import spearman_interval
    from fusion.views.faithful import Rank

    gate, match = (frame[name].to_numpy(np.float64) for name in ("mean_gate", "match"))
    has, groups = np.isfinite(gate) & np.isfinite(match), frame["picture"].to_numpy()
    found = spearman_interval(gate[has], match[has], n=RESAMPLES, groups=groups[has])
    return None if found is None else Rank(found.value, found.low, found.high)


def _map(seen: Observed, rows: np.ndarray) -> Picture:
    """Texts and pictures where the alignment heads put them, by PCA."""
    from fusion.projections.pca import onto, principal_axes
    from fusion.views import embedding

    some = rows if len(rows) <= POINTS else rows[np.linspace(0, len(rows) - 1, POINTS).round().astype(int)]
    vectors = np.concatenate([seen.vectors["text"][some], seen.vectors["image"][some]])
    axes, mean, _ = principal_axes(vectors)
    ids = seen.frame["id"].astype(str).to_numpy()[some]
    kinds = ["text"] * len(some) + ["image"] * len(some)
    return embedding.scatter(onto(vectors, axes, mean), kinds, [*ids, *ids], total=2 * len(rows))


def _doubted(frame: pd.DataFrame) -> pd.DataFrame:
    """The pairs that stand out most: the mean percentile rank by match, cosine and rank of the own partner."""
    parts = [frame[name].rank(pct=True, ascending=up) for name, up in
             (("match", False), ("cosine", False), ("rank_text", True))]  # fmt: skip
    suspicion = np.mean([part.to_numpy() for part in parts], 0)
    shown = frame.assign(suspicion=suspicion).sort_values("suspicion", ascending=False, kind="stable").head(ROWS)
    columns = {
        "id": t("report.sample"), "text": t("report.text"), "suspicion": t("table.suspicion"),
        "match": t("table.match"), "cosine": t("table.cosine"), "rank_text": t("table.rank_text"),
        "entities": t("table.entities"),
    }  # fmt: skip
    return shown.loc[:, list(columns)].set_axis(list(columns.values()), axis=1)
