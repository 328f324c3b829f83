"""Matching scores: true pairs against shuffled ones, whether the score can be read as a probability, partners' ranks."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fusion.views import base
from fusion.views.base import Picture
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.signals import Match, Trace
    from fusion.types import Sample

TRUE, SHUFFLED = base.CATEGORIES[0], base.CATEGORIES[4]
BINS = 40
EDGES = (1, 2, 3, 6, 11, 21, 51, 101, 201, 501, 1001, 2001, 5001, 10001, 20001, 50001, 100001, 1000001, 10**9)


def auc(true: np.ndarray, shuffled: np.ndarray) -> float:
    """Chance that a true pair scores above a shuffled one, ties counting half. true (P,), shuffled (N,)"""
    order = np.sort(shuffled)
    below, upto = np.searchsorted(order, true, "left"), np.searchsorted(order, true, "right")
    return float((below + upto).mean() / (2 * len(order)))


def above(scores: np.ndarray, score: float) -> float:
    """The share of scores that lie below this one, ties counting half: its percentile as a share."""
    return float((scores < score).mean() + (scores == score).mean() / 2)


def kept(true: np.ndarray, shuffled: np.ndarray, threshold: float) -> tuple[float, float, float]:
    """Precision, recall and F1 of keeping what scores at least the threshold, for the pairs as they are counted."""
    right, wrong = int((true >= threshold).sum()), int((shuffled >= threshold).sum())
    precision = right / (right + wrong) if right + wrong else 0.0
    recall = right / len(true)
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def hills(
    signal: Match | None, sample: Sample | None = None, trace: Trace | None = None, *,
    true: np.ndarray | None = None, shuffled: np.ndarray | None = None, threshold: float | None = None,
) -> Picture:  # fmt: skip
    """Do true pairs score above shuffled ones, and where is this one? Two histograms and a line.

    true (P,) and shuffled (N,) are scores of a data set's pairs and of exchanged ones, in the signal's unit. Without
    a signal: the data set alone; without the scores: this sample's score on its scale alone.
    """
    key, title = "hills", t("views.hills.title")
    score = None if signal is None else float(base.array(signal.value))
    if true is None or shuffled is None or not len(true) or not len(shuffled):
        return (
            _alone(signal, score, threshold) if score is not None else base.nothing(key, title, t("views.none.pairs"))
        )
    true, shuffled = np.asarray(true, np.float32), np.asarray(shuffled, np.float32)
    unit = signal.unit if signal is not None else "probability"
    low, high = _range(unit, np.concatenate((true, shuffled, [score] if score is not None else [])))
    edges = np.linspace(low, high, BINS + 1, dtype=np.float32)
    parts = [np.histogram(np.clip(s, low, high), edges)[0] / len(s) * 100 for s in (shuffled, true)]
    figure = base.canvas(key, 300, top=44)
    middle = (edges[:-1] + edges[1:]) / 2
    for share, name, colour, pattern in (
        (parts[0], t("views.hills.shuffled"), SHUFFLED, "/"), (parts[1], t("views.hills.true"), TRUE, ""),
    ):  # fmt: skip
        figure.add_trace(
            go.Bar(
                x=middle, y=share.astype(np.float32), name=name, opacity=0.72, width=float(edges[1] - edges[0]),
                marker={"color": colour, "pattern": {"shape": pattern, "fgcolor": "#FFFFFF", "size": 5, "fillmode": "overlay"}},
                hovertemplate="%{x:.2f}: %{y:.1f} %<extra>" + name + "</extra>",
            )
        )  # fmt: skip
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(range=[low, high], title={"text": t("views.axis.score")})
    figure.update_yaxes(rangemode="tozero", title={"text": t("views.axis.share_of_pairs")}, nticks=5)
    _rules(figure, score, threshold)
    facts = {
        "true": base.num(float(true.mean())), "shuffled": base.num(float(shuffled.mean())),
        "auc": base.num(auc(true, shuffled)), "pairs": f"{len(true):,}", "others": f"{len(shuffled):,}",
        "peak": base.num(float(max(parts[0].max(), parts[1].max()))),
    }  # fmt: skip
    alt, finding = t("views.hills.alt", **facts), t("views.hills.finding", **facts)
    if score is not None:
        said = {
            "score": base.num(score), "of_true": base.percent(above(true, score)),
            "of_shuffled": base.percent(above(shuffled, score)),
        }  # fmt: skip
        finding = base.join(t("views.hills.sample", **said), finding)
        alt = base.join(t("views.hills.sample", **said), alt)
    if threshold is not None:
        names = ("precision", "recall", "f1")
        at = {name: base.num(v) for name, v in zip(names, kept(true, shuffled, threshold), strict=True)}
        finding = base.join(finding, t("views.hills.threshold", threshold=base.num(threshold), **at))
    table = pd.DataFrame({
        t("views.axis.from"): edges[:-1], t("views.axis.to"): edges[1:],
        t("views.hills.true"): parts[1].astype(np.float32), t("views.hills.shuffled"): parts[0].astype(np.float32),
    })  # fmt: skip
    return Picture(
        key, title, figure, alt, table, finding, t("views.hills.shows"), base.caveat(signal, "caveat.match_score")
    )


def _range(unit: str, values: np.ndarray) -> tuple[float, float]:
    """The scale of a unit: 0..1, -1..1, or what the values span."""
    if unit == "probability":
        return 0.0, 1.0
    if unit == "cosine":
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _rules(figure: go.Figure, score: float | None, threshold: float | None) -> None:
    """A solid line at this sample and a dashed one at the threshold, labelled on two heights."""
    if score is not None:
        figure.add_vline(x=score, line={"color": base.COLOURS["image"], "width": 3})
        figure.add_annotation(
            text=t("views.hills.here", score=base.num(score)), x=score, y=1, yref="paper", yanchor="bottom",
            xanchor="right" if score > 0.5 else "left", showarrow=False,
        )  # fmt: skip
    if threshold is not None:
        figure.add_vline(x=threshold, line={"color": base.INK, "width": 2, "dash": "dash"})
        figure.add_annotation(
            text=t("views.hills.line", threshold=base.num(threshold)), x=threshold, y=0.96, yref="paper",
            yanchor="top", xanchor="right" if threshold > 0.5 else "left", showarrow=False,
        )  # fmt: skip
    figure.update_layout(legend={"y": 1.09}, margin={"t": 58 if score is not None else 36})


def _alone(signal: Match | None, score: float, threshold: float | None) -> Picture:
    """The score on its own scale, where nothing was measured to compare it with."""
    low, high = _range(signal.unit if signal is not None else "probability", np.asarray([0, 1, score], np.float32))
    figure = base.canvas("hills", 150, top=44)
    figure.add_trace(
        go.Bar(
            x=[np.float32(score - min(low, 0))], base=[min(low, 0)], y=[t("views.axis.score")], orientation="h",
            marker={"color": TRUE}, hovertemplate="%{x:.3f}<extra></extra>", showlegend=False,
        )
    )  # fmt: skip
    _rules(figure, score, threshold)
    figure.update_xaxes(range=[low, high])
    finding = t("views.hills.alone", score=base.num(score))
    table = pd.DataFrame({t("views.axis.score"): [np.float32(score)]})
    return Picture(
        "hills", t("views.hills.title"), figure, finding, table, finding, t("views.hills.shows_alone"),
        base.caveat(signal, "caveat.match_score"),
    )  # fmt: skip


def reliability(probabilities: np.ndarray, truth: np.ndarray, *, bins: int = 10) -> Picture:
    """Does 0.8 mean right eight times in ten? Observed share against stated probability, in bins of equal count.

    probabilities (P,) in [0, 1]; truth (P,) bool, whether the pair was a true one.
    """
    key, title = "reliability", t("views.reliability.title")
    stated, truth = np.asarray(probabilities, np.float64), np.asarray(truth, bool)
    if len(stated) < bins:
        return base.nothing(key, title, t("views.none.few", needed=bins, count=len(stated)))
    order = np.argsort(stated, kind="stable")
    groups = np.array_split(order, bins)
    said = np.asarray([stated[g].mean() for g in groups], np.float32)
    seen = np.asarray([truth[g].mean() for g in groups], np.float32)
    count = np.asarray([len(g) for g in groups])
    error = float((np.abs(said - seen) * count).sum() / count.sum())
    low, high = wilson(seen * count, count)
    figure = base.canvas(key, 320)
    figure.add_trace(
        go.Scatter(
            x=np.asarray([0, 1], np.float32), y=np.asarray([0, 1], np.float32), mode="lines", hoverinfo="skip",
            name=t("views.reliability.ideal"), line={"color": base.INK, "dash": "dash", "width": 1.5},
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=said, y=seen, mode="lines+markers", name=t("views.reliability.seen"),
            marker={"size": 9, "color": TRUE}, line={"color": TRUE},
            error_y={"type": "data", "array": (high - seen).astype(np.float32), "symmetric": False,
                     "arrayminus": (seen - low).astype(np.float32), "thickness": 1.5, "width": 4},
            text=[f"{c:,}" for c in count],
            hovertemplate=t("views.reliability.hover") + "<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(range=[0, 1], title={"text": t("views.reliability.said")}, nticks=6)
    figure.update_yaxes(range=[0, 1.02], title={"text": t("views.reliability.seen")}, nticks=6)
    worst = int(np.abs(said - seen).argmax())
    facts = {
        "ece": base.num(error), "count": f"{len(stated):,}", "bins": bins, "said": base.num(float(said[worst])),
        "seen": base.num(float(seen[worst])), "each": f"{count.min():,}",
    }  # fmt: skip
    table = pd.DataFrame({
        t("views.reliability.said"): said, t("views.reliability.seen"): seen, t("views.axis.count"): count,
        t("views.axis.low95"): low.astype(np.float32), t("views.axis.high95"): high.astype(np.float32),
    })  # fmt: skip
    return Picture(
        key, title, figure, t("views.reliability.alt", **facts), table, t("views.reliability.finding", **facts),
        t("views.reliability.shows"), t("views.reliability.hides"),
    )  # fmt: skip


def wilson(hits: np.ndarray, count: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of a share, Wilson's form: never outside 0..1, never empty at 0 or 1."""
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return np.minimum(middle - half, share), np.maximum(middle + half, share)


