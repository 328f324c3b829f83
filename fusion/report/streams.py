"""An observation of a sample of streams as JSON, in words, and as a folder, before and after its edits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fusion
from fusion.explain import edits
from fusion.report.folder import put, signals
from fusion.report.made import facts, made, photograph, today
from fusion.types import Audio, Image
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Trace
    from fusion.streams.inspection import Reader
    from fusion.streams.observed import Answer, StreamObservation
    from fusion.views import Picture
    from fusion.views.page import Page


def stream_summary(reader: Reader, observation: StreamObservation) -> dict[str, Any]:
    """What `python -m fusion inspect --json` prints of a sample of streams: plain numbers, names and shapes."""
    from fusion.views.speech import tell

    seen, effects = observation, observation.effects
    return {
        "model": reader.checkpoint.model, "checkpoint": seen.checkpoint, "weights_sha256": reader.checkpoint.digest,
        "data": reader.checkpoint.data, "id": seen.sample.id, "text": seen.sample.text(),
        "modalities": {m: bool(there) for m, there in seen.present.items()}, "edits": edits.write(seen.edits),
        "prediction": {"task": reader.model.task.value, **_plain(seen.answer)},
        "before": None if seen.before is None else _plain(seen.before), "truth": seen.truth,
        "scale": None if seen.classes else list(seen.scale),
        "alone": {m: _plain(one) for m, one in seen.alone.items()},
        "subsets": [
            {"condition": name, effects.observables[0]: value, "said": said}
            for name, value, said in zip(
                effects.conditions, effects.value[0, :, 0].tolist(), effects.said[0], strict=True
            )
        ],
        "shapley": dict(seen.shapley), "shares": dict(seen.shares), "badge": seen.badge,
        "split_opinion": seen.split_opinion, "signals": signals(seen.trace.plus(*reader.model.learned())),
        "notices": [tell(notice.key, notice.values) for notice in seen.notices],
        "seconds": {name: round(value, 4) for name, value in seen.seconds.items()}, "version": fusion.__version__,
    }  # fmt: skip


def _plain(answer: Answer) -> dict[str, Any]:
    if answer.score is not None:
        return {"score": answer.score, "said": answer.said}
    return {"said": answer.said, "chance": answer.strength, "chances": dict(answer.chances)}


def stream_in_words(summary: dict[str, Any]) -> str:
    """The summary of a sample as a few lines for a terminal."""
    absent = [m for m, there in summary["modalities"].items() if not there]
    lines = [
        f"{summary['checkpoint']} ({summary['model']})",
        f"sample     {summary['id']} {summary['text'][:80]}".rstrip(),
        f"answer     {_line(summary['prediction'])}",
    ]
    if summary["before"] is not None:
        lines += [f"before     {_line(summary['before'])}", f"edits      {summary['edits']}"]
    if summary["truth"] is not None:
        lines.append(f"truth      {summary['truth']}")
    if absent:
        lines.append("lacks      " + ", ".join(absent))
    lines += [f"alone      {m}: {_line(one)}" for m, one in summary["alone"].items()]
    worth = ", ".join(f"{m} {value:+.3f}" for m, value in summary["shapley"].items())
    disagree = ", alone they disagree" if summary["split_opinion"] else ""
    lines.append(f"together   {summary['badge']}{disagree}: {worth}")
    for row in summary["subsets"]:
        value = row.get("score", row.get("chance"))
        lines.append(f"{row['condition']:<20} {value:>8.3f}  {row['said']}")
    return "\n".join([*lines, *(f"note: {notice}" for notice in summary["notices"])])


def _line(answer: dict[str, Any]) -> str:
    if "score" in answer:
        return f"{answer['score']:.3f} {answer['said']}".rstrip()
    return f"{answer['said']} ({answer['chance']:.1%})"


def write_stream(folder: Path, reader: Reader, observation: StreamObservation) -> tuple[list[str], str]:
    """Write report.html, csv/*.csv and png/*.png into a folder: the answer first, then the signals, each picture beside
    the one before the edits where there are some.

    -> the names written, and one sentence on why there are no PNGs, "" when there are.
    """
    seen, learned = observation, reader.model.learned()
    before = () if seen.trace_before is None else seen.trace_before.signals
    kept = seen.trace.plus(*learned, seen.effects, *(replace(one, name=f"{one.name}_before") for one in before))
    return put(folder, stream_page(reader, seen), kept)


def stream_page(reader: Reader, observation: StreamObservation) -> Page:
    """A page of a sample of streams: the answer first, then the signals, before and after edits where there are."""
    from fusion.views.page import Page
    from fusion.views.speech import answered, num, percent, say, tell

    seen = observation
    sections = [(t("report.answer"), _answers(seen)), *_signals(seen, seen.trace.plus(*reader.model.learned()))]
    answer = answered(seen.answer.said) if seen.answer.said else ""
    value = percent(seen.answer.strength) if seen.classes else num(seen.answer.strength)
    told = facts(reader.checkpoint, reader.model, reader.dataset) | {
        t("report.sample"): seen.sample.id,
        t("report.answer"): f"{answer} {value}".strip(),
        t("report.edits"): edits.write(seen.edits) or "–",
        t("report.worth"): t("views.list.comma").join(f"{say(m)} {num(v)}" for m, v in seen.shapley.items()),
    }  # fmt: skip
    shown = [
        p
        for part in seen.sample.parts.values()
        if isinstance(part, Image)
        for p in photograph(part, t("report.photograph"))
    ]
    notes = tuple(tell(notice.key, notice.values) for notice in seen.notices)
    lead = t("report.lead.streams", id=seen.sample.id, model=reader.model.card.name)
    return Page(
        t("report.title"), lead, seen.sample.text(), tuple(shown), _figures(seen), notes, told | today(), sections,
        made=made(reader.checkpoint),
    )  # fmt: skip


def _figures(seen: StreamObservation) -> tuple[tuple[str, str, str], ...]:
    """Answer, truth, what counts, how they go together, and the answer before the edits."""
    from fusion.views.speech import answered, num, percent, say

    def said(one: Answer) -> tuple[str, str]:
        strength = percent(one.strength) if one.score is None else num(round(one.strength, 2))
        return answered(one.said) if one.said else strength, strength

    top = max(seen.shares, key=seen.shares.__getitem__, default="")
    truth = "–" if seen.truth is None else say(seen.truth) if isinstance(seen.truth, str) else num(seen.truth)
    right = isinstance(seen.truth, str) and seen.truth == seen.answer.said
    below = t("streams.truth.none") if seen.truth is None else ""
    if isinstance(seen.truth, str):
        below = t("streams.right" if right else "streams.other")
    elif seen.truth is not None:
        below = t("streams.off", value=num(round(abs(seen.answer.strength - seen.truth), 2)))
    cells = [
        ("answer", *said(seen.answer)),
        ("truth", truth, below),
        ("most", say(top) if top else "–", percent(seen.shares[top]) if top else ""),
        ("badge", t(f"verdict.badge.{seen.badge}"), t(f"verdict.badge.{seen.badge}.short")),
    ]
    if seen.before is not None:
        cells.append(("before", *said(seen.before)))
    return tuple((t(f"streams.verdict.{key}"), value, under) for key, value, under in cells)


def _answers(seen: StreamObservation) -> list[Picture]:
    """Chances of classes, answers by subset, and what there is to hear."""
    from fusion.encoders.sound import spectrogram
    from fusion.views import streams

    made = []
    if seen.classes:
        made.append(streams.chances(seen.answer.chances, None if seen.before is None else seen.before.chances))
    made.append(streams.subsets(seen.effects, bool(seen.classes)))
    heard = [part for m, part in seen.sample.parts.items() if isinstance(part, Audio) and m in seen.present]
    return made + [streams.spectrogram(spectrogram(part)) for part in heard[:1]]


def _signals(seen: StreamObservation, trace: Trace) -> list[tuple[str, list[Picture]]]:
    """All pictures of the signals, those before the edits first where there are some."""
    from fusion.views import draw_all
    from fusion.views.speech import say

    was = {} if seen.trace_before is None else dict(draw_all(seen.trace_before, seen.sample))
    found = []
    for name, pictures in draw_all(trace, seen.sample):
        if name == say("drop"):  # the answers by subset hold it
            continue
        before = {one.key: one for one in was.get(name, [])}
        both: list[Picture] = []
        for picture in pictures:
            if picture.key in before:
                both.append(_told(before[picture.key], "before"))
            both.append(_told(picture, "after") if was else picture)
        found.append((name, both))
    return found


def _told(picture: Picture, when: str) -> Picture:
    title = f"{picture.title} · {t('streams.before') if when == 'before' else t('streams.after')}"
    return replace(picture, key=f"{picture.key}-{when}", title=title)
