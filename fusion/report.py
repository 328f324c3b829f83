"""One observation as JSON, in words, and as a folder: every picture in one HTML file, every signal as CSV, PNGs."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import fusion
from fusion.signals import Effects, ModalityWeights
from fusion.words import current, t

if TYPE_CHECKING:
    import pandas as pd

    from fusion.alignment.inspection import Aligner
    from fusion.alignment.observed import EntityObservation
    from fusion.checkpoints import Checkpoint
    from fusion.inference import Observation, Pipeline
    from fusion.models.base import FusionModel
    from fusion.signals import Trace
    from fusion.views import Picture


def summary(pipeline: Pipeline, observation: Observation) -> dict[str, Any]:
    """What `python -m fusion inspect --json` prints: plain numbers, names and shapes."""
    trace = observation.trace
    words = trace.steps["text"][0]
    gate = trace["gate"].value[0].mean(-1).tolist()  # (T,)
    drop = cast(Effects, trace["drop"])
    return {
        "model": pipeline.checkpoint.model,
        "checkpoint": pipeline.checkpoint.name,
        "weights_sha256": pipeline.checkpoint.digest,
        "prediction": {
            "task": pipeline.model.task.value,
            "entities": [
                {"text": s.text, "type": s.type, "start": s.start, "end": s.end, "probability": round(s.probability, 4)}
                for s in observation.spans
            ],
        },
        "match": {
            "score": observation.match, "percentile": observation.percentile, "calibrated": observation.calibrated,
        },
        "gates": {
            "mean": observation.mean_gate,
            "steps": [
                {"step": label, "mean": round(value, 4)} for label, value in zip(words.labels, gate, strict=False)
            ],
        },
        "weights": dict(observation.shares),
        "badge": observation.badge,
        "far": dict(observation.far),
        "drop": [
            {"condition": name, **dict(zip(drop.observables, row, strict=True)), "entities": said}
            for name, row, said in zip(drop.conditions, drop.value[0].tolist(), drop.said[0], strict=True)
        ],
        "signals": _signals(trace.plus(*pipeline.model.learned())),
        "notices": [t(notice.key, **notice.values) for notice in observation.notices],
        "seconds": {name: round(value, 4) for name, value in observation.seconds.items()},
        "version": fusion.__version__,
    }  # fmt: skip


def _signals(trace: Trace) -> list[dict[str, Any]]:
    """Name, kind and shapes of each signal."""
    return [
        {
            "name": signal.name, "kind": type(signal).__name__, "unit": signal.unit,
            "normalised_over": signal.normalised_over,
            "shapes": {name: list(tensor.shape) for name, tensor in signal.tensors().items()},
        }
        for signal in trace
    ]  # fmt: skip


def entity_summary(aligner: Aligner, observation: EntityObservation) -> dict[str, Any]:
    """What `python -m fusion inspect --json` prints of an entity: plain numbers, names and shapes."""
    from fusion.alignment.inspection import plain_name
    from fusion.views.speech import tell

    seen, drop = observation, observation.drop
    return {
        "model": aligner.checkpoint.model, "checkpoint": seen.checkpoint, "weights_sha256": aligner.checkpoint.digest,
        "data": aligner.dataset.key, "id": seen.sample.id, "name": plain_name(seen.sample),
        "partner": None if seen.partner is None else seen.partner.id, "other": seen.other.id,
        "prediction": {
            "task": aligner.model.task.value,
            "candidates": [
                {"id": c.id, "name": plain_name(aligner.dataset.get(c.id)), "score": c.score, "joint": c.joint,
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
        "signals": _signals(seen.trace.plus(*aligner.model.learned())),
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


def in_words(summary: dict[str, Any]) -> str:
    """The summary as a few lines for a terminal."""
    entities = ", ".join(
        f"{e['text']} ({e['type']}, {e['probability']:.2f})" for e in summary["prediction"]["entities"]
    )
    match = summary["match"]
    lines = [
        f"{summary['checkpoint']} ({summary['model']})",
        f"entities   {entities or 'none'}",
        "match      " + ("no image" if match["score"] is None else f"{match['score']:.2f}")
        + ("" if match["percentile"] is None else f", above {match['percentile']:.0%} of held-out true pairs"),
        "gate       " + ("no image" if summary["gates"]["mean"] is None else f"{summary['gates']['mean']:.2f}"),
        "shares     " + ", ".join(f"{name} {value:.0%}" for name, value in summary["weights"].items()),
        f"badge      {summary['badge']}",
    ]  # fmt: skip
    lines += [
        f"{row['condition']:<16} match {row['match']:.2f}  gate {row['gate']:.2f}  confidence {row['confidence']:.2f}  "
        f"{row['entities'] or 'no entity'}"
        for row in summary["drop"]
    ]
    return "\n".join([*lines, *(f"note: {notice}" for notice in summary["notices"])])


def write(folder: Path, pipeline: Pipeline, observation: Observation) -> tuple[list[str], str]:
    """Write report.html, csv/*.csv and png/*.png into a folder, each file whole; other files there stay.

    -> the names written, and one sentence on why there are no PNGs, "" when there are.
    """
    from fusion.views import draw_all

    trace = observation.trace.plus(*pipeline.model.learned())
    sections = draw_all(trace, observation.sample, pipeline.reference, path=observation.path)
    facts = _facts(pipeline.checkpoint, pipeline.model) | {t("report.text"): observation.sample.text()} | _today()
    return _write(folder, t("report.title"), trace, sections, facts)


def write_entity(folder: Path, aligner: Aligner, observation: EntityObservation) -> tuple[list[str], str]:
    """The same of an entity: the signals of the pair, its candidates as candidates.csv beside them."""
    import numpy as np

    from fusion.alignment.inspection import plain_name
    from fusion.views import draw_all
    from fusion.views.speech import say

    trace = observation.trace.plus(*aligner.model.learned())
    shown = trace.first(ModalityWeights)
    usual = None
    if shown is not None and set(shown.modalities) == set(observation.band):  # else some weights are of nobody
        usual = np.array([observation.band[m] for m in shown.modalities]).T
    names = {row: plain_name(sample) for row, sample in enumerate(aligner.dataset.samples)}
    sections = draw_all(trace, observation.sample, usual=usual, entities=names)
    sections.append((say("subsets"), [_subsets(observation, tuple(observation.band))]))
    facts = _facts(aligner.checkpoint, aligner.model) | {
        t("report.data"): aligner.dataset.name,
        t("report.entity"): f"{plain_name(observation.sample)} ({observation.sample.id})",
        t("report.other"): f"{plain_name(observation.other)} ({observation.other.id})",
        t("report.rank"): "–" if observation.rank is None else f"{observation.rank:,} / {observation.among:,}",
    }  # fmt: skip
    return _write(folder, t("report.title"), trace, sections, facts | _today(), _candidates(aligner, observation))


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


def _facts(checkpoint: Checkpoint, model: FusionModel) -> dict[str, str]:
    return {
        t("report.checkpoint"): checkpoint.name,
        t("report.weights"): checkpoint.digest,
        t("report.model"): model.card.name,
    }


def _today() -> dict[str, str]:
    return {t("report.version"): fusion.__version__, t("report.date"): time.strftime("%Y-%m-%d %H:%M")}


def _candidates(aligner: Aligner, observation: EntityObservation) -> pd.DataFrame:
    """A row a candidate, with what each modality says of it."""
    import pandas as pd

    from fusion.alignment.inspection import plain_name

    partner = observation.partner.id if observation.partner is not None else ""
    return pd.DataFrame([
        {
            "id": one.id, "name": plain_name(aligner.dataset.get(one.id)), "partner": one.id == partner,
            "score": one.score, "joint": one.joint, **{f"early_{m}": value for m, value in one.early.items()},
            **{f"late_{m}": value for m, value in one.late.items()},
            **{f"share_{m}": value for m, value in one.shares.items()},
            "votes": " ".join(m for m, id in observation.votes.items() if id == one.id),
        }
        for one in observation.candidates
    ])  # fmt: skip


def _write(
    folder: Path, title: str, trace: Trace, sections: list[tuple[str, list[Picture]]], facts: dict[str, str],
    candidates: pd.DataFrame | None = None,
) -> tuple[list[str], str]:  # fmt: skip
    from fusion.views.export import html_report, write_csv, write_png

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as name:
        aside = Path(name)
        (aside / "report.html").write_text(html_report(title, sections, facts, current()), encoding="utf-8")
        write_csv(aside / "csv", trace)
        if candidates is not None:
            candidates.to_csv(aside / "csv" / "candidates.csv", index=False)
        absent = write_png(aside / "png", sections)
        written = sorted(path.relative_to(aside) for path in aside.rglob("*") if path.is_file())
        for path in written:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside / path, folder / path)
    return [str(path) for path in written], absent
