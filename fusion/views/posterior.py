"""A latent space with several experts: what each says and how surely, whose word counts, and what a subset loses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, INK, SEQUENTIAL, scale
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import caveat, clean, distinct, join, limit_note, num, percent, say
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Posterior, Trace
    from fusion.types import Sample

MOST_DIMENSIONS = 12  # lines of a picture with one line a dimension
MOST_COLUMNS = 64
USED = 0.1  # nats of KL above which a dimension says something of one sample
FAINT = 10.0  # of the prior's spread, above which an expert has less than 1 % of the prior's weight


def experts(signal: Posterior, sample: Sample, trace: Trace) -> Picture:
    """Do the experts agree? A line a latent dimension: mean and standard deviation of each expert and of the joint
    posterior, the prior's spread shaded; the dimensions that say most of this sample first."""
    key, title = f"experts-{signal.name}", t("views.posterior.title")
    there, kl = base.flags(signal.present), base.array(signal.kl)  # (M,), (Z,)
    order = _order(kl)[:MOST_DIMENSIONS]
    labels = [_called(int(z)) for z in order]
    sheet, faint = Sheet(key, 110 + 34 * len(order), top=30, bottom=44), _faint(signal)
    prior, place = base.array(signal.prior_scale), np.arange(len(order))
    for row, z in enumerate(order):
        sheet.shapes.append({
            "type": "rect", "x0": -float(prior[z]), "x1": float(prior[z]), "y0": row - 0.42, "y1": row + 0.42,
            "xref": "x", "yref": "y", "fillcolor": "rgba(122,122,122,0.15)", "line": {"width": 0}, "layer": "below",
        })  # fmt: skip
    told = [m for m, here in zip(signal.modalities, there, strict=True) if here]
    for number, m in enumerate(told):
        at = signal.modalities.index(m)
        mean, spread = base.array(signal.value)[at, order], base.array(signal.scale)[at, order]
        mean = np.where(faint[at, order], np.nan, mean)
        shift = 0.5 * ((number + 1) / (len(told) + 1) - 0.5)
        colour = _colour(signal, m)
        _points(
            sheet, mean, spread, place + shift, clean(say(m), 24), colour, ("circle", "square", "triangle-up")[at % 3]
        )
    joint, joint_spread = base.array(signal.joint)[order], base.array(signal.joint_scale)[order]
    _points(sheet, joint, joint_spread, place + 0.32, t("views.posterior.joint"), INK, "diamond")
    sheet.rule(0, dash="solid", width=1)
    # An expert that knows little of a dimension says so by a spread that would push all else together.
    heard = np.where(faint, 0.0, base.array(signal.value))[there]
    means = np.abs(np.concatenate([heard[:, order].ravel(), joint]))
    reach = 1.15 * float(max(means.max(initial=0.0), 2.5 * prior[order].max()))
    sheet.set(
        xaxis={"title": {"text": t("views.axis.latent")}, "range": [-reach, reach]},
        yaxis={"tickvals": place, "ticktext": labels, "range": [len(order) - 0.5, -0.5], "showgrid": False},
    )  # fmt: skip
    top = int(order[0])
    facts = {
        "used": int((kl > USED).sum()), "count": len(kl), "top": _called(top), "value": num(float(kl[top])),
        "total": num(float(kl.sum())), "names": t("views.list.comma").join(say(m) for m in told),
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.dimension"): [_called(z) for z in range(len(kl))], t("views.axis.kl"): kl})
    for name, mean, spread in _columns(signal, there):
        table[f"{name}, {t('views.axis.mean')}"], table[f"{name}, {t('views.axis.spread')}"] = mean, spread
    finding = join(
        t("views.posterior.finding", **facts), _apart(signal), _silent(signal), limit_note(len(order), len(kl))
    )
    return Picture(
        key, title, sheet.figure(), t("views.posterior.alt", finding=finding, names=facts["names"]), table, finding,
        t("views.posterior.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def shares(signal: Posterior, sample: Sample, trace: Trace) -> Picture:
    """Whose word counts in which latent dimension? A row each for the prior and every expert, columns sum to one."""
    key, title = f"shares-{signal.name}", t(f"views.shares_of.{'mixture' if signal.rule == 'moe' else 'product'}")
    values, kl = base.array(signal.share), base.array(signal.kl)  # (M + 1, Z)
    names = [say("prior"), *(say(m) for m in signal.modalities)]
    order = _order(kl)[:MOST_COLUMNS]
    sheet = heat(key, len(names), longest=6, extra=16)
    sheet.add(
        "heatmap", z=values[:, order], x=[_called(int(z)) for z in order],
        y=distinct([clean(name, 24) for name in names]), colorscale=scale(SEQUENTIAL), zmin=0, zmax=1, xgap=1, ygap=1,
        colorbar=bar(t("views.axis.weight")), hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.set(xaxis={"title": {"text": t("views.axis.dimension")}})
    mean = values.mean(1)
    top = int(mean[1:].argmax()) + 1
    wins = int((values.argmax(0) == top).sum())
    facts = {
        "top": names[top], "value": percent(float(mean[top])), "prior": percent(float(mean[0])), "wins": wins,
        "count": len(kl),
        "all": t("views.list.comma").join(f"{n} {percent(float(v))}" for n, v in zip(names, mean, strict=True)),
    }  # fmt: skip
    finding = t("views.shares_of.finding", **facts)
    table = pd.DataFrame({t("views.axis.dimension"): [_called(z) for z in range(len(kl))], t("views.axis.kl"): kl})
    for name, line in zip(names, values, strict=True):
        table[name] = line
    return Picture(
        key, title, sheet.figure(), t("views.shares_of.alt", **facts), table,
        join(finding, limit_note(len(order), len(kl))), t("views.shares_of.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def subsets(signal: Posterior, sample: Sample, trace: Trace) -> Picture:
    """What is lost without a modality? How far each subset's posterior lies from that of everything that is there."""
    key, title = f"lost-{signal.name}", t("views.lost.title")
    there = base.flags(signal.subset_present)
    kept = [subset for subset, here in zip(signal.subsets, there, strict=True) if here]
    names = [" + ".join(say(m) for m in subset) for subset in kept]
    mean, spread = base.array(signal.subset_mean)[there], base.array(signal.subset_scale)[there]  # (S', Z)
    joint, joint_spread = base.array(signal.joint), base.array(signal.joint_scale)
    away = np.sqrt(np.square(mean - joint).sum(1) + np.square(spread - joint_spread).sum(1))
    prior = base.array(signal.prior_scale)
    ratio = np.log(spread / prior)
    said = 0.5 * (np.square(mean / prior) + np.expm1(2 * ratio) - 2 * ratio).sum(1)
    nothing = float(np.sqrt(np.square(joint).sum() + np.square(prior - joint_spread).sum()))
    sheet = Sheet(key, 96 + 30 * len(kept), top=26, right=40)
    sheet.add(
        "bar", x=away, y=distinct([clean(name, 34) for name in names]), orientation="h", showlegend=False,
        text=[num(float(v)) for v in away], textposition="outside", cliponaxis=False,
        marker={"color": [_colour(signal, s[0]) if len(s) == 1 else INK for s in kept],
                "line": {"color": INK, "width": 1}}, hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.rule(nothing)
    sheet.note(t("views.lost.prior"), x=nothing, xref="x", y=1, yref="paper", yanchor="bottom", xanchor="right")
    sheet.set(xaxis={"title": {"text": t("views.axis.away")}, "rangemode": "tozero", "nticks": 5}, yaxis=LINES)
    table = pd.DataFrame({
        t("views.axis.modalities"): names, t("views.axis.away"): away.astype(np.float32),
        t("views.axis.said"): said.astype(np.float32),
    })  # fmt: skip
    part = [i for i, subset in enumerate(kept) if len(subset) < len(kept[-1])]
    facts = {"count": len(kept), "prior": num(nothing)}
    if not part:
        finding = t("views.lost.one", name=names[0], **facts)
    else:
        near, far = min(part, key=lambda i: away[i]), max(part, key=lambda i: away[i])
        finding = t(
            "views.lost.finding", near=names[near], near_value=num(float(away[near])), far=names[far],
            far_value=num(float(away[far])), **facts,
        )  # fmt: skip
    each = t("views.list.comma").join(f"{name} {num(float(v))}" for name, v in zip(names, away, strict=True))
    return Picture(
        key, title, sheet.figure(), t("views.lost.alt", all=each), table, finding, t("views.lost.shows"),
        t("views.lost.hides"),
    )  # fmt: skip


def dimensions(kl: np.ndarray, variance: np.ndarray, active: float = 0.01) -> Picture:
    """Which latent dimensions are in use over a data set? Mean KL of each, those whose means hardly vary pale.

    kl (Z,) nats, variance (Z,) of the posterior means over the samples; active: variance above which one is in use.
    """
    key, title = "latent-dimensions", t("views.latent.title")
    kl, on = np.asarray(kl, np.float32), np.asarray(variance) > active
    order = _order(kl)[:MOST_COLUMNS]
    sheet = Sheet(key, 260, top=26, bottom=52)
    for wanted, colour in ((True, CATEGORIES[0]), (False, "rgba(0,0,0,0)")):
        chosen = [int(z) for z in order if on[z] == wanted]
        sheet.add(
            "bar", x=[_called(z) for z in chosen], y=kl[chosen],
            name=t("views.latent.active" if wanted else "views.latent.idle"),
            marker={"color": colour, "line": {"color": INK, "width": 1}},
            hovertemplate="%{x}: %{y:.3g}<extra></extra>",
        )  # fmt: skip
    sheet.set(
        xaxis={"type": "category", "title": {"text": t("views.axis.dimension")}, "categoryorder": "array",
               "categoryarray": [_called(int(z)) for z in order]},
        yaxis={"title": {"text": t("views.axis.kl")}, "rangemode": "tozero", "nticks": 5},
    )  # fmt: skip
    facts = {
        "used": int((kl > USED).sum()), "active": int(on.sum()), "count": len(kl), "top": _called(int(order[0])),
        "value": num(float(kl[order[0]])), "total": num(float(kl.sum())),
    }  # fmt: skip
    table = pd.DataFrame({
        t("views.axis.dimension"): [_called(z) for z in range(len(kl))], t("views.axis.kl"): kl,
        t("views.axis.variance"): np.asarray(variance, np.float32),
    })  # fmt: skip
    finding = join(t("views.latent.finding", **facts), limit_note(len(order), len(kl)))
    return Picture(
        key, title, sheet.figure(), t("views.latent.alt", finding=finding), table, finding, t("views.latent.shows"),
        t("views.latent.hides"),
    )  # fmt: skip


def _colour(signal: Posterior, modality: str) -> str:
    return COLOURS.get(modality, CATEGORIES[signal.modalities.index(modality) % len(CATEGORIES)])


def _apart(signal: Posterior) -> str:
    """Which two experts are furthest apart of those that say something, "" where fewer than two do."""
    heard = base.flags(signal.present) & (_faint(signal).mean(1) < 0.5)
    distance = np.where(heard[:, None] & heard, base.array(signal.distance), 0.0)
    if heard.sum() < 2 or not np.isfinite(distance).all():
        return ""
    a, b = divmod(int(distance.argmax()), len(distance))
    names = signal.modalities
    return t("views.posterior.apart", a=say(names[a]), b=say(names[b]), value=num(float(distance[a, b])))


def _faint(signal: Posterior) -> np.ndarray:
    """Where an expert's spread is so wide beside the prior's that it says next to nothing. -> (M, Z) bool"""
    return ~(base.array(signal.scale) <= FAINT * base.array(signal.prior_scale))


def _silent(signal: Posterior) -> str:
    """Who says next to nothing, and in how many dimensions; "" where everybody says something everywhere."""
    faint, there = _faint(signal).sum(1), base.flags(signal.present)
    told = [
        t("views.posterior.faint.one", name=say(m), count=int(count))
        for m, count, here in zip(signal.modalities, faint, there, strict=True) if here and count
    ]  # fmt: skip
    facts = {"names": t("views.list.comma").join(told), "all": signal.value.shape[-1]}
    return t("views.posterior.faint", **facts) if told else ""


def _points(
    sheet: Sheet, mean: np.ndarray, spread: np.ndarray, place: np.ndarray, name: str, colour: str, symbol: str
) -> None:  # fmt: skip
    """Means with their standard deviations as whiskers."""
    sheet.add(
        "scatter", x=mean, y=place.astype(np.float32), mode="markers", name=name,
        error_x={"type": "data", "array": spread, "color": colour, "thickness": 2, "width": 0},
        marker={"size": 9, "color": colour, "symbol": symbol, "line": {"color": INK, "width": 1}},
        hovertemplate="%{x:.3f} ± %{error_x.array:.3f}<extra></extra>",
    )  # fmt: skip


def _columns(signal: Posterior, there: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, means and spreads of the joint posterior and of every expert that is there."""
    mean, spread = base.array(signal.value), base.array(signal.scale)
    made = [(t("views.posterior.joint"), base.array(signal.joint), base.array(signal.joint_scale))]
    return made + [(say(m), mean[i], spread[i]) for i, m in enumerate(signal.modalities) if there[i]]


def _order(kl: np.ndarray) -> np.ndarray:
    return np.argsort(-kl, kind="stable")


def _called(dimension: int) -> str:
    return f"z{dimension + 1}"
