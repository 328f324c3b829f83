"""How good is the ranking, how much is wrong, when to stop, what the model loses: pure functions of what was reviewed.

    reviewed(now) -> {id: "wrong" | "right" | "open"}    wrong: mismatch or fix; right: keep; open: unsure or differing
    precision(now, ids) -> Share | None                  of the rows reviewed among these, such as the first 50
    share(now, sample) -> Share | None                   of the whole set: `sample` is a random one, in its order
    advice(now, queue, base) -> Advice | None            whether to go on down the queue
    agreement(now) -> [Agreement]                        of every two reviewers: how often the same, Cohen's kappa
    figures(frame) / with_without(frame, tagged, name)   a figure of the model with and without the tagged rows
    average_precision / at_k(suspicion, planted)         of a ranking whose truth is known, as in `triage.planting`

now: {id: {reviewer: verdict}} as `Verdicts.now` gives it. Rows taken from the top of a queue are wrong more often than
others, so they say how good the ranking is and nothing of the whole; only a random sample does, read from its beginning
to the first row that nobody reviewed: whoever picks from a sample changes it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fusion.metrics.intervals import Interval, percentile_interval, resampled, wilson
from fusion.metrics.matching import auc
from fusion.types import FusionError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Now = Mapping[str, Mapping[str, str]]
WRONG, RIGHT = ("mismatch", "fix"), ("keep",)
TOLERATED = 0.05  # share of wrong rows that is let be
LAST = 60  # rows of the queue that the advice looks at: none wrong among them shows less than TOLERATED, 4.3 %
FEWEST = 30  # decided rows of a random sample below which it says nothing of the whole set
MOST = 50  # reviewers who are compared, every two of them
KS = (10, 20, 50, 100)
DRAWN = 4_000_000  # rows drawn for one interval at most: seconds, also of an AUC


@dataclass(frozen=True)
class Share:
    """How many of some rows are wrong; the interval is Wilson's, 95 %."""

    wrong: int
    right: int
    open: int  # unsure, or reviewers differ: not counted in the share
    interval: Interval  # of wrong / (wrong + right)

    @property
    def counted(self) -> int:
        """Rows that the share is of."""
        return self.wrong + self.right


@dataclass(frozen=True)
class Advice:
    """Whether going on down the queue finds more than picking at random would."""

    stop: bool
    last: int  # rows of the queue that were looked at
    wrong: int  # of these
    upper: float  # upper end of the interval of their share, 95 % on one side
    base: float  # the share that they are compared with, TOLERATED at least
    known: bool  # it is that of a random sample, not TOLERATED


@dataclass(frozen=True)
class Agreement:
    """Two reviewers on the rows that both decided."""

    one: str
    other: str
    rows: int
    same: float  # share of equal verdicts
    kappa: float  # 1 same, 0 as by chance; NaN where chance alone would make them the same


@dataclass(frozen=True)
class WithWithout:
    """A figure of the model on all rows and on those that were not tagged."""

    name: str
    whole: float
    without: float
    difference: Interval  # without less whole, rows resampled together
    rows: int
    tagged: int


def reviewed(now: Now) -> dict[str, Literal["wrong", "right", "open"]]:
    """What the reviewers of each row say together."""
    return {id: _settled(opinions.values()) for id, opinions in now.items() if opinions}


def _settled(verdicts: Iterable[str]) -> Literal["wrong", "right", "open"]:
    kinds = {"wrong" if one in WRONG else "right" if one in RIGHT else "open" for one in verdicts}
    return kinds.pop() if len(kinds) == 1 else "open"  # type: ignore[return-value]  # one of the three


def precision(now: Now, ids: Iterable[str] | None = None) -> Share | None:
    """Share of wrong rows among those of `ids` (all) that were reviewed. None where none was decided."""
    said = reviewed(now)
    found = [said[id] for id in (said if ids is None else ids) if id in said]
    wrong, right = found.count("wrong"), found.count("right")
    if not wrong + right:
        return None
    return Share(wrong, right, found.count("open"), wilson(wrong, wrong + right))


def share(now: Now, sample: Sequence[str]) -> Share | None:
    """Share of wrong rows in the whole set, from a random sample in its order, up to the first row without a verdict.

    None where that is the first. A row left open counts in neither, so the share holds for rows that can be decided.
    """
    return precision(now, list(itertools.takewhile(lambda id: bool(now.get(id)), sample)))


def advice(now: Now, queue: Sequence[str], base: Share | None = None, last: int = LAST) -> Advice | None:
    """Whether to stop: the last rows of the queue that were decided are wrong no more often than any row of the set.

    queue: ids, the most suspicious first. Stop where the upper end of a Wilson interval (95 % on one side) of the last
    `last` decided rows lies at or below the share of wrong rows in the whole, from a random sample; where that is
    below TOLERATED, or fewer than FEWEST rows of the sample were decided, at or below TOLERATED. None before `last`
    rows were decided. Looking again after each row makes a stop by luck likelier than 1 in 20: it is a suggestion.
    """
    said = reviewed(now)
    found = [said[id] for id in queue if said.get(id, "open") != "open"][-last:]
    if len(found) < last:
        return None
    wrong = found.count("wrong")
    upper = wilson(wrong, last, 0.9).high
    known = 0.0 if base is None or base.counted < FEWEST else base.interval.value
    level = max(known, TOLERATED)
    return Advice(upper <= level, last, wrong, upper, level, known > TOLERATED)


