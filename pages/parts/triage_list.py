"""The list that is gone through: what is in it, a hundred rows at a time, and which one is looked at.

A list is frozen when it is made: a verdict moves on to the next row and takes none away, whatever the filter says, so
that a key press asks nothing of the rows. Another filter, or the button beside the list, makes it anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from fusion import kept
from fusion.types import FusionError
from pages.parts import state

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from fusion.triage.conditions import Condition
    from fusion.triage.weighing import Weighing
    from pages.parts.triage_run import Opened

PAGE = 100  # rows that are read at once
BLOCK = 12  # rows in sight
TAKE = 200  # of the most suspicious, at first
RANDOM = 50  # drawn for the estimate
SHOWS = ("top", "random", "sel", "all")
TAGGED = ("keep", "mismatch", "fix", "unsure")
STATUSES = ("any", "open", "tagged", *TAGGED, "disagreement")
KEPT, PLACE = "triage_list", "triage_place"  # the list, and where in it one was last
TEXTS = ("text", "name", "partner_name", "relation_name", "tail_name")  # columns whose words are looked for
SHAPED = ("show", "take", "status", "sort", "find", "where", "weights", "pair")  # what the address says of a list
FIRST: dict[str, str | int | None] = dict.fromkeys(SHAPED)  # a list as at first


@dataclass(frozen=True)
class Wanted:
    """What the address says of the list."""

    run: str
    show: str
    take: int
    status: str
    sort: str
    find: str
    where: tuple[tuple[str, str, object], ...]
    who: str
    weights: tuple[tuple[str, float], ...] = ()  # of the parts, where the reader chose them
    chosen: tuple[str, ...] = ()  # ids, where a selection is the list


@dataclass(frozen=True, eq=False)
class Listing:
    """Some rows of a frozen list."""

    wanted: Wanted
    latest: int  # number of the last verdict when it was frozen
    conditions: tuple[Condition, ...]
    count: int
    offset: int
    frame: pd.DataFrame
    order: Weighing | None = None  # weights of one's own that it is ordered by

    @property
    def ids(self) -> list[str]:
        """Of the rows that are read."""
        return self.frame["id"].astype(str).tolist()

    def place(self, id: str) -> int | None:
        """Where a row that is read stands in the list, 0 for the first; None for another one."""
        ids = self.ids
        return self.offset + ids.index(id) if id in ids else None


def wanted(opened: Opened) -> Wanted:
    """The list that the address asks for; what it doesn't say is as at first."""
    chosen = state.selection()
    shows = [one for one in SHOWS if one != "sel" or (chosen.ids and chosen.data == opened.spec)]
    show = state.get("show") if state.get("show") in shows else SHOWS[0]
    status = state.get("status") if state.get("status") in STATUSES else STATUSES[0]
    sort = state.get("sort") if state.get("sort") in opened.store.columns else "suspicion"
    take, who, ids = state.whole("take") or TAKE, state.get("who"), chosen.ids if show == "sel" else ()
    return Wanted(opened.token, show, take, status, sort, state.get("find"), read(opened), who, weights(opened), ids)


def weights(opened: Opened) -> tuple[tuple[str, float], ...]:
    """Weights of parts in the address, () where the run's own hold."""
    given = state.get("weights")
    if not given or not opened.store.meta.get("calibration"):
        return ()
    try:
        found = {str(name): float(value) for name, value in json.loads(given).items()}
    except (ValueError, TypeError, AttributeError):
        return ()
    return tuple((name, value) for name, value in found.items() if name in opened.parts and 0 <= value < 1e6)


def read(opened: Opened) -> tuple[tuple[str, str, object], ...]:
    """Filters on columns in the address: those of columns that are there. Raises FusionError on what is none."""
    try:
        rows = json.loads(state.get("where", "[]"))
        return tuple((str(c), str(how), tuple(v) if isinstance(v, list) else v) for c, how, v in rows)
    except (ValueError, TypeError):
        from fusion.words import t

        raise FusionError(t("queue.where.wrong")) from None


def write(where: tuple[tuple[str, str, object], ...]) -> None:
    """Put filters on columns into the address."""
    state.put(where=json.dumps(where, ensure_ascii=False, separators=(",", ":")) if where else None, pair=None)


def frozen(opened: Opened, *, anew: bool = False) -> Listing:
    """The list that the address asks for, with the row that is looked at among those that are read."""
    now: Listing | None = st.session_state.get(KEPT)
    asked = wanted(opened)
    if now is None or now.wanted != asked or anew:
        order = _order(opened, asked)
        conditions = _conditions(opened, asked, order)
        count, latest = opened.store.count_of(conditions), opened.verdicts().latest()
        made = Listing(asked, latest, conditions, count, 0, _none(), order)
        now = _read(opened, made, _page(opened, made) or 0)
    if asked.chosen and not state.get("sel"):  # another page has let go of its name, and the link still needs it
        state.put(sel=kept.select(opened.spec, asked.chosen))
    pair = state.get("pair")
    if not pair and len(now.frame):
        _at(now.ids[0])
    elif pair and pair not in now.ids and st.session_state.get("triage_sought") != (asked, pair):
        st.session_state["triage_sought"] = (asked, pair)  # a row outside the list is looked for once
        page = _page(opened, now)
        now = now if page is None else _read(opened, now, page)
    here = now.place(state.get("pair"))
    if here is not None and state.get("pair") != st.session_state.get("triage_visit"):
        st.session_state[PLACE] = (asked, here)
    return now


