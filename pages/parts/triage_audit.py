"""How far the order can be trusted, from what people said: a random draw first, then the suspects looked at."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, grid, state, triage_keys, triage_list, triage_planted
from pages.parts.chrome import guard, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.triage.audit import Share, WithWithout
    from fusion.views.triage import Rate
    from pages.parts.triage_run import Opened

TOPS = (20, 50, 100, 200, 500)  # of the most suspicious
LONG = 2000  # rows of the queue that the advice looks through
FEW = 10  # pairs of two reviewers below which their kappa says nothing
QUICK = 20_000  # rows up to which figures are counted without being asked for


def show(opened: Opened) -> None:
    """Everything on the tab."""
    with st.container(border=True, key="card_rate"), guard("queue.rate"):
        base = _rate(opened)
    with guard("views.rates.title"):
        _rates(opened, base)
    with st.container(border=True, key="card_advice"), guard("queue.advice"):
        _advice(opened, base)
    with st.container(border=True, key="card_planted"), guard("queue.planted"):
        triage_planted.show(opened)
    with st.container(border=True, key="card_without"), guard("queue.without"):
        _without(opened)
    with st.container(border=True, key="card_agreement"), guard("queue.agreement"):
        _agreement(opened)


def _rate(opened: Opened) -> Share | None:
    """The share of wrong pairs, from the random draw alone."""
    from fusion.triage.audit import share
    from fusion.views.speech import percent

    ids, decided = opened.drawn(triage_list.RANDOM), opened.decided()
    seen = sum(id in decided for id in ids)
    found = share(decided, ids)
    st.markdown(f"##### {t('queue.rate')}")
    st.markdown(t("queue.rate.tell", count=len(ids)))
    st.progress(seen / max(len(ids), 1), text=t("queue.rate.done", done=seen, count=len(ids)))
    if found is not None:
        low, high = percent(found.interval.low), percent(found.interval.high)
        st.metric(t("queue.rate.share"), percent(found.interval.value), t("match.rate.range", low=low, high=high),
                  delta_color="off", delta_arrow="off")  # fmt: skip
        st.caption(t("queue.rate.counted", wrong=found.wrong, count=found.counted, open=found.open))
    elif seen:
        st.caption(t("queue.rate.wait"))
    if seen < len(ids):
        st.button(t("queue.rate.go"), key="triage_random", type="primary", on_click=_random)
    return found


def _random() -> None:
    state.put(show="random", status=None, sort=None, find=None, where=None, pair=None, tab=None)
    st.session_state["triage_tabs"] = t("triage.tab.queue")


def _rates(opened: Opened, base: Share | None) -> None:
    """The random draw beside the first so many suspects that were looked at."""
    from fusion.triage.audit import precision
    from fusion.views import triage

    decided, found = opened.decided(), []
    if base is not None:
        found.append(_told(t("queue.rates.random", count=base.counted), base, random=True))
    first = _first(opened, max(TOPS))
    for top in TOPS:
        part = precision(decided, first[:top])
        if part is not None and top <= len(first):
            found.append(_told(t("queue.rates.first", top=top, count=part.counted), part))
    if found:
        grid.show(lambda: triage.rates(found), "triage_rates")


def _told(name: str, share: Share, *, random: bool = False) -> Rate:
    from fusion.views.triage import Rate

    within = share.interval
    return Rate(name, within.value, within.low, within.high, share.wrong, share.counted, random)


def _first(opened: Opened, count: int) -> list[str]:
    """Ids of the most suspicious."""
    key = ("triage_first", str(opened.folder), opened.stamp, count)
    return cache.made(lambda: opened.store.page(limit=count)["id"].astype(str).tolist(), *key)


def _advice(opened: Opened, base: Share | None) -> None:
    """Whether going on finds more than picking at random would."""
    from fusion.triage.audit import FEWEST, LAST, advice
    from fusion.views.speech import percent

    st.markdown(f"##### {t('queue.advice')}")
    found = advice(opened.decided(), _first(opened, LONG), base)
    if found is None:
        st.markdown(t("queue.advice.few", count=LAST))
        return
    facts = {"last": found.last, "wrong": found.wrong, "upper": percent(found.upper), "base": percent(found.base)}
    (st.success if found.stop else st.info)(t("queue.advice.stop" if found.stop else "queue.advice.go", **facts))
    if found.known or base is None or base.counted < FEWEST:
        st.caption(t("queue.advice.base" if found.known else "queue.advice.guess", base=facts["base"], count=FEWEST))
    else:
        st.caption(t("queue.advice.low", base=facts["base"], share=percent(base.interval.value)))


def _without(opened: Opened) -> None:
    """What the model's figure was worth without the pairs that are wrong."""
    from fusion.views.speech import num

    st.markdown(f"##### {t('queue.without')}")
    st.markdown(t("queue.without.tell"))
    triage_keys.on_map(opened, "audit_map")
    tagged = tuple(sorted(opened.verdicts().ids("mismatch")))
    if not tagged:
        st.caption(t("queue.without.none"))
        return
    key = ("triage_without", str(opened.folder), opened.stamp, tagged)
    if opened.store.count > QUICK and st.session_state.get("triage_without") != key:
        if not st.button(t("work.compute"), key="triage_without_go"):
            return
        st.session_state["triage_without"] = key
    found = cache.made(lambda: figures(opened, tagged), *key)
    if not found:
        st.caption(t("queue.without.nothing"))
    for one in found:
        low, high = (f"{'+' * (value > 0)}{num(value)}" for value in (one.difference.low, one.difference.high))
        facts = {"whole": num(one.whole), "without": num(one.without), "low": low, "high": high}
        counts = {"tagged": f"{one.tagged:,}", "rows": f"{one.rows:,}"}
        told = t("queue.without.said", name=t(f"queue.figure.{one.name}"), **facts, **counts)
        st.markdown(told)
        if not one.difference.excludes():
            st.caption(t("queue.without.zero"))


