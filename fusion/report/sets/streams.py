"""A page of all samples of sequences: figures as data go missing, what each modality is worth, where they disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusion.report.made import facts, made, named, today
from fusion.streams import figures
from fusion.streams.summing import correlated, held_out, of_samples, worth_of
from fusion.types import FusionError
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.streams.inspection import Reader
    from fusion.streams.whole import StreamedSet
    from fusion.views import Picture
    from fusion.views.page import Page

LEAST, ROWS = 4, 50  # samples below which nothing is counted; rows of samples that disagree most
Sections = list[tuple[str, "list[Picture]"]]


def streams_page(checkpoint: Checkpoint, dataset: DataSet, progress: Callable[[int, int], None] | None = None) -> Page:
    """Samples to test, all where there is none. Raises FusionError of too few, or of other data."""
    from fusion.models import MODELS
    from fusion.streams.inspection import Reader
    from fusion.streams.whole import stored, whole
    from fusion.views.page import Page

    reader = Reader.open(checkpoint, dataset)
    seen = stored(checkpoint, reader.dataset) or whole(reader, progress)
    frame = held_out(seen)
    if len(frame) < LEAST:
        raise FusionError(t("empty.few", n=LEAST, m=len(frame)))
    split = "test" if set(frame["split"]) == {"test"} else "all"
    model = MODELS[checkpoint.model]
    sections, tables = _space(checkpoint, reader), ()
    if seen.answers:
        sections += [*_kept(checkpoint), *_weights(seen, frame)]
        tables = ((t("triage.tab.disagree"), _disagreeing(seen, frame)),)
    of = {t("report.split"): t(f"split.{split}"), t("report.samples"): f"{len(frame):,} / {len(dataset):,}"}
    return Page(
        t("report.title.set"), t("report.lead.set", name=model.card.name, data=named(reader.dataset)),
        figures=_figures(seen, frame), notes=reader.dataset.notes,
        facts=facts(checkpoint, model, reader.dataset) | of | today(),
        sections=[(name, pictures) for name, pictures in sections if pictures], tables=tables, made=made(checkpoint),
    )  # fmt: skip


def _figures(seen: StreamedSet, frame: pd.DataFrame) -> tuple[tuple[str, str, str], ...]:
    """How many samples, how good the answers are, and how many have modalities that disagree."""
    from fusion.views.speech import num, percent

    cells = [("count", f"{len(frame):,}", "")]
    if seen.answers:
        found = of_samples(seen, frame)
        sure = "" if found is None else t(
            "linking.interval", low=num(round(found.low, 3)), high=num(round(found.high, 3))
        )  # fmt: skip
        value = "–" if found is None else num(round(found.value, 3))
        opposed, conflict = (
            int(frame["opposed"].to_numpy(bool).sum()), int((frame["badge"].to_numpy() == "conflict").sum())
        )  # fmt: skip
        cells += [("accuracy" if seen.classes else "mae", value, sure),
                  ("opposed", f"{opposed:,}", percent(opposed / len(frame))),
                  ("conflict", f"{conflict:,}", percent(conflict / len(frame)))]  # fmt: skip
    return tuple((t(f"triage.{name}"), value, below) for name, value, below in cells)


def _kept(checkpoint: Checkpoint) -> Sections:
    """Curves and subsets that the checkpoint keeps."""
    from fusion.views import missing

    figure = figures.main(checkpoint)
    curves = [
        missing.curves([run], what=what, figure=figure)
        for what in figures.hidden(checkpoint) if (run := figures.run_of(checkpoint, what)) is not None
    ]  # fmt: skip
    found, nothing = figures.subsets_of(checkpoint)
    drawn = []
    if found and nothing is not None:
        names, sure = figures.modalities_of(checkpoint), figures.interval_of(checkpoint)
        drawn.append(missing.subsets(found, names, figure=figure, nothing=nothing, interval=sure))
    return [(t("fusing.tab.missing"), curves), (t("fusing.tab.subsets"), drawn)]


def _weights(seen: StreamedSet, frame: pd.DataFrame) -> Sections:
    """What each modality is worth, whether weights go with it, and how modalities combine."""
    from fusion.views import combined, faithful

    shares, mean = worth_of(seen, frame)
    weights = [combined.worth(shares, mean)]
    lines = correlated(seen, frame)
    if lines:
        weights.append(faithful.lines(
            lines, key="meaning", title=t("fusing.meaning.title"), axis=t("fusing.meaning.axis"), neutral=0.0,
            span=(-1.0, 1.0), shows=t("fusing.meaning.shows"), hides=t("fusing.meaning.hides"),
        ))  # fmt: skip
    badges = frame["badge"].astype(str)
    counts = {str(name): int(count) for name, count in badges.value_counts().items()}
    by_badge = {name: one for name in counts if (one := of_samples(seen, frame.loc[badges == name, :])) is not None}
    axis = t(f"views.missing.figure.{'accuracy' if seen.classes else 'mae'}")
    return [
        (t("fusing.tab.weights"), weights),
        (t("fusing.tab.combine"), [combined.badges(counts, by_badge, axis)]),
    ]


def _space(checkpoint: Checkpoint, reader: Reader) -> Sections:
    """What a shared space has in common, of a system that makes one."""
    from fusion.signals import Canonical
    from fusion.types import Sample
    from fusion.views import VIEWS, posterior, spaces

    found = checkpoint.metrics.get("space")
    space: dict[str, Any] = found if isinstance(found, dict) else {}  # Any: what JSON holds
    learned = reader.model.learned()
    drawn = [view(one, Sample("", {}), learned) for one in learned.of(Canonical) for view in VIEWS[Canonical]]
    pictures = [one for one in drawn if one is not None]
    if space.get("pairs"):
        pictures.append(spaces.finding(space["pairs"]))
    made_of = space.get("generative") or {}
    if "cross" in made_of:
        classes = max(len(checkpoint.metrics.get("classes", ())), 1)
        pictures.append(spaces.coherence(made_of["cross"], 1 / classes))
    if "kl" in made_of and "variance" in made_of:
        kl, variance = (np.asarray(made_of[name], np.float32) for name in ("kl", "variance"))
        pictures.append(posterior.dimensions(kl, variance))
    return [(t("fusing.tab.space"), pictures)]


def _disagreeing(seen: StreamedSet, frame: pd.DataFrame) -> pd.DataFrame:
    """The samples whose modalities disagree most."""
    from fusion.views.speech import say

    by = ["conflict", "opposed", "loss"]
    shown = frame.sort_values(by, ascending=False, na_position="last", kind="stable").head(ROWS)
    columns = {
        "id": t("report.sample"), "target": t("triage.column.target"), "said": t("triage.column.said"),
        "answer": t("triage.column.chance" if seen.classes else "triage.column.answer"),
        **{f"alone_{m}": t("triage.column.alone", name=say(m)) for m in seen.modalities},
        "badge": t("triage.column.badge"), "conflict": t("triage.column.conflict"), "loss": t("triage.column.loss"),
    }  # fmt: skip
    return shown.loc[:, list(columns)].set_axis(list(columns.values()), axis=1)
