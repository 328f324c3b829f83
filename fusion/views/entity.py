"""One entity of two graphs: who reads whom, how alike a pair is, what each modality votes for, what subsets do.

M modalities, K candidates, S subsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from fusion.signals import ModalityScores, Parts
from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, DIVERGING, INK, SEQUENTIAL, SHAPES, scale
from fusion.views.rows import rows_of
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import caveat, clean, distinct, join, limit_note, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.signals import Attention, Effects, Trace
    from fusion.types import Sample

MOST_SUBSETS = 31  # all of five modalities; beyond, those that leave out or hold at most two
VOTE = "★"


def reading(signal: Attention, sample: Sample, trace: Trace, *, head: int | None = None) -> Picture:
    """Which modality of this entity reads which? M x M shares of attention of one head, or of the mean of all."""
    key, title = f"reading-{signal.name}", t("views.reading.title", layer=signal.layer + 1, layers=signal.layers)
    rows = rows_of(trace, signal.queries, base.flags(signal.query_mask))
    columns = rows_of(trace, signal.keys, base.flags(signal.key_mask))
    weights = base.array(signal.value)
    weights = weights.mean(0) if head is None else weights[head]
    if not len(rows) or not len(columns):
        return base.nothing(key, title, t("views.none.modalities"), signal)
    values = columns.total(rows.mean(weights).T).T  # (Q, K)
    down, across = [say(n) for n in rows.names], [say(n) for n in columns.names]
    sheet = heat(key, 2 * len(down))
    sheet.add(
        "heatmap", z=values, x=distinct([clean(n, 14) for n in across]), y=distinct([clean(n, 14) for n in down]),
        colorscale=scale(SEQUENTIAL), zmin=0, zmax=float(values.max()) or 1, xgap=2, ygap=2,
        colorbar=bar(t("views.axis.attention")), text=[[num(float(v)) for v in row] for row in values],
        texttemplate="%{text}", hovertemplate="%{y} → %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.set(xaxis={"tickangle": 0 if len(across) < 5 else -35})
    q, k = np.unravel_index(int(values.argmax()), values.shape)
    got = values.mean(0)
    facts = {
        "from": down[q], "to": across[k], "value": num(float(values[q, k])), "even": num(1 / len(across)),
        "head": t("views.head.mean") if head is None else t("views.head.one", head=head + 1),
        "most": across[int(got.argmax())], "received": num(float(got.max())), "count": len(down),
    }  # fmt: skip
    table = pd.DataFrame(values, columns=distinct(across))
    table.insert(0, t("views.axis.modality"), down)
    return Picture(
        key, title, sheet.figure(), t("views.reading.alt", **facts), table, t("views.reading.finding", **facts),
        t("views.reading.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def alike(signal: ModalityScores, sample: Sample, trace: Trace) -> Picture:
    """How alike are the two, before and after the transformer? A mark a modality and stage, and the joint cosine."""
    key, title = "alike", t("views.alike.title")
    names = [say(m) for m in signal.modalities]
    labels = distinct([clean(n, 18) for n in names])
    early = base.array(signal.value)
    stages = {"early": early}
    late = next((s for s in trace.of(ModalityScores) if s.name == "late_cosine"), None)
    if late is not None:
        stages["late"] = base.array(late.value)
    parts = next((s for s in trace.of(Parts) if s.mask is None), None)
    joint = None if parts is None else float(base.array(parts.value).sum())
    sheet = Sheet(key, 96 + 36 * (len(names) + (joint is not None)), top=36, right=20)
    for (stage, values), symbol in zip(stages.items(), ("circle", "circle-open"), strict=False):
        sheet.add(
            "scatter", x=values, y=labels, mode="markers", name=t(f"views.alike.{stage}"),
            marker={"symbol": symbol, "size": 14, "line": {"width": 2},
                    "color": [COLOURS.get(m, CATEGORIES[i % 10]) for i, m in enumerate(signal.modalities)]},
            hovertemplate="%{y}: %{x:.3f}<extra>" + t(f"views.alike.{stage}") + "</extra>",
        )  # fmt: skip
    lines = list(labels)
    if joint is not None:
        lines.append(say("joint_cosine"))
        sheet.add(
            "scatter", x=[joint], y=[lines[-1]], mode="markers", name=say("joint_cosine"), cliponaxis=False,
            marker={"symbol": "hexagon", "size": 16, "color": INK}, hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )  # fmt: skip
    low = min(0.0, *(float(v.min()) for v in stages.values()))
    sheet.rule(0, dash="solid", width=1)
    sheet.set(
        xaxis={"range": [low * 1.08 - 0.03, 1.03], "title": {"text": t("views.axis.cosine")}, "nticks": 6},
        yaxis={**LINES, "showgrid": True, "categoryorder": "array", "categoryarray": lines},
    )
    order = np.argsort(-early)
    facts = {
        "top": names[order[0]], "value": num(float(early[order[0]])), "low": names[order[-1]],
        "least": num(float(early[order[-1]])), "joint": "–" if joint is None else num(joint),
        "all": t("views.list.comma").join(f"{names[i]} {num(float(early[i]))}" for i in order),
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.modality"): names} | {t(f"views.alike.{s}"): v for s, v in stages.items()})
    finding = t("views.alike.finding", **facts)
    return Picture(
        key, title, sheet.figure(), t("views.alike.alt", **facts), table, finding, t("views.alike.shows"),
        caveat(signal, "views.hides"),
    )  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """The candidates of an entity in their order, and what each modality says of them."""

    names: Sequence[str]  # K
    cosines: np.ndarray  # (K, M)
    joint: np.ndarray  # (K,)
    modalities: Sequence[str]  # M
    partner: int | None  # which of them is the partner, None when it isn't among them
    votes: Mapping[str, tuple[str, bool, int | None]]  # {m: its own first (name), is it the partner, place here}
    rank_by: Mapping[str, int]  # {m: rank of the partner by this modality alone}


def votes(answers: Answers) -> Picture:
    """Which modality found the partner, and which one misled? Cosines of the best candidates, a star at each vote."""
    key, title = "votes", t("views.votes.title")
    names = [say(m) for m in answers.modalities]
    across = [*distinct([clean(n, 14) for n in names]), clean(say("joint_cosine"), 18)]
    values = np.column_stack([answers.cosines, answers.joint]).astype(np.float32)
    down = distinct([f"{i + 1}·{clean(name, 20)}" for i, name in enumerate(answers.names)])
    stars = np.full(values.shape, "", dtype=object)
    for column, m in enumerate(answers.modalities):
        vote = answers.votes.get(m)
        if vote is not None and vote[2] is not None:
            stars[vote[2], column] = VOTE
    sheet = heat(key, round(1.3 * len(down)), longest=10)
    limit = float(np.abs(values).max()) or 1.0
    said = [
        [f"{num(round(float(v), 2))} {star}".strip() for v, star in zip(row, marks, strict=True)]
        for row, marks in zip(values, stars, strict=True)
    ]
    sheet.add(
        "heatmap", z=values, x=across, y=down, colorscale=scale(DIVERGING), zmin=-limit, zmax=limit, xgap=2, ygap=2,
        colorbar=bar(t("views.axis.cosine")), texttemplate="%{text}", text=said,
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    if answers.partner is not None:
        sheet.frame((-0.5, len(across) - 0.5), (answers.partner - 0.5, answers.partner + 0.5), width=2.5)
    sheet.set(xaxis={"tickangle": -35})
    right = [say(m) for m, vote in answers.votes.items() if vote[1]]
    wrong = [
        t("views.votes.wrong", name=say(m), other=plain(vote[0]), rank=f"{answers.rank_by[m]:,}")
        for m, vote in answers.votes.items() if not vote[1] and m in answers.rank_by
    ]  # fmt: skip
    if answers.rank_by:
        finding = join(
            t("views.votes.right", names=t("views.list.comma").join(right)) if right else t("views.votes.none"), *wrong
        )
    else:
        each = t("views.list.semicolon").join(f"{say(m)}: {plain(v[0])}" for m, v in answers.votes.items())
        finding = t("views.votes.open", votes=each)
    table = pd.DataFrame(values, columns=[*distinct(names), say("joint_cosine")])
    table.insert(0, t("views.axis.candidate"), [plain(n) for n in answers.names])
    facts = {"count": len(answers.names), "first": plain(answers.names[0]), "high": num(float(values.max()))}
    return Picture(
        key, title, sheet.figure(), join(t("views.votes.alt", **facts), finding), table, finding,
        t("views.votes.shows", star=VOTE), t("views.votes.hides"),
    )  # fmt: skip


@dataclass(frozen=True)
class Subset:
    """One subset of the modalities and what became of the partner under it."""

    kept: tuple[str, ...]
    rank: float  # NaN where there is no partner
    joint: float  # cosine of the joint vectors, or the chance of an answer
    said: str  # who is first


def subsets(
    signal: Effects, modalities: Sequence[str], found: Sequence[Subset], *,
    goal: Literal["partner", "answer"] = "partner",
) -> Picture:  # fmt: skip
    """Which modalities find the partner? A line a subset: what was kept as dots, the partner's place as a bar.

    The bar is 1 / rank, so that the first place fills it. goal: what is found, as the words call it.
    """
    key, title = "subsets", t("views.subsets.title")
    count = len(modalities)
    shown = list(found)
    if len(shown) > MOST_SUBSETS:
        shown = [s for s in found if len(s.kept) >= count - 2 or len(s.kept) == 1]
    names = [say(m) for m in modalities]
    ranks = np.asarray([s.rank for s in shown], np.float64)
    known = np.isfinite(ranks)
    length = np.where(known, 1 / np.where(known, ranks, 1), 0.0).astype(np.float32)
    lines = np.arange(len(shown), dtype=np.float32)
    sheet = Sheet(key, 130 + 22 * len(shown), top=74, right=8, bottom=40)
    for column, m in enumerate(modalities):
        inside = np.asarray([m in s.kept for s in shown])
        for held, marker in ((True, COLOURS.get(m, CATEGORIES[column % 10])), (False, "rgba(128,128,128,0.25)")):
            at = lines[inside == held]
            sheet.add(
                "scatter", x=np.full(len(at), column, np.float32), y=at, mode="markers", showlegend=False,
                marker={"symbol": SHAPES.get(m, "circle") if held else "circle", "size": 11 if held else 5,
                        "color": marker, "line": {"width": 1 if held else 0, "color": INK}},
                hovertemplate=clean(names[column], 30) + "<extra></extra>" if held else None,
                hoverinfo=None if held else "skip",
            )  # fmt: skip
    sheet.add(
        "bar", x=length, y=lines, orientation="h", xaxis="x2", yaxis="y", showlegend=False, cliponaxis=False,
        marker={"color": [CATEGORIES[0] if len(s.kept) == count else CATEGORIES[4] for s in shown]},
        text=[t("views.subsets.place", rank=f"{int(r):,}") if np.isfinite(r) else "–" for r in ranks],
        textposition="outside", hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    sheet.set(
        bargap=0.35, xaxis2={"domain": [0.46, 1.0], "anchor": "y", "range": [0, 1.5], "tickvals": [0, 0.5, 1],
                "title": {"text": t(f"views.subsets.axis.{goal}")}},
        xaxis={"domain": [0.0, 0.4], "range": [-0.6, count - 0.4], "tickvals": list(range(count)), "showgrid": False,
               "ticktext": [clean(n, 14) for n in names], "side": "top", "tickangle": -50},
        yaxis={"range": [len(shown) - 0.4, -0.6], "showticklabels": False, "showgrid": False},
    )  # fmt: skip
    return Picture(
        key, title, sheet.figure(), _subsets_alt(shown, names, modalities), _subsets_table(found, goal),
        join(_subsets_finding(found, goal), limit_note(len(shown), len(found))), t(f"views.subsets.shows.{goal}"),
        caveat(signal, "caveat.subsets"),
    )  # fmt: skip


def _kept(subset: Subset) -> str:
    return t("views.list.plus").join(say(m) for m in subset.kept) or t("views.subsets.nothing")


def _subsets_table(found: Sequence[Subset], goal: str) -> pd.DataFrame:
    return pd.DataFrame({
        t("views.subsets.kept"): [_kept(s) for s in found],
        t(f"views.subsets.rank.{goal}"): [int(s.rank) if np.isfinite(s.rank) else None for s in found],
        say("joint_cosine" if goal == "partner" else "chance"): np.asarray([s.joint for s in found], np.float32),
        t("views.subsets.first"): [plain(s.said) for s in found],
    })  # fmt: skip


def _subsets_finding(found: Sequence[Subset], goal: str) -> str:
    """What all of them give, the smallest subset that still finds the partner, and whose going costs most."""
    whole = found[0]
    if not np.isfinite(whole.rank):
        changed = sum(s.said != whole.said for s in found)
        return t("views.subsets.open", first=plain(whole.said), changed=changed, count=len(found))
    said = [t(f"views.subsets.whole.{goal}", rank=f"{int(whole.rank):,}")]
    enough = [s for s in found if s.rank <= whole.rank]
    least = min(enough, key=lambda s: (len(s.kept), s.rank))
    if 0 < len(least.kept) < len(whole.kept):
        said.append(t("views.subsets.enough", kept=_kept(least), rank=f"{int(least.rank):,}"))
    less = [s for s in found if len(s.kept) == len(whole.kept) - 1]
    worst = max(less, key=lambda s: s.rank, default=None)
    if worst is not None and worst.rank > whole.rank:
        gone = next(m for m in whole.kept if m not in worst.kept)
        said.append(t("views.subsets.costs", name=say(gone), rank=f"{int(worst.rank):,}"))
    return join(*said)


def _subsets_alt(shown: Sequence[Subset], names: Sequence[str], modalities: Sequence[str]) -> str:
    ranks = [s for s in shown if np.isfinite(s.rank)]
    if not ranks:
        return t("views.subsets.alt_open", count=len(shown), names=t("views.list.comma").join(names))
    best, worst = min(ranks, key=lambda s: s.rank), max(ranks, key=lambda s: s.rank)
    return t(
        "views.subsets.alt", count=len(shown), best=_kept(best), low=f"{int(best.rank):,}", worst=_kept(worst),
        high=f"{int(worst.rank):,}",
    )  # fmt: skip