def figures(opened: Opened, tagged: tuple[str, ...]) -> list[WithWithout]:
    """Each figure that the run allows, with and without the tagged rows; columns are read one by one."""
    import pandas as pd

    from fusion.triage import audit

    wanted = ("id", "match", "match_shuffled", "right", "error", "rank_answer", "loss")
    store = opened.store
    frame = pd.DataFrame({name: store.column(name) for name in wanted if name in store.columns})
    made = (audit.with_without(frame, tagged, name) for name in audit.figures(frame))
    return [one for one in made if one is not None]


def _agreement(opened: Opened) -> None:
    """How often every two reviewers agree, and the pairs where they don't."""
    import pandas as pd

    from fusion.triage.audit import MOST, agreement
    from fusion.views.speech import num, percent

    st.markdown(f"##### {t('queue.agreement')}")
    found = agreement(opened.decided())
    if not found:
        st.caption(t("queue.agreement.none"))
        return
    who = lambda name: name or t("queue.nobody")  # noqa: E731
    beyond = lambda one: num(one.kappa) if one.rows >= FEW and isfinite(one.kappa) else "–"  # noqa: E731
    rows = [[who(one.one), who(one.other), one.rows, percent(one.same), beyond(one)] for one in found]
    columns = [t(f"queue.agreement.{name}") for name in ("one", "other", "rows", "same", "kappa")]
    st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True, key="triage_agreement",
                 alt=t("queue.agreement.alt", count=len(found)))  # fmt: skip
    st.caption(t("queue.agreement.tell", few=FEW))
    if len({name for said in opened.decided().values() for name in said}) > MOST:
        st.caption(t("queue.agreement.most", count=MOST))
    differ = _differing(opened.decided())
    if differ:
        st.markdown(t("queue.agreement.differ", count=len(differ)))
        st.button(t("queue.agreement.go"), key="triage_differ", on_click=_differ)
        st.caption(t("views.list.comma").join(plain(id, 40) for id in differ[:12]))


def _differing(decided: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [id for id, said in decided.items() if len(set(said.values())) > 1]


def _differ() -> None:
    state.put(show="all", status="disagreement", sort=None, find=None, where=None, pair=None, tab=None)
    st.session_state["triage_tabs"] = t("triage.tab.queue")
