"""The bench of What if: make edits of a sample, list them, take them back; all of them stand in the address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.data import DataSet
    from fusion.explain.edits import Edit
    from fusion.signals import Signal, Trace
    from fusion.types import Sample

PAST = "edit_past"  # lines as they were before each change
MOST_NAMED = 6  # places that an edit's line names


@dataclass(frozen=True)
class Bench:
    """What can be edited of a sample. `trace`: as it was, whose names of steps and signals are offered."""

    sample: Sample
    trace: Trace
    modalities: Sequence[str]  # that are there
    brought: Sequence[str]  # whose parts are encoded here: words can be replaced, regions painted over
    whole: Sequence[str]  # what can be done to a whole modality here
    dataset: DataSet | None  # whose samples can be put in


# The address


def line() -> str:
    """The edits in the address."""
    return state.get("edit")


def made(modalities: Sequence[str]) -> tuple[Edit, ...]:
    """The edits in the address. Raises FusionError for what is none."""
    from fusion.explain import edits

    return edits.read(line(), modalities)


def put(some: Sequence[Edit]) -> None:
    """Write edits to the address; what was there can be brought back."""
    from fusion.explain import edits

    st.session_state.setdefault(PAST, []).append(line())
    state.put(edit=edits.write(some))


def undo() -> None:
    """The edits as they were before the last change; of a link, all but the last one."""
    past = st.session_state.setdefault(PAST, [])
    state.put(edit=past.pop() if past else ",".join(line().split(",")[:-1]))


def forget() -> None:
    """Another sample: there is nothing to go back to."""
    st.session_state[PAST] = []


# Words


def told(edit: Edit, trace: Trace | None) -> str:
    """An edit in words, its places by name where the trace has them."""
    from fusion.views.speech import num, percent, say

    places = t("views.list.comma").join(_places(edit, trace)[:MOST_NAMED]) + (" …" * (len(edit.places) > MOST_NAMED))
    how = "fix.one" if edit.how == "fix" and edit.text else edit.how
    rate = percent(edit.rate) if edit.how == "drop" else num(edit.rate)
    text = say(edit.text) if edit.how == "fix" else plain(edit.text, 40)
    return t(f"streams.done.{how}", name=say(edit.modality), rate=rate, places=places, text=text)


def _places(edit: Edit, trace: Trace | None) -> list[str]:
    from fusion.views.speech import step

    if edit.how == "mute":
        return [t("views.head.one", head=place + 1) for place in edit.places]
    rows = () if trace is None else trace.steps.get(edit.modality, ())
    names = rows[0].groups if rows else ()
    quoted = edit.how in ("replace", "hide") and bool(rows) and bool(rows[0].spans)
    found = [plain(step(names[place]), 24) if place < len(names) else str(place + 1) for place in edit.places]
    return [t("views.quoted", word=name) if quoted else name for name in found]


# The bench


def show(on: Bench) -> None:
    """What was done, each with a way back; then the next edit."""
    try:
        now = made(on.modalities)
    except FusionError as error:
        st.error(plain(str(error), 400))
        state.put(edit=None)
        now = ()
    with st.container(border=True, key="card_bench"):
        st.markdown(f"##### {t('edits.title')}")
        if not now:
            st.markdown(t("edits.none"))
        for at, edit in enumerate(now):
            with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"edit_row_{at}"):
                st.markdown(plain(f"{at + 1}. {told(edit, on.trace)}", 300))
                st.button(
                    "✕", key=f"edit_out_{at}", type="tertiary", on_click=put, help=t("edits.out"),
                    args=([other for other in now if other is not edit],),
                )  # fmt: skip
        with st.container(horizontal=True, gap="xsmall", key="bench_back"):
            st.button(t("streams.undo"), key="bench_undo", on_click=undo, disabled=not line(), shortcut="Ctrl+Z")
            st.button(t("streams.restore"), key="bench_none", on_click=put, args=((),), disabled=not line())
        _next(on, now)


def _next(on: Bench, now: Sequence[Edit]) -> None:
    """Boxes for one more edit, and the button that makes it."""
    from fusion.views.speech import say

    able = _able(on)
    st.markdown(f"**{t('edits.next')}**")
    with st.container(horizontal=True, vertical_alignment="bottom", key="bench_boxes"):
        how = st.selectbox(
            t("edits.how"), list(able), key="bench_how", format_func=lambda one: t(f"edits.how.{one}"), width=260
        )
        whats = able[how]
        if st.session_state.get(f"bench_what_{how}") not in whats:
            st.session_state.pop(f"bench_what_{how}", None)
        what = st.selectbox(t("edits.what"), whats, key=f"bench_what_{how}", format_func=say, width=240)
    edit = _made(on, how, what)
    st.button(
        t("edits.apply"), key="bench_apply", type="primary", disabled=edit is None, on_click=_add, args=(now, edit)
    )


def _add(now: Sequence[Edit], edit: Edit) -> None:
    """One more, in place of an older one of the same signal or, of whole modalities, of the same modality."""
    put([*(old for old in now if not _same(old, edit)), edit])


def _same(old: Edit, new: Edit) -> bool:
    from fusion.explain.edits import INSIDE, WHOLE

    inside = old.how in INSIDE and old.how == new.how and old.text == new.text
    return old.modality == new.modality and (inside or (old.how in WHOLE and new.how in WHOLE))


def _able(on: Bench) -> dict[str, list[str]]:
    """What can be done: {how: modalities or signals}, what changes least first."""
    from fusion.signals import Attention, Gate, ModalityWeights
    from fusion.types import Image, Text

    count = {m: len(on.trace.steps[m][0].groups) if on.trace.steps.get(m) else 0 for m in on.modalities}
    regions = [m for m in on.brought if isinstance(on.sample.parts.get(m), Image) and count[m] > 1]
    can = [signal for signal in on.trace if signal.settable]
    found = {
        "hide": [m for m in on.modalities if count[m] > 0],
        "replace": [m for m in on.brought if isinstance(on.sample.parts.get(m), Text)],
        "paint": regions,
        "blur": regions,
        **{how: list(on.modalities) for how in on.whole},
        "swap": list(on.modalities) if on.dataset is not None else [],
        "mute": [signal.name for signal in can if isinstance(signal, Attention)],
        "fix": [signal.name for signal in can if isinstance(signal, Gate | ModalityWeights)],
    }
    return {how: whats for how, whats in found.items() if whats}


def _made(on: Bench, how: str, what: str) -> Edit | None:
    """The edit that the boxes say, None while something is missing."""
    from dataclasses import replace

    from fusion.explain.edits import Edit

    edit = Edit(what, how)  # type: ignore[arg-type]  # from the table of those that can be done
    if how in ("hide", "paint", "blur", "replace"):
        return _of_places(on, edit)
    if how == "mute":
        signal = on.trace[what]
        places = st.pills(
            t("edits.heads"), range(signal.value.shape[1]), selection_mode="multi", key=f"bench_heads_{what}",
            format_func=lambda head: str(head + 1),
        )  # fmt: skip
        return replace(edit, places=tuple(sorted(places))) if places else None
    if how == "fix":
        return _fixed(on.trace[what], edit)
    if how == "swap":
        id = st.text_input(t("edits.swap"), key="bench_swap", placeholder=_example(on)).strip()
        if id and on.dataset is not None and id not in on.dataset.index:
            st.error(t("error.sample", id=plain(id, 60), data=plain(on.dataset.name, 60)))
            return None
        return replace(edit, text=id) if id else None
    if how == "drop":
        return replace(edit, rate=st.slider(t("edits.drop"), 0, 100, 50, 5, key="bench_drop", format="%d%%") / 100)
    if how == "noise":
        return replace(edit, rate=st.slider(t("edits.noise"), 0.0, 3.0, 1.0, 0.25, key="bench_noise"))
    return edit


def _example(on: Bench) -> str:
    others = () if on.dataset is None else on.dataset.samples[:2]
    return next((other.id for other in others if other.id != on.sample.id), "")


def _of_places(on: Bench, edit: Edit) -> Edit | None:
    """Words, regions or steps by name; of `replace` the new word too."""
    from dataclasses import replace

    from fusion.views.speech import step

    names = on.trace.steps[edit.modality][0].groups if edit.modality in on.trace.steps else ()
    key = f"bench_places_{edit.how}_{edit.modality}_{on.sample.id}"
    label = lambda place: f"{place + 1} · {plain(step(names[place]), 30)}"  # noqa: E731
    if edit.how == "replace":
        place = st.selectbox(t("edits.word"), range(len(names)), key=key, format_func=label, width=260)
        word = st.text_input(t("edits.word.new"), key=f"{key}_word", max_chars=80, help=t("edits.word.help"))
        return None if place is None else replace(edit, places=(place,), text=word.strip())
    places = st.multiselect(
        t("edits.places"), range(len(names)), key=key, format_func=label, placeholder=t("edits.places.none")
    )
    return replace(edit, places=tuple(sorted(places))) if places else None


def _fixed(signal: Signal, edit: Edit) -> Edit:
    """A value for a gate, or for the weight of one modality; of one gate a modality, of one or of all."""
    from dataclasses import replace

    from fusion.signals import ModalityWeights
    from fusion.views.speech import say

    modality = ""
    if isinstance(signal, ModalityWeights):
        modality = st.selectbox(
            t("edits.of"), signal.modalities, key=f"bench_of_{signal.name}", format_func=say, width=240
        )
    value = st.slider(t("edits.value"), 0.0, 1.0, 0.5, 0.05, key=f"bench_value_{signal.name}")
    return replace(edit, rate=value, text=modality)
