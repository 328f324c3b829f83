"""The card of a set of sequences: counts, what it asks for, its modalities and how often each is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import set_card, stream_cache
from pages.parts.chrome import plain

if TYPE_CHECKING:
    import pandas as pd

    from fusion.data import DataSet
    from fusion.data.streams import StreamSet

CLASSES = 12  # that are named


def show(dataset: DataSet) -> None:
    """Counts, splits, target, modalities, notes, and the way on."""
    found = dataset.streams
    assert found is not None, "the other cards are for other kinds"
    complete = int(found.present.all(1).sum())
    recordings = sum(sample.audio() is not None for sample in dataset.samples)
    pictures = len({str(image.path) for sample in dataset.samples if (image := sample.image()) is not None})
    cells = (
        ("samples", len(found), t(f"checkpoints.data.word.{dataset.word}")),
        ("complete", complete, _share(complete, len(found))),
        ("labelled", int(found.known.sum()), _share(int(found.known.sum()), len(found))),
        ("pictures", pictures, t("checkpoints.streams.recordings", count=f"{recordings:,}")),
    )
    with st.container(border=True, key="card_data"):
        set_card.numbers(dataset, "streams", cells)
        set_card.splits("checkpoints.data.splits", lambda name: len(found.rows(name)))
        st.markdown(target(found))
        table = modalities(found)
        st.dataframe(table, hide_index=True, key="modality_rows", alt=t("checkpoints.streams.alt", count=len(table)))
        set_card.way_on(dataset, [("match", t("checkpoints.streams.match"))])
    set_card.ran(dataset, stream_cache.whole, "checkpoints.streams.ready")


def _share(part: int, whole: int) -> str:
    from fusion.views.speech import percent

    return percent(part / whole) if whole else ""


def target(found: StreamSet) -> str:
    """What is to be answered: classes with their counts, or a scale with its mean and its words."""
    from fusion.views.speech import num

    known = found.target[found.known]
    if found.classes:
        times = np.bincount(known, minlength=len(found.classes))
        order = np.argsort(-times, kind="stable")
        named = [f"{plain(found.classes[one], 40)} {int(times[one]):,}" for one in order[:CLASSES]]
        more = len(order) - len(named)
        told = t("views.list.comma").join(named) + (f" {t('entity.more', count=more)}" if more > 0 else "")
        return t("checkpoints.streams.classes", count=len(found.classes), names=told)
    low, high = found.scale
    facts = {
        "low": num(low), "high": num(high), "mean": num(float(known.mean())) if len(known) else "–",
        "spread": num(float(known.std())) if len(known) else "–",
    }  # fmt: skip
    said = t("checkpoints.streams.scale", **facts)
    if not found.words:
        return said
    names = t("views.list.comma").join(t(f"scale.{name}") for name in found.words)
    return f"{said} {t('checkpoints.streams.words', names=names)}"


def modalities(found: StreamSet) -> pd.DataFrame:
    """A row a modality: what its steps are, how many and how wide, and how many samples lack it, by split."""
    import pandas as pd

    from fusion.views.speech import percent, say, unit

    rows = []
    for at, modality in enumerate(found.modalities):
        m, there = modality.name, found.present[:, at]
        lengths = found.length[m][there] if m in found.length else None
        given = lengths is not None and len(lengths)
        row = {
            t("views.axis.modality"): say(m), t("checkpoints.streams.unit"): unit(modality.unit),
            t("checkpoints.streams.width"): f"{modality.width:,}" if modality.width else t("checkpoints.streams.made"),
            t("checkpoints.streams.steps"): _steps(lengths) if given else t("checkpoints.streams.made"),
        }  # fmt: skip
        for name in ("train", "valid", "test"):
            some = found.rows(name)
            if len(some):
                row[t("checkpoints.streams.missing", split=t(f"split.{name}"))] = percent(float((~there[some]).mean()))
        if not any(len(found.rows(name)) for name in ("train", "valid", "test")):
            row[t("checkpoints.streams.absent")] = percent(float((~there).mean())) if len(there) else "–"
        row[t("checkpoints.streams.note")] = found.note.get(m, "")
        rows.append(row)
    table = pd.DataFrame(rows)
    notes = t("checkpoints.streams.note")
    return table if table[notes].astype(bool).any() else table.drop(columns=notes)


def _steps(lengths: np.ndarray) -> str:
    """ "12 (at most 39)": the median length and the longest."""
    return t("checkpoints.streams.lengths", median=f"{float(np.median(lengths)):.0f}", most=f"{int(lengths.max()):,}")
