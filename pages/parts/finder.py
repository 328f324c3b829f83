"""Ways to choose an entity of two graphs: by name, by chance, the wrongly aligned first; and a picture to put in."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, pickers, state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from fusion.alignment.whole import AlignedSet
    from fusion.data import DataSet
    from fusion.types import Image, Sample

FOUND = 8  # entities that a search lists
HELD_OUT = "test"


def name_of(sample: Sample) -> str:
    """What a reader calls an entity: its name, with its emoji where it is one, else its id."""
    from fusion.alignment.inspection import plain_name

    return plain_name(sample)


def title_of(dataset: DataSet, id: str) -> str:
    """What the graph of an entity is called."""
    assert dataset.graph is not None, "a face of entities has graphs"
    return dataset.graph.titles[int(dataset.graph.side[dataset.index[id]])]


def wrong(aligned: AlignedSet) -> pd.DataFrame:
    """Entities whose partner isn't first, the held-out ones alone where there are any, the worst first.

    A pair stands in it once for each of its entities that is wrong.
    """
    frame = aligned.frame
    found = frame[frame["rank"] > 1]
    held = found[found["split"] == HELD_OUT]
    return (held if len(held) else found).sort_values(["rank", "score"], ascending=[False, True], kind="stable")


def from_address(dataset: DataSet) -> str:
    """Why what the address names isn't here, "" when it is or when it names nothing."""
    for name in ("id", "against"):
        id = state.get(name)
        if id and id not in dataset.index:
            state.put(**{name: None})
            return t("error.entity", id=plain(id, 60), data=plain(dataset.name, 60))
    return ""


def show(dataset: DataSet, aligned: AlignedSet | None) -> None:
    """The input of the Inspect page for a graph checkpoint."""
    example = plain(name_of(dataset.samples[0]), 30) if len(dataset) else ""
    st.text_input(
        t("entity.search"), key="entity_search", placeholder=t("entity.search.example", name=example),
        help=t("entity.search.help"),
    )  # fmt: skip
    results(dataset, lambda sample: plain(title_of(dataset, sample.id), 20), take)
    with st.container(horizontal=True, gap="xsmall", key="rows"):
        st.button(t("chrome.previous"), key="row_back", on_click=_row, args=(dataset, -1), shortcut="Alt+ArrowLeft")
        st.button(t("chrome.next"), key="row_on", on_click=_row, args=(dataset, 1), shortcut="Alt+ArrowRight")
        st.button(t("entity.random"), key="random", on_click=_random, args=(dataset,))
    worst = None if aligned is None else wrong(aligned)
    st.button(
        t("entity.wrong") if worst is None else t("entity.wrong.count", count=f"{len(worst):,}"), key="next_wrong",
        on_click=_wrong, args=(worst,), disabled=worst is None or not len(worst), help=t("entity.wrong.help"),
        width="stretch",
    )  # fmt: skip
    if state.get("id"):
        _against(dataset)
        uploader()


def results(
    dataset: DataSet, under: Callable[[Sample], str], take: Callable[[str], None],
    name: Callable[[Sample], str] = name_of,
) -> None:  # fmt: skip
    """Samples whose name or id holds what was typed, those that begin with it first; a click takes one by its id.

    under: what stands beside a name; name: what a reader calls a sample.
    """
    typed = (st.session_state.get("entity_search") or "").strip()
    if not typed:
        return
    rows = search(dataset, typed, name)
    if not rows:
        st.info(t("entity.search.none", words=plain(typed, 60)))
        return
    with st.container(gap=None, key="found"):
        for row in rows[:FOUND]:
            sample = dataset.samples[row]
            label = " · ".join(one for one in (plain(name(sample), 36), under(sample)) if one)
            st.button(label, key=f"found_{row}", type="tertiary", on_click=take, args=(sample.id,))
        if len(rows) > FOUND:
            st.caption(t("views.showing", shown=FOUND, count=f"{len(rows):,}"))


def search(dataset: DataSet, typed: str, name: Callable[[Sample], str] = name_of) -> list[int]:
    """Rows whose name or id holds some letters, whatever their case: the same, those that begin so, the others."""
    names = cache.made(lambda: [f"{name(s)}\n{s.id}".casefold() for s in dataset.samples], "names", dataset.digest)
    wanted = typed.casefold()
    found = [row for row, name in enumerate(names) if wanted in name]

    def place(row: int) -> tuple[bool, bool]:
        pieces = names[row].replace("\n", " ").split(" ")
        return wanted not in names[row].split("\n"), not any(piece.startswith(wanted) for piece in pieces)

    return sorted(found, key=place)