def ranks(partners: Sequence[int] | np.ndarray, candidates: int, *, direction: str = "") -> Picture:
    """Where does the true partner stand in the list? Counts of ranks in bins that widen; marks are (first, last) rank.

    partners (N,) int from 1; `direction` a name such as "text → image" for the title of the counts.
    """
    key, title = "ranks", t("views.ranks.title")
    found = np.asarray(partners, np.int64)
    if not len(found):
        return base.nothing(key, title, t("views.none.pairs"))
    edges = [e for e in EDGES if e <= candidates] + [candidates + 1]
    counts = np.histogram(found, edges)[0]
    spans = [(a, b - 1) for a, b in pairwise(edges)]
    names = [f"{a:,}" if a == b else f"{a:,}–{b:,}" for a, b in spans]
    figure = base.canvas(key, 300, top=28)
    figure.add_trace(
        go.Bar(
            x=names, y=counts.astype(np.float32), marker={"color": TRUE}, text=[f"{c:,}" for c in counts],
            textposition="outside", cliponaxis=False, hovertemplate="%{x}: %{y}<extra></extra>", showlegend=False,
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
        )
    )  # fmt: skip
    figure.update_layout(clickmode="event+select")
    figure.update_xaxes(type="category", title={"text": t("views.axis.rank")}, tickangle=-40)
    figure.update_yaxes(rangemode="tozero", title={"text": t("views.axis.count")}, nticks=5)
    most = int(counts.argmax())
    facts = {
        "median": f"{int(np.median(found)):,}", "candidates": f"{candidates:,}", "count": f"{len(found):,}",
        "r1": base.percent(float((found <= 1).mean())), "r5": base.percent(float((found <= 5).mean())),
        "r10": base.percent(float((found <= 10).mean())), "mrr": base.num(float((1 / found).mean())),
        "direction": direction or t("views.ranks.partner"), "chance": base.percent(min(1, 10 / candidates)),
        "most": f"{int(counts[most]):,}", "where": names[most],
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.rank"): names, t("views.axis.count"): counts})
    return Picture(
        key, title, figure, t("views.ranks.alt", **facts), table, t("views.ranks.finding", **facts),
        t("views.ranks.shows"), t("views.ranks.hides"), (tuple(spans),),
    )  # fmt: skip
