"""One question to a link predictor: who stands where, by which branch, and what the relation does to the head.

K candidates, C branches. The decision is what the system answers with, the weighted mean of its branches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, INK, SEQUENTIAL, SHAPES, scale
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import clean, distinct, join, num, percent, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fusion.links.observed import LinkObservation

ENERGY = 0.9  # of the squared singular values: the directions that hold so much of a relation
FIRST = " ★"


@dataclass(frozen=True)
class Ranked:
    """The candidates of a question in their order, and where the decision and each branch put them."""

    names: Sequence[str]  # K
    chance: np.ndarray  # (K,) by the decision
    place: Sequence[int]  # K, by the decision
    ranks: np.ndarray  # (K, C) int, by each branch alone
    branches: Sequence[str]  # C
    truth: int | None  # which of them is the answer asked about, None when it isn't known
    votes: Mapping[str, str]  # {branch: name of whom it alone puts first}
    among: int  # entities that are ranked

    @classmethod
    def of(cls, seen: LinkObservation, called: Callable[[str], str]) -> Ranked:
        """The candidates of a question, by the branches that are read. called: name of an entity by its id"""
        shown = seen.candidates
        branches = tuple(branch for branch, weight in seen.decision.items() if weight > 0)
        goal = None if seen.tail is None else seen.tail.id
        return cls(
            [called(one.id) for one in shown], np.asarray([one.score for one in shown]), [one.rank for one in shown],
            np.asarray([[one.ranks[branch] for branch in branches] for one in shown]), branches,
            next((i for i, one in enumerate(shown) if one.id == goal), None),
            {branch: called(id) for branch, id in seen.votes.items()}, seen.among,
        )  # fmt: skip


def ranking(found: Ranked) -> Picture:
    """Who is put where by whom? Candidates down, branches across, a place in each cell; the truth is framed."""
    key, title = "ranking", t("views.ranking.title")
    places = np.column_stack([np.asarray(found.place), found.ranks]).astype(np.float32)
    across = [t("views.links.decision"), *(clean(say(one), 14) for one in found.branches)]
    down = distinct([
        f"{place:,}·{clean(name, 20)}" for place, name in zip(found.place, found.names, strict=True)
    ])  # fmt: skip
    top = max(float(np.log10(found.among)), 1.0)
    sheet = heat(key, round(1.3 * len(down)), longest=10)
    ticks = list(range(int(top) + 1))
    sheet.add(
        "heatmap", z=np.log10(places), x=distinct(across), y=down, colorscale=scale(SEQUENTIAL[::-1]), zmin=0, zmax=top,
        xgap=2, ygap=2, texttemplate="%{text}",
        text=[[f"{int(v):,}" + (FIRST if v == 1 else "") for v in row] for row in places],
        colorbar=bar(t("views.axis.place")) | {"tickvals": ticks, "ticktext": [f"{10**one:,}" for one in ticks]},
        hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
    )  # fmt: skip
    if found.truth is not None:
        sheet.frame((-0.5, len(across) - 0.5), (found.truth - 0.5, found.truth + 0.5), width=2.5)
    sheet.set(xaxis={"tickangle": -35})
    first = plain(found.names[0])
    with_it = [say(one) for one in found.branches if found.votes.get(one) == found.names[0]]
    other = [
        t("views.ranking.other", name=say(one), other=plain(found.votes[one]))
        for one in found.branches if one in found.votes and found.votes[one] != found.names[0]
    ]  # fmt: skip
    finding = join(
        t("views.ranking.finding", first=first, chance=num(float(found.chance[0]))),
        t("views.ranking.with", names=t("views.list.comma").join(with_it)) if with_it else t("views.ranking.alone"),
        *other,
    )
    table = pd.DataFrame(places.astype(np.int64), columns=distinct([across[0], *map(say, found.branches)]))
    table.insert(0, t("views.axis.candidate"), [plain(name) for name in found.names])
    table[t("views.axis.chance")] = found.chance.astype(np.float32)
    facts = {
        "count": len(found.names), "first": first, "among": f"{found.among:,}", "worst": f"{int(places.max()):,}",
        "truth": t("views.ranking.unknown") if found.truth is None else plain(found.names[found.truth]),
    }  # fmt: skip
    return Picture(
        key, title, sheet.figure(), t("views.ranking.alt", **facts), table, finding, t("views.ranking.shows"),
        t("views.ranking.hides"),
    )  # fmt: skip


def pulled(ranks: Mapping[str, int], rank: int, among: int) -> Picture:
    """Which branch put the answer up, and which pulled it down? Its place by each, beside that of the decision."""
    key, title = "pulled", t("views.pulled.title")
    branches = list(ranks)
    labels = distinct([clean(say(one), 20) for one in branches])
    end = float(np.log10(max(among, 10)))
    sheet = Sheet(key, 110 + 40 * len(branches), top=30, right=24)
    here = float(np.log10(rank))
    for label, one in zip(labels, branches, strict=True):
        at = float(np.log10(ranks[one]))
        sheet.add(
            "scatter", x=[here, at], y=[label, label], mode="lines", showlegend=False, hoverinfo="skip",
            line={"color": COLOURS.get(one, INK), "width": 3},
        )  # fmt: skip
    sheet.add(
        "scatter", x=np.log10([ranks[one] for one in branches]).astype(np.float32), y=labels, mode="markers+text",
        text=[f"{ranks[one]:,}" for one in branches], textposition="top center", showlegend=False, cliponaxis=False,
        marker={"symbol": [SHAPES.get(one, "circle") for one in branches], "size": 13,
                "color": [COLOURS.get(one, CATEGORIES[i % 10]) for i, one in enumerate(branches)],
                "line": {"width": 1, "color": INK}},
        hovertemplate="%{y}: %{text}<extra></extra>",
    )  # fmt: skip
    sheet.rule(here, width=2)
    sheet.note(
        t("views.pulled.decision", rank=f"{rank:,}"), x=here, y=1, yref="paper", yanchor="bottom",
        xanchor="left" if here < end / 2 else "right",
    )  # fmt: skip
    ticks = list(range(int(end) + 1))
    sheet.set(
        xaxis={"range": [-0.08 * end, end * 1.04], "tickvals": ticks, "ticktext": [f"{10**one:,}" for one in ticks],
               "title": {"text": t("views.axis.place")}},
        yaxis={**LINES, "showgrid": True},
    )  # fmt: skip
    said = lambda chosen: t("views.list.comma").join(  # noqa: E731
        t("views.pulled.one", name=say(one), rank=f"{ranks[one]:,}") for one in chosen
    )
    up = sorted((one for one in branches if ranks[one] < rank), key=lambda one: ranks[one])
    down = sorted((one for one in branches if ranks[one] > rank), key=lambda one: -ranks[one])
    finding = join(
        t("views.pulled.finding", rank=f"{rank:,}", among=f"{among:,}"),
        t("views.pulled.up", names=said(up)) if up else "", t("views.pulled.down", names=said(down)) if down else "",
        "" if up or down else t("views.pulled.same"),
    )  # fmt: skip
    table = pd.DataFrame({
        t("views.axis.branch"): [t("views.links.decision"), *map(say, branches)],
        t("views.axis.place"): [rank, *ranks.values()],
    })  # fmt: skip
    return Picture(
        key, title, sheet.figure(), finding, table, finding, t("views.pulled.shows"), t("views.pulled.hides")
    )


def together(shares: Mapping[tuple[str, str], float], logits: Mapping[tuple[str, str], float]) -> Picture:
    """What do two modalities add only together? Signed logits of each pair, with its share of all pairs."""
    key, title = "together", t("views.together.title")
    pairs = list(shares)
    names = [pair_name(pair) for pair in pairs]
    values = np.asarray([logits[pair] for pair in pairs], np.float32)
    sheet = _signed(key, values, names, [CATEGORIES[i % 10] for i in range(len(pairs))])
    most = max(pairs, key=lambda pair: abs(logits[pair]))
    facts = {
        "name": names[pairs.index(most)], "share": percent(shares[most]), "value": num(logits[most]),
        "all": t("views.list.comma").join(f"{n} {num(float(v))}" for n, v in zip(names, values, strict=True)),
    }  # fmt: skip
    table = pd.DataFrame({
        t("views.axis.pair"): names, t("views.axis.logit"): values,
        t("views.axis.share"): np.asarray([shares[pair] for pair in pairs], np.float32),
    })  # fmt: skip
    same = not len(values) or float(np.abs(values).max()) <= 1e-3
    return Picture(
        key, title, sheet.figure(), t("views.together.alt", **facts), table,
        t("views.together.none" if same else "views.together.finding", **facts), t("views.together.shows"),
        t("views.together.hides"),
    )  # fmt: skip


def prefers(apart: Mapping[str, float], answer: str, rival: str) -> Picture:
    """Which branch prefers the answer to its best rival? Logit of the one less that of the other, a bar a branch."""
    key, title = "prefers", t("views.prefers.title")
    branches = list(apart)
    values = np.asarray([apart[one] for one in branches], np.float32)
    colours = [COLOURS.get(one, CATEGORIES[i % 10]) for i, one in enumerate(branches)]
    sheet = _signed(key, values, [say(one) for one in branches], colours)
    listed = lambda chosen: t("views.list.comma").join(  # noqa: E731
        f"{say(one)} {'+' if apart[one] > 0 else ''}{num(round(apart[one], 3))}" for one in chosen
    )
    with_it = sorted((one for one in branches if apart[one] > 0), key=lambda one: -apart[one])
    against = sorted((one for one in branches if apart[one] <= 0), key=lambda one: apart[one])
    names = {"answer": plain(answer), "rival": plain(rival)}
    finding = join(
        t("views.prefers.with", names=listed(with_it), **names) if with_it else "",
        t("views.prefers.against", names=listed(against), **names) if against else "",
    )
    table = pd.DataFrame({t("views.axis.branch"): [say(one) for one in branches], t("views.axis.logit"): values})
    return Picture(
        key, title, sheet.figure(), finding, table, finding, t("views.prefers.shows", **names),
        t("views.prefers.hides"),
    )  # fmt: skip


def pair_name(pair: tuple[str, str]) -> str:
    """What a reader calls two modalities together."""
    known = say("_".join(pair))
    return known if known != "_".join(pair) else t("views.list.plus").join(map(say, pair))


def _signed(key: str, values: np.ndarray, names: Sequence[str], colours: Sequence[str]) -> Sheet:
    """Signed bars in logits around 0, with room for their numbers at both ends."""
    sheet = Sheet(key, 84 + 36 * len(names), right=16)
    sheet.add(
        "bar", x=values, y=distinct([clean(name, 26) for name in names]), orientation="h", cliponaxis=False,
        text=[num(round(float(v), 3)) for v in values], textposition="outside", showlegend=False,
        hovertemplate="%{y}: %{x:.3f}<extra></extra>", marker={"color": colours, "line": {"color": INK, "width": 1}},
    )  # fmt: skip
    sheet.rule(0, dash="solid")
    low, high = min(0.0, float(values.min(initial=0))), max(0.0, float(values.max(initial=0)))
    room = 0.22 * ((high - low) or 1.0)
    sheet.set(
        xaxis={"range": [low - room if low < 0 else -room / 4, high + room], "title": {"text": t("views.axis.logit")},
               "nticks": 5},
        yaxis={**LINES, "showgrid": False},
    )  # fmt: skip
    return sheet


def spectrum(singular: Mapping[str, np.ndarray], name: str) -> Picture:
    """How many directions does a relation use? Singular values of its matrix, largest first, a line a branch."""
    key, title = "spectrum", t("views.spectrum.title", name=plain(name))
    sheet = Sheet(key, 330, top=44)
    wide, highest = 0, 0.0
    held: dict[str, int] = {}
    for i, (branch, found) in enumerate(singular.items()):
        values = np.asarray(found, np.float64)
        wide, highest = max(wide, len(values)), max(highest, float(values.max(initial=0)))
        power = np.cumsum(values**2)
        held[branch] = int(np.searchsorted(power, ENERGY * power[-1]) + 1) if len(values) and power[-1] > 0 else 0
        sheet.add(
            "scatter", x=np.arange(1, len(values) + 1, dtype=np.float32), y=values.astype(np.float32), mode="lines",
            name=clean(say(branch), 20), hovertemplate="%{x}: %{y:.3f}<extra>" + clean(say(branch), 20) + "</extra>",
            line={"color": COLOURS.get(branch, CATEGORIES[i % 10]), "width": 2,
                  "dash": ("solid", "dash", "dot", "dashdot")[i % 4]},
        )  # fmt: skip
    sheet.set(
        xaxis={"title": {"text": t("views.axis.direction")}, "nticks": 8, "range": [0, wide + 1]},
        yaxis={"title": {"text": t("views.axis.singular")}, "rangemode": "tozero", "nticks": 6},
    )
    few, many = min(held, key=lambda one: held[one]), max(held, key=lambda one: held[one])
    facts = {
        "name": plain(name), "width": wide, "few": say(few), "least": held[few], "many": say(many), "most": held[many],
        "share": percent(ENERGY), "high": num(highest),
    }  # fmt: skip
    table = pd.DataFrame({say(branch): np.asarray(v, np.float32) for branch, v in singular.items()})
    table.insert(0, t("views.axis.direction"), np.arange(1, len(table) + 1))
    return Picture(
        key, title, sheet.figure(), t("views.spectrum.alt", **facts), table, t("views.spectrum.finding", **facts),
        t("views.spectrum.shows"), t("views.spectrum.hides"),
    )  # fmt: skip


def turned(cosines: Mapping[str, float]) -> Picture:
    """How far does the relation turn the head? Cosine of the head with what is looked for, a mark a branch."""
    key, title = "turned", t("views.turned.title")
    branches = list(cosines)
    values = np.asarray([cosines[one] for one in branches], np.float32)
    sheet = Sheet(key, 90 + 36 * len(branches), top=24, right=20)
    sheet.add(
        "scatter", x=values, y=distinct([clean(say(one), 20) for one in branches]), mode="markers+text",
        text=[num(round(float(v), 3)) for v in values], textposition="top center", showlegend=False, cliponaxis=False,
        marker={"symbol": [SHAPES.get(one, "circle") for one in branches], "size": 13,
                "color": [COLOURS.get(one, CATEGORIES[i % 10]) for i, one in enumerate(branches)],
                "line": {"width": 1, "color": INK}},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.rule(0, dash="solid", width=1)
    sheet.set(
        xaxis={"range": [-1.03, 1.03], "title": {"text": t("views.axis.cosine")}, "nticks": 6},
        yaxis={**LINES, "showgrid": True},
    )
    most, least = int(values.argmin()), int(values.argmax())
    facts = {
        "most": say(branches[most]), "low": num(float(values[most])), "least": say(branches[least]),
        "high": num(float(values[least])),
        "all": t("views.list.comma").join(f"{say(n)} {num(float(v))}" for n, v in zip(branches, values, strict=True)),
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.branch"): list(map(say, branches)), t("views.axis.cosine"): values})
    return Picture(
        key, title, sheet.figure(), t("views.turned.alt", **facts), table, t("views.turned.finding", **facts),
        t("views.turned.shows"), t("views.turned.hides"),
    )  # fmt: skip
