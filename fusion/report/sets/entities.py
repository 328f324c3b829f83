"""A page of all entities of two graphs: how many partners are found, by what, and what the weights mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.report.made import facts, made, named, today
from fusion.types import FusionError
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from fusion.alignment.whole import AlignedSet
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.views import Picture
    from fusion.views.faithful import Line
    from fusion.views.fusing import Weighed
    from fusion.views.page import Page

LEAST, ROWS = 4, 50  # pairs below which nothing is counted; rows of wrong pairs


def entities_page(checkpoint: Checkpoint, dataset: DataSet, progress: Callable[[int, int], None] | None = None) -> Page:
    """Pairs to test; all with a link where there is none. Raises FusionError of too few, or of other data."""
    from fusion.alignment.inspection import Aligner
    from fusion.alignment.whole import stored, whole
    from fusion.models import MODELS
    from fusion.views.page import Page

    graph = dataset.graph
    if graph is None:
        raise FusionError(t("error.wants.graph", name=dataset.name, holds=t(f"data.holds.{dataset.kind}")))
    seen = stored(checkpoint, dataset) or whole(Aligner.open(checkpoint, dataset), progress)
    split = "test" if len(seen.pairs("test")) else ""
    pairs = seen.pairs(split) if split else seen.pairs()
    if len(pairs) < LEAST:
        raise FusionError(t("empty.few", n=LEAST, m=len(pairs)))
    one, other = graph.titles
    ways = (("rank", t("match.way", one=one, other=other)), ("rank_back", t("match.way", one=other, other=one)))
    from fusion.views import match

    ranks = [match.ranks(pairs[name].to_numpy(np.int64), len(pairs), direction=way) for name, way in ways]
    sections = [(t("aligning.tab.ranks"), ranks), (t("aligning.tab.modalities"), [_modalities(seen, pairs)])]
    sections += [(t("fusion.title"), _listened(seen)), (t("fusion.tab.honest"), _honest(seen))]
    model = MODELS[checkpoint.model]
    of = {t("report.split"): t(f"split.{split or 'all'}"), t("report.samples"): f"{len(pairs):,} / {len(dataset):,}"}
    return Page(
        t("report.title.set"), t("report.lead.set", name=model.card.name, data=named(dataset)), figures=_figures(pairs),
        notes=dataset.notes, facts=facts(checkpoint, model, dataset) | of | today(),
        sections=[(name, pictures) for name, pictures in sections if pictures],
        tables=((t("aligning.tab.wrong"), _wrong(seen, pairs, dataset)),), made=made(checkpoint),
    )  # fmt: skip


def _figures(pairs: pd.DataFrame) -> tuple[tuple[str, str, str], ...]:
    from fusion.views.speech import num, percent

    there, back = (pairs[name].to_numpy(np.float64) for name in ("rank", "rank_back"))
    cells = [("count", f"{len(pairs):,}", t("match.chance", share=percent(min(1.0, 1 / len(pairs)))))]
    for k in (1, 5, 10):
        first, second = (percent(float((ranks <= k).mean())) for ranks in (there, back))
        cells.append((f"hits{k}", first, t("aligning.back", value=second)))
    mrr = [num(float((1 / ranks).mean())) for ranks in (there, back)]
    cells.append(("mrr", mrr[0], t("aligning.back", value=mrr[1])))
    return tuple((t(f"aligning.{name}"), value, below) for name, value, below in cells)


def _line(name: str, hits: np.ndarray) -> Line:
    """A share with its interval."""
    from fusion.metrics.intervals import wilson
    from fusion.views.faithful import Line

    found = wilson(int(hits.sum()), len(hits))
    return Line(name, found.value, found.low, found.high, len(hits))


def _modalities(seen: AlignedSet, pairs: pd.DataFrame) -> Picture:
    """Hits@1 of all modalities together, of each alone, and of all but one."""
    from fusion.views import faithful
    from fusion.views.speech import say

    rank = pairs["rank"].to_numpy(np.float64)
    lines = [_line(t("aligning.all"), rank <= 1)]
    lines += [_line(t("aligning.only", name=say(m)), pairs[f"rank_{m}"].to_numpy() <= 1) for m in seen.modalities]
    lines += [
        _line(t("aligning.without", name=say(m)), rank + pairs[f"effect_{m}"].to_numpy(np.float64) <= 1)
        for m in seen.modalities
    ]
    return faithful.lines(
        lines, key="slice_modalities", title=t("aligning.slice.modalities"), axis=t("views.axis.hits1"),
        shows=t("aligning.slice.shows"), hides=t("aligning.slice.hides"),
    )  # fmt: skip


def _weighed(seen: AlignedSet) -> Weighed:
    from fusion.views.fusing import Weighed

    columns = lambda kind: seen.frame[[f"{kind}_{m}" for m in seen.modalities]].to_numpy()  # noqa: E731
    kinds = seen.frame["kind"].astype(str).to_numpy()
    return Weighed(seen.modalities, columns("weight").astype(np.float32), columns("known").astype(bool), kinds)


def _listened(seen: AlignedSet) -> list[Picture]:
    """Weights of all entities, and how many really have each modality."""
    from fusion.views import faithful, fusing

    weighed = _weighed(seen)
    if float(np.ptp(weighed.weights, axis=0).max()) < 1e-6:
        return [fusing.constant(weighed), faithful.coverage(weighed)]
    made = [fusing.ridges(weighed)]
    if len(set(weighed.kinds)) > 1:
        made.append(fusing.by_kind(weighed))
    return [*made, faithful.coverage(weighed)]


def _honest(seen: AlignedSet) -> list[Picture]:
    """How far each weight goes together with what its removal does; nothing where no weight differs."""
    from fusion.views import faithful
    from fusion.views.speech import say

    held = int((seen.frame["split"].to_numpy() == "test").sum())
    known = {m: one for m, one in seen.faithful.items() if one is not None}
    lines = [faithful.Line(say(m), one.value, one.low, one.high, held) for m, one in known.items()]
    if not lines:
        return []
    return [
        faithful.lines(
            lines, key="faithful", title=t("fusion.faithful.title"), axis=t("views.axis.spearman"), neutral=0.0,
            span=(-1.0, 1.0), shows=t("fusion.faithful.shows"), hides=t("fusion.faithful.hides"),
        )
    ]  # fmt: skip


def _wrong(seen: AlignedSet, pairs: pd.DataFrame, dataset: DataSet) -> pd.DataFrame:
    """The pairs whose partner is farthest from the first place."""
    from fusion.views.speech import say

    worst = pairs.sort_values(["rank", "score"], ascending=[False, True], kind="stable").head(ROWS)
    name = lambda id: dataset.get(str(id)).called() if str(id) in dataset.index else ""  # noqa: E731
    shown = worst.assign(other=[name(id) for id in worst["partner"]], best=[name(id) for id in worst["best"]])
    columns = {
        "id": t("report.entity"), "name": t("table.name"), "other": t("table.other"), "best": t("table.best"),
        "rank": t("table.rank"), "score": t("table.joint"), "degree": t("table.degree"),
        **{f"rank_{m}": t("table.rank_by", name=say(m)) for m in seen.modalities},
    }  # fmt: skip
    return shown.loc[:, list(columns)].set_axis(list(columns.values()), axis=1)
