"""Why one number of a sample is what it is, as pictures: what moved it, by several methods, and which are true."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fusion.explain.asking import Case, case_line, concord
from fusion.explain.methods import METHODS, totals
from fusion.explain.targets import MATCH, TAG, known
from fusion.signals import Attribution
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.explain.asking import Judged
    from fusion.explain.tabled import Tabled
    from fusion.types import Sample
    from fusion.views import Picture
    from fusion.views.page import Page

TOLD = ("occlusion", "integrated", "raw", "shapley", "weights")  # of each kind one or two: hiding, gradients, attention
DEAR = ("shapley",)  # where words and regions are judged; of whole modalities it is cheap


def explained(page: Page, case: Case | Tabled, sample: Sample, fit: str = "pad") -> Page:
    """A page of a sample with a last part that says why, of the first number that the model gives, where it gives one.

    fit: how the encoder lays the sample's picture on its square.
    """
    found = _section(case, sample, fit)
    return page if found is None else replace(page, sections=[*page.sections, found])


def _section(case: Case | Tabled, sample: Sample, fit: str) -> tuple[str, list[Picture]] | None:
    from fusion.views import attribution

    if isinstance(case, Case):
        if not known(case.model, case.output):
            return None
        line = _line(case)
    else:
        line = case.lines[0]
    whole = case.whole_only
    why = case.applying(line, whole=whole)
    able = [one for one in TOLD if not why[one] and (whole or one not in DEAR)]
    judged = [case.judge(line, one, whole=whole) for one in able]
    pictures: list[Picture] = []
    first = judged[0]
    if whole:
        moved = totals(first.told)
        pictures.append(attribution.modalities(moved, method=first.method, signed=METHODS[first.method].signed))
    else:
        done = first.told.explanation.trace
        for signal in done:
            assert isinstance(signal, Attribution), "an explanation has nothing else"
            pictures.append(attribution.parts(signal, sample, done, fit=fit))
    pictures += [curves(judged), curves(judged, inserting=True)]
    if len(judged) > 1:
        pictures.append(attribution.concord([t(f"method.{one.method}") for one in judged], concord(judged)))
    kind = line.partition(":")[0]
    return t("report.why", target=t(f"report.why.{kind}")), pictures


def _line(case: Case) -> str:
    """The answer; of a pair the match, or without a picture the tag of its first word."""
    line = case_line(case)
    if line == MATCH and not bool(case.batch.has("image")[0]):
        steps = case.batch.steps["text"][0]
        return f"{TAG}:{steps.group.index(0)}"
    return line


def curves(judged: Sequence[Judged], *, inserting: bool = False) -> Picture:
    """The curves of one or several methods beside those of random orders."""
    from fusion.views import attribution
    from fusion.views.attribution import Order

    which, first = "insertion" if inserting else "deletion", judged[0].trial
    named = {one.method: t(f"method.{one.method}") for one in judged}
    orders = [Order(named[one.method], one.trial.own.share, getattr(one.trial.own, which)) for one in judged]
    if len(judged) == 1:
        orders.append(Order(t("explain.reverse"), first.reverse.share, getattr(first.reverse, which)))
    return attribution.deletion(
        orders, [Order("", one.share, getattr(one, which)) for one in first.random],
        areas={named[one.method]: one.trial.areas(which)[0] for one in judged},
        expected=first.areas(which)[1], beaten={named[one.method]: one.trial.beaten(which) for one in judged},
        inserting=inserting,
    )  # fmt: skip
