"""What one visitor has chosen: the view (scalars, each in the address), the selection, and the sample on the desk.

Nothing else is shared between pages, and only this module reads or writes these names of the session.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from fusion import kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.types import Image, Sample

# Names in the address, in ASCII whatever the language. `layer` is the name of an attention signal.
CARRIED = ("ckpt", "data", "lang")
OWN = {
    "inspect": ("id", "rel", "against", "story", "text", "edit", "tab", "layer", "head", "token", "why", "how"),
    "fusion": ("modality", "what", "tab"),
    "map": ("sel", "method", "dims", "seed", "space", "colour", "queue", "density", "labels", "filter", "tab"),
    "match": ("sel", "split", "part", "badge", "class", "sort", "threshold", "tab"),
    "triage": ("queue", "who", "show", "take", "status", "sort", "find", "where", "weights", "pair", "sel", "tab"),
    "compare": ("with", "switch", "id", "layer", "tab"),
    "runs": ("run", "beside", "tab"),
    "checkpoints": ("tab",),
}
PRIVATE = ("who",)  # in the address only as long as a link has brought it: whoever gets the next link is another person
ONE = ("id", "story", "text", "edit")  # what a link to one sample says, or says that there is none of
WHOLE = ("ckpt", "data", "id", "rel", "against", "story", "text", "edit", "sel")  # what makes two views the same work
LONGEST_TEXT = 400  # characters of an edited text that the address carries; proxies cut long addresses


@dataclass(frozen=True)
class Selection:
    """Samples chosen together, and the one of them that is looked at."""

    data: str = ""
    ids: tuple[str, ...] = ()
    primary: str = ""

    def step(self, by: int) -> Selection:
        """The same with the next (1) or previous (-1) member looked at, round and round."""
        if not self.ids:
            return self
        at = self.ids.index(self.primary) if self.primary in self.ids else -1 if by > 0 else 0
        return replace(self, primary=self.ids[(at + by) % len(self.ids)])


@dataclass(frozen=True)
class Desk:
    """The sample on the Inspect page: where its picture comes from, and its text as it stands now."""

    sample: Sample | None = None  # as it was taken: a row of a data set, a photograph, a story; None for own input
    kind: str = ""  # "data" | "gallery" | "story" | "own" | ""
    picture: Image | None = None
    name: str = ""  # of an uploaded file
    text: str = ""

    @property
    def edited(self) -> bool:
        """Whether the text or the picture is no longer that of the sample taken."""
        return self.sample is None or self.text != self.sample.text() or self.picture != self.sample.image()


def read_address(page: str) -> None:
    """Take what the address says; what it doesn't say stays as it was chosen before."""
    view = _view()
    names = (*CARRIED, *OWN.get(page, ()))
    said = {name: str(st.query_params[name])[:1000] for name in names if name in st.query_params}
    if page == "inspect" and ("id" in said or "story" in said):  # a link names one sample, not that and the last one
        other = (said.get("id"), said.get("story")) != (view.get("id"), view.get("story"))
        for name in (*ONE, "rel", "against", "token") if other else ONE:
            view.pop(name, None)
    view.update(said)
    st.session_state.setdefault("linked", {}).update({name: said[name] for name in PRIVATE if name in said})
    st.session_state["page"] = page
    _read_selection(said.get("sel", ""))
    _write(page)


def _read_selection(name: str) -> None:
    """Take the selection that a link names; `lost_selection` tells when it is not kept here."""
    if not name or st.session_state.get("sel") == name:
        return
    found = kept.selection(name)
    if found is None:
        _view().pop("sel", None)
        st.session_state["lost"] = True
        return
    data, ids = found
    st.session_state["sel"] = name
    st.session_state["selection"] = Selection(data, ids, ids[0] if ids else "")


def lost_selection() -> bool:
    """Whether a link named a selection that is not kept on this machine; asked once."""
    return st.session_state.pop("lost", False)


def get(name: str, default: str = "") -> str:
    """A scalar of the view."""
    return _view().get(name) or default


def put(**values: str | int | float | None) -> None:
    """Change scalars of the view and the address with them; None or "" takes one away."""
    view = _view()
    for name, value in values.items():
        if value is None or value == "":
            view.pop(name, None)
        else:
            view[name] = str(value)
    _write(st.session_state.get("page", ""))


def linked(name: str) -> str:
    """What a link said of something private, "" where none did, or since it was made one's own."""
    return st.session_state.get("linked", {}).get(name, "")


def own(name: str) -> None:
    """Keep something private as it is, as one's own: it leaves the address."""
    st.session_state.get("linked", {}).pop(name, None)
    _write(st.session_state.get("page", ""))


def whole(name: str) -> int | None:
    """A scalar as a whole number, None when it is absent or no number."""
    value = get(name)
    return int(value) if value.isascii() and value.isdigit() and len(value) < 7 else None


def carried(**more: str) -> dict[str, str]:
    """What a link to another page takes along."""
    view = _view()
    return {name: view[name] for name in CARRIED if view.get(name)} | more


def work() -> dict[str, str]:
    """What of the address brings the same work back: checkpoint, data, sample or selection."""
    page, view = st.session_state.get("page", ""), _view()
    return {name: view[name] for name in WHOLE if view.get(name) and name in (*CARRIED, *OWN.get(page, ()))}


def selection() -> Selection:
    """Samples chosen on Map or Match."""
    return st.session_state.get("selection", Selection())


def select(data: str, ids: Sequence[str]) -> None:
    """Choose these samples of a data set, and keep the choice under a name for links; none clears it."""
    ids = tuple(dict.fromkeys(ids))
    st.session_state["selection"] = Selection(data, ids, ids[0] if ids else "")
    st.session_state["sel"] = kept.select(data, ids) if ids else None
    put(sel=st.session_state["sel"])


def look_at(chosen: Selection) -> None:
    """Keep a selection with another member looked at."""
    st.session_state["selection"] = chosen


def desk() -> Desk:
    """The sample on the Inspect page."""
    return st.session_state.get("desk", Desk())


def lay(desk: Desk) -> None:
    """Put a sample on the desk, and into the address what a link can bring back."""
    st.session_state["desk"] = desk
    text = desk.text if desk.sample is not None and desk.text != desk.sample.text() else ""
    fits = text if len(text) <= LONGEST_TEXT else ""
    if desk.kind == "story" and desk.sample is not None:
        put(id=None, story=desk.sample.id.removeprefix("story-"), text=fits)
    elif desk.kind in ("data", "gallery") and desk.sample is not None and desk.picture == desk.sample.image():
        put(id=desk.sample.id, story=None, text=fits)
    else:
        put(id=None, story=None, text=None)


def _view() -> dict[str, str]:
    return st.session_state.setdefault("view", {})


def _write(page: str) -> None:
    """Make the address say what this page shows, without a rerun."""
    view = _view()
    names = [name for name in (*CARRIED, *OWN.get(page, ())) if view.get(name)]
    wanted: Mapping[str, str] = {one: view[one] for one in names if one not in PRIVATE or view[one] == linked(one)}
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)
