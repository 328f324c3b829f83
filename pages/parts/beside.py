"""Two entities side by side, and one entity before and after another picture was put in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, finder, grid, state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.alignment.observed import EntityObservation
    from fusion.data import DataSet
    from fusion.types import Sample

NEIGHBOURS = 8
ATTRIBUTES = 14


def pair(dataset: DataSet, seen: EntityObservation) -> None:
    """The entity at the left, its counterpart at the right: picture, name, neighbours, attributes."""
    left, right = st.columns(2)
    role = "named" if state.get("against") else "partner" if seen.partner is not None else "best"
    with left, st.container(border=True, height="stretch", key="card_entity"):
        st.caption(t("entity.this"))
        _one(dataset, seen.sample, seen.imputed, "own")
    with right, st.container(border=True, height="stretch", key="card_other"):
        st.caption(t(f"entity.other.{role}"))
        _one(dataset, seen.other, seen.other_imputed, "other")


def _one(dataset: DataSet, sample: Sample, imputed: Mapping[str, bool], key: str) -> None:
    from fusion.views.speech import say

    name, image = finder.name_of(sample), sample.image()
    face, words = st.columns((0.36, 0.64))
    with face:
        if image is not None:
            st.image(cache.shown(image), width=112, alt=t("entity.picture.of", name=plain(name, 80)))
        else:
            st.caption(t("entity.no_picture"))
    with words:
        st.markdown(f"**{plain(name, 120)}**")
        st.caption(f"{plain(finder.title_of(dataset, sample.id), 40)} · {plain(sample.id, 60)}")
        filled = [say(m) for m, lacking in imputed.items() if lacking]
        if filled:
            st.badge(t("entity.filled", names=t("views.list.comma").join(filled)), color="orange")
        if key == "other":
            st.button(t("entity.go"), key="go_other", type="tertiary", on_click=finder.take, args=(sample.id,))
    _near(dataset, sample)


def _near(dataset: DataSet, sample: Sample) -> None:
    """Neighbours with their relations, and attributes."""
    graph, row = dataset.graph, dataset.index[sample.id]
    assert graph is not None, "a face of entities has graphs"
    found = graph.neighbours(row)
    st.markdown(f"**{t('entity.neighbours', count=f'{len(found):,}')}**")
    if not found:
        st.caption(t("entity.neighbours.none"))
    lines = []
    for one in found[:NEIGHBOURS]:
        other = plain(finder.name_of(dataset.samples[one.entity]), 60)
        lines.append(f"- {plain(one.relation, 60)} {'→' if one.outgoing else '←'} {other}")
    if len(found) > NEIGHBOURS:
        lines.append(f"- {t('entity.more', count=f'{len(found) - NEIGHBOURS:,}')}")
    st.markdown("\n".join(lines))
    had = graph.attributes_of(row)
    if had:
        named = [plain(name, 40) + (f" ×{count}" if count > 1 else "") for name, count in had[:ATTRIBUTES]]
        more = f" · {t('entity.more', count=f'{len(had) - ATTRIBUTES:,}')}" if len(had) > ATTRIBUTES else ""
        st.markdown(f"**{t('entity.attributes', count=f'{len(had):,}')}** " + " · ".join(named) + more)


def moved(dataset: DataSet, before: EntityObservation, after: EntityObservation) -> None:
    """What another picture changed: a row a number, with what it was, what it is, and the change in words."""
    import pandas as pd

    from fusion.views.speech import num, say, signed

    rows = [("rank", before.rank, after.rank), ("joint", _joint(before), _joint(after))]
    named = [(t(f"entity.moved.{key}"), a, b) for key, a, b in rows]
    named += [(t("entity.moved.weight", name=say(m)), w, after.weights[m]) for m, w in before.weights.items()]
    named += [
        (t("entity.moved.rank_by", name=say(m)), rank, after.rank_by[m])
        for m, rank in before.rank_by.items() if after.rank_by.get(m) != rank
    ]  # fmt: skip
    was, now = (plain(finder.name_of(dataset.get(one.candidates[0].id)), 60) for one in (before, after))
    table = pd.DataFrame(
        {
            t("entity.moved.what"): [name for name, a, b in named],
            t("entity.moved.before"): ["–" if a is None else num(a) for _, a, _ in named],
            t("entity.moved.after"): ["–" if b is None else num(b) for _, _, b in named],
            t("entity.moved.change"): ["–" if a is None or b is None else signed(b - a) for _, a, b in named],
        }
    )
    with st.container(border=True, key="card_moved"):
        st.markdown(f"##### {t('entity.moved')}")
        st.markdown(t("entity.moved.same" if was == now else "entity.moved.first", before=was, after=now))
        st.dataframe(table, hide_index=True, key="moved", alt=t("entity.moved.alt", count=len(table)))
        grid.download(table, "moved", "csv_moved")


def _joint(seen: EntityObservation) -> float:
    return float(seen.drop.value[0, 0, 1])
