"""The Triage page: the list at the left, the pair at the right, how good the order is, and what leaves the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import (
    chrome,
    state,
    tabs,
    triage_audit,
    triage_choice,
    triage_files,
    triage_filters,
    triage_hands,
    triage_keys,
    triage_list,
    triage_pair,
    triage_partners,
)
from pages.parts.chrome import guard, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pages.parts.triage_list import Listing
    from pages.parts.triage_run import Opened

TABS = ("queue", "audit", "files")
WIDTHS = (46, 54)  # of the list and of the pair
LINE, LINES = 36, 66  # pixels of a row with one line of text, or with three: below 65 nothing is wrapped
SHORT = 22  # characters of a text that a line has room for
LONGEST = 160  # characters of a text in the list


def show() -> None:
    """Everything below the heading."""
    triage_hands.recall()
    opened = triage_choice.choose()
    if opened is None:
        return
    name, place = tabs.opened("triage", TABS)
    with place, guard(f"triage.tab.{name}"):
        if name == "audit":
            triage_audit.show(opened)
        elif name == "files":
            triage_files.show(opened)
        else:
            review(opened)


@chrome.fragment
def review(opened: Opened) -> None:
    """List and pair; a key redraws these alone."""
    above = st.container()
    try:
        listing = triage_list.frozen(opened, anew=st.session_state.pop("triage_anew", False))
    except FusionError as error:  # a filter of a link that is none: without it, there is a list
        st.error(plain(str(error), 400))
        _afresh()
        return
    with above, guard("queue.filters"):
        triage_filters.show(opened)
    if not listing.count:
        st.info(t("queue.empty"))
        if listing.wanted.show in ("top", "random"):
            st.button(t("queue.empty.all", count=f"{opened.store.count:,}"), key="triage_among_all",
                      on_click=state.put, kwargs={"show": "all", "pair": None})  # fmt: skip
        _afresh()
        _newer(opened, listing)
        return
    _progress(opened, listing)
    with st.container(key="triage_two"):
        left, right = st.columns(WIDTHS, gap="medium")
        row: Mapping[str, object] | None = None
        with right, st.container(border=True, key="card_pair"):
            with guard("queue.pair"):
                row = _looked_at(opened, listing)
                if row is not None:
                    _pair(opened, listing, row)
            beside = st.container()
        with left, guard("queue.list"):
            table(opened, listing)
        with beside, guard("queue.partners"):  # last: what takes longest is drawn when all else stands
            if row is not None:
                triage_partners.show(opened, row)


def _afresh() -> None:
    """The way out of a list with nothing in it."""
    st.button(t("queue.empty.take", count=50), key="triage_afresh", on_click=triage_filters.clear, type="primary")


def _looked_at(opened: Opened, listing: Listing) -> Mapping[str, object] | None:
    """The row that the address names; where the run has none of that name, that is said, with the way back."""
    try:
        return triage_list.row(opened, listing, state.get("pair") or listing.ids[0])
    except FusionError as error:
        st.error(plain(str(error), 400))
        _back(opened, listing, "primary")
        return None


def _back(opened: Opened, listing: Listing, kind: Literal["primary", "tertiary"]) -> None:
    """A button to the row of the list that one was at last."""
    place = triage_list.left(listing)
    st.button(t("queue.back", at=f"{place + 1:,}", count=f"{listing.count:,}"), key="triage_return", type=kind,
              on_click=triage_list.turn, args=(opened, place))  # fmt: skip


def _pair(opened: Opened, listing: Listing, row: Mapping[str, object]) -> None:
    id = str(row["id"])
    place = listing.place(id)
    at = t("queue.at.none") if place is None else t("queue.at", at=f"{place + 1:,}", count=f"{listing.count:,}")
    st.markdown(f"**{plain(id, 60)}** · {t('queue.rank', rank=f'{_rank(row):,}', count=f'{opened.store.count:,}')}"
                f" · {at}")  # fmt: skip
    if place != triage_list.left(listing):
        _back(opened, listing, "tertiary")
    triage_keys.show(opened, row)
    triage_pair.opinions(opened, id, state.get("who"))
    triage_pair.show(opened, row)
    triage_keys.note(opened, row)
    triage_pair.history(opened, id)
    if not triage_keys.opens(opened):
        st.caption(t("queue.inspect.gone" if opened.checkpoint else "queue.inspect.untrained"))


def _rank(row: object) -> int:
    return int(row["rank"])  # type: ignore[index]  # every row has one


def _progress(opened: Opened, listing: Listing) -> None:
    """How much of the list was judged by this reviewer."""
    done = _done(opened, listing, state.get("who"))
    said = t("queue.progress", done=f"{done:,}", count=f"{listing.count:,}")
    st.progress(min(done / listing.count, 1.0), text=said)
    _newer(opened, listing)


def _newer(opened: Opened, listing: Listing) -> None:
    """A button where verdicts since have changed what the list would hold."""
    newer = opened.verdicts().latest() != listing.latest and listing.wanted.status != "any"
    if newer:
        st.button(t("queue.anew"), key="triage_again", type="tertiary", on_click=_anew, help=t("queue.anew.help"))


def _anew() -> None:
    st.session_state["triage_anew"] = True


def _done(opened: Opened, listing: Listing, who: str) -> int:
    """Rows of the list that this reviewer judged; asked once a verdict, and of the judged ids alone."""
    from fusion.triage.conditions import Condition

    mine = tuple(id for id, said in opened.decided().items() if who in said)
    if not mine:
        return 0
    key = (listing.wanted, listing.latest, len(mine), hash(mine))
    kept = st.session_state.get("triage_done")
    if kept is None or kept[0] != key:
        kept = (key, opened.store.count_of((*listing.conditions, Condition("id", "in", mine))))
        st.session_state["triage_done"] = kept
    return kept[1]


def _counted(opened: Opened) -> None:
    """What the verdicts are: of all rows of the run, and of everyone."""
    from fusion.triage.verdicts import settled

    counts: dict[str, int] = dict.fromkeys(triage_list.TAGGED, 0)
    for said in opened.decided().values():
        verdict = settled(dict(said))
        counts[verdict] = counts.get(verdict, 0) + 1
    told = [f"{t(f'queue.verdict.{name}')} {count:,}" for name, count in counts.items() if count]
    if told:
        st.caption(t("queue.progress.all", told=t("views.list.comma").join(told)))


def table(opened: Opened, listing: Listing) -> None:
    """Twelve rows round the one looked at: a click goes to a row, buttons leaf on."""
    import pandas as pd

    ids, pair, who = listing.ids, state.get("pair"), state.get("who")
    here = listing.place(pair)
    at = (triage_list.left(listing) if here is None else here) - listing.offset
    block = max(min(at, len(ids) - 1), 0) // triage_list.BLOCK
    first = block * triage_list.BLOCK
    frame = listing.frame.iloc[first : first + triage_list.BLOCK]
    shown = ids[first : first + triage_list.BLOCK]
    decided = opened.decided()
    parts = {name: frame[f"part_{name}"].tolist() for name, _ in triage_pair.parts(opened, {})}
    made: dict[str, list[object]] = {
        "now": ["▸" if id == pair else "" for id in shown],
        "said": [_said(decided.get(id, {}), who) for id in shown],
        "suspicion": frame["suspicion"].tolist(),
        "text": [opened.told(row)[:LONGEST] for row in frame.to_dict("records")],
    }
    if parts:
        made["parts"] = [[0.0 if one != one else one for one in row] for row in zip(*parts.values(), strict=True)]
    made |= {f"part_{name}": values for name, values in parts.items()}
    made["id"] = list(shown)
    tall = sorted(map(len, map(str, made["text"])))[len(shown) // 2] > SHORT
    height = LINES if tall else LINE
    salt, start = st.session_state.get("triage_salt", 0), listing.offset + first
    key = f"triage_rows_{salt}_{listing.offset}_{block}"

    def pick() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        st.session_state["triage_salt"] = salt + 1  # the mark says which row it is, not the box of a click
        if rows and rows[0] < len(shown):
            triage_list.turn(opened, start + rows[0])

    st.dataframe(
        pd.DataFrame(made), hide_index=True, key=key, on_select=pick, selection_mode="single-row",
        column_config=_columns(opened, wide=not tall and any("/" in str(one) for one in made["said"])),
        height=40 + height * min(triage_list.BLOCK, listing.count), row_height=height,
        alt=t("queue.alt", count=f"{listing.count:,}", first=shown[0]),
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center", key="triage_turns"):
        st.button(t("chrome.previous"), key="triage_leaf_back", disabled=not start,
                  on_click=triage_list.turn, args=(opened, start - triage_list.BLOCK))  # fmt: skip
        st.caption(t("queue.rows", first=f"{start + 1:,}", last=f"{start + len(shown):,}", count=f"{listing.count:,}"),
                   width="content")  # fmt: skip
        st.button(t("chrome.next"), key="triage_leaf_on", disabled=start + len(shown) >= listing.count,
                  on_click=triage_list.turn, args=(opened, start + len(shown)))  # fmt: skip
    _counted(opened)
    st.caption(formula(opened, listing))
    triage_keys.on_map(opened, "triage_map")


def _said(said: object, who: str) -> str:
    """One's own verdict first, then those of others, apart by a stroke."""
    opinions: dict[str, str] = dict(said)  # type: ignore[call-overload]  # {reviewer: verdict}
    own = [opinions.pop(who)] if who in opinions else []
    return " / ".join(t(f"queue.verdict.{one}") for one in dict.fromkeys([*own, *opinions.values()]))


