"""An observation of a link question as JSON, in words, and as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import fusion
from fusion.report.folder import put, signals
from fusion.report.made import facts, made, photograph, today
from fusion.signals import Effects
from fusion.words import t

if TYPE_CHECKING:
    import pandas as pd

    from fusion.links.inspection import Predictor
    from fusion.links.observed import LinkCandidate, LinkObservation
    from fusion.views import Picture
    from fusion.views.page import Page


def link_summary(predictor: Predictor, observation: LinkObservation) -> dict[str, Any]:
    """What `python -m fusion inspect --json` prints of a question: plain numbers, names and shapes."""
    from fusion.views.speech import tell

    seen = observation
    joined = lambda values: {"+".join(pair): value for pair, value in values.items()}  # noqa: E731
    return {
        "model": predictor.checkpoint.model, "checkpoint": seen.checkpoint,
        "weights_sha256": predictor.checkpoint.digest, "data": predictor.dataset.key,
        "head": seen.head.id, "head_name": seen.head.called(), "relation": seen.relation_name,
        "reversed": seen.reversed, "tail": None if seen.tail is None else seen.tail.id,
        "tail_name": None if seen.tail is None else seen.tail.called(), "told": seen.told.id, "split": seen.split,
        "prediction": {
            "task": predictor.model.task.value,
            "candidates": [_row(predictor, one) for one in seen.candidates],
            "known": [_row(predictor, one) for one in seen.others],
        },
        "rank": {"tail": seen.rank, "among": seen.among, "by": dict(seen.rank_by)},
        "votes": dict(seen.votes), "decision": dict(seen.decision),
        "raised": list(seen.raised), "lowered": list(seen.lowered),
        "interaction": joined(seen.interaction), "interaction_logits": joined(seen.interaction_logits),
        "context": {
            branch: {"turned": one.turned, "singular": one.singular.tolist()} for branch, one in seen.context.items()
        },
        "drop": {"everywhere": _subsets(seen.drop), "head": _subsets(seen.drop_head)}, "shapley": dict(seen.shapley),
        "imputed": dict(seen.imputed), "told_imputed": dict(seen.told_imputed),
        "signals": signals(seen.trace.plus(*predictor.model.learned())),
        "notices": [tell(notice.key, notice.values) for notice in seen.notices],
        "seconds": {name: round(value, 4) for name, value in seen.seconds.items()}, "version": fusion.__version__,
    }  # fmt: skip


def _row(predictor: Predictor, one: LinkCandidate) -> dict[str, Any]:
    return {
        "id": one.id, "name": predictor.dataset.samples[one.row].called(), "rank": one.rank, "score": one.score,
        "known": one.known, "logits": dict(one.logits), "ranks": dict(one.ranks), "shares": dict(one.shares),
    }  # fmt: skip


def _subsets(effects: Effects) -> list[dict[str, Any]]:
    return [
        {"condition": name, **dict(zip(effects.observables, row, strict=True)), "first": first}
        for name, row, first in zip(effects.conditions, effects.value[0].tolist(), effects.said[0], strict=True)
    ]


def link_in_words(summary: dict[str, Any]) -> str:
    """The summary of a question as a few lines for a terminal."""
    rank, tail = summary["rank"], summary["tail"]
    arrow = ("<-", "-") if summary["reversed"] else ("-", "->")
    lines = [
        f"{summary['checkpoint']} ({summary['model']})",
        f"question   {summary['head_name']} {arrow[0]} {summary['relation']} {arrow[1]} ?",
        f"answer     {tail} {summary['tail_name']}, place {rank['tail']} of {rank['among']}" if tail else
        "answer     not known",
        "weights    " + ", ".join(f"{branch} {value:.2f}" for branch, value in summary["decision"].items()),
    ]  # fmt: skip
    if tail:
        lines.append("alone      " + ", ".join(f"{branch} place {place}" for branch, place in rank["by"].items()))
    lines += [
        f"{one['rank']:>4} {one['score']:.4f}  {one['id']} {one['name']}{'  = the answer' if one['id'] == tail else ''}"
        + "".join(f"  <- {branch}" for branch, id in summary["votes"].items() if id == one["id"])
        for one in summary["prediction"]["candidates"]
    ]
    lines += [
        f"{row['condition']:<20} place {row['tail_rank']:.0f}  chance {row['chance']:.4f}  {row['first']}"
        for row in summary["drop"]["everywhere"]
    ]
    return "\n".join([*lines, *(f"note: {notice}" for notice in summary["notices"])])


def write_link(folder: Path, predictor: Predictor, observation: LinkObservation) -> tuple[list[str], str]:
    """Write report.html, csv/*.csv and png/*.png into a folder: a question's pictures first, then the model's signals.

    -> the names written, and one sentence on why there are no PNGs, "" when there are.
    """
    trace = observation.trace.plus(*predictor.model.learned())
    return put(folder, link_page(predictor, observation), trace, _table(predictor, observation))


def link_page(predictor: Predictor, observation: LinkObservation) -> Page:
    """A page of a question: its pictures first, then the model's signals."""
    from fusion.views import draw_all
    from fusion.views.page import Page
    from fusion.views.speech import say, tell

    seen = observation
    trace = seen.trace.plus(*predictor.model.learned())
    own = [(t("report.candidates"), _answers(predictor, seen)), (t("report.context"), _context(seen))]
    drawn = [(name, pictures) for name, pictures in draw_all(trace, seen.head) if name != say("subsets")]
    own += [*drawn, (say("subsets"), [_removed(predictor, seen)])]
    tail = "–" if seen.tail is None else f"{seen.tail.called()} ({seen.tail.id})"
    told = facts(predictor.checkpoint, predictor.model, predictor.dataset) | {
        t("report.head"): f"{seen.head.called()} ({seen.head.id})",
        t("report.relation"): ("~" if seen.reversed else "") + seen.relation_name,
        t("report.answer"): tail,
        t("report.rank_answer"): "–" if seen.rank is None else f"{seen.rank:,} / {seen.among:,}",
    }  # fmt: skip
    question = (seen.head.called(), ("~" if seen.reversed else "") + seen.relation_name)
    return Page(
        t("report.title"),
        t("report.lead.links", head=question[0], relation=question[1], model=predictor.model.card.name), "",
        photograph(seen.head.image(), seen.head.called()), _figures(predictor, seen),
        tuple(tell(notice.key, notice.values) for notice in seen.notices), told | today(), own,
        ((t("report.candidates.table"), _table(predictor, seen)),), made(predictor.checkpoint),
    )  # fmt: skip


def _figures(predictor: Predictor, seen: LinkObservation) -> tuple[tuple[str, str, str], ...]:
    """Rank of the answer, what is said, the best branch, how many agree, the largest weight."""
    from fusion.views.speech import num, percent, say

    first = seen.candidates[0]
    ranks = {branch: seen.rank_by[branch] for branch, weight in seen.decision.items() if branch in seen.rank_by}
    best = min(ranks, key=ranks.__getitem__, default="")
    top = max(seen.decision, key=seen.decision.__getitem__)
    voted = sum(vote == first.id for vote in seen.votes.values())
    cells = (
        ("rank", "–" if seen.rank is None else f"{seen.rank:,}", t("entity.among", count=f"{seen.among:,}")),
        ("answer", predictor.dataset.get(first.id).called(), t("links.chance", value=num(first.score))),
        ("best", say(best) if best else "–", t("links.place", rank=f"{seen.rank_by[best]:,}") if best else ""),
        ("agree", t("entity.votes.of", right=voted, count=len(seen.votes)), t("links.agree.short")),
        ("listens", say(top), percent(seen.decision[top])),
    )
    return tuple((t(f"links.verdict.{key}"), value, under) for key, value, under in cells)


def _answers(predictor: Predictor, seen: LinkObservation) -> list[Picture]:
    """Who stands where by whom, where each branch puts the answer, and what modalities do only together."""
    from fusion.views import links

    made = [links.ranking(links.Ranked.of(seen, lambda id: predictor.dataset.get(id).called()))]
    if seen.rank is not None:
        made.append(links.pulled(seen.rank_by, seen.rank, seen.among))
    return [*made, links.together(seen.interaction, seen.interaction_logits)]


def _context(seen: LinkObservation) -> list[Picture]:
    from fusion.views import links

    singular = {branch: one.singular.numpy() for branch, one in seen.context.items()}
    return [
        links.spectrum(singular, seen.relation_name),
        links.turned({k: one.turned for k, one in seen.context.items()}),
    ]


def _removed(predictor: Predictor, seen: LinkObservation) -> Picture:
    """Every subset of the modalities, which a picture of any `Effects` would not draw."""
    from fusion.links.removals import every
    from fusion.views import entity

    names = [predictor.dataset.get(id).called() if id else "" for id in seen.drop.said[0]]
    found = [
        entity.Subset(kept, rank, chance, first)
        for kept, (rank, chance), first in zip(
            every(predictor.modalities), seen.drop.value[0].tolist(), names, strict=True
        )
    ]
    return entity.subsets(seen.drop, predictor.modalities, found, goal="answer")


def _table(predictor: Predictor, seen: LinkObservation) -> pd.DataFrame:
    """A row a candidate, known answers last, with what each branch says of it."""
    import pandas as pd

    tail = seen.tail.id if seen.tail is not None else ""
    return pd.DataFrame([
        {
            "id": one.id, "name": predictor.dataset.samples[one.row].called(), "asked": one.id == tail,
            "known": one.known, "place": one.rank, "chance": one.score,
            **{f"logit_{branch}": value for branch, value in one.logits.items()},
            **{f"place_{branch}": place for branch, place in one.ranks.items()},
            **{f"share_{branch}": value for branch, value in one.shares.items()},
            "votes": " ".join(branch for branch, id in seen.votes.items() if id == one.id),
        }
        for one in (*seen.candidates, *seen.others)
    ])  # fmt: skip
