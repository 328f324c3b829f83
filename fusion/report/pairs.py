"""An observation of a sample as JSON, in words, and as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import fusion
from fusion.report.folder import put, signals
from fusion.report.made import facts, made, photograph, today
from fusion.signals import Effects
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.data import DataSet
    from fusion.explain.edits import Edit
    from fusion.inference import Observation, Pipeline
    from fusion.views.page import Page


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
        "signals": signals(trace.plus(*pipeline.model.learned())),
        "notices": [t(notice.key, **notice.values) for notice in observation.notices],
        "seconds": {name: round(value, 4) for name, value in observation.seconds.items()},
        "version": fusion.__version__,
    }  # fmt: skip


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


def write(
    folder: Path, pipeline: Pipeline, observation: Observation, before: Observation | None = None,
    made_of: Sequence[Edit] = (),
) -> tuple[list[str], str]:  # fmt: skip
    """Write report.html, csv/*.csv and png/*.png into a folder, each file whole; other files there stay.

    -> the names written, and one sentence on why there are no PNGs, "" when there are.
    """
    trace = observation.trace.plus(*pipeline.model.learned())
    return put(folder, pair_page(pipeline, observation, None, before, made_of), trace)


def pair_page(
    pipeline: Pipeline, observation: Observation, dataset: DataSet | None = None, before: Observation | None = None,
    made_of: Sequence[Edit] = (),
) -> Page:  # fmt: skip
    """A page of a picture with its sentence.

    dataset: what the sample is from, where it is from one. before: the same before the edits made_of.
    """
    import pandas as pd

    from fusion.explain import edits
    from fusion.views import draw_all
    from fusion.views.page import Page

    seen, sample = observation, observation.sample
    trace = seen.trace.plus(*pipeline.model.learned())
    names = [[span.text, t(f"type.{span.type}"), span.probability] for span in seen.spans]
    columns = [t("inspect.entity"), t("inspect.type"), t("views.axis.probability")]
    found = pd.DataFrame(names, columns=columns)
    of = {t("report.edits"): edits.write(made_of)} if made_of else {}
    tables = [(t("verdict.entities"), found)] if names else []
    if before is not None:
        rows = _said(before), _said(seen)
        columns = [t("edits.column.what"), t("edits.before"), t("edits.after")]
        moved = [[name, rows[0][name], rows[1][name]] for name in rows[0]]
        tables.insert(0, (t("edits.title"), pd.DataFrame(moved, columns=columns)))
    if dataset is not None and sample.id in dataset.index:
        of[t("report.sample")] = sample.id
    return Page(
        t("report.title"), t("report.lead.pairs", name=pipeline.model.card.name), sample.text(),
        photograph(sample.image(), t("report.photograph")),
        _figures(seen) if before is None else _moved(seen, before),
        tuple(t(notice.key, **notice.values) for notice in seen.notices),
        facts(pipeline.checkpoint, pipeline.model, dataset) | of | today(),
        draw_all(trace, sample, pipeline.reference, path=seen.path),
        tuple(tables), made(pipeline.checkpoint),
    )  # fmt: skip


def _said(seen: Observation) -> dict[str, str]:
    """What an answer says, line by line."""
    from fusion.views.speech import percent, say

    names = t("views.list.comma").join(
        f"{span.text} ({t(f'type.{span.type}')}, {percent(span.probability)})" for span in seen.spans
    )
    shares = t("views.list.comma").join(f"{say(m)} {percent(value)}" for m, value in seen.shares.items())
    told = {name: value for name, value, _ in _figures(seen)}
    return told | {t("verdict.entities"): names or t("inspect.nothing_found"), t("verdict.most"): shares or "–"}


def _moved(seen: Observation, before: Observation) -> tuple[tuple[str, str, str], ...]:
    """The same numbers, each above what it was before the edits."""
    was = {name: value for name, value, _ in _figures(before)}
    return tuple((name, value, t("report.was", value=was[name])) for name, value, _ in _figures(seen))


def _figures(seen: Observation) -> tuple[tuple[str, str, str], ...]:
    """Names, match, gate, what counts, how they go together."""
    from fusion.views.speech import num, percent, say

    top = max(seen.shares, key=seen.shares.__getitem__, default="") if any(seen.shares.values()) else ""
    gate, match = ("–" if value is None else num(value) for value in (seen.mean_gate, seen.match))
    where = "" if seen.percentile is None else t("verdict.percentile", share=percent(seen.percentile))
    kinds = t("views.list.comma").join(dict.fromkeys(t(f"type.{span.type}") for span in seen.spans))
    return (
        (t("verdict.entities"), str(len(seen.spans)), kinds),
        (t("verdict.match"), match, where),
        (t("verdict.gate"), gate, "" if seen.mean_gate is None else t("verdict.gate.neutral")),
        (t("verdict.most"), say(top) if top else "–", percent(seen.shares[top]) if top else ""),
        (t("verdict.badge"), t(f"verdict.badge.{seen.badge}"), t(f"verdict.badge.{seen.badge}.short")),
    )
