"""A page of two checkpoints side by side: of one sample, or of a whole data set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.report.made import facts, made, photograph, today
from fusion.words import t

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.versus.samples import SampleCompared
    from fusion.versus.sets import SetCompared
    from fusion.views import Picture
    from fusion.views.page import Page

ROWS = 100  # of those that differ


def versus_set_page(a: Checkpoint, b: Checkpoint, dataset: DataSet, found: SetCompared) -> Page:
    """Figures with intervals, what moved, and where they answer differently."""
    from fusion.views.page import Page
    from fusion.views.speech import num

    names = (found.a, found.b)
    count = f"{len(found.frame):,}"
    figures = [(t("versus.differ"), f"{found.differ:,}", t("versus.differ.of", count=count))]
    figures += [
        (t(f"views.versus.figure.{one.name}"), f"{num(one.a)} → {num(one.b)}",
         t("views.versus.better.few") if one.change is None
         else t(f"views.versus.better.{one.verdict}", a=found.a, b=found.b))
        for one in found.figures[:4]
    ]  # fmt: skip
    notes = [t("versus.few", count=count)] if found.few else []
    if found.nothing:
        notes.append(t("versus.same"))
    return Page(
        t("compare.title"), t("versus.heading", a=found.a, b=found.b), figures=tuple(figures), notes=tuple(notes),
        facts=_facts(a, b, dataset) | {t("report.split"): t(f"split.{found.split or 'all'}")} | today(),
        sections=[(t("versus.tab.set"), pictures_of_set(found, names))],
        tables=((t("versus.rows"), rows(found).head(ROWS)),) if found.differ else (), made=_made(a, b),
    )  # fmt: skip


def pictures_of_set(found: SetCompared, names: tuple[str, str]) -> list[Picture]:
    """Figures, then the spaces, then whose rank changed."""
    from fusion.views import versus_sets

    shown = [versus_sets.figures(found.figures, names)] if found.figures else []
    shown += [versus_sets.maps(one, names) for one in found.movement[:1]]
    if found.value == "rank":
        first, second = (np.asarray(found.frame[f"value_{side}"], np.float64) for side in "ab")
        shown.append(versus_sets.ranks(first, second, [str(id) for id in found.frame["id"]], names))
    return shown


def rows(found: SetCompared, *, agreeing: bool = False) -> pd.DataFrame:
    """The samples as a reader sees them, those that differ first."""
    from fusion.views.speech import answered

    frame = found.frame if agreeing else found.frame.loc[np.asarray(found.frame["differs"], bool), :]
    words = {name: [answered(str(one)) or "–" for one in frame[name]] for name in ("said_a", "said_b", "truth")}
    return pd.DataFrame(
        {
            "id": [str(id) for id in frame["id"]],
            **{t(f"versus.column.{name}"): told for name, told in words.items()},
            change_name(found): np.asarray(frame["change"], np.float64),
        }
    )


def change_name(found: SetCompared) -> str:
    """What the change of a row is of."""
    if found.value == "rank":
        return t("versus.column.change.rank")
    return t("versus.column.change", name=t(f"views.versus.number.{found.value}"))


def versus_sample_page(a: Checkpoint, b: Checkpoint, dataset: DataSet, found: SampleCompared) -> Page:
    """Both answers, the numbers, which heads changed, and every signal with its difference."""
    from fusion.views.page import Page
    from fusion.views.speech import answered

    names = (found.a, found.b)
    figures = [
        (name, answered(said) or t("versus.silent"), "") for name, said in zip(names, found.said, strict=True)
    ]  # fmt: skip
    truth = t("versus.truth", truth=answered(found.truth)) if found.truth else t("versus.truth.none")
    return Page(
        t("compare.title"), t("versus.heading", a=found.a, b=found.b), found.sample.text(),
        photograph(found.sample.image(), t("report.photograph")), tuple(figures),
        (truth, *([t("versus.same")] if found.same else [])),
        _facts(a, b, dataset) | {t("report.sample"): found.id} | today(),
        sections=[(t("versus.tab.sample"), pictures_of_sample(found, names)), *_signals(found)], made=_made(a, b),
    )  # fmt: skip


def pictures_of_sample(found: SampleCompared, names: tuple[str, str]) -> list[Picture]:
    """The numbers, ranks apart, and the map of heads."""
    from fusion.views import versus

    made = [versus.numbers(found.numbers, names, ranked=ranked) for ranked in (True, False)]
    return [one for one in (*made, versus.heads(found.signals)) if one is not None]


def _signals(found: SampleCompared) -> list[tuple[str, list[Picture]]]:
    """Of each signal that differs: as it is under A and B, then the change."""
    from fusion.views import versus
    from fusion.views.speech import say

    shown = []
    for one in sorted((one for one in found.signals if not one.same and one.axes), key=lambda one: -one.mean):
        pictures = [versus.change(one)]
        if one.kind != "Attention":  # a map of words by regions a head would make the page too large
            pictures = [*both(found, one.name, 0), *both(found, one.name, 1), *pictures]
        shown.append((say(one.name), pictures))
    return shown


def both(found: SampleCompared, name: str, side: int, **choice: object) -> list[Picture]:
    """The first picture of one signal under A (0) or B (1), named so; none where no view applies."""
    from fusion.views import draw, heads

    trace = found.traces[side]
    drawn = draw(trace[name], found.sample, trace, without=(heads.heads,), **choice)
    letter = "AB"[side]
    return [replace(one, key=f"{one.key}-{letter}", title=f"{letter}: {one.title}") for one in drawn[:1]]


def _facts(a: Checkpoint, b: Checkpoint, dataset: DataSet) -> dict[str, str]:
    from fusion.models import MODELS

    told = {}
    for letter, one in (("A", a), ("B", b)):
        told |= {f"{letter} · {name}": value for name, value in facts(one, MODELS[one.model]).items()}
    own = facts(a, MODELS[a.model], dataset)
    return told | {name: own[name] for name in (t("report.data"), t("report.data_hash"))}


def _made(a: Checkpoint, b: Checkpoint) -> dict[str, dict[str, str]]:
    first, second = made(a), made(b)
    versions = t("report.versions")
    return {
        **{f"A · {name}": table for name, table in first.items() if name != versions},
        **{f"B · {name}": table for name, table in second.items() if name != versions}, versions: first[versions],
    }  # fmt: skip