def left(listing: Listing) -> int:
    """The place in the list that one went through last, also while a row outside it is looked at."""
    asked, place = st.session_state.get(PLACE, (None, 0))
    return min(place, max(listing.count - 1, 0)) if asked == listing.wanted else listing.offset


def step(opened: Opened, by: int) -> None:
    """Look at the row so many further on; from a row outside the list, go back to where one was."""
    now: Listing = st.session_state[KEPT]
    here = now.place(state.get("pair"))
    turn(opened, left(now) if here is None else here + by)


def turn(opened: Opened, place: int) -> None:
    """Look at the row at a place of the list; where it isn't among those that are read, read on."""
    now: Listing = st.session_state[KEPT]
    place = min(max(place, 0), now.count - 1)
    if not now.offset <= place < now.offset + len(now.frame):
        now = _read(opened, now, max(place, 0) // PAGE * PAGE)
    if now.offset <= place < now.offset + len(now.frame):
        _at(now.ids[place - now.offset])


def _at(id: str) -> None:
    st.session_state["triage_visit"] = None
    state.put(pair=id)


def goto(id: str) -> None:
    """Look at a row, of the list or of none; the place that one goes through the list from stays."""
    st.session_state["triage_visit"] = id
    state.put(pair=id)


def row(opened: Opened, listing: Listing, id: str) -> Mapping[str, object]:
    """What is known of a row, of the list or of none. Raises FusionError when the run has no such row."""
    ids = listing.ids
    if id in ids:
        return {str(name): value for name, value in listing.frame.iloc[ids.index(id)].items()}
    return opened.store.row(id)


def _read(opened: Opened, listing: Listing, offset: int) -> Listing:
    """The same list with the rows from a place on; kept for the next run of the script."""
    made = replace(listing, offset=offset, frame=rows(opened, listing, offset, PAGE))
    st.session_state[KEPT] = made
    return made


def rows(opened: Opened, listing: Listing, offset: int, count: int) -> pd.DataFrame:
    """Some rows of a list in its order; a random draw is gone through as it was drawn, as its figure is read."""
    frame = opened.store.page(listing.order or listing.wanted.sort, listing.conditions, offset, count)
    if listing.wanted.show != "random" or listing.wanted.sort != "suspicion" or listing.order is not None:
        return frame
    drawn = {id: at for at, id in enumerate(opened.drawn(RANDOM))}  # fewer than are read at once
    return frame.sort_values("id", key=lambda ids: ids.map(drawn), kind="stable").reset_index(drop=True)


def _order(opened: Opened, asked: Wanted) -> Weighing | None:
    """Weights of one's own to order the rows by; None where the run's order holds, or that of a column."""
    if not asked.weights or asked.sort != "suspicion":
        return None
    from fusion.triage.score import Calibration
    from fusion.triage.weighing import Weighing

    return Weighing.of(dict(asked.weights), Calibration.read(opened.store.meta["calibration"]))


def _page(opened: Opened, listing: Listing) -> int | None:
    """Where the page begins that has the row looked at; None where it isn't in the list."""
    pair, order = state.get("pair"), listing.order or listing.wanted.sort
    found = opened.store.place(pair, listing.conditions, order) if pair else None
    return None if found is None else found // PAGE * PAGE


def _conditions(opened: Opened, asked: Wanted, order: Weighing | None) -> tuple[Condition, ...]:
    """What a row of the list must meet, with the verdicts of now. Raises FusionError on a filter that is none."""
    from fusion.triage.conditions import Condition
    from fusion.triage.places import ends
    from fusion.triage.verdicts import settled

    found: list[Condition] = []
    if asked.show == "top" and order is not None:
        found.append(Condition("rank", "in", tuple(opened.store.first(order, asked.take))))
    elif asked.show == "top":
        found.append(Condition("rank", "<=", asked.take))
    elif asked.show == "random":
        found.append(Condition("id", "in", tuple(opened.drawn(RANDOM))))
    elif asked.show == "sel":
        first, *more = ends(opened.store)  # what a map shows of linked entities are their ends
        found.append(Condition(first, "in", asked.chosen, tuple(more)))
    decided = opened.decided()
    if asked.status == "open":
        found.append(Condition("id", "not in", tuple(id for id, said in decided.items() if asked.who in said)))
    elif asked.status == "tagged":
        found.append(Condition("id", "in", tuple(decided)))
    elif asked.status != "any":
        ids = tuple(id for id, said in decided.items() if settled(dict(said)) == asked.status)
        found.append(Condition("id", "in", ids))
    if asked.find.strip():
        first, *more = [name for name in TEXTS if name in opened.store.columns] or ["id"]
        found.append(Condition(first, "contains", asked.find.strip(), tuple(more)))
    found += [Condition(*one) for one in asked.where]
    return tuple(found)


def _none() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"id": []})
