"""An observation of an entity of two graphs as JSON, in words, and as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import fusion
from fusion.report.folder import put, signals
from fusion.report.made import facts, made, photograph, today
from fusion.signals import ModalityWeights
from fusion.words import t

if TYPE_CHECKING:
    import pandas as pd

    from fusion.alignment.inspection import Aligner
    from fusion.alignment.observed import EntityObservation
    from fusion.views import Picture
    from fusion.views.page import Page


def entity_summary(aligner: Aligner, observation: EntityObservation) -> dict[str, Any]:
    """What `python -m fusion inspect --json` prints of an entity: plain numbers, names and shapes."""
    from fusion.views.speech import tell

    seen, drop = observation, observation.drop
    return {
        "model": aligner.checkpoint.model, "checkpoint": seen.checkpoint, "weights_sha256": aligner.checkpoint.digest,
        "data": aligner.dataset.key, "id": seen.sample.id, "name": seen.sample.called(),
        "partner": None if seen.partner is None else seen.partner.id, "other": seen.other.id,
        "prediction": {
            "task": aligner.model.task.value,
            "candidates": [
                {"id": c.id, "name": aligner.dataset.get(c.id).called(), "score": c.score, "joint": c.joint,
                 "early": dict(c.early), "late": dict(c.late), "shares": dict(c.shares)}
                for c in seen.candidates
            ],
        },
        "rank": {
            "partner": seen.rank, "among": seen.among, "overall": seen.rank_overall, "among_all": seen.among_all,
            "by": dict(seen.rank_by),
        },
        "votes": dict(seen.votes), "weights": dict(seen.weights), "other_weights": dict(seen.other_weights),
        "band": {m: dict(zip(("p10", "median", "p90"), found, strict=True)) for m, found in seen.band.items()},
        "imputed": dict(seen.imputed), "other_imputed": dict(seen.other_imputed), "shapley": dict(seen.shapley),
        "drop": {
            "weights": "recomputed" if seen.recomputed else "kept",
            "subsets": [
                {"condition": name, **dict(zip(drop.observables, row, strict=True)), "first": first}
                for name, row, first in zip(drop.conditions, drop.value[0].tolist(), drop.said[0], strict=True)
            ],
        },
        "signals": signals(seen.trace.plus(*aligner.model.learned())),
        "notices": [tell(notice.key, notice.values) for notice in seen.notices],
        "seconds": {name: round(value, 4) for name, value in seen.seconds.items()}, "version": fusion.__version__,
    }  # fmt: skip


def entity_in_words(summary: dict[str, Any]) -> str:
    """The summary of an entity as a few lines for a terminal."""
    rank, first = summary["rank"], summary["prediction"]["candidates"]
    known = rank["partner"] is not None
    lines = [
        f"{summary['checkpoint']} ({summary['model']}), {summary['id']} {summary['name']}",
        f"partner    {summary['partner']}, place {rank['partner']} of {rank['among']}"
        if known
        else "partner    unknown",
        "weights    " + ", ".join(f"{m} {value:.2f}" for m, value in summary["weights"].items()),
    ]
    if known:
        lines.append("alone      " + ", ".join(f"{m} place {place}" for m, place in rank["by"].items()))
    votes = summary["votes"]
    lines += [
        f"{place:>2} {one['score']:+.3f}  {one['id']} {one['name']}"
        f"{'  = the partner' if one['id'] == summary['partner'] else ''}"
        + "".join(f"  <- {m}" for m, id in votes.items() if id == one["id"])
        for place, one in enumerate(first, 1)
    ]
    shown = [row for row in summary["drop"]["subsets"] if row["condition"].startswith(("as_is", "without_", "only_"))]
    lines += [
        f"{row['condition']:<20} place {row['partner_rank']:.0f}  joint {row['joint_cosine']:.3f}  {row['first']}"
        for row in shown
    ]
    return "\n".join([*lines, *(f"note: {notice}" for notice in summary["notices"])])


def write_entity(folder: Path, aligner: Aligner, observation: EntityObservation) -> tuple[list[str], str]:
    """The same of an entity: the signals of the pair, its candidates as candidates.csv beside them."""
    trace = observation.trace.plus(*aligner.model.learned())
    return put(folder, entity_page(aligner, observation), trace, _candidates(aligner, observation))


def entity_page(aligner: Aligner, observation: EntityObservation) -> Page:
    """A page of an entity beside its partner, or the one it was compared with."""
    import numpy as np

    from fusion.views import draw_all
    from fusion.views.page import Page
    from fusion.views.speech import say, tell

    trace = observation.trace.plus(*aligner.model.learned())
    shown = trace.first(ModalityWeights)
    usual = None
    if shown is not None and set(shown.modalities) == set(observation.band):  # else some weights are of nobody
        usual = np.array([observation.band[m] for m in shown.modalities]).T
    names = {row: sample.called() for row, sample in enumerate(aligner.dataset.samples)}
    sections = draw_all(trace, observation.sample, usual=usual, entities=names)
    sections.append((say("subsets"), [_subsets(observation, tuple(observation.band))]))
    told = facts(aligner.checkpoint, aligner.model, aligner.dataset) | {
        t("report.entity"): f"{observation.sample.called()} ({observation.sample.id})",
        t("report.other"): f"{observation.other.called()} ({observation.other.id})",
        t("report.rank"): "–" if observation.rank is None else f"{observation.rank:,} / {observation.among:,}",
    }  # fmt: skip
    name, other = (f"{one.called()} ({one.id})" for one in (observation.sample, observation.other))
    shown = [p for one in (observation.sample, observation.other) for p in photograph(one.image(), one.called())]
    return Page(
        t("report.title"), t("report.lead.entities", name=name, other=other, model=aligner.model.card.name), "",
        tuple(shown), _figures(observation), tuple(tell(n.key, n.values) for n in observation.notices), told | today(),
        sections, ((t("report.candidates.table"), _candidates(aligner, observation)),), made(aligner.checkpoint),
    )  # fmt: skip


def _figures(seen: EntityObservation) -> tuple[tuple[str, str, str], ...]:
    """Rank of the partner, similarity, the largest weight, what counts, how many modalities are right."""
    from fusion.views.speech import num, percent, say

    best = seen.candidates[0]
    lead = best.score - seen.candidates[1].score if len(seen.candidates) > 1 else float("nan")
    joint = next((c.joint for c in seen.candidates if c.id == seen.other.id), float(seen.drop.value[0, 0, 1]))
    top = max(seen.weights, key=seen.weights.__getitem__)
    worth = max(seen.shapley, key=lambda m: abs(seen.shapley[m]), default="")
    goal = seen.partner.id if seen.partner is not None else None
    right = sum(vote == goal for vote in seen.votes.values())
    votes = t("entity.votes.of", right=right, count=len(seen.votes)) if goal else "–"
    cells = (
        ("rank", "–" if seen.rank is None else f"{seen.rank:,}", t("entity.among", count=f"{seen.among:,}")),
        ("joint", num(joint), t("entity.lead", value=num(lead))),
        ("listens", say(top), percent(seen.weights[top])),
        ("counts", say(worth) if worth else "–", num(seen.shapley[worth]) if worth else ""),
        ("votes", votes, t("entity.votes.short")),
    )
    return tuple((t(f"entity.verdict.{key}"), value, under) for key, value, under in cells)


def _subsets(observation: EntityObservation, modalities: tuple[str, ...]) -> Picture:
    """Every subset of the modalities, which a picture of any `Effects` would not draw."""
    from fusion.explain.subsets import subsets
    from fusion.views import entity

    effects = observation.drop
    found = [
        entity.Subset(kept, rank, joint, first)
        for kept, (rank, joint), first in zip(
            subsets(modalities), effects.value[0].tolist(), effects.said[0], strict=True
        )
    ]
    return entity.subsets(effects, modalities, found)


def _candidates(aligner: Aligner, observation: EntityObservation) -> pd.DataFrame:
    """A row a candidate, with what each modality says of it."""
    import pandas as pd

    partner = observation.partner.id if observation.partner is not None else ""
    return pd.DataFrame([
        {
            "id": one.id, "name": aligner.dataset.get(one.id).called(), "partner": one.id == partner,
            "score": one.score, "joint": one.joint, **{f"early_{m}": value for m, value in one.early.items()},
            **{f"late_{m}": value for m, value in one.late.items()},
            **{f"share_{m}": value for m, value in one.shares.items()},
            "votes": " ".join(m for m, id in observation.votes.items() if id == one.id),
        }
        for one in observation.candidates
    ])  # fmt: skip
