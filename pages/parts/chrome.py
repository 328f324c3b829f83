"""What stands on every page: configuration, language, navigation, the row of chips, and how errors are told."""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import FusionError
from fusion.words import LANGUAGES, t, use
from pages.parts import cache, headings, state, using
from pages.parts.headings import GROUPS, PAGES

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from pages.parts.kinds import Kind

ASSETS = Path(__file__).resolve().parents[2] / "assets"
STYLE = Path(__file__).with_name("style.css")
JOINER = "\u200d"  # makes one emoji of several
KEPT = (JOINER, "\u00a0")  # not printable to Python; the latter keeps a number with its unit
SIDEBAR = 216  # pixels; pictures need the rest
log = logging.getLogger("fusionscope")


def boot(page: str) -> DeltaGenerator:
    """First line of every page: configuration, language, state, heading, navigation, and the chips above it.

    -> a place among the chips for what a page can do only when it knows what it shows
    """
    use(_language())
    _, title, lead, _ = PAGES[page]
    st.set_page_config(
        page_title=f"{t(title)} · Fusionscope" if page != "home" else "Fusionscope",
        page_icon=str(ASSETS / "icon.png"),
        layout="wide",
        initial_sidebar_state=SIDEBAR,
    )
    state.read_address(page)
    use(_language())
    st.html(f"<style>{cache.asset(STYLE)}</style>")
    chips = st.container(horizontal=True, vertical_alignment="center", key="chips")
    st.title(t(title), anchor=False)
    purpose = st.empty()
    purpose.markdown(t(lead))
    if state.lost_selection():
        st.warning(t("error.selection"))
    _sidebar()
    with chips:
        slot = _chips(page)
    if headings.differs(page):  # the kind is known once the library is loaded, which no heading waits for
        purpose.markdown(t(headings.purpose(page, using.kind())[0]))
    return slot


def _language() -> str:
    """?lang=, then what was chosen before, then the browser's own language, then English."""
    said = st.query_params.get("lang") or st.session_state.get("view", {}).get("lang")
    if said in LANGUAGES:
        return said
    locale = (st.context.locale or "en").lower()
    return next((code for code in LANGUAGES if locale.startswith(code)), "en")


def speak() -> None:
    """Speak the visitor's language in a part that reruns alone, in a thread that no page has booted."""
    use(_language())


def fragment(function: Callable[..., None] | None = None, *, run_every: float | None = None) -> Callable[..., None]:
    """`st.fragment` that speaks the visitor's language: it reruns alone, in a thread that no page has booted."""
    if function is None:
        return functools.partial(fragment, run_every=run_every)

    @functools.wraps(function)
    def speaking(*args: object, **choice: object) -> None:
        speak()
        function(*args, **choice)

    return st.fragment(speaking, run_every=run_every)


def path_of(page: str) -> str:
    """The file of a page, for links."""
    return "app.py" if page == "home" else f"pages/{page}.py"


def go(page: str, **more: str) -> None:
    """Open another page with what links carry along."""
    st.switch_page(path_of(page), query_params=state.carried(**more))


def link(page: str, label: str, *, key: str = "", **more: str) -> None:
    """A link to another page that keeps checkpoint, data and language."""
    st.page_link(path_of(page), label=label, query_params=state.carried(**more))


def _sidebar() -> None:
    with st.sidebar:
        st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "mark.svg"))
        for group, pages in GROUPS.items():
            with st.container(gap=None, key=f"nav_{group}"):
                st.caption(t(f"chrome.group.{group}"))
                for name in pages:
                    link(name, t(PAGES[name][0]))
        with guard("chrome.selection"):
            _selection_card()


def _selection_card() -> None:
    """How many are selected, which one is looked at, and ways to walk through them."""
    chosen = state.selection()
    if not chosen.ids:
        return
    with st.container(border=True, key="selection_card"):
        at = chosen.ids.index(chosen.primary) + 1
        st.markdown(f"**{t('chrome.selected', count=f'{len(chosen.ids):,}')}**")
        st.caption(t("chrome.selected.at", at=f"{at:,}", count=f"{len(chosen.ids):,}", id=plain(chosen.primary, 40)))
        with st.container(horizontal=True, gap="small"):
            st.button(t("chrome.previous"), key="selection_back", on_click=_step, args=(-1,), disabled=at < 0)
            st.button(t("chrome.next"), key="selection_on", on_click=_step, args=(1,))
            st.button(t("chrome.clear"), key="selection_clear", on_click=state.select, args=("", ()), type="tertiary")
        if st.button(t("chrome.open"), key="selection_open", type="primary", width="stretch"):
            state.put(data=chosen.data)
            go("inspect", id=chosen.primary)
        if st.session_state.get("page") != "triage":
            own = {"data": chosen.data, "sel": state.get("sel"), "show": "sel"}
            link("triage", t("chrome.triage", count=f"{len(chosen.ids):,}"), **own)


def _step(by: int) -> None:
    """Look at another member; on Inspect, put it on the desk at once."""
    chosen = state.selection().step(by)
    state.look_at(chosen)
    if st.session_state.get("page") == "inspect":
        state.put(**{**using.OTHER, "data": chosen.data, "id": chosen.primary, "sel": state.get("sel")})