def take(id: str) -> None:
    """Look at an entity; a picture that was put into another one and a comparison are let go of."""
    state.put(id=id, against=None, head=None)
    st.session_state.pop("entity_picture", None)


def _row(dataset: DataSet, by: int) -> None:
    at = dataset.index.get(state.get("id"), -1 if by > 0 else 0)
    take(dataset.samples[(at + by) % len(dataset)].id)


def _random(dataset: DataSet) -> None:
    """An entity with a partner, from the links to test where there are such."""
    graph = dataset.graph
    assert graph is not None, "a face of entities has graphs"
    pairs = graph.pairs(HELD_OUT)
    rows = (pairs if len(pairs) else graph.links).ravel()
    row = int(random.choice(rows.tolist())) if len(rows) else random.randrange(len(dataset))
    take(dataset.samples[row].id)


def _wrong(worst: pd.DataFrame | None) -> None:
    """The next wrongly aligned entity after the one looked at, the worst one first."""
    ids = [] if worst is None else worst["id"].astype(str).tolist()
    if ids:
        now = state.get("id")
        take(ids[(ids.index(now) + 1) % len(ids)] if now in ids else ids[0])


def _against(dataset: DataSet) -> None:
    """Whom to compare it with, when not its partner."""
    now = state.get("against")
    with st.container(key="against_box"):
        if now and now in dataset.index:
            st.caption(t("entity.against.now", name=plain(name_of(dataset.get(now)), 60)))
            st.button(t("entity.against.drop"), key="against_drop", on_click=state.put, kwargs={"against": None})
        st.text_input(
            t("entity.against"), key="against_id", on_change=_typed, args=(dataset,),
            placeholder=t("entity.against.tell"),
        )  # fmt: skip
    if problem := st.session_state.pop("against_problem", ""):
        st.error(problem)


def _typed(dataset: DataSet) -> None:
    """Take the best match of the other graph."""
    typed = (st.session_state.get("against_id") or "").strip()
    graph = dataset.graph
    assert graph is not None, "a face of entities has graphs"
    if not typed:
        return
    own = graph.side[dataset.index[state.get("id")]]
    rows = [row for row in search(dataset, typed) if graph.side[row] != own]
    if rows:
        state.put(against=dataset.samples[rows[0]].id)
        st.session_state["against_id"] = ""
    else:
        st.session_state["against_problem"] = t("entity.against.none", words=plain(typed, 60))


def uploader() -> None:
    """A picture in the place of the entity's own; it stays on this machine and in no link."""
    st.markdown(t("entity.drop"))
    pickers.drop_box("entity_drop", _dropped)
    kept = st.session_state.get("entity_picture")
    if kept is not None and kept[0] == state.get("id"):
        with st.container(horizontal=True, vertical_alignment="center", key="on_desk"):
            try:
                st.image(cache.shown(kept[1]), width=96, alt=t("entity.picture.own"))
            except FusionError as error:
                st.error(plain(str(error), 500))
            st.button(t("entity.picture.back"), key="remove_picture", type="tertiary", on_click=_restore)


def _dropped(_name: str, picture: Image) -> None:
    st.session_state["entity_picture"] = (state.get("id"), picture)


def _restore() -> None:
    st.session_state["entity_picture"] = None


def picture() -> Image | None:
    """The picture put in for the entity that is looked at."""
    kept = st.session_state.get("entity_picture")
    return kept[1] if kept is not None and kept[0] == state.get("id") else None


def first(dataset: DataSet, aligned: AlignedSet | None) -> list[Sample]:
    """Three entities to begin with: a wrong one where it is known, else held-out ones at even distances."""
    graph = dataset.graph
    assert graph is not None, "a face of entities has graphs"
    pairs = graph.pairs(HELD_OUT)
    pairs = pairs if len(pairs) else graph.links
    rows = pairs[np.linspace(0, len(pairs) - 1, 3).astype(int), 0].tolist() if len(pairs) else list(range(3))
    found = [dataset.samples[row] for row in rows if row < len(dataset)]
    if aligned is not None and len(worst := wrong(aligned)):
        found = [dataset.get(str(worst["id"].iloc[0])), *found[:2]]
    return found