def agreement(now: Now) -> list[Agreement]:
    """Every two reviewers who decided the same rows, those with the most rows first; of more than MOST, the busiest."""
    count = Counter(name for opinions in now.values() for name in opinions)
    reviewers = sorted(name for name, _ in count.most_common(MOST))
    words = {
        word: i for i, word in enumerate(sorted({word for opinions in now.values() for word in opinions.values()}))
    }
    place = {name: i for i, name in enumerate(reviewers)}
    said = np.full((len(reviewers), len(now)), -1, np.int16)  # the word of each, -1 where there is none
    for row, opinions in enumerate(now.values()):
        for name, word in opinions.items():
            if name in place:
                said[place[name], row] = words[word]
    found = []
    for one, other in itertools.combinations(reviewers, 2):
        left, right = said[place[one]], said[place[other]]
        both = (left >= 0) & (right >= 0)
        if both.any():
            left, right = left[both], right[both]
            found.append(Agreement(one, other, len(left), float(np.mean(left == right)), kappa(left, right)))
    return sorted(found, key=lambda pair: -pair.rows)


def kappa(left: Sequence[str] | Array, right: Sequence[str] | Array) -> float:
    """Agreement beyond chance, (p_o - p_e) / (1 - p_e), p_e = sum over words of the product of both shares. <= 1

    NaN where both only ever say one and the same word. Source: Cohen 1960, Educ. Psychol. Meas. 20.
    """
    one, other = np.asarray(left), np.asarray(right)
    if len(one) != len(other) or not len(one):
        raise FusionError(f"{len(one)} and {len(other)} verdicts came; kappa needs the same rows, at least one.")
    words = np.unique(one)
    if len(words) == 1 and (other == words[0]).all():
        return float("nan")
    chance = sum(np.mean(one == word) * np.mean(other == word) for word in words)
    return float((np.mean(one == other) - chance) / (1 - chance))


def average_precision(suspicion: Array, planted: Array) -> float:
    """Mean precision at each planted row, rows of equal suspicion taken together. (N,), (N,) bool -> [0, 1]

    NaN counts as least suspicious. Raises FusionError without a planted row. Source: standard.
    """
    truth = np.asarray(planted, bool)
    if not truth.any():
        raise FusionError("No row is known to be wrong, so there is no precision to count; plant some.")
    score = np.nan_to_num(np.asarray(suspicion, np.float64), nan=-np.inf)
    level = np.unique(-score, return_inverse=True)[1]
    count, hits = np.bincount(level), np.bincount(level, weights=truth)
    return float((hits * np.cumsum(hits) / np.cumsum(count)).sum() / truth.sum())


def at_k(suspicion: Array, planted: Array, ks: Sequence[int] = KS) -> dict[int, Interval]:
    """Share of planted rows among the k most suspicious, for each k that there are rows for. Equal ones by order."""
    truth = np.asarray(planted, bool)
    order = np.argsort(-np.nan_to_num(np.asarray(suspicion, np.float64), nan=-np.inf), kind="stable")
    return {k: wilson(int(truth[order[:k]].sum()), k) for k in ks if k <= len(order)}


def figures(frame: pd.DataFrame) -> dict[str, Callable[[Array], float]]:
    """The figures that the columns of a run allow, by name; each is a function of `columns_of` its rows.

    accuracy (right), mae (error), loss, auc (match against match_shuffled), mrr (rank_answer, of those that have one).
    """
    found: dict[str, Callable[[Array], float]] = {}
    if {"match", "match_shuffled"} <= set(frame):
        found["auc"] = lambda rows: auc(rows[:, 0], rows[:, 1])
    for name, column in (("accuracy", "right"), ("mae", "error"), ("mrr", "rank_answer"), ("loss", "loss")):
        if column in frame and bool(np.any(frame[column].notna())):
            found[name] = lambda rows: float(rows.mean())
    return found


def columns_of(frame: pd.DataFrame, name: str) -> Array:
    """What a figure is counted from, a line a row. -> (N, K) float64, NaN where a row has none"""
    if name == "auc":
        return frame[["match", "match_shuffled"]].to_numpy(np.float64, na_value=np.nan)
    column = {"accuracy": "right", "mae": "error", "mrr": "rank_answer", "loss": "loss"}[name]
    values = frame[column].to_numpy(np.float64, na_value=np.nan)
    return (1 / values if name == "mrr" else values)[:, None]


def with_without(
    frame: pd.DataFrame, tagged: Iterable[str], name: str, *, seed: int = 0, n: int = 1000
) -> WithWithout | None:
    """A figure on all rows and without the tagged ones, and how their difference would lie on other rows.

    frame: all rows of a run; tagged: ids, such as those with the verdict mismatch; name: of `figures`. The model stays
    as it is: this is what its figure was worth, not what training without the rows would give. None where no row, or
    no row that isn't tagged, has the figure. Raises FusionError for another figure.
    """
    known = figures(frame)
    if name not in known:
        raise FusionError(f'There is no figure "{name[:40]}" of this run; there are {", ".join(known) or "none"}.')
    rows, out = columns_of(frame, name), frame["id"].isin(list(tagged)).to_numpy()
    good = np.isfinite(rows).all(1)
    rows, out = rows[good], out[good]
    if not len(rows) or out.all():
        return None
    value, without = known[name](rows), known[name](rows[~out])
    draws = []
    for drawn in resampled(len(rows), int(np.clip(DRAWN // len(rows), 100, n)), seed):
        some = drawn[~out[drawn]]
        if len(some):
            draws.append(known[name](rows[some]) - known[name](rows[drawn]))
    interval = percentile_interval(without - value, np.array(draws), 0.95, seed)
    return WithWithout(name, value, without, interval, len(rows), int(out.sum()))
