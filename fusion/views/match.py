"""Matching scores: true pairs against shuffled ones, the score as a probability, and the ranks of partners."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, CHOSEN, INK
from fusion.views.sheet import Sheet
from fusion.views.speech import caveat, join, num, percent
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.signals import Match, Trace
    from fusion.types import Sample

TRUE, SHUFFLED = CATEGORIES[0], CATEGORIES[4]
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
    sheet = Sheet(key, 300)
    middle, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
    for share, name, colour, shape in (
        (parts[0], t("views.hills.shuffled"), SHUFFLED, "/"), (parts[1], t("views.hills.true"), TRUE, ""),
    ):  # fmt: skip
        pattern = {"shape": shape, "fgcolor": "#FFFFFF", "size": 5, "fillmode": "overlay"}
        sheet.add(
            "bar", x=middle, y=share.astype(np.float32), name=name, opacity=0.72, width=width,
            marker={"color": colour, "pattern": pattern},
            hovertemplate="%{x:.2f}: %{y:.1f} %<extra>" + name + "</extra>",
        )  # fmt: skip
    sheet.set(
        barmode="overlay", bargap=0, xaxis={"range": [low, high], "title": {"text": t("views.axis.score")}},
        yaxis={"rangemode": "tozero", "title": {"text": t("views.axis.share_of_pairs")}, "nticks": 5},
    )  # fmt: skip
    _rules(sheet, score, threshold)
    facts = {
        "true": num(float(true.mean())), "shuffled": num(float(shuffled.mean())),
        "auc": num(auc(true, shuffled)), "pairs": f"{len(true):,}", "others": f"{len(shuffled):,}",
        "peak": num(float(max(parts[0].max(), parts[1].max()))),
    }  # fmt: skip
    alt, finding = t("views.hills.alt", **facts), t("views.hills.finding", **facts)
    if score is not None:
        said = {
            "score": num(score), "of_true": percent(above(true, score)),
            "of_shuffled": percent(above(shuffled, score)),
        }  # fmt: skip
        finding = join(t("views.hills.sample", **said), finding)
        alt = join(t("views.hills.sample", **said), alt)
    if threshold is not None:
        names = ("precision", "recall", "f1")
        at = {name: num(v) for name, v in zip(names, kept(true, shuffled, threshold), strict=True)}
        finding = join(finding, t("views.hills.threshold", threshold=num(threshold), **at))
    table = pd.DataFrame({
        t("views.axis.from"): edges[:-1], t("views.axis.to"): edges[1:],
        t("views.hills.true"): parts[1].astype(np.float32), t("views.hills.shuffled"): parts[0].astype(np.float32),
    })  # fmt: skip
    lines = {"views.hills.shows_sample": score, "views.hills.shows_threshold": threshold}
    shows = join(t("views.hills.shows"), *(t(line) for line, value in lines.items() if value is not None))
    return Picture(key, title, sheet.figure(), alt, table, finding, shows, caveat(signal, "caveat.match_score"))


def _range(unit: str, values: np.ndarray) -> tuple[float, float]:
    """The scale of a unit: 0..1, -1..1, or what the values span."""
    if unit == "probability":
        return 0.0, 1.0
    if unit == "cosine":
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _rules(sheet: Sheet, score: float | None, threshold: float | None) -> None:
    """A solid line at this sample and a dashed one at the threshold, labelled on two heights above the bars."""
    said = [] if score is None else [(t("views.hills.here", score=num(score)), score)]
    said += [] if threshold is None else [(t("views.hills.line", threshold=num(threshold)), threshold)]
    for height, (text, x) in enumerate(reversed(said)):
        side = "right" if x > 0.5 else "left"
        sheet.note(text, x=x, y=1, yref="paper", yanchor="bottom", xanchor=side, yshift=16 * height)
    if score is not None:
        sheet.rule(score, dash="solid", colour=CHOSEN, width=3)
    if threshold is not None:
        sheet.rule(threshold, width=2)
    room = 16 * len(said)
    sheet.set(margin={"t": 30 + room}, legend={"yref": "container", "y": 1, "yanchor": "top"})


def _alone(signal: Match | None, score: float, threshold: float | None) -> Picture:
    """The score on its own scale, where nothing was measured to compare it with."""
    low, high = _range(signal.unit if signal is not None else "probability", np.asarray([0, 1, score], np.float32))
    sheet = Sheet("hills", 150)
    sheet.add(
        "bar", x=[np.float32(score - min(low, 0))], base=[min(low, 0)], y=[t("views.axis.score")], orientation="h",
        marker={"color": TRUE}, hovertemplate="%{x:.3f}<extra></extra>", showlegend=False,
    )  # fmt: skip
    _rules(sheet, score, threshold)
    sheet.set(xaxis={"range": [low, high]})
    finding = t("views.hills.alone", score=num(score))
    table = pd.DataFrame({t("views.axis.score"): [np.float32(score)]})
    return Picture(
        "hills", t("views.hills.title"), sheet.figure(), finding, table, finding, t("views.hills.shows_alone"),
        caveat(signal, "caveat.match_score"),
    )  # fmt: skip


def reliability(probabilities: np.ndarray, truth: np.ndarray, *, bins: int = 10) -> Picture:
    """Does 0.8 mean right eight times in ten? Observed share against stated probability, in bins of equal count.

    probabilities (P,) in [0, 1]; truth (P,) bool, whether the pair was a true one.
    """
    key, title = "reliability", t("views.reliability.title")
    stated, truth = np.asarray(probabilities, np.float64), np.asarray(truth, bool)
    if len(stated) < bins:
        return base.nothing(key, title, t("views.none.few", needed=bins, count=len(stated)))
    inner = np.unique(np.quantile(stated, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    place = np.searchsorted(inner, stated, side="left")  # equal probabilities share a bin: their order says nothing
    groups = [np.flatnonzero(place == number) for number in np.unique(place)]
    said = np.asarray([stated[g].mean() for g in groups], np.float32)
    seen = np.asarray([truth[g].mean() for g in groups], np.float32)
    count = np.asarray([len(g) for g in groups])
    error = float((np.abs(said - seen) * count).sum() / count.sum())
    low, high = wilson(seen * count, count)
    sheet = Sheet(key, 320, top=34)
    sheet.add(
        "scatter", x=np.asarray([0, 1], np.float32), y=np.asarray([0, 1], np.float32), mode="lines", hoverinfo="skip",
        name=t("views.reliability.ideal"), line={"color": INK, "dash": "dash", "width": 1.5},
    )  # fmt: skip
    sheet.add(
        "scatter", x=said, y=seen, mode="lines+markers", name=t("views.reliability.seen"),
        marker={"size": 9, "color": TRUE}, line={"color": TRUE}, text=[f"{c:,}" for c in count],
        error_y={"type": "data", "array": (high - seen).astype(np.float32), "symmetric": False,
                 "arrayminus": (seen - low).astype(np.float32), "thickness": 1.5, "width": 4},
        hovertemplate=t("views.reliability.hover") + "<extra></extra>",
    )  # fmt: skip
    sheet.set(
        xaxis={"range": [0, 1], "title": {"text": t("views.reliability.said")}, "nticks": 6},
        yaxis={"range": [0, 1.02], "title": {"text": t("views.reliability.seen")}, "nticks": 6},
    )
    worst = int(np.abs(said - seen).argmax())
    facts = {
        "ece": num(error), "count": f"{len(stated):,}", "bins": len(groups), "said": num(float(said[worst])),
        "seen": num(float(seen[worst])), "each": f"{count.min():,}",
    }  # fmt: skip
    table = pd.DataFrame({
        t("views.reliability.said"): said, t("views.reliability.seen"): seen, t("views.axis.count"): count,
        t("views.axis.low95"): low.astype(np.float32), t("views.axis.high95"): high.astype(np.float32),
    })  # fmt: skip
    return Picture(
        key, title, sheet.figure(), t("views.reliability.alt", **facts), table, t("views.reliability.finding", **facts),
        t("views.reliability.shows"), t("views.reliability.hides"),
    )  # fmt: skip


def wilson(hits: np.ndarray, count: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of a share, Wilson's form: never outside 0..1, never empty at 0 or 1."""
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return np.minimum(middle - half, share), np.maximum(middle + half, share)