def _chips(page: str) -> DeltaGenerator:
    """Checkpoint, data, language, help: one row above the heading. -> a place in it"""
    slot = None
    with guard("chrome.chips"):
        if page != "checkpoints":
            found = using.usual()
            name = state.get("ckpt") or (found.name if found else "")
            with st.popover(f"{t('chrome.checkpoint')}: {short(name) or t('chrome.first')}", key="chip_ckpt"):
                _pick_checkpoint()
            with st.popover(f"{t('chrome.data')}: {data_name(using.data_spec())}", key="chip_data"):
                _pick_data()
        slot = st.container(key="chip_slot", width="content")
        st.space("stretch")
        with st.popover(t("chrome.help"), key="chip_help", type="tertiary"):
            st.markdown(t(headings.purpose(page, using.kind())[1] if headings.differs(page) else PAGES[page][3]))
            st.markdown(t("chrome.help.everywhere"))
        st.segmented_control(
            t("chrome.language"),
            list(LANGUAGES),
            format_func=LANGUAGES.__getitem__,
            key="language",
            default=_language(),
            label_visibility="collapsed",
            on_change=_speak,
            required=True,
        )
    return slot if slot is not None else st.container()


def _speak() -> None:
    state.put(lang=st.session_state["language"])


def _pick_checkpoint() -> None:
    found = cache.checkpoints()
    names = [one.name for one in found]
    if not names:
        st.markdown(t("empty.ckpt"))
    else:
        usual = using.usual()
        current = state.get("ckpt") or (usual.name if usual is not None else names[0])
        options = names if current in names else [current, *names]
        st.session_state["pick_ckpt"] = current  # it may have been chosen elsewhere
        st.radio(
            t("chrome.checkpoint"),
            options,
            key="pick_ckpt",
            on_change=_take,
            args=("ckpt",),
            format_func=lambda name: plain(name, 60),
        )
    link("checkpoints", t("chrome.more.checkpoints"))


def _pick_data() -> None:
    known = using.offered()
    current = using.data_spec()
    options = known if current in known else [*known, current]
    st.session_state["pick_data"] = current
    st.radio(
        t("chrome.data"),
        options,
        key="pick_data",
        on_change=_take,
        args=("data",),
        format_func=lambda key: t(f"data.{key}") if key in known else plain(key, 60),
    )
    link("checkpoints", t("chrome.more.data"), tab="data")


def _take(name: str) -> None:
    (using.use_checkpoint if name == "ckpt" else using.use_data)(st.session_state[f"pick_{name}"])


def checkpoint() -> Checkpoint | None:
    """The checkpoint in use; without one, or with an unknown one in the address, the way out is drawn instead."""
    usual = using.usual()
    name = state.get("ckpt")
    if not name and usual is not None:
        return usual
    if not name:
        with st.container(border=True, key="no_checkpoint"):
            st.markdown(f"**{t('empty.ckpt')}**")
            st.markdown(t("empty.ckpt.why"))
            link("checkpoints", t("chrome.more.checkpoints"))
        return None
    try:
        return cache.checkpoint(name)
    except FusionError as error:
        st.error(f"{t('error.checkpoint', name=plain(name, 60))} {plain(str(error), 300)}")
        with st.container(horizontal=True):
            if usual is not None:
                st.button(
                    t("chrome.use", name=usual.name), key="use_first", type="primary", on_click=using.use_checkpoint,
                    args=(usual.name,),
                )  # fmt: skip
            link("checkpoints", t("chrome.more.checkpoints"))
        return None


def dataset(wanted: Kind = "pairs") -> DataSet | None:
    """The data set in use; when it can't be opened or is of another kind, the sentence that says so and ways out."""
    from fusion.data import bundled, pairs_only

    spec = using.data_spec()
    try:
        if not using.trusted(spec):
            raise FusionError(t("error.data", path=spec[:300]))
        found = cache.data(spec)
        if wanted == "pairs":
            return pairs_only(found)
        if found.kind != wanted:
            raise FusionError(t(f"error.wants.{wanted}", name=found.name, holds=t(f"data.holds.{found.kind}")))
        return found
    except FusionError as error:
        st.error(plain(str(error), 500))
        instead = next(iter(bundled(wanted)), "")
        other = next((one for one in cache.checkpoints() if using.fits(one, spec)), None)
        with st.container(horizontal=True, vertical_alignment="center"):
            if instead:
                st.button(
                    t("chrome.use", name=t(f"data.{instead}")), key=f"use_{instead}", type="primary",
                    on_click=state.put, kwargs={**using.OTHER, "data": instead},
                )  # fmt: skip
            if other is not None and using.trusted(spec) and using.kind_of(spec) != wanted:
                st.button(
                    t("chrome.use", name=plain(other.name, 40)), key="use_other", on_click=state.put,
                    kwargs={"ckpt": other.name},
                )  # fmt: skip
            link("checkpoints", t("chrome.more.data"), tab="data")
        return None


def data_name(spec: str) -> str:
    """What a data set is called in a line: a bundled one by its name, another by its file."""
    from fusion.data import DATASETS

    return t(f"data.{spec}") if spec in DATASETS else short(spec)


@contextmanager
def guard(view: str) -> Iterator[None]:
    """Say an error where it happened, and let the rest of the page live. `view` is a key of the words."""
    try:
        yield
    except FusionError as error:
        st.error(plain(str(error), 600))
    except Exception:  # the one place where anything unforeseen stops: it is logged, and the page goes on
        number = secrets.token_hex(3)
        log.exception("%s %s", number, view)
        st.error(t("error.broke", view=t(view), id=number))


def plain(text: str, longest: int = 200) -> str:
    """Words of a person for Streamlit's Markdown: one line, nothing in it is read as markup."""
    line = "".join(c if c in KEPT or (c.isprintable() and not "\ud800" <= c <= "\udfff") else " " for c in text)
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|~$:^=&" else c for c in line)


def short(name: str, longest: int = 24) -> str:
    """A name for a button, without its folder."""
    return plain(Path(name).name or name, longest)