def _columns(opened: Opened, *, wide: bool) -> dict[str, Any]:
    """How the columns of the list look. wide: two verdicts stand in one line."""
    kinds = st.column_config
    bar = lambda label, told: kinds.ProgressColumn(label, help=told, format="%.2f", min_value=0.0, max_value=1.0,  # noqa: E731
                                                   width="small")  # fmt: skip
    names = t("views.list.comma").join(triage_pair.named(name) for name, _ in triage_pair.parts(opened, {}))
    config: dict[str, Any] = {  # what Streamlit's columns are, which it has no public name for
        "now": kinds.TextColumn("", width=28),
        "said": kinds.TextColumn(t("queue.column.said"), width=122 if wide else 82),
        "text": kinds.TextColumn(t("table.text"), width=102 if wide else 142),
        "suspicion": bar(t("queue.suspicion"), t("queue.suspicion.help")),
        "parts": kinds.BarChartColumn(
            t("queue.parts"), help=t("queue.parts.help", parts=names), y_min=0, y_max=1, width=78
        ),
        "id": kinds.TextColumn("id", width="small"),
    }
    for name, _ in triage_pair.parts(opened, {}):
        told = t(f"queue.part.{name}.help") if name in triage_pair.ORDER else None
        config[f"part_{name}"] = bar(triage_pair.named(name), told)
    return config


def formula(opened: Opened, listing: Listing) -> str:
    """How the suspicion was made, by the run's weights or by one's own, and which parts don't count."""
    told = opened.store.meta.get("calibration") or {}
    named, comma = triage_pair.named, t("views.list.comma").join
    own = listing.order is not None
    weights = {str(k): float(v) for k, v in (listing.wanted.weights if own else (told.get("weights") or {}).items())}
    said = comma(f"{named(name)} {value:.2g}" for name, value in weights.items() if value or not own)
    key = "calibrated" if told.get("how") == "calibrated" else "percentile"
    parts = [t(f"queue.formula.{key}", weights=said)]
    if own:
        parts.append(t("queue.formula.own"))
    unused = [name for name in opened.parts if not weights.get(name)] if own else told.get("unused")
    for name, which in (("unused", unused), ("missing", told.get("missing"))):
        if which:
            parts.append(t(f"queue.formula.{name}", parts=comma(named(p) for p in which)))
    return " ".join(parts)