def ranks(
    partners: Sequence[int] | np.ndarray, candidates: int, *, direction: str = "",
    goal: Literal["partner", "answer"] = "partner",
) -> Picture:  # fmt: skip
    """Where does the true partner stand in the list? Counts of ranks in bins that widen; marks are (first, last) rank.

    partners (N,) int from 1; `direction` a name such as "text → image" for the title of the counts; goal: what is
    looked for, as the words call it.
    """
    key, title = "ranks", t(f"views.ranks.title.{goal}")
    found = np.asarray(partners, np.int64)
    if not len(found):
        return base.nothing(key, title, t("views.none.pairs"))
    edges = [e for e in EDGES if e <= candidates] + [candidates + 1]
    counts = np.histogram(found, edges)[0]
    spans = [(a, b - 1) for a, b in pairwise(edges)]
    names = [f"{a:,}" if a == b else f"{a:,}–{b:,}" for a, b in spans]
    sheet = Sheet(key, 300, top=28)
    sheet.add(
        "bar", x=names, y=counts.astype(np.float32), marker={"color": TRUE}, text=[f"{c:,}" for c in counts],
        textposition="outside", cliponaxis=False, hovertemplate="%{x}: %{y}<extra></extra>", showlegend=False,
    )  # fmt: skip
    sheet.clicks()
    sheet.set(
        xaxis={"type": "category", "title": {"text": t(f"views.subsets.rank.{goal}")}, "tickangle": -40},
        yaxis={"rangemode": "tozero", "title": {"text": t("views.axis.count")}, "nticks": 5},
    )
    most = int(counts.argmax())
    facts = {
        "median": f"{int(np.median(found)):,}", "candidates": f"{candidates:,}", "count": f"{len(found):,}",
        "r1": percent(float((found <= 1).mean())), "r5": percent(float((found <= 5).mean())),
        "r10": percent(float((found <= 10).mean())), "mrr": num(float((1 / found).mean())),
        "direction": direction or t("views.ranks.partner"), "chance": percent(min(1, 10 / candidates)),
        "most": f"{int(counts[most]):,}", "where": names[most],
    }  # fmt: skip
    table = pd.DataFrame({t(f"views.subsets.rank.{goal}"): names, t("views.axis.count"): counts})
    return Picture(
        key, title, sheet.figure(), t(f"views.ranks.alt.{goal}", **facts), table,
        t(f"views.ranks.finding.{goal}", **facts), t(f"views.ranks.shows.{goal}"), t(f"views.ranks.hides.{goal}"),
        (tuple(spans),),
    )  # fmt: skip
