"""A page of all held-out questions to a graph: where answers stand, by which branch, and what is answered worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.links.lines import BRANCH, line, read_of
from fusion.report.made import facts, made, named, today
from fusion.types import FusionError
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.links.whole import LinkSet
    from fusion.views import Picture
    from fusion.views.faithful import Line
    from fusion.views.page import Page

LEAST, ROWS = 4, 50  # questions below which nothing is counted; rows of wrong answers
FEW_RELATIONS, MOST_RELATIONS = 8, 14  # up to so many both directions are told apart; so many are drawn


def links_page(checkpoint: Checkpoint, dataset: DataSet, progress: Callable[[int, int], None] | None = None) -> Page:
    """Questions to test, those to validate where there is none. Raises FusionError of too few, or of other data."""
    from fusion.links.inspection import Predictor
    from fusion.links.whole import stored
    from fusion.models import MODELS
    from fusion.views.page import Page

    if dataset.triples is None:
        raise FusionError(t("error.wants.triples", name=dataset.name, holds=t(f"data.holds.{dataset.kind}")))
    seen = stored(checkpoint, dataset) or Predictor.open(checkpoint, dataset).whole(progress)
    split = "test" if "test" in set(seen.frame["split"]) else "valid"
    frame = seen.frame.loc[seen.frame["split"] == split, :]
    if len(frame) < LEAST:
        raise FusionError(t("empty.few", n=LEAST, m=len(frame)))
    model = MODELS[checkpoint.model]
    of = {t("report.split"): t(f"split.{split}"), t("report.samples"): f"{len(frame):,}"}
    return Page(
        t("report.title.set"), t("report.lead.set", name=model.card.name, data=named(dataset)),
        figures=_figures(frame, dataset), notes=(*dataset.notes, t("linking.tell")),
        facts=facts(checkpoint, model, dataset) | of | today(), sections=_sections(seen, frame, dataset),
        tables=((t("linking.tab.wrong"), _wrong(seen, frame)),), made=made(checkpoint),
    )  # fmt: skip


def _figures(frame: pd.DataFrame, dataset: DataSet) -> tuple[tuple[str, str, str], ...]:
    from fusion.views.speech import num, percent

    ranks = frame["rank"].to_numpy(np.float64)
    back = frame["direction"].to_numpy() == "head"
    found = line("", ranks, frame)
    sure = "" if found is None else t("linking.interval", low=num(round(found.low, 3)), high=num(round(found.high, 3)))
    cells = [("count", f"{len(ranks):,}", t("linking.among", count=f"{len(dataset):,}")),
             ("mrr", num(round(float((1 / ranks).mean()), 3)), sure)]  # fmt: skip
    for k in (1, 3, 10):
        each = [percent(float((side <= k).mean())) if len(side) else "–" for side in (ranks[~back], ranks[back])]
        cells.append((f"hits{k}", percent(float((ranks <= k).mean())), t("linking.sides", tail=each[0], head=each[1])))
    return tuple((t(f"linking.{name}"), value, below) for name, value, below in cells)


def _sections(seen: LinkSet, frame: pd.DataFrame, dataset: DataSet) -> list[tuple[str, list[Picture]]]:
    from fusion.views import linking, match

    back = frame["direction"].to_numpy() == "head"
    places = np.ceil(frame["rank"].to_numpy(np.float64)).astype(np.int64)
    ways = [
        match.ranks(places[some], len(dataset), direction=t(f"linking.way.{name}"), goal="answer")
        for name, some in (("tail", ~back), ("head", back)) if some.any()
    ]  # fmt: skip
    branches = read_of(seen.decision)
    weights = {one: seen.decision[one] for one in branches}
    lines = [_mrr(frame, one) for one in branches]
    decision = linking.decision(weights, lines, _mrr(frame))
    return [
        (t("linking.tab.ranks"), ways),
        (t("deciding.tab.decision"), [decision]),
        (t("deciding.tab.relations"), [_relations(frame, dataset, branches)]),
    ]


def _mrr(frame: pd.DataFrame, branch: str = "") -> Line:
    """MRR of a branch alone, or of the decision, with its interval."""
    found = line(branch, frame[BRANCH + branch if branch else "rank"].to_numpy(np.float64), frame)
    assert found is not None, "there are questions"
    return found


def _relations(frame: pd.DataFrame, dataset: DataSet, branches: tuple[str, ...]) -> Picture:
    """Relation by branch: who finds the answer where."""
    from fusion.views import linking

    assert dataset.triples is not None
    count = len(dataset.triples.relations)
    directed = count <= FEW_RELATIONS
    own = frame["relation"].to_numpy(np.int64) % (2 * count if directed else count)
    numbers, times = np.unique(own, return_counts=True)
    names, cells, counts = [], [], []
    inverse = 1 / np.stack([frame[n].to_numpy(np.float64) for n in ("rank", *(BRANCH + one for one in branches))], 1)
    for number in numbers[np.argsort(-times, kind="stable")[:MOST_RELATIONS]].tolist():
        name, reverse = dataset.triples.relation(number)
        names.append(f"{name} {'←' if reverse else '→'}" if directed else name)
        cells.append(inverse[own == number].mean(0))
        counts.append(int((own == number).sum()))
    return linking.by_relation(names, np.asarray(counts), np.stack(cells), branches)


def _wrong(seen: LinkSet, frame: pd.DataFrame) -> pd.DataFrame:
    """The questions whose answer is farthest from the first place."""
    from fusion.views.speech import say

    worst = frame.sort_values(["rank", "score"], ascending=[False, True], kind="stable").head(ROWS)
    arrows = np.where(worst["reversed"].to_numpy(bool), "←", "→")
    asked = [f"{name} {arrow} {relation}" for name, arrow, relation in
             zip(worst["name"], arrows, worst["relation_name"], strict=True)]  # fmt: skip
    columns = {
        "asked": t("linking.column.question"), "tail_name": t("linking.column.tail"),
        "best_name": t("linking.column.said"), "rank": t("linking.column.rank"),
        "popularity": t("linking.column.popularity"),
        **{f"{BRANCH}{one}": t("table.rank_by", name=say(one)) for one in read_of(seen.decision)},
    }  # fmt: skip
    return worst.assign(asked=asked).loc[:, list(columns)].set_axis(list(columns.values()), axis=1)
